"""The output of a project's containers as events: each line once, and all of it before an end is reported."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from devenv.docker.client import Engine
from devenv.events import Emit, Log
from devenv.model.containers import Container


@dataclass
class LogStreams:
    """Follows the log of each start of each container; does nothing unless `is_on`."""

    engine: Engine
    emit: Emit
    is_on: bool
    _complete: dict[tuple[str, str], anyio.Event] = field(default_factory=dict)  # set once all of it is handed on
    _ended: dict[str, str] = field(default_factory=dict)  # container -> when its last process ended

    def meet(self, container: Container, tasks: TaskGroup) -> None:
        """Follow the container's log, unless that start of it is followed already."""
        if self.is_on and container.key not in self._complete:
            self._complete[container.key] = anyio.Event()
            tasks.start_soon(self._follow, container, self._end_of_last_process(container))
        if not container.running:
            self._ended[container.id] = container.finished_at

    async def drain(self, containers: Iterable[Container]) -> None:
        """Returns once everything that these containers printed is handed on, of those that have ended."""
        for container in containers:
            if self.is_on and not container.running:
                if container.key not in self._complete:
                    self._complete[container.key] = anyio.Event()
                    await self._follow(container, self._end_of_last_process(container))
                await self._complete[container.key].wait()

    async def _follow(self, container: Container, since: str) -> None:
        async for stream, line in self.engine.containers.logs(container, since=_unix_time(since)):
            self.emit(Log(container.service, line, stream))
        self._complete[container.key].set()

    def _end_of_last_process(self, container: Container) -> str:
        """When the process before this one ended; empty if it is the first, or the first that we see.

        StartedAt would be too late: what a process prints at once is older than that, and so is its end, if it ends
        at once.
        """
        if container.running and _seconds(container.finished_at) < _seconds(container.started_at):
            return container.finished_at
        return self._ended.get(container.id, "")


def _seconds(timestamp: str) -> float:
    return float(_unix_time(timestamp) or 0)


def _unix_time(timestamp: str) -> str:
    """The engine's RFC 3339 time as `since` takes it: Unix seconds; empty for what never happened."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", timestamp)
    if match is None or timestamp.startswith("0001"):
        return ""
    return f"{dt.datetime.fromisoformat(f'{match[1]}+00:00').timestamp():.0f}{match[2] or ''}"
