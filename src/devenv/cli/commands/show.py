"""`devenv` without a command, `ps`, `open`, `graph`, `explain` and `config`: the status and parts of the project.

typer is imported only for `--help` and options: the bare status would take a third longer with it.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from typing import Annotated, Literal

from devenv import __version__
from devenv.errors import ConfigError, DevenvError, EngineError, UsageError
from devenv.lazy_imports import LazyImports

with LazyImports():
    import datetime as dt
    import shutil
    import webbrowser

    import anyio
    import typer

    from devenv import tasks
    from devenv.cli import main, options
    from devenv.compose import outline as outlines
    from devenv.compose import resolve
    from devenv.compose import schema as schemas
    from devenv.compose import validate as validation
    from devenv.docker import client, context, endpoint, process
    from devenv.inspect import status as inspection
    from devenv.model import containers as model
    from devenv.model import graph as graphs
    from devenv.model import ps as rows
    from devenv.run import urls
    from devenv.state import created, elsewhere, kept, run_dir
    from devenv.sync.rules import explain as rules
    from devenv.sync.rules import lint
    from devenv.ui import console as consoles
    from devenv.ui import drawing, hints, tables

LOOK_AGAIN = 30.0  # seconds after which the ages shown are out of date
TOGETHER = 0.05  # seconds; events within it count as one change

Show = Callable[["rows.Stands"], object]


def bare() -> int:
    """Print the status of the project in this folder without typer, and return the exit code."""
    try:
        elsewhere.follow_run()
        _print_status(hints.ProjectOptions(), None)
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - main runs the command again, and explains the error
        return main.run([])
    return 0


def status() -> None:
    """Show the status of the project in this folder."""
    shared = options.shared
    as_json = shared.output is options.Output.JSON
    _print_status(shared.selected, shared.project_name, as_json=as_json, quiet=shared.quiet)


def _print_status(
    selected: hints.ProjectOptions, project_name: str | None, *, as_json: bool = False, quiet: bool = False
) -> None:
    """Print the status of the selected project; with `quiet`, only the first line."""
    here = anyio.run(inspection.here, os.getcwd(), tuple(selected.files), project_name)
    if here.run_options:
        isolated = "" if options.ISOLATED in here.run_options else None
        verbs = ("up", "down", "ps", "logs")
        selected = replace(selected, project_name=here.run_options[1], isolated=isolated, verbs=verbs)
    commands = [replace(each, command=selected.in_hint(each.command) or "") for each in here.commands]
    answer = {**asdict(here), "commands": [asdict(command) for command in commands]}
    lines = list(tables.status(here, commands))[: 1 if quiet else None]
    consoles.Console(as_json=as_json, selected=selected).answer(answer, lines)


def ps(
    services: Annotated[list[str] | None, typer.Argument(help="Only these services.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show the list again at each change.")] = False,
) -> None:
    """List services: state, health, addresses, restarts.

    `devenv status` is the same.
    """
    console = options.console()
    shown: list[str] = []
    selection = options.selection()

    def show(states: rows.Stands) -> None:
        if watch and not console.is_read:
            raise typer.Exit
        lines = list(tables.services(states))
        if lines == shown:
            return
        shown[:] = lines
        if watch and console.is_live:
            size = shutil.get_terminal_size()
            console.redraw(tables.screen(lines, size.columns, size.lines))
        else:
            console.answer(asdict(states), [*lines, ""] if watch else lines)
            if not (watch or console.is_json or any(stand.container for stand in states.services)):
                console.aside(inspection.without_containers(states.project, selection.directory))

    is_quick = not watch and not options.shared.verbosity  # `_show_quickly` does not trace its calls for `-v`
    if not (is_quick and _show_quickly(selection, services or (), show)):
        anyio.run(lambda: _show(selection, services or (), show, watch=watch))


def _show_quickly(selection: outlines.Selection, services: Collection[str], show: Show) -> bool:
    """Show the services if a local engine answers, and return whether it did. Raises ConfigError, UsageError."""
    outline = outlines.sketched(selection)
    name, address = outline.name, f"unix://{context.socket_path()}"
    if name is None or (answer := context.local_containers(name)) is None:
        return False
    is_ours, (containers, now) = created.recognizer(name), answer
    own_run = [replace(container, ours=is_ours(container)) for container in containers]
    show(_states(name, outline, services, own_run, now, lambda: run_dir.Run.known(endpoint.Endpoint(address), name)))
    return True


async def _show(selection: outlines.Selection, services: Collection[str], show: Show, *, watch: bool) -> None:
    """Show the state of the services; with `watch` at each change, until cancelled.

    Raises UsageError for an unknown service, EngineError if the engine cannot be reached.
    """
    name, outline = await outlines.outline(selection)
    async with client.Engine.connect() as engine:
        engine.is_ours = created.recognizer(name)
        changed = anyio.Event()

        async def look() -> None:
            containers, now = await engine.containers.list(name), await engine.clock()
            show(_states(name, outline, services, containers, now, lambda: run_dir.Run.known(engine.endpoint, name)))

        async def listen() -> None:
            async for event in engine.events(name):
                action = event.get("Action", "create")  # no action: the stream begins, and may have missed events
                if action in model.TELLING or action.startswith("health_status"):
                    changed.set()

        await look()
        async with tasks.task_group() as group:
            if watch:
                group.start_soon(listen)
            while watch:
                with anyio.move_on_after(LOOK_AGAIN):
                    await changed.wait()
                    await anyio.sleep(TOGETHER)
                changed = anyio.Event()
                await look()


def _states(
    name: str,
    outline: outlines.Outline,
    services: Collection[str],
    containers: Collection[model.Container],
    now: dt.datetime,
    run: Callable[[], run_dir.Run],
) -> rows.Stands:
    """The state of these services, or of all services; `run` opens the records of the project's run.

    Raises UsageError for an unknown service.
    """
    outlines.require_known(services, (*outline.services, *outline.dormant, *(c.service for c in containers)))
    names = [*outline.services, *(service for service in outline.dormant if service in services)]
    run = functools.cache(run)
    seen = (lambda: run_dir.brought_up(run())), (lambda: run().standings())
    states = rows.stands(name, names, [*containers], lambda at: _age(at, now), *seen)
    shown = tuple(s for s in states.services if not services or s.service in services)
    if not containers:
        return replace(states, services=shown)
    background, forwarded_from = kept.background(run())[0], run_dir.forwarded_from(run())
    return replace(states, services=shown, background=background, forwarded_from=forwarded_from)


def _age(at: str, now: dt.datetime) -> float | None:
    """Seconds from an engine's timestamp to its `now`; None for a time that is not set."""
    time = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", at)
    if time is None or at.startswith("0001"):
        return None
    return max(0.0, (now - dt.datetime.fromisoformat(f"{time[0]}+00:00")).total_seconds())


def version() -> None:
    """Print the versions of devenv and Docker Compose.

    With an option that is not listed here, it runs `docker compose version`.
    """
    try:
        text = anyio.run(process.run, ["docker", "compose", "version"]).text
    except EngineError:
        text = ""
    compose = text.removeprefix("Docker Compose version ").strip()
    lines = [f"devenv {__version__}", f"Docker Compose version {compose}" if compose else "Docker Compose not found"]
    options.console().answer({"devenv": __version__, "compose": compose or None}, lines)


def open_(
    service: Annotated[str | None, typer.Argument(help="The service to open.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the URLs only.")] = False,
) -> None:
    """Open the website in the browser and print its URLs."""
    project, sites = anyio.run(_sites, options.selection(), service)
    console = options.console()
    opened = not (only_print or console.is_json) and sys.stdout.isatty() and webbrowser.open(sites[0])
    console.answer({"project": project, "urls": sites, "opened": opened}, sites)


async def _sites(selection: outlines.Selection, service: str | None) -> tuple[str, tuple[str, ...]]:
    """The project's name and its URLs, as `up` prints them; with `service`, only the service's URLs.

    Raises UsageError for an unknown service, DevenvError if nothing runs or nothing answers with HTTP.
    """
    name, outline = await outlines.outline(selection)
    async with client.Engine.connect() as engine:
        containers = await engine.containers.list(name)
        known = (*outline.services, *outline.dormant, *(c.service for c in containers))
        outlines.require_known([service] if service else [], known)
        running = [c for c in containers if c.running and service in (None, c.service)]
        if not running:
            message = f"{service} is not running" if service else "nothing of this project is running"
            raise DevenvError(message, hint="devenv up")
        addresses = await urls.addresses(running, engine.endpoint)
    if not addresses.urls:
        ports = ", ".join(f"{port.service} {port.target} at {port.address}" for port in addresses.ports)
        message = f"no published port answers with HTTP: {ports}" if ports else "no port is published"
        raise DevenvError(message, hint="devenv ps")
    return name, addresses.urls


def graph(
    output: Annotated[
        Literal["text", "mermaid", "json"],
        typer.Option("--output", help="Print a tree, a Mermaid flow chart, or JSON."),
    ] = "text",
    timings: Annotated[
        bool, typer.Option("--timings", help="Mark what the last start waited for, with times.")
    ] = False,
) -> None:
    """Show services, dependencies, networks and volumes."""
    result = anyio.run(_graph, options.selection(), timings)
    options.shared.output = options.Output.JSON if output == "json" else options.Output.TEXT
    options.console().answer(asdict(result), drawing.mermaid(result) if output == "mermaid" else drawing.tree(result))


async def _graph(selection: outlines.Selection, timings: bool) -> graphs.Graph:
    """The project's graph, from its files; with `timings`, also from its last run."""
    loaded = await resolve.load(selection)
    last = run_dir.Run.known(await endpoint.resolve(), loaded.project.name).last() if timings else {}
    if timings and not last:
        raise UsageError(f"no timings of {loaded.project.name} found", hint="devenv up")
    return graphs.graph(loaded.project, loaded.model, last.get("timings"))


def explain(paths: Annotated[list[str], typer.Argument(help="Files or folders; they need not exist.")]) -> None:
    """Show what saving a path does, and which rule decides."""
    outcomes = anyio.run(rules.explain, options.selection(), paths)
    console = options.console()
    console.answer({"paths": [asdict(outcome) for outcome in outcomes]}, tables.explained(outcomes))


def config(
    validate: Annotated[
        bool, typer.Option("--validate", help="Report all mistakes in `x-devenv` and `develop`.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print a JSON schema of the Compose file, for editors.")
    ] = False,
) -> None:
    """Show the watch rules and settings that are in effect.

    With an option that is not listed here, it runs `docker compose config`.
    """
    console, selection = options.console(), options.selection()
    if schema:
        console.json(schemas.compose_schema())
    elif validate:
        mistakes = anyio.run(validation.validate, selection, lint.faults)
        errors = sum(mistake.level == "error" for mistake in mistakes)
        console.answer(
            {"errors": errors, "mistakes": [asdict(mistake) for mistake in mistakes]}, tables.mistakes(mistakes)
        )
        raise typer.Exit(ConfigError.exit_code if errors else 0)
    else:
        overview = anyio.run(rules.overview, selection)
        console.answer(asdict(overview), tables.rules(overview))
