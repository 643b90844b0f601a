"""`devenv ps`, and `devenv` without a command: the state of services and of the project."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from typing import Annotated

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports

with LazyImports():
    import datetime as dt

    import anyio

    from devenv import tasks
    from devenv.cli import bare
    from devenv.compose import outline as outlines
    from devenv.docker import client, context
    from devenv.model import containers as model
    from devenv.model import status as statuses
    from devenv.state import created
    from devenv.ui import tables

LOOK_AGAIN = 30.0  # seconds after which the ages shown are out of date
TOGETHER = 0.05  # seconds; events within it count as one change

Show = Callable[["statuses.Stands"], object]


def status() -> None:
    """Show the status of the project in this folder."""
    asked = options.asked
    as_json = asked.output is options.Output.JSON
    bare.print_status(asked.files, asked.project_name, as_json=as_json, quiet=asked.quiet)


def ps(
    services: Annotated[list[str] | None, Argument(help="Only these services.")] = None,
    watch: Annotated[bool, Option("--watch", "-w", help="Show the list again at each change.")] = False,
) -> None:
    """List the services: state, health, addresses, age, restarts."""
    window = options.console()
    shown: list[str] = []

    def show(states: statuses.Stands) -> None:
        if watch and not window.is_read:
            raise typer.Exit
        lines = list(tables.services(states))
        if lines == shown:
            return
        shown[:] = lines
        if watch and window.is_live:
            size = shutil.get_terminal_size()
            window.redraw(tables.screen(lines, size.columns, size.lines))
        else:
            window.answer(asdict(states), [*lines, ""] if watch else lines)

    chosen = options.selection()
    is_quick = not watch and not options.asked.verbosity  # `-v` shows calls, which the quick way does not make
    if not (is_quick and _show_quickly(chosen, services or (), show)):
        anyio.run(lambda: _show(chosen, services or (), show, watch=watch))


def _show_quickly(selection: outlines.Selection, wanted: Collection[str], show: Show) -> bool:
    """Show the services if a local engine answers, and return whether it did. Raises ConfigError, UsageError."""
    outline = outlines.sketched(selection)
    answer = None if outline.name is None else context.local_containers(outline.name)
    if outline.name is None or answer is None:
        return False
    is_ours, (containers, now) = created.recognizer(outline.name), answer
    mine = [replace(container, ours=is_ours(container)) for container in containers]
    show(_states(outline.name, outline, wanted, mine, now))
    return True


async def _show(selection: outlines.Selection, wanted: Collection[str], show: Show, *, watch: bool) -> None:
    """Show the state of the services; with `watch` at each change, until cancelled.

    Raises UsageError for an unknown service, EngineError if the engine cannot be reached.
    """
    name, outline = await outlines.outline(selection)
    async with client.Engine.connect() as engine:
        engine.is_ours = created.recognizer(name)
        changed = anyio.Event()

        async def look() -> None:
            show(_states(name, outline, wanted, await engine.containers.list(name), await engine.clock()))

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
    wanted: Collection[str],
    containers: Collection[model.Container],
    now: dt.datetime,
) -> statuses.Stands:
    """The state of the wanted services, or of all. Raises UsageError for an unknown service."""
    outlines.require_known(wanted, (*outline.services, *outline.dormant, *(c.service for c in containers)))
    names = [*outline.services, *(service for service in outline.dormant if service in wanted)]
    states = statuses.stands(name, names, containers, lambda at: _age(at, now))
    return replace(states, services=tuple(s for s in states.services if not wanted or s.service in wanted))


def _age(at: str, now: dt.datetime) -> float | None:
    """Seconds from an engine's timestamp to its `now`; None for a time that is not set."""
    time = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", at)
    if time is None or at.startswith("0001"):
        return None
    return max(0.0, (now - dt.datetime.fromisoformat(f"{time[0]}+00:00")).total_seconds())
