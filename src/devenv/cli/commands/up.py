"""`devenv up`, `devenv down` (see also `down.py`), `devenv sync`, `devenv gc` and `devenv ls`."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

from devenv.cli import options
from devenv.errors import RefusedError, UsageError
from devenv.lazy_imports import LazyImports

if TYPE_CHECKING:
    from devenv.run.page import PageServer

with LazyImports():
    import anyio
    import typer

    from devenv import events
    from devenv.cli import arguments
    from devenv.compose import run_model
    from devenv.inspect import runs
    from devenv.model import images as image_model
    from devenv.run import preload, remote_files
    from devenv.run.active import control
    from devenv.run.cleanup import down as down_workflow
    from devenv.run.cleanup import forget as forget_workflow
    from devenv.run.cleanup import gc as gc_workflow
    from devenv.state import ledger
    from devenv.swarm import stack as swarm
    from devenv.sync import once
    from devenv.ui import console as consoles
    from devenv.ui import tables
    from devenv.ui.live import app as live
    from devenv.web import server

AUTO = "auto"


def up(
    services: arguments.Services = None,
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Keep it running in the background, in sync; `devenv down` ends it."),
    ] = False,
    watcher: Annotated[
        Literal["auto", "inotify", "watchfiles", "poll"],
        typer.Option(help="How changes are noticed; poll if the file system reports none."),
    ] = "auto",
    no_watch: Annotated[bool, typer.Option("--no-watch", help="Do not sync saved files.")] = False,
    no_logs: Annotated[bool, typer.Option("--no-logs", help="Do not show the services' logs.")] = False,
    no_build: Annotated[bool, typer.Option("--no-build", help="Do not build images.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running on exit.")] = False,
    keep_volumes: Annotated[bool, typer.Option("--keep-volumes", help="Keep the named volumes on exit.")] = False,
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="On exit, save also volumes that would stay for the next run.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start with empty volumes; snapshots are kept.")] = False,
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SNAPSHOT|PROJECT|main",
            help="Start with this snapshot, or with a copy of the data of another project, or of the main worktree.",
        ),
    ] = "",
    port: arguments.Ports = None,
    lan: Annotated[
        bool, typer.Option("--lan", help="Publish ports to the network, not only to this machine.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds to wait until all services are healthy.")
    ] = 300.0,
    open_: Annotated[
        bool, typer.Option("--open", help="Open the website in the browser once the project is up.")
    ] = False,
    stand_ins: arguments.StandIns = False,
    host_settings: arguments.HostSettings = False,
    timings: Annotated[bool, typer.Option("--timings", help="Show how long each part of the start took.")] = False,
    scale: Annotated[
        list[str] | None, typer.Option("--scale", metavar="SERVICE=N", help="Number of containers of a service.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the project's hooks on this machine and its privileged commands.")
    ] = False,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Print plain lines instead of the live view.")] = False,
) -> int:
    """Start the project, sync files, clean up on Ctrl-C.

    Waits until all services are healthy. Containers, networks and volumes are removed at the end; volumes are saved
    first. On the engine of another machine, volumes stay for the next run.
    """
    if fresh and from_:
        raise UsageError("--fresh starts with empty volumes, --from with saved ones", hint="Use one of them.")
    if keep_volumes and snapshot:
        message = "--keep-volumes and --snapshot are different ends of the volumes"
        raise UsageError(message, hint="Use one of them.")
    if math.isnan(timeout):  # typer's minimum accepts it
        raise UsageError("--timeout: `nan` is not a number", hint="devenv up --help")
    request = preload.UpOptions(
        selection=replace(options.selection(services), scale=tuple(run_model.scale(text) for text in scale or ())),
        detach=detach,
        watch=not no_watch,
        watcher=watcher,
        logs=not no_logs,
        build=not no_build,
        keep=keep,
        keep_volumes=keep_volumes,
        snapshot=snapshot,
        fresh=fresh,
        source=from_,
        ports=tuple(run_model.port_change(text) for text in port or () if text != AUTO),
        auto_ports=AUTO in (port or ()),
        lan=lan,
        timeout=timeout,
        open=open_,
        images=image_model.ImageOptions(stand_ins=stand_ins, host_settings=host_settings),
        timings=timings,
        trust=trust,
    )
    console = options.console()
    plain = no_ui or detach or options.shared.quiet or console.is_json
    try:
        shown = _plainly if plain else _in_live_view
        return anyio.run(shown, request, console)
    finally:
        console.close()


async def _plainly(request: preload.UpOptions, console: consoles.Console) -> int:
    """Run `up` with plain lines, and return the exit code."""
    return await preload.up(request, console.emit, None, _page)


async def _in_live_view(request: preload.UpOptions, console: consoles.Console) -> int:
    """Run `up` in the live view if there is a terminal, and return the exit code."""
    if not live.is_wanted():
        return await _plainly(request, console)
    view = live.LiveView(console)
    options.trace_to(view.emit)
    view.controller = controller = control.RunController(view.learn, view.settled, view.leave)
    return await view.run(lambda: preload.up(request, view.emit, controller, _page))


def _page() -> type[PageServer]:
    """The server of the page, which is imported if somebody asks for it."""
    return server.RunPage


def down(
    project: Annotated[str, typer.Argument(help="The project, in any folder; by default that of this folder.")] = "",
    keep_volumes: Annotated[bool, typer.Option("--keep-volumes", help="Keep the named volumes.")] = False,
    volumes: Annotated[bool, typer.Option("--volumes", "-v", help="Remove the volumes without saving them.")] = False,
    snapshot: Annotated[
        bool,
        typer.Option(
            "--snapshot", help="Save and remove also volumes that take long to save, or are on another machine."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With -v: do not ask before volumes on another machine.")
    ] = False,
) -> int:
    """Remove what `up` created; volumes are saved first.

    On the engine of another machine, volumes stay for the next run, unless an option says otherwise.
    """
    if keep_volumes + volumes + snapshot > 1:
        message = "--keep-volumes, --volumes and --snapshot are different ends of the volumes"
        raise UsageError(message, hint="Use one of them.")
    policies = ledger.VolumePolicy
    chosen = {policies.KEEP: keep_volumes, policies.DROP: volumes, policies.SNAPSHOT: snapshot}
    policy = next((policy for policy, is_chosen in chosen.items() if is_chosen), policies.SAVE)
    console = options.console()
    selection = options.selection()
    if project and selection.project_name not in (None, project):
        raise UsageError(f"-p {selection.project_name} and {project} are two projects", hint=f"devenv down {project}")

    def agree(question: down_workflow.Question) -> None:
        _agree(question, is_json=console.is_json)

    ask = None if yes else agree
    return anyio.run(lambda: down_workflow.down(selection, console.emit, policy, project, ask))


def _agree(question: down_workflow.Question, *, is_json: bool) -> None:
    """Ask for the name of the project. Raises RefusedError if the answer is another text, or nobody can answer."""
    hint = "devenv down -v --yes, or: devenv down --snapshot   (saves them first)"
    _require_name(question.text, "project", question.project, hint, is_json=is_json)


def _require_name(loss: str, kind: str, name: str, hint: str, *, is_json: bool) -> None:
    """Ask for the name. Raises RefusedError if the answer is another text, or nobody can answer."""
    if is_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError(f"{loss}, and there is no terminal to ask on; nothing was removed", hint=hint)
    try:
        answer = options.prompt(f"{loss}. Type the name of the {kind} to go on")
    except typer.Abort:
        raise typer.Exit(130) from None
    if answer.strip() != name:
        raise RefusedError(f"that is not the name of the {kind}, {name}; nothing was removed", hint=hint)


def sync(
    services: Annotated[list[str] | None, typer.Argument(help="Only these services.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the containers with the source tree and print differences.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done and do nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="With --stack: sync each save until Ctrl-C.")] = False,
    stack: Annotated[
        str,
        typer.Option("--stack", metavar="NAME", help="Sync the containers of a stack on a Swarm, on all its nodes."),
    ] = "",
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NAME=HOST", help="With --stack: the docker context or ssh host of a node."),
    ] = None,
) -> int:
    """Sync the source tree to the running containers once.

    With --watch and --stack, each save is synced to the containers of a stack on a Swarm, until Ctrl-C.
    """
    if watch or stack or node:
        if not (watch and stack) or verify or dry_run:
            message = "--watch and --stack need each other, and no --verify or --dry-run"
            raise UsageError(message, hint="devenv sync --watch --stack NAME   (`devenv up` keeps a project in sync)")
        hosts = dict(text.partition("=")[::2] for text in node or ())
        if not all(hosts.values()):
            raise UsageError("--node needs NAME=HOST", hint="docker node ls   (prints the names)")
        selection, emit = options.selection(services), options.console().emit
        return anyio.run(swarm.sync, selection, stack, hosts, emit)
    request = once.SyncRequest(options.selection(services), tuple(services or ()), verify=verify, dry_run=dry_run)
    return anyio.run(once.sync, request, options.console().emit, remote_files.adapt_once)


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed and remove nothing.")
    ] = False,
    snapshots: Annotated[
        bool, typer.Option("--snapshots", help="Remove the automatic snapshots of removed folders, too.")
    ] = False,
    forget: Annotated[
        str,
        typer.Option("--forget", metavar="ENGINE", help="Forget the runs on an engine that will never answer again."),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --forget: do not ask.")] = False,
) -> int:
    """Clean up what dead runs and removed folders left.

    Their volumes are saved first. Of removed folders, such as worktrees, runs that were left running are ended, and
    the images that the projects built are removed.
    """
    console = options.console()
    if forget:

        def agree(lost: str, engine: str) -> None:
            hint = f"devenv gc --forget {engine} --yes"
            _require_name(f"{lost}: nobody would remove it", "engine", engine, hint, is_json=console.is_json)

        return anyio.run(forget_workflow.forget, forget, console.emit, None if yes else agree)
    return anyio.run(lambda: gc_workflow.gc(console.emit, dry_run=dry_run, with_snapshots=snapshots))


def ls(projects: Annotated[list[str] | None, typer.Argument(help="Only these projects.")] = None) -> None:
    """List all runs of this machine, with folder and state.

    With an option that is not listed here, it runs `docker compose ls`.
    """
    found, failure, left = anyio.run(runs.runs, projects or ())
    console = options.console()
    rows = [{**asdict(run), "began_at": events.iso(run.began) if run.began else None} for run in found]
    width = shutil.get_terminal_size().columns if console.is_live else None
    console.answer({"runs": rows}, tables.machine_runs(found, os.path.expanduser("~"), time.time(), width))
    for run in found:
        if run.background and run.pid is None:
            console.aside(run.background)
    for line in left:
        console.aside(line)
    if failure:
        console.aside(f"{failure}: containers are not shown")
    elif not (console.is_json or found):
        console.aside("no project is up" if not projects else f"no run of {', '.join(projects)} found")
