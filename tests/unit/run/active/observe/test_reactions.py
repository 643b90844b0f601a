"""Reactions to looks at a project: each start is served once, logs are complete, ends and waits are reported."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from anyio.abc import TaskGroup

from devenv.docker.client import Engine
from devenv.docker.containers import Usage
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, EngineError
from devenv.events import Event, Log, Problem, Synced, Waiting
from devenv.model.containers import Container, ProjectState
from devenv.model.project import Condition, Dependency, Project, Service
from devenv.model.status import BUSY_FOR, LONG, Standing
from devenv.run.active.observe import reactions
from devenv.run.active.observe.reactions import (
    BusyProcesses,
    CrashReports,
    LogStreams,
    ServedContainers,
    WaitReports,
)
from devenv.run.active.observe.view import ProjectView, Signal
from devenv.run.active.observe.watch import ContainerWatch
from support.engine import MemoryEngine, MemoryHost
from support.memory import verbs
from support.memory.played import placed

pytestmark = pytest.mark.anyio


def web(state: str = "running", start: str = "t1") -> Container:
    """A container."""
    return Container("id-web", "web", "web", state, ours=True, started_at=start)


class Calls:
    """The calls of the sync."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.gone: list[str] = []
        self.fails = False
        self.look_again = Signal()
        self.served = ServedContainers(self._start, self._drop, self.look_again)

    async def _start(self, container: Container) -> None:
        self.started.append(container.started_at)
        if self.fails:
            raise EngineError("the shell in the container has ended")

    async def _drop(self, container_id: str) -> None:
        self.gone.append(container_id)

    @asynccontextmanager
    async def met(self, *containers: Container) -> AsyncIterator[TaskGroup]:
        """After all that follows from meeting the containers, in turn."""
        async with anyio.create_task_group() as tasks:
            for container in containers:
                self.served.meet(container, tasks)
                await anyio.wait_all_tasks_blocked()
            yield tasks
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("containers", "started"),
    [
        ((web(), web()), ["t1"]),
        ((web(), web(start="t2")), ["t1", "t2"]),
        ((web("created"), web("exited")), []),
        ((web(), web("paused"), web()), ["t1", "t1"]),
    ],
)
async def test_each_start_is_served_once(containers: tuple[Container, ...], started: list[str]) -> None:
    """A look that sees the same start again changes nothing; a container that continues after a pause counts."""
    calls = Calls()
    async with calls.met(*containers):
        assert calls.started == started


async def test_a_marked_start_is_served_already_unless_all_are_started_again() -> None:
    """New rules: every running container gets its files again."""
    calls = Calls()
    calls.served.mark(web())
    async with calls.met(web()) as tasks:
        assert calls.started == []
        event = calls.look_again.next()
        calls.served.start_all_again()
        assert event.is_set()
        calls.served.meet(web(), tasks)
        await anyio.wait_all_tasks_blocked()
        assert calls.started == ["t1"]


@pytest.mark.parametrize("state", ["running", "exited", "restarting"])
async def test_a_start_that_cannot_be_served_is_tried_again(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """After a while, at a look that it asks for; also if the process has ended: a save has to reach the container."""
    monkeypatch.setattr(reactions, "RETRY_AFTER", 0.0)
    calls = Calls()
    calls.fails = True
    event = calls.look_again.next()
    async with calls.met(web()) as tasks:
        with anyio.fail_after(20):
            await event.wait()
        calls.fails = False
        for _ in range(2):
            calls.served.meet(web(state), tasks)
            await anyio.wait_all_tasks_blocked()
        assert calls.started == ["t1", "t1"]


async def test_a_container_that_was_removed_is_dropped_once() -> None:
    """It is known by its id."""
    calls = Calls()
    calls.served.mark(web())
    assert not await calls.served.drop_missing(ProjectState((web(),)))
    assert await calls.served.drop_missing(ProjectState())
    assert not await calls.served.drop_missing(ProjectState())
    assert calls.gone == ["id-web"]


# --- The output of containers, on an engine in memory ----------------------------------------------------


class Output:
    """A container `web` that has printed two lines, and the reported lines."""

    def __init__(self, *, is_on: bool = True, state: str = "running") -> None:
        self.host = MemoryHost()
        self.web = placed(self.host, "web", state, lines=("one", "two"))
        self.engine = MemoryEngine(self.host)
        self.events: list[Event] = []
        self.streams = LogStreams(self.engine, self.events.append, is_on)

    @property
    def lines(self) -> list[str]:
        """All reported lines."""
        return [event.line for event in self.events if isinstance(event, Log)]

    async def seen(self) -> Container:
        """The container as the engine shows it."""
        (container,) = (await self.engine.project_state("p")).containers
        return container

    async def until(self, *lines: str) -> None:
        """Wait until exactly these lines were reported."""
        with anyio.fail_after(20):
            while len(self.lines) < len(lines):  # noqa: ASYNC110 - the streams report no event of ours
                await anyio.sleep(0.005)
        assert self.lines == [*lines]


async def test_each_log_line_is_passed_on_once() -> None:
    """However often the container is met."""
    output = Output()
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two")
        verbs.write_log(output.host, output.web, "three")
        await output.until("one", "two", "three")
        tasks.cancel_scope.cancel()


async def test_only_new_lines_are_passed_on_after_a_restart() -> None:
    """Those since the last process ended."""
    output = Output()
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two")
        verbs.stop(output.host, output.web)
        output.streams.meet(await output.seen(), tasks)
        verbs.start(output.host, output.web)
        verbs.write_log(output.host, output.web, "three")
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two", "three")
        tasks.cancel_scope.cancel()


async def test_only_new_lines_of_an_unseen_start_are_passed_on() -> None:
    """The container has started and ended again between two looks."""
    output = Output()
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two")
        verbs.stop(output.host, output.web)
        output.streams.meet(await output.seen(), tasks)
        verbs.start(output.host, output.web)
        verbs.write_log(output.host, output.web, "three")
        verbs.stop(output.host, output.web)
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two", "three")
        await anyio.wait_all_tasks_blocked()
        assert output.lines == ["one", "two", "three"]
        tasks.cancel_scope.cancel()


async def test_an_ended_container_is_drained() -> None:
    """Its output is read even if the container began and ended between two looks."""
    output = Output(state="exited")
    await output.streams.drain([await output.seen()])
    assert output.lines == ["one", "two"]
    await output.streams.drain([await output.seen()])
    assert output.lines == ["one", "two"]


async def test_no_line_is_passed_on_without_logs() -> None:
    """The logs are not read, and nothing waits for them."""
    output = Output(is_on=False, state="exited")
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        with anyio.fail_after(20):
            await output.streams.drain([await output.seen()])
        tasks.cancel_scope.cancel()
    assert output.lines == []


@pytest.mark.parametrize("is_old", [True, False])
async def test_a_traceback_after_a_start_is_one_of_the_code(*, is_old: bool) -> None:
    """A process that has run for long prints tracebacks for other reasons."""
    output = Output(is_on=True)
    traceback = ("Traceback (most recent call last):", '  File "/app/a.py", line 1', "ValueError: x")
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks, is_old=is_old)
        for printed in traceback:
            verbs.write_log(output.host, output.web, printed)
        await output.until("one", "two", *traceback)
        assert (output.streams.code.of("web").error is None) is is_old
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("is_old", [True, False])
async def test_errors_that_a_process_printed_before_this_run_are_no_news(*, is_old: bool) -> None:
    """Of a container that was taken over; all lines are handed on with their levels, and new errors count."""
    output = Output(is_on=True)
    output.web.log = [
        (1, at - 10**10, line) for _, at, _ in output.web.log[:1] for line in ("Error: one", "Error: two")
    ]
    output.streams.code.synced(Synced("web", 1, 0, 1, 1.0, ("a",)), anyio.current_time())
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks, is_old=is_old)
        await output.until("Error: one", "Error: two")
        error = output.streams.code.of("web").error
        assert (error is None) is is_old
        verbs.write_log(output.host, output.web, "Error: three")
        await output.until("Error: one", "Error: two", "Error: three")
        error = output.streams.code.of("web").error
        assert error is not None
        assert error.text == "Error: three"
        tasks.cancel_scope.cancel()
    assert {event.level for event in output.events if isinstance(event, Log)} == {"error"}


# --- Ends of services that are a problem, and a crash loop that is one problem ---------------------------


SERVICES = (Service("web", depends_on=(Dependency("mail", required=False),)), Service("mail"))


class Reports:
    """Crash reports of a project whose services ended as given, 100 seconds after the clock's start."""

    def __init__(self, *containers: Container) -> None:
        self.events: list[Event] = []
        self.view = ProjectView(Project("p", "/p", (), SERVICES), frozenset({"web", "mail"}))
        self.look(*containers, now=100.0)
        self.crashes = CrashReports(self.events.append, self.view, self.failure, is_up=True)

    def look(self, *containers: Container, now: float) -> None:
        """Observe these containers."""
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


async def test_a_crash_loop_is_reported_once_until_a_process_has_lasted() -> None:
    """A service that ran for long is reported again."""
    reports = Reports(ended())
    (standing,) = (s for s in reports.view.standings() if s.service == "web")
    await reports.crashes.report(standing)
    assert reports.events == [Problem("exit code 1", "look", "web")]
    reports.look(ended(start="t2"), now=105.0)
    assert not reports.is_crash(now=105.0 + LONG - 1)
    assert reports.is_crash(now=105.0 + LONG)


# --- Reports of services that take long to be up ---------------------------------------------------------


DB = Service("db", has_healthcheck=True)
WEB = Service("web", depends_on=(Dependency("db", Condition.HEALTHY),))


class Waits:
    """A database that is starting, a service that waits for it, and the reports."""

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


@pytest.mark.parametrize("between", ["healthy", "unhealthy", "ended"])
async def test_a_service_that_was_up_or_failed_begins_to_wait_again(between: str) -> None:
    """The seconds count from the new start on."""
    waits = Waits()
    await waits.check(100.0)
    if between == "ended":
        verbs.stop(waits.host, waits.db)
    else:
        verbs.set_health(waits.host, waits.db, between)
    await waits.check(104.0)
    if between == "ended":
        verbs.start(waits.host, waits.db)
    verbs.set_health(waits.host, waits.db, "starting")
    assert await waits.check(106.0) == []
    assert await waits.check(111.0) == [("db", 5.0)]


@pytest.mark.parametrize(
    ("crowd", "used", "expected"),
    [
        (1.0, (0, 30, None, 31, 31), (False, True, True, False, False)),
        (1.0, (0, 2, 4, 6, 8), (False,) * 5),
        (8.0, (0, 2, 4, 4, 4), (False, True, True, True, False)),  # a busy machine gives no more
        (1.0, tuple(10**12 + 90 * second for second in range(3)), (False,) * 3),  # that of the whole machine
    ],
)
async def test_busy_processes_by_cpu_usage(
    crowd: float, used: tuple[int | None, ...], expected: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The use between two measurements counts; a process that the engine does not list is as busy as before."""
    clock, cpus = iter(range(100, 200)), iter(used)
    monkeypatch.setattr(reactions, "CALM", 2.0)
    monkeypatch.setattr(reactions, "crowd", lambda: crowd)
    monkeypatch.setattr(anyio, "current_time", lambda: float(next(clock)))

    async def usage(_: str) -> Usage:
        if (cpu := next(cpus)) is None:
            raise EngineError("no answer")
        return Usage(cpu, next(system), 2, 1)

    system = iter(range(0, 1000, 100))
    endpoint = Endpoint("unix:///does-not-exist")
    known = SimpleNamespace(containers=SimpleNamespace(usage=usage), endpoint=endpoint, kernel=os.uname().release)
    processes = BusyProcesses(cast("Engine", known), ContainerWatch())
    states = []
    for _ in used:
        await processes.measure([web()])
        states.append(bool(processes.watch.busy))
    assert tuple(states) == expected
    assert processes.watch.patience == min(BUSY_FOR * crowd, reactions.LONGEST)


async def test_the_load_of_another_machine_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of this one says nothing about processes there."""
    monkeypatch.setattr(reactions, "crowd", lambda: 8.0)
    known = SimpleNamespace(endpoint=Endpoint("ssh://far"), kernel=os.uname().release)
    processes = BusyProcesses(cast("Engine", known), ContainerWatch())
    await processes.measure([])
    assert processes.watch.patience == BUSY_FOR


def test_load_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load is the number of waiting processes; a system without that number counts as not busy."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (16.0, 0.0, 0.0), raising=False)
    assert reactions.crowd() == 8.0
    monkeypatch.delattr(os, "getloadavg")
    assert reactions.crowd() == 1.0


async def test_what_a_process_printed_that_had_ended_when_it_was_seen_first() -> None:
    """All its output is reported, also after its end was recorded."""
    output = Output(state="exited")
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        output.streams.meet(await output.seen(), tasks)
        assert output.streams.since(await output.seen(), has_ended=True) == ""
        tasks.cancel_scope.cancel()


async def test_when_the_process_began_that_has_ended_last() -> None:
    """It is never the running process, whether that was adopted already or not; each container has its own time."""
    output, other = Output(), Container("other", "other", "other", "exited", ours=True, started_at="t1")
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            output.streams.meet(await output.seen(), tasks)
            output.streams.meet(other, tasks)
            verbs.stop(output.host, output.web)
            output.streams.meet(ended := await output.seen(), tasks)
            verbs.start(output.host, output.web)
        output.streams.meet(other, tasks)
        running = await output.seen()
        first_end = output.streams.since(ended)
        assert first_end
        assert output.streams.since(running, has_ended=True) == first_end
        output.streams.meet(running, tasks)
        assert output.streams.since(running, has_ended=True) == first_end
        assert output.streams.since(running) == ended.finished_at != first_end
        tasks.cancel_scope.cancel()
