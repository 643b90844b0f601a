"""`devenv up`, and what ends it: `devenv down`, `devenv gc`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, HostSettings, Name, Output, Profiles, Quiet, StandIns
from devenv.errors import UsageError

if TYPE_CHECKING:
    from devenv.run.options import Options
    from devenv.ui.console import Console

AUTO = "auto"
Services = Annotated[list[str] | None, typer.Argument(help="Only these services and what they depend on.")]
Ports = Annotated[
    list[str] | None,
    typer.Option(
        "--port",
        metavar="SERVICE:HOST=CONTAINER|auto",
        help="Publish a port elsewhere, e.g. web:8080=80; auto: all on free ones.",
    ),
]


def up(
    services: Services = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running; `down` ends it.")] = False,
    watcher: Annotated[
        Literal["auto", "inotify", "watchfiles", "poll"],
        typer.Option(help="How saves are noticed; poll where a file system tells of none."),
    ] = "auto",
    no_watch: Annotated[bool, typer.Option("--no-watch", help="Do not sync saved files.")] = False,
    no_logs: Annotated[bool, typer.Option("--no-logs", help="Do not show the services' logs.")] = False,
    no_build: Annotated[bool, typer.Option("--no-build", help="Use the images as they are.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="On exit, leave everything running.")] = False,
    keep_volumes: Annotated[bool, typer.Option("--keep-volumes", help="On exit, leave the named volumes.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin with empty volumes; what was saved stays.")] = False,
    from_: Annotated[str, typer.Option("--from", metavar="SNAPSHOT", help="Begin with these saved volumes.")] = "",
    port: Ports = None,
    lan: Annotated[bool, typer.Option("--lan", help="Publish ports to the network, not only here.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait until all is healthy.")] = 300.0,
    open_: Annotated[bool, typer.Option("--open", help="Open the site in the browser when it is up.")] = False,
    stand_ins: StandIns = False,
    host_settings: HostSettings = False,
    timings: Annotated[bool, typer.Option("--timings", help="Show where the time until ready went.")] = False,
    scale: Annotated[
        list[str] | None, typer.Option("--scale", metavar="SERVICE=N", help="How many containers a service has.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the project's hooks on this machine, and its privileged commands.")
    ] = False,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Plain lines on a terminal, too.")] = False,
) -> None:
    """Bring the project up, keep it equal to the source tree, and take it down again on Ctrl-C."""
    if fresh and from_:
        raise UsageError("--fresh begins empty, --from with what was saved", hint="Leave one of them out.")
    if math.isnan(timeout):  # it is not less than the least
        raise UsageError("--timeout: `nan` is not a number", hint="devenv up --help")
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.compose import run_model  # noqa: PLC0415 - as above
    from devenv.images.wishes import Wishes  # noqa: PLC0415 - as above
    from devenv.run.options import Options  # noqa: PLC0415 - as above
    from devenv.run.preload import up as workflow  # noqa: PLC0415 - as above

    chosen = Options(
        selection=replace(
            options.selection(file, project_name, profile, services),
            scale=tuple(run_model.scale(text) for text in scale or ()),
        ),
        detach=detach,
        watch=not no_watch,
        watcher=watcher,
        logs=not no_logs,
        build=not no_build,
        keep=keep,
        keep_volumes=keep_volumes,
        fresh=fresh,
        source=from_,
        ports=tuple(run_model.port_change(text) for text in port or () if text != AUTO),
        auto_ports=AUTO in (port or ()),
        lan=lan,
        timeout=timeout,
        open=open_,
        wishes=Wishes(stand_ins=stand_ins, host_settings=host_settings),
        timings=timings,
        trust=trust,
    )
    window = options.console(output, quiet=quiet)
    plain = no_ui or detach or quiet or output is Output.JSON
    try:
        raise typer.Exit(anyio.run(workflow, chosen, window.emit) if plain else anyio.run(_shown, chosen, window))
    finally:
        window.close()


async def _shown(chosen: Options, window: Console) -> int:
    """The run's exit code; in the live view where somebody looks at a terminal."""
    from devenv.run.preload import up as workflow  # noqa: PLC0415 - `--help` must not pay for it
    from devenv.ui.live.app import Live, is_wanted  # noqa: PLC0415 - as above

    if not is_wanted():
        return await workflow(chosen, window.emit)
    from devenv.run.active.control import RunController  # noqa: PLC0415 - as above

    view = Live(window)
    options.tell(view.emit)
    view.controller = controller = RunController(view.learn, view.settled, view.leave)
    return await view.run(lambda: workflow(chosen, view.emit, controller))


def down(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    keep_volumes: Annotated[bool, typer.Option("--keep-volumes", help="Leave the named volumes.")] = False,
    volumes: Annotated[bool, typer.Option("--volumes", "-v", help="Remove the volumes without a snapshot.")] = False,
) -> None:
    """End what devenv began in this project: containers, networks, and, once they are saved, its volumes."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.run.cleanup.down import down as workflow  # noqa: PLC0415 - as above
    from devenv.state.ledger import VolumePolicy  # noqa: PLC0415 - as above

    if keep_volumes and volumes:
        raise UsageError("--volumes removes what --keep-volumes keeps", hint="Leave one of them out.")
    wish = VolumePolicy.KEEP if keep_volumes else VolumePolicy.DROP if volumes else VolumePolicy.SAVE

    window = options.console(output, quiet=quiet)
    chosen = options.selection(file, project_name, profile)
    raise typer.Exit(anyio.run(lambda: workflow(chosen, window.emit, wish)))


def gc(
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is left, and leave it.")] = False,
) -> None:
    """End what dead runs left, of every project; their volumes are saved as ever."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.run.cleanup.gc import gc as workflow  # noqa: PLC0415 - as above

    window = options.console(output, quiet=quiet)
    raise typer.Exit(anyio.run(lambda: workflow(window.emit, dry_run=dry_run)))
