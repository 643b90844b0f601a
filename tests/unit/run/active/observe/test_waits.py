"""Reports of services that take long to be up."""

from __future__ import annotations

import anyio
import pytest

from devenv.events import Event, Waiting
from devenv.model.project import Condition, Dependency, Project, Service
from devenv.run.active.observe.view import ProjectView
from devenv.run.active.observe.waits import WaitReports
from support.engine import MemoryEngine, MemoryHost
from support.memory import verbs
from support.memory.played import placed

pytestmark = pytest.mark.anyio

DB = Service("db", has_healthcheck=True)
WEB = Service("web", depends_on=(Dependency("db", Condition.HEALTHY),))


class Waits:
    """A database that is starting, a service that waits for it, and what was reported."""

    def __init__(self) -> None:
        self.host = MemoryHost()
        self.db = placed(self.host, "db", lines=("initializing",), health="starting")
        placed(self.host, "web", "created")
        self.engine = MemoryEngine(self.host)
        self.events: list[Event] = []
        self.view = ProjectView(Project("p", "/p", (), (DB, WEB)), frozenset({"db", "web"}))
        self.reports = WaitReports(self.engine, self.events.append, self.view)

    async def check(self, now: float) -> list[tuple[str, float]]:
        """The services that a look at that second reports, with their waits."""
        before = len(self.events)
        self.view.finish_look(await self.engine.project_state("p"), self.view.begin_look(now), now)
        async with anyio.create_task_group() as tasks:
            for standing in self.view.standings():
                self.reports.check(standing, now, tasks)
        return [(e.service, e.seconds) for e in self.events[before:] if isinstance(e, Waiting)]


async def test_a_wait_is_reported_at_growing_intervals() -> None:
    """After 5, 15 and 60 seconds; the service that only waits for it is not reported."""
    waits = Waits()
    reported = {second: await waits.check(100.0 + second) for second in (0, 4, 5, 6, 14, 15, 16, 59, 60)}
    assert {second: services for second, services in reported.items() if services} == {
        5: [("db", 5.0)],
        15: [("db", 15.0)],
        60: [("db", 60.0)],
    }


async def test_a_report_has_the_last_line_the_last_check_and_who_waits() -> None:
    """Of the check only its last line."""
    waits = Waits()
    verbs.set_health(waits.host, waits.db, "starting", "first\nno route")
    await waits.check(100.0)
    await waits.check(105.0)
    assert waits.events == [Waiting("db", "waits for its health check", 5.0, ("web",), "initializing", "no route")]


async def test_a_service_that_was_up_begins_to_wait_again() -> None:
    """The seconds count from the new start on."""
    waits = Waits()
    await waits.check(100.0)
    verbs.set_health(waits.host, waits.db, "healthy")
    await waits.check(104.0)
    verbs.set_health(waits.host, waits.db, "starting")
    assert await waits.check(106.0) == []
    assert await waits.check(111.0) == [("db", 5.0)]
