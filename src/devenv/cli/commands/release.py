"""`devenv build` and `devenv push`."""

from __future__ import annotations

from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Format, HostSettings, Name, Output, Profiles, Quiet, StandIns

with LazyImports():
    import anyio

    from devenv import signals
    from devenv.images import options as image_options
    from devenv.images import release
    from devenv.run import consent
    from devenv.ui import console

Services = Annotated[list[str] | None, typer.Argument(help="Only the images of these services.")]
Registry = Annotated[
    str | None,
    typer.Option("--registry", metavar="HOST[/PATH]", help="Registry, the prefix of the image names."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", "-t", help="Tag to use instead of version, `latest` and git revision; may be repeated."),
]
Target = Annotated[str | None, typer.Option("--target", help="Stage to build instead of build.target.")]
Cache = Annotated[bool, typer.Option("--no-cache", help="Do not use the build cache.")]


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
    """Build and tag the project's images.

    Tags: the version, `latest` and the git revision.
    """
    _run(
        release.Options(
            options.selection(file, project_name, profile, services),
            image_options.ImageOptions(stand_ins=stand_ins, host_settings=host_settings),
            registry=registry,
            tags=tuple(tag or ()),
            target=target,
            no_cache=no_cache,
        ),
        options.console(output, quiet=quiet),
    )


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
    """Build, tag and push the project's images.

    Checks at the end that the registry has them.
    """
    _run(
        release.Options(
            options.selection(file, project_name, profile, services),
            image_options.ImageOptions(),
            registry=registry,
            tags=tuple(tag or ()),
            target=target,
            no_cache=no_cache,
            push=True,
        ),
        options.console(output, quiet=quiet),
    )


def _run(wanted: release.Options, window: console.Console) -> None:
    try:
        raise typer.Exit(
            anyio.run(signals.endable, lambda: release.release(wanted, window.emit, consent.report_build_dangers))
        )
    finally:
        window.close()
