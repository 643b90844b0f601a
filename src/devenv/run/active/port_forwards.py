"""The ports of an engine on another machine, forwarded to this one as containers come and go."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable

import anyio
import anyio.to_thread

from devenv.docker.endpoint import reason
from devenv.events import Emit, Notice, Problem
from devenv.host.listeners import loopbacks
from devenv.model.containers import Container
from devenv.remote import forwards
from devenv.remote.line import Line
from devenv.run.active.project import ActiveProject

AGAIN = 10.0  # seconds until a failed forward is tried again
SHORT = 1.0  # seconds of a loss that nobody has to know about


def wanted_by(containers: Iterable[Container]) -> frozenset[forwards.Forward]:
    """The forwards for all ports that the running ones of the containers publish."""
    published = [(ip, port) for c in containers if c.running for ip, port, _ in c.ports]
    return forwards.wanted(published, loopbacks(os.uname().release))


class PortForwards:
    """Forwards the published ports of the project's running containers, and reports what happens to the line."""

    def __init__(self, line: Line, project: ActiveProject, emit: Emit) -> None:
        self._line, self._project, self._emit = line, project, emit
        self._wanted, self._again_at = frozenset[forwards.Forward](), math.inf
        self._reported: set[str] = set()

    async def run(self) -> None:
        """Forward and report until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._report)
            while True:
                moved = self._project.observer.moved()
                await self.follow()
                await moved.wait()

    async def follow(self) -> None:
        """Forward the ports that the containers publish now; what failed is tried again after a while."""
        containers = self._project.observer.project_state.containers
        if not containers:  # not seen yet, while ports of an earlier process may be forwarded; or the run is over
            return
        wanted = wanted_by(containers)
        if wanted == self._wanted and anyio.current_time() < self._again_at:
            return
        errors = await anyio.to_thread.run_sync(self._line.forward, wanted)
        self._wanted = wanted
        self._again_at = anyio.current_time() + AGAIN if errors else math.inf
        for forward, error in errors.items():
            message = f"{forward.here}:{forward.port} is not forwarded from {self._line.remote.name}: {error}"
            if message not in self._reported:
                self._reported.add(message)
                self._emit(Problem(message, "devenv up --auto-ports"))

    async def _report(self) -> None:
        """Report each loss of the line once, and once that it is back."""
        name = self._line.remote.name
        while True:
            while (state := self._line.state).is_up:
                await self._line.changed()
            lost = time.monotonic()
            with anyio.move_on_after(SHORT):
                while not self._line.state.is_up:
                    await self._line.changed()
                continue
            waited = self._waiting()
            self._emit(Problem(forwards.lost(name, waited, reason(state.printed))))
            while not self._line.state.is_up:
                with contextlib.suppress(TimeoutError), anyio.fail_after(SHORT):
                    await self._line.changed()
                waited = max(waited, self._waiting())
            self._emit(Notice(forwards.back(name, time.monotonic() - lost, waited)))
            self._project.sync_session.hasten()

    def _waiting(self) -> int:
        return sum(self._project.sync_session.pending().values())
