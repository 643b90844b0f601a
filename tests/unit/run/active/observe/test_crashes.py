"""Ends of services that are a problem, and a crash loop that is one problem."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.errors import DevenvError
from devenv.events import Event, Problem
from devenv.model.containers import Container, ProjectState
from devenv.model.project import Dependency, Project, Service
from devenv.run.active.observe.crashes import CrashReports
from devenv.run.active.observe.view import LASTING, ProjectView
from devenv.run.active.phases import Standing

pytestmark = pytest.mark.anyio

SERVICES = (Service("web", depends_on=(Dependency("mail", required=False),)), Service("mail"))


class Reports:
    """Crash reports of a project whose services ended as given, 100 seconds after the clock's start."""

    def __init__(self, *containers: Container) -> None:
        self.events: list[Event] = []
        self.view = ProjectView(Project("p", "/p", (), SERVICES), frozenset({"web", "mail"}))
        self.look(*containers, now=100.0)
        self.crashes = CrashReports(self.events.append, self.view, self.failure, is_up=True)

    def look(self, *containers: Container, now: float) -> None:
        """What is there now."""
        self.view.finish_look(ProjectState(containers), self.view.begin_look(now), now)

    async def failure(self, standing: Standing) -> DevenvError:
        """As the reporter says it."""
        return DevenvError(f"service {standing.service} failed: {standing.detail}", hint="look")

    def is_crash(self, service: str = "web", now: float = 101.0) -> bool:
        """Whether that end is to be reported."""
        return self.crashes.is_crash({s.service: s for s in self.view.standings()}[service], now)


def ended(name: str = "web", code: int = 1, *, start: str = "t1", **more: Any) -> Container:
    """A container that has ended."""
    return Container(f"id-{name}", name, name, "exited", ours=True, exit_code=code, started_at=start, **more)


@pytest.mark.parametrize(("code", "is_crash"), [(1, True), (137, True), (0, False), (130, False), (143, False)])
async def test_an_end_without_a_signal_of_ours_is_a_crash(code: int, is_crash: bool) -> None:
    """INT and TERM are what people and engines send to end something."""
    assert Reports(ended(code=code)).is_crash() is is_crash


async def test_before_all_is_up_only_services_that_may_fail_are_reported() -> None:
    """The others end the run with an error."""
    reports = Reports(ended("web"), ended("mail"))
    reports.crashes.is_up = False
    assert (reports.is_crash("web"), reports.is_crash("mail")) == (False, True)


async def test_a_service_that_somebody_stopped_has_not_crashed() -> None:
    """Whatever its exit code."""
    reports = Reports(ended(code=137))
    reports.view.stopped.add("web")
    assert not reports.is_crash()


async def test_a_crash_loop_is_reported_once_until_a_process_has_lasted() -> None:
    """A service that ran for long is reported again."""
    reports = Reports(ended())
    (standing,) = (s for s in reports.view.standings() if s.service == "web")
    await reports.crashes.report(standing)
    assert reports.events == [Problem("exit code 1", "look", "web")]
    reports.look(ended(start="t2"), now=105.0)
    assert not reports.is_crash(now=105.0 + LASTING - 1)
    assert reports.is_crash(now=105.0 + LASTING)
