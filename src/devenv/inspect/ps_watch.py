"""`devenv ps --watch`: the state of the services, at each change."""

from __future__ import annotations

from collections.abc import Callable, Collection

import anyio

from devenv.compose.outline import Selection, outline
from devenv.docker.client import Engine
from devenv.inspect.ps import picture
from devenv.model.containers import TELLING
from devenv.model.status import Stands
from devenv.state.created import recognizer
from devenv.tasks import task_group

LOOK_AGAIN = 30.0  # seconds after which the ages shown are out of date
TOGETHER = 0.05  # seconds; events within it count as one change


async def watching(
    selection: Selection, wanted: Collection[str], show: Callable[[Stands], object], *, watch: bool = True
) -> None:
    """Show the state of the services; with `watch` at each change, until cancelled.

    Raises UsageError for an unknown service, EngineError if the engine cannot be reached.
    """
    name, project = await outline(selection)
    async with Engine.connect() as engine:
        engine.is_ours = recognizer(name)

        async def look() -> None:
            show(picture(name, project, wanted, await engine.containers.list(name), await engine.clock()))

        await look()
        async with task_group() as tasks:
            change = Change()
            if watch:
                tasks.start_soon(change.listen, engine, name)
            while watch:
                await change.wait()
                await look()


class Change:
    """A flag that events of a project's containers set and that `wait` clears."""

    def __init__(self) -> None:
        self._told = anyio.Event()

    async def listen(self, engine: Engine, project: str) -> None:
        """Set the flag at each event, forever."""
        async for event in engine.events(project):
            action = event.get("Action", "create")  # no action: the stream begins, and may have missed events
            if action in TELLING or action.startswith("health_status"):
                self._told.set()

    async def wait(self) -> None:
        """Wait for a change, at most LOOK_AGAIN seconds."""
        with anyio.move_on_after(LOOK_AGAIN):
            await self._told.wait()
            await anyio.sleep(TOGETHER)
        self._told = anyio.Event()
