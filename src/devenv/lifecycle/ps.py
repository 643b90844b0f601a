"""`devenv ps`: where the project's services stand, now or whenever that changes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection
from dataclasses import replace

import anyio

from devenv.concurrent import first
from devenv.config.outline import outline, require_known
from devenv.config.selection import Selection
from devenv.engine.api import Engine
from devenv.model.observed import TELLING
from devenv.model.standing import Stands, stands

LOOK_AGAIN = 30.0  # seconds after which ages are others
TOGETHER = 0.05  # seconds in which what happens is one change


async def ps(
    selection: Selection, wanted: Collection[str], show: Callable[[Stands], object], *, watch: bool = False
) -> None:
    """Shows where the services stand; with `watch` again and again, until cancelled.

    Raises UsageError for a service that is unknown, EngineError where the engine cannot be asked.
    """
    name, project = await outline(selection)
    async with Engine.connect() as engine:

        async def look() -> None:
            containers, now = await engine.containers(name), await engine.clock()
            require_known(wanted, (*project.services, *project.dormant, *(c.service for c in containers)))
            names = [*project.services, *(service for service in project.dormant if service in wanted)]
            show(_only(wanted, stands(name, names, containers, lambda at: age(at, now))))

        await look()
        try:
            async with anyio.create_task_group() as tasks:
                change = Change()
                if watch:
                    tasks.start_soon(change.listen, engine, name)
                while watch:
                    await change.wait()
                    await look()
        except BaseExceptionGroup as group:
            raise first(group) from None


def _only(wanted: Collection[str], found: Stands) -> Stands:
    return replace(found, services=tuple(s for s in found.services if not wanted or s.service in wanted))


class Change:
    """What the engine tells of a project's containers, until somebody has waited for it."""

    def __init__(self) -> None:
        self._told = anyio.Event()

    async def listen(self, engine: Engine, project: str) -> None:
        """Listens for ever."""
        async for event in engine.events(project):
            action = event.get("Action", "create")  # the stream has begun: what was before it is not told
            if action in TELLING or action.startswith("health_status"):
                self._told.set()

    async def wait(self) -> None:
        """Returns when something has changed, or it is time to look."""
        with anyio.move_on_after(LOOK_AGAIN):
            await self._told.wait()
            await anyio.sleep(TOGETHER)
        self._told = anyio.Event()


def age(at: str, now: dt.datetime) -> float | None:
    """Seconds from an engine's timestamp to its own `now`; None for what never was."""
    found = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", at)
    if found is None or at.startswith("0001"):
        return None
    return max(0.0, (now - dt.datetime.fromisoformat(f"{found[0]}+00:00")).total_seconds())
