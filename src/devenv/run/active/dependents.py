"""Restarts of the services that depend on others that have been restarted or replaced."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import field

import anyio
from anyio.abc import TaskGroup

from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.events import Emit, Problem, Restarted
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.run.active.observe.observer import Observer
from devenv.run.active.phases import followers, standings, unmet
from devenv.state import unfinished
from devenv.state.run_dir import Run
from devenv.tasks import each

LOOK_EVERY = 0.2


@dataclass
class DependentRestarts:
    """Restarts dependent services in `tasks`, once their conditions hold; waits at most `patience` seconds."""

    engine: Engine
    run: Run
    observer: Observer
    emit: Emit
    patience: float
    tasks: TaskGroup
    pending: set[str] = field(default_factory=set)

    def after(self, services: Collection[str]) -> None:
        """Begin to restart the running dependents of these services, which have been restarted or replaced."""
        names = followers(self.observer.view.project, services)
        if running := [c for name in names for c in self.observer.project_state.of(name) if c.running and c.ours]:
            self.pending.update(names)
            self.tasks.start_soon(self._restart, services, names, running)

    async def _restart(
        self, services: Collection[str], names: Sequence[str], containers: Sequence[Container]
    ) -> None:
        with contextlib.ExitStack() as stack, anyio.move_on_after(self.patience):
            stack.callback(self.pending.difference_update, names)
            stack.enter_context(unfinished.restarting(self.run, containers, again=True))
            for name in names:
                running = await self._when_met(name)
                began = time.monotonic()
                try:
                    with self.observer.view.ending(running):
                        await each(self.engine.containers.restart, running)
                except EngineError as error:
                    self.emit(Problem(error.message, error.hint, name))
                    return
                self.pending.discard(name)
                if running:
                    self.emit(Restarted(name, ", ".join(services), round((time.monotonic() - began) * 1000, 1)))

    async def _when_met(self, name: str) -> Sequence[Container]:
        """The running containers of the service, once its conditions hold.

        The observer's last look may be older than the restart, so this asks the engine.
        """
        while name in self.observer.view.names:
            project, names = self.observer.view.project, self.observer.view.names
            with contextlib.suppress(EngineError):
                project_state = await self.engine.project_state(project.name)
                reached = {s.service: s.phase for s in standings(project, names, project_state)}
                if not unmet(project.service(name), reached):
                    return [c for c in project_state.of(name) if c.running and c.ours]
            await anyio.sleep(LOOK_EVERY)
        return ()
