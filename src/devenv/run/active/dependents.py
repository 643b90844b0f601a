"""`restart: true` in `depends_on`: services that are restarted after the services that they depend on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.events import Emit, Problem, Restarted
from devenv.model.containers import Container
from devenv.run.active.observe.observer import Observer
from devenv.run.active.phases import followers, standings, unmet
from devenv.tasks import each

LOOK_EVERY = 0.2


@dataclass
class DependentRestarts:
    """Restarts dependent services in `tasks`, once their conditions hold; waits at most `patience` seconds."""

    engine: Engine
    observer: Observer
    emit: Emit
    patience: float
    tasks: TaskGroup | None = None

    def after(self, services: Collection[str]) -> None:
        """Begin to restart what depends on these services, which have been restarted or replaced, and runs."""
        names = followers(self.observer.view.project, services)
        if self.tasks is not None and any(
            c.running and c.ours for name in names for c in self.observer.project_state.of(name)
        ):
            self.tasks.start_soon(self._restart, services, names)

    async def _restart(self, services: Collection[str], names: Sequence[str]) -> None:
        """Restart each service once its dependencies are up again; none of those whose dependencies take too long."""
        with anyio.move_on_after(self.patience):
            for name in names:
                running = await self._when_met(name)
                began = time.monotonic()
                try:
                    with self.observer.view.ending(running):
                        await each(self.engine.containers.restart, running)
                except EngineError as error:
                    self.emit(Problem(error.message, error.hint, name))
                    return
                if running:
                    self.emit(Restarted(name, ", ".join(services), round((time.monotonic() - began) * 1000, 1)))

    async def _when_met(self, name: str) -> Sequence[Container]:
        """The running containers of the service, once its conditions hold.

        The observer's last look may be from before the restart, so this looks itself.
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
