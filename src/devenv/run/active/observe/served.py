"""Which starts of which containers are served with files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from devenv.errors import EngineError
from devenv.model.containers import Container, ProjectState
from devenv.run.active.observe.view import Signal

RETRY_AFTER = 1.0  # seconds

OnStart = Callable[[Container], Awaitable[object]]
OnGone = Callable[[str], Awaitable[None]]


@dataclass
class ServedContainers:
    """Calls `on_start` for each start of a container, `on_gone` with the id of each that has been removed.

    `look_again` is sent if `on_start` has failed and should be tried again.
    """

    on_start: OnStart
    on_gone: OnGone
    look_again: Signal
    _served: dict[str, tuple[str, str]] = field(default_factory=dict)  # id -> the start that is served

    def mark(self, container: Container) -> None:
        """The container is served already; only a new start of it counts as a start."""
        self._served[container.id] = container.key

    def start_all_again(self) -> None:
        """Let every running container count as just started."""
        self._served = dict.fromkeys(self._served, ("", ""))
        self.look_again.send()

    def meet(self, container: Container, tasks: TaskGroup) -> None:
        """Serve the container, unless this start of it is served already."""
        if container.state == "paused":
            self._served.pop(container.id, None)  # when it goes on, it counts as started
        if container.running and self._served.get(container.id) != container.key:
            self._served[container.id] = container.key
            tasks.start_soon(self._serve, container)

    async def drop_missing(self, state: ProjectState) -> bool:
        """Drop the containers that have been removed; returns whether there were any."""
        missing = set(self._served) - {c.id for c in state.containers}
        for container_id in missing:
            del self._served[container_id]
            await self.on_gone(container_id)
        return bool(missing)

    async def _serve(self, container: Container) -> None:
        """In a task of its own: a container that is slow to take its files must not hide what the others do."""
        try:
            await self.on_start(container)
        except EngineError:
            self._served.pop(container.id, None)  # not served yet: the next look tries again
            await anyio.sleep(RETRY_AFTER)
            self.look_again.send()
