"""Between a run and its live view: commands of the view are carried out, facts that no event has are sent to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import anyio

from devenv.docker import process
from devenv.errors import DevenvError
from devenv.events import Emit, Problem
from devenv.model.graph import Fact, ViewCommand

if TYPE_CHECKING:
    from devenv.run.active.project import ActiveProject

Verbs = Mapping[str, Callable[[str], Awaitable[None]]]


class RunController:
    """Carries out the commands of a view."""

    def __init__(
        self,
        learn: Callable[[Fact], object],
        settled: Callable[[str, str], object],  # gets the service, and why its command was not carried out, if so
        ended: Callable[[], object],  # called when a signal ends the run
    ) -> None:
        self.learn = learn
        self.ended = ended
        self.detached = anyio.Event()
        self._active_project: Callable[[], ActiveProject | None] = lambda: None
        self._settled = settled
        self._commands: deque[ViewCommand] = deque()
        self._arrived = anyio.Event()

    def ask(self, command: ViewCommand) -> None:
        """Carry the command out, beside all others."""
        if command.verb == "detach":
            self.detached.set()
        else:
            self._commands.append(command)
            self._arrived.set()

    async def shell(self, container_id: str) -> None:
        """Run the best shell of a container in the terminal. Raises DevenvError if the container has none."""
        project = self._active_project()
        container = None if project is None else await project.engine.containers.inspect(container_id)
        if project is None or container is None:
            raise DevenvError("that container has gone")
        best_shell = await project.engine.exec.best_shell(container.id)
        if best_shell is None:
            raise DevenvError(f"the image of `{container.service}` has no shell")
        await process.foreground(project.engine.endpoint.docker_command("exec", "-it", container.id, best_shell))

    async def serve(self, active_project: Callable[[], ActiveProject | None], emit: Emit) -> None:
        """Carry out commands and send facts, until cancelled."""
        from devenv.run.active.stats import StatsReader  # noqa: PLC0415 - the view is there before all else is loaded

        async with anyio.create_task_group() as tasks:
            self._active_project = active_project
            stats = StatsReader(self.learn, active_project)
            tasks.start_soon(stats.look)
            tasks.start_soon(stats.measure)
            while True:
                while self._commands:
                    tasks.start_soon(self._carry_out, self._commands.popleft(), active_project(), emit)
                self._arrived = anyio.Event()
                await self._arrived.wait()

    async def _carry_out(self, command: ViewCommand, project: ActiveProject | None, emit: Emit) -> None:
        if project is None:
            self._settled(command.service, "not yet: its containers are still to be made")
            return
        actions, rebuild = project.actions, partial(project.actions.rebuild, cause="")
        verbs: Verbs = {"restart": actions.restart, "stop": actions.stop, "rebuild": rebuild}
        try:
            await verbs[command.verb](command.service)
        except DevenvError as error:
            emit(Problem(error.said, error.hint, command.service))
        self._settled(command.service, "")
