"""`devenv images`, `devenv build`, `devenv push` and `devenv layers`."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.cli.arguments import HostSettings, StandIns
from devenv.lazy_imports import LazyImports

with LazyImports():
    import anyio

    from devenv import events, signals
    from devenv.images import bundle, failures, listing, release
    from devenv.images.standins import recipes
    from devenv.inspect import layers as inspection
    from devenv.model import images as image_model
    from devenv.model import snapshot
    from devenv.run import consent
    from devenv.ui import cells, drawing
    from devenv.ui import console as consoles

File = Annotated[str, Argument(metavar="FILE")]
Services = Annotated[list[str] | None, Argument(help="Only the images of these services.")]
Registry = Annotated[
    str | None, Option("--registry", metavar="HOST[/PATH]", help="Registry, the prefix of the image names.")
]
Tags = Annotated[
    list[str] | None,
    Option("--tag", "-t", help="Tag to use instead of version, `latest` and git revision; may be repeated."),
]
Target = Annotated[str | None, Option("--target", help="Stage to build instead of build.target.")]
Cache = Annotated[bool, Option("--no-cache", help="Do not use the build cache.")]
LABEL = 11  # columns for the label of a line


def list_(
    stand_ins: Annotated[
        bool, Option("--list", help="List the stand-ins that can be made, for any project.")
    ] = False,
) -> None:
    """List the images that the project needs, with sources."""
    console = options.console()
    if stand_ins:
        offers = anyio.run(listing.list_offers)
        console.answer({"stand_ins": [asdict(o) for o in offers]}, cells.columns([_offer(o) for o in offers]))
        return
    rows = anyio.run(listing.list_images, options.selection())
    console.answer({"images": [asdict(row) for row in rows]}, _lines(rows))
    if not console.is_json and any(row.source == "nowhere" and row.kind != "frontend" for row in rows):
        console.aside(f"hint: {failures.MIRROR}")


def _offer(offer: recipes.Offer) -> dict[str, str]:
    return {
        "image": offer.image,
        "tags": ", ".join(tag for tag in offer.tags if tag.count("*") < 2),  # noqa: PLR2004 - 20.*.* goes with 20.*
        "suite": offer.suite,
        "size": snapshot.shown(offer.size) if offer.size else "",
        "also": ", ".join([*filter(None, offer.variants), *(["-alpine for services"] if offer.alpine else [])]),
    }


def _lines(rows: Sequence[listing.Row]) -> Iterator[str]:
    width = max(shutil.get_terminal_size().columns, 2 * LABEL + 20) - 1
    for row in rows:
        yield f"{row.image} ({row.platform})" if row.platform else row.image
        for label, detail in ((row.source, row.detail), ("needed by", ", ".join(row.users))):
            begin = f"  {label:<{LABEL}}"
            indent = " " * len(begin)
            yield from textwrap.wrap(
                detail, width, initial_indent=begin, subsequent_indent=indent, break_on_hyphens=False
            )


def pull(stand_ins: StandIns = False) -> None:
    """Pull every image that the project needs.

    From the registry, a mirror, or a loaded archive; or build it from packages (`--stand-ins`).
    """
    selection, console = options.selection(), options.console()
    _run(console, lambda: bundle.pull(selection, console.emit, stand_ins=stand_ins))


def save(archive: File, stand_ins: StandIns = False) -> None:
    """Save every image that the project needs to a file.

    For another machine, or for work without a network.
    """
    selection, console = options.selection(), options.console()
    _run(console, lambda: bundle.save(selection, archive, console.emit, stand_ins=stand_ins))


def load(archive: File) -> None:
    """Load images from a file written by `images save`.

    The file is checked first. The images get names of their own.
    """
    console = options.console()
    _run(console, lambda: bundle.load(archive, console.emit))


def build(
    services: Services = None,
    registry: Registry = None,
    tag: Tags = None,
    target: Target = None,
    no_cache: Cache = False,
    stand_ins: StandIns = False,
    host_settings: HostSettings = False,
) -> None:
    """Build and tag the project's images.

    Tags: the version, `latest` and the git revision.
    """
    images = image_model.ImageOptions(stand_ins=stand_ins, host_settings=host_settings)
    _release(services, registry, tag, target, no_cache=no_cache, images=images)


def push(
    services: Services = None,
    registry: Registry = None,
    tag: Tags = None,
    target: Target = None,
    no_cache: Cache = False,
) -> None:
    """Build, tag and push the project's images.

    Checks at the end that the registry has the images.
    """
    _release(services, registry, tag, target, no_cache=no_cache, images=image_model.ImageOptions(), push=True)


def layers(
    image: Annotated[str, Argument(metavar="SERVICE|IMAGE", help="A service of the project, or an image.")],
    other: Annotated[
        str | None, Argument(metavar="OTHER", help="Another service or image, shown side by side.")
    ] = None,
    files: Annotated[
        bool | None,
        Option("--files/--no-files", help="Read the files in the layers; by default for images up to 2 GB."),
    ] = None,
) -> None:
    """Show an image's layers, and what would shrink it."""
    console = options.console()
    names = (image, other) if other else (image,)
    selection = options.selection()
    emit = (lambda _: None) if console.is_json else console.emit
    report = anyio.run(lambda: inspection.layers_of(selection, names, emit, files=files))
    console.close()
    answer = asdict(report)
    for layer in (layer for image in answer["images"] for layer in image["layers"]):
        layer["created_at"] = events.iso(layer["created"]) if layer["created"] else None
    console.answer(answer, drawing.layers(report, shutil.get_terminal_size().columns, time.time()))


def _release(services: Services, registry: Registry, tag: Tags, target: Target, **more: Any) -> None:
    request = release.Options(
        options.selection(services), registry=registry, tags=tuple(tag or ()), target=target, **more
    )
    console = options.console()
    _run(console, lambda: release.release(request, console.emit, consent.report_build_dangers))


def _run(console: consoles.Console, work: Callable[[], Awaitable[None]]) -> None:
    try:
        raise typer.Exit(anyio.run(signals.endable, work))
    finally:
        console.close()
