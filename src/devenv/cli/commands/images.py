"""`devenv images`."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Format, Name, Output, Profiles, Quiet, StandIns

with LazyImports():
    import anyio

    from devenv import signals
    from devenv.images import bundle, listing
    from devenv.ui import console

File = Annotated[str, typer.Argument(metavar="FILE")]
LABEL = 11  # columns for the label of a line


def list_(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
) -> None:
    """List the images that the project needs, and their sources."""
    window = options.console(output)
    rows = anyio.run(listing.list_images, options.selection(file, project_name, profile))
    window.answer({"images": [asdict(row) for row in rows]}, _lines(rows))


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


def pull(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    stand_ins: StandIns = False,
) -> None:
    """Pull every image that the project needs.

    From the registry, a mirror, or a loaded archive; or build it from packages (`--stand-ins`).
    """
    chosen, window = options.selection(file, project_name, profile), options.console(output, quiet=quiet)
    _run(window, lambda: bundle.pull(chosen, window.emit, stand_ins=stand_ins))


def save(
    archive: File,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    stand_ins: StandIns = False,
) -> None:
    """Save every image that the project needs to a file.

    For another machine, or for work without a network.
    """
    chosen, window = options.selection(file, project_name, profile), options.console(output, quiet=quiet)
    _run(window, lambda: bundle.save(chosen, archive, window.emit, stand_ins=stand_ins))


def load(archive: File, output: Format = Output.TEXT, quiet: Quiet = False) -> None:
    """Load images from a file written by `images save`.

    The file is checked first. The images get names of their own.
    """
    window = options.console(output, quiet=quiet)
    _run(window, lambda: bundle.load(archive, window.emit))


def _run(window: console.Console, work: Callable[[], Awaitable[None]]) -> None:
    try:
        raise typer.Exit(anyio.run(signals.endable, work))
    finally:
        window.close()
