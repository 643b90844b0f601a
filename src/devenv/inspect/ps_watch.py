"""`devenv ps --watch`: where the services stand, again whenever that changes."""

from __future__ import annotations

from collections.abc import Callable, Collection

import anyio

from devenv.compose.outline import outline
from devenv.compose.selection import Selection
from devenv.docker.client import Engine
from devenv.inspect.ps import picture
from devenv.model.containers import TELLING
from devenv.model.standing import Stands
from devenv.state.created import recognizer
from devenv.tasks import first

LOOK_AGAIN = 30.0  # seconds after which ages are others
TOGETHER = 0.05  # seconds in which what happens is one change


async def watching(
    selection: Selection, wanted: Collection[str], show: Callable[[Stands], object], *, watch: bool = True
) -> None:
    """Shows where the services stand; with `watch` again and again, until cancelled.

    Raises UsageError for a service that is unknown, EngineError where the engine cannot be asked.
    """
    name, project = await outline(selection)
    async with Engine.connect() as engine:
        engine.is_ours = recognizer(name)

        async def look() -> None:
            show(picture(name, project, wanted, await engine.containers.list(name), await engine.clock()))

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
