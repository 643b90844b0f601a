"""`devenv build` and `devenv push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, HostSettings, Name, Output, Profiles, Quiet, StandIns

if TYPE_CHECKING:
    from devenv.compose.resolve import Selection
    from devenv.ui.console import Console

Services = Annotated[list[str] | None, typer.Argument(help="Only the images of these services.")]
Registry = Annotated[
    str | None,
    typer.Option("--registry", metavar="HOST[/PATH]", help="Where the images belong: names begin so."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", "-t", help="In place of the version, `latest` and the git revision; may be repeated."),
]
Target = Annotated[str | None, typer.Option("--target", help="Another stage of the Dockerfile than build.target.")]
Cache = Annotated[bool, typer.Option("--no-cache", help="Run every step anew.")]


def build(
    services: Services = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    registry: Registry = None,
    tag: Tags = None,
    target: Target = None,
    no_cache: Cache = False,
    stand_ins: StandIns = False,
    host_settings: HostSettings = False,
) -> None:
    """Build the project's images and tag them: version, latest, git revision."""
    chosen = _Chosen(options.selection(file, project_name, profile, services), registry, tag, target, no_cache)
    window = options.console(output, quiet=quiet)
    _run(chosen, window, push=False, stand_ins=stand_ins, host_settings=host_settings)


def push(
    services: Services = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    registry: Registry = None,
    tag: Tags = None,
    target: Target = None,
    no_cache: Cache = False,
) -> None:
    """Build and tag the project's images, push them, and check that the registry has them."""
    chosen = _Chosen(options.selection(file, project_name, profile, services), registry, tag, target, no_cache)
    _run(chosen, options.console(output, quiet=quiet), push=True)


class _Chosen(NamedTuple):
    selection: Selection
    registry: str | None
    tags: list[str] | None
    target: str | None
    no_cache: bool


def _run(
    chosen: _Chosen, window: Console, *, push: bool, stand_ins: bool = False, host_settings: bool = False
) -> None:
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.images.release import Options, release  # noqa: PLC0415 - as above
    from devenv.images.wishes import Wishes  # noqa: PLC0415 - as above
    from devenv.run.consent import weigh_builds  # noqa: PLC0415 - as above
    from devenv.signals import endable  # noqa: PLC0415 - as above

    wanted = Options(
        chosen.selection,
        Wishes(stand_ins=stand_ins, host_settings=host_settings),
        registry=chosen.registry,
        tags=tuple(chosen.tags or ()),
        target=chosen.target,
        no_cache=chosen.no_cache,
        push=push,
    )
    try:
        raise typer.Exit(anyio.run(endable, lambda: release(wanted, window.emit, weigh_builds)))
    finally:
        window.close()
