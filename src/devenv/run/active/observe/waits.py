"""Reports of services that are not up yet, at growing intervals: how long, why, and who waits for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from anyio.abc import TaskGroup

from devenv.docker.client import Engine
from devenv.events import Emit, Waiting
from devenv.run.active.observe.view import ProjectView
from devenv.run.active.phases import GOOD, Phase, Standing, held_up, reminder


@dataclass
class WaitReports:
    """Reports services that are starting and wait for no other service."""

    engine: Engine
    emit: Emit
    view: ProjectView
    _late: dict[str, tuple[float, int]] = field(default_factory=dict)  # since when, and how often that was reported

    def check(self, standing: Standing, now: float, tasks: TaskGroup) -> None:
        """Report the service if it has not been up for long enough since the last report."""
        if standing.phase in GOOD and self.view.has_to_last(standing) <= 0:
            self._late.pop(standing.service, None)
        elif standing.phase is Phase.STARTING or self.view.is_restarting(standing):
            since, reports = self._late.setdefault(standing.service, (now, 0))
            if now - since >= reminder(reports):
                self._late[standing.service] = since, reports + 1
                tasks.start_soon(self._report, standing, now - since)

    async def _report(self, standing: Standing, seconds: float) -> None:
        lines, check = [""], ""
        for container in self.view.state.of(standing.service):
            lines += [line async for _, line in self.engine.containers.logs(container, tail="1", follow=False)]
            if container.health == "starting":
                check = (await self.engine.containers.health_output(container.id)).rpartition("\n")[2]
        others = held_up(self.view.project, self.view.standings()).get(standing.service, ())
        detail = f"ended with {standing.detail}" if standing.phase is Phase.EXITED else standing.detail
        self.emit(Waiting(standing.service, detail, round(seconds, 1), others, lines[-1], check))
