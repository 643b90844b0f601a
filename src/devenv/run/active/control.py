"""Who steers a run while it goes on: wishes come in and are carried out, and the facts that no event tells go out."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import anyio

from devenv.docker import process
from devenv.errors import DevenvError
from devenv.events import Emit, Problem
from devenv.model.live import Fact, ViewCommand

if TYPE_CHECKING:
    from devenv.run.active.project import ActiveProject


class RunController:
    """Between a run and its view. `learn` takes facts, `settled` the service whose wish is done, `ended` a signal.

    `settled` gets why it was not done, or nothing.
    """

    def __init__(
        self,
        learn: Callable[[Fact], object],
        settled: Callable[[str, str], object],
        ended: Callable[[], object],
    ) -> None:
        self.learn = learn
        self.ended = ended
        self.detached = anyio.Event()
        self._running: Callable[[], ActiveProject | None] = lambda: None
        self._settled = settled
        self._wishes: deque[ViewCommand] = deque()
        self._asked = anyio.Event()

    def ask(self, wish: ViewCommand) -> None:
        """Somebody wants that; it is carried out beside all else."""
        if wish.verb == "detach":
            self.detached.set()
        else:
            self._wishes.append(wish)
            self._asked.set()

    async def shell(self, container: str) -> None:
        """Somebody has been in the best shell of a container. Raises DevenvError where there is none."""
        running = self._running()
        found = None if running is None else await running.engine.containers.inspect(container)
        if running is None or found is None:
            raise DevenvError("that container has gone")
        best_shell = await running.engine.exec.best_shell(found)
        await process.foreground(running.engine.endpoint.docker_command("exec", "-it", found.id, best_shell))

    async def serve(self, running: Callable[[], ActiveProject | None], emit: Emit) -> None:
        """Carries wishes out and tells facts, until cancelled."""
        from devenv.run.active.stats import StatsReader  # noqa: PLC0415 - the view is there before all else is loaded

        async with anyio.create_task_group() as tasks:
            self._running = running
            gauges = StatsReader(self.learn, running)
            tasks.start_soon(gauges.look)
            tasks.start_soon(gauges.measure)
            while True:
                while self._wishes:
                    tasks.start_soon(self._fulfil, self._wishes.popleft(), running(), emit)
                self._asked = anyio.Event()
                await self._asked.wait()

    async def _fulfil(self, wish: ViewCommand, running: ActiveProject | None, emit: Emit) -> None:
        if running is None:
            self._settled(wish.service, "not yet: its containers are still to be made")
            return
        ways: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "restart": running.actions.restart,
            "stop": running.actions.stop,
            "rebuild": lambda service: running.actions.rebuild(service, ""),
        }
        try:
            await ways[wish.verb](wish.service)
        except DevenvError as error:
            emit(Problem(error.said, error.hint, wish.service))
        self._settled(wish.service, "")
