"""Observes a project and reports what its services do: states, logs, containers that start and disappear."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, Event, ServiceState, Synced
from devenv.model.containers import TELLING, Container, ProjectState
from devenv.model.project import Project
from devenv.model.status import BAD, GOOD, LONG, Phase, Standing
from devenv.run.active.failures import FailureReporter
from devenv.run.active.observe.looks import Looks
from devenv.run.active.observe.reactions import (
    QUIET,
    BusyProcesses,
    CrashReports,
    LogStreams,
    OnGone,
    OnStart,
    ServedContainers,
    WaitReports,
)
from devenv.run.active.observe.view import ProjectView, Signal
from devenv.run.active.phases import EngineOutage, culprit, optional
from devenv.tasks import patiently, task_group

NOTED = (*TELLING, "health_status", "connect", "disconnect")  # actions of containers and networks
SETTLED = GOOD | BAD | {Phase.STOPPED}
LOOK_EVERY = 1.0
LAST_WORDS = 2.0  # seconds that the log of an ended container may take to arrive
OVER_AFTER = 3.0
# Phases in which a service may have errors in its code; in all others an error does not matter.
TROUBLED = (Phase.EXITED, Phase.UNHEALTHY, Phase.RESTARTING, Phase.STARTING, Phase.STARTED)

OnReturn = Callable[[tuple[Container, ...]], Coroutine[Any, Any, None]]


class Observer:
    """Looks at the engine after each event of it, and once a second until all services are healthy."""

    def __init__(
        self,
        engine: Engine,
        project: Project,
        names: frozenset[str],
        *,
        emit: Emit,
        logs: bool,
        on_start: OnStart,
        on_gone: OnGone,
        on_return: OnReturn,  # takes the containers that ended with the engine, once it is back
        reporter: Callable[[], FailureReporter],
    ) -> None:
        self.view = ProjectView(project, names)
        self.served = ServedContainers(on_start, on_gone, self.view.look_again)
        self.reporter = reporter
        self._looks = Looks(engine, self.view.look_again)
        self._emit = emit
        self._on_return = on_return
        self.logs = LogStreams(engine, emit, logs, self.view.look_again)
        self._waits = WaitReports(engine, emit, self.view)
        self._crashes = CrashReports(emit, self.view, self.failure)
        self._busy = BusyProcesses(engine, self.view.watch)
        self._outage = EngineOutage()
        self._moved = Signal()

    @property
    def project_state(self) -> ProjectState:
        """The state that was seen last."""
        return self.view.state

    def moved(self) -> anyio.Event:
        """The event of the end of the next look at the engine."""
        return self._moved.next()

    def known(self, container: Container, files: int = 0) -> None:
        """Note that the container is served already and has lasted; only a new start of it counts as a start.

        `files`: number of files that a sync has just delivered to the container.
        """
        if files:
            self.logs.code.synced(Synced(container.service, files, 0, 0, 0.0), anyio.current_time())
        self.served.mark(container)
        self.view.watch.mark_lasting(container)

    def standings(self) -> tuple[Standing, ...]:
        """Every chosen service as last seen; services that this run is ending keep their previous standing."""
        now, code = self.view.looked_at, self.logs.code
        return tuple(
            replace(s, error=code.of(s.service).shown(now, is_bad=s.phase in BAD)) for s in self.view.standings()
        )

    def emit(self, event: Event) -> None:
        """Pass on an event of a sync; errors in the log after it are errors of the code."""
        if isinstance(event, Synced) and self.logs.code.synced(event, anyio.current_time()):
            self.view.look_again.send()
        self._emit(event)

    async def run(self) -> None:
        """Observe until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            while True:
                look_again = self.view.look_again.next()
                is_sure = False
                try:
                    is_sure = await self._look(tasks)
                except CallError:  # the engine does answer
                    pass
                except EngineError:
                    self._note_outage()
                    self._moved.send()
                rest = 30 * LOOK_EVERY if is_sure and self.view.is_well() else LOOK_EVERY
                # The result does not contain what was due during the look.
                due = self.logs.code.due(self.view.names, self.view.looked_at) - anyio.current_time()
                with anyio.move_on_after(min(rest, max(due, 0.0))) as rested:
                    await look_again.wait()
                if rested.cancelled_caught:  # an event may be late, or lost
                    self._looks.forget()

    async def until_ready(self, services: frozenset[str] = frozenset()) -> None:
        """Return when every service, or each of these, is up. Raises DevenvError when one has failed for good.

        A service that others need only with `required: false` may fail; a stopped service is not waited for. A
        process without a health check counts as up once it has lasted for a while and is no longer busy.
        """
        async with task_group() as tasks:
            tasks.start_soon(self._measure_busy)
            while True:
                moved, now = self._moved.next(), self.standings()
                now = tuple(s for s in now if not services or s.service in services)
                await self._require_no_failure(now)
                rest = None
                if now and all(s.phase in SETTLED for s in now):
                    rest = max(map(self.view.has_to_last, now))
                    if rest <= 0:
                        break
                    rest = max(rest - (anyio.current_time() - self.view.looked_at), 0.0)  # a look takes time
                    if not rest:
                        self._looks.again(self.view.chosen)
                with anyio.move_on_after(None if rest is None else rest if 0 < rest < 2 * QUIET else QUIET) as lasted:
                    await moved.wait()
                if lasted.cancelled_caught and rest:
                    self._looks.again(self.view.chosen)  # on a busy machine, the event of an end may be late
            tasks.cancel_scope.cancel()
        self._crashes.is_up = True

    async def _measure_busy(self) -> None:
        """Measure young processes while looks go on: on a slow line, each measurement takes long."""
        while True:
            moved, young = self._moved.next(), self.view.watch.may_be_busy(self.view.chosen, self.view.looked_at)
            await self._busy.measure(young)
            with anyio.move_on_after(QUIET if young else None):
                await moved.wait()

    async def _require_no_failure(self, standings: Sequence[Standing]) -> None:
        dispensable = optional(self.view.project)
        failed = (s for s in standings if s.phase in BAD and s.service not in dispensable)
        if (standing := next(failed, None)) is not None:
            raise await self.failure(culprit(self.view.project, standing, standings))

    def mark_up(self) -> None:
        """Note that the project was up before it was observed: an end of a service is reported from now on."""
        self._crashes.is_up = True
        self.view.all_started()

    async def until_known(self) -> None:
        """Return once the logs have shown for each service that was just synced whether its code is broken."""
        while (rest := self.logs.code.undecided(self.view.names, now := anyio.current_time()) - now) > 0:
            moved = self._moved.next()
            with anyio.move_on_after(rest):
                await moved.wait()

    async def until_over(self) -> None:
        """Return when no service is running, and none has come back for a while.

        All may have ended between the stop and the start of a restart, and while Compose replaces a container.
        """

        async def until_back() -> None:
            while self._is_over():
                await self._moved.next().wait()

        while True:
            while not self._is_over():
                await self._moved.next().wait()
            if not await patiently(OVER_AFTER, until_back):
                return

    async def failure(self, standing: Standing) -> DevenvError:
        """The error for a service that failed. By then all output of its ended containers has been reported."""
        containers = self.project_state.of(standing.service)
        failed = [c for c in containers if c.health == "unhealthy" or c.exit_code]
        has_ended = standing.phase in (Phase.EXITED, Phase.RESTARTING)
        reporter = replace(self.reporter(), since=partial(self.logs.since, has_ended=has_ended))
        error = await reporter.failed(standing, failed or containers)
        with anyio.move_on_after(LAST_WORDS):
            await self.logs.drain(containers)
        return error

    async def late(self, timeout: float) -> DevenvError:
        """The error for services that are not up after `timeout` seconds."""
        late = [standing for standing in self.standings() if standing.phase not in GOOD]
        return await replace(self.reporter(), since=self.logs.since).late(late, self.project_state, timeout)

    def _is_over(self) -> bool:
        return not self._outage.is_lost and self.view.is_over()

    @property
    def is_engine_lost(self) -> bool:
        """Whether the engine did not answer when it was asked last."""
        return self._outage.is_lost

    def _note_outage(self) -> None:
        self._outage.lost(self.project_state.containers, anyio.current_time())

    async def _listen(self) -> None:
        has_begun = False
        async for event in self._looks.engine.events(self.view.project.name, NOTED):
            if not event:
                if has_begun:  # the stream was interrupted: events may have been missed
                    self._note_outage()
                has_begun = True
            if self.view.note(event, anyio.current_time()):
                self._looks.note(event)

    async def _look(self, tasks: TaskGroup) -> bool:
        """Look once. Return whether no container was missing: one answer may be wrong and needs a second look."""
        begun = self.view.begin_look(anyio.current_time())
        state = await self._looks.look(self.view.project.name)
        now = anyio.current_time()
        self.view.finish_look(state, begun, now)
        if fallen := self._outage.seen([c for c in self.view.chosen if c.ours], now):
            self.view.expect_end(fallen)
            tasks.start_soon(self._on_return, fallen)
        for container in self.view.chosen:
            if container.state != "created":
                self.logs.meet(container, tasks, is_old=now - self.view.watch.since(container, now) >= LONG)
                self.served.meet(container, tasks)
        has_missing = await self.served.drop_missing(self.project_state)
        moved = {s.service: s.phase for s in self.view.standings() if self.view.has_moved(s)}
        for service in (name for name, phase in moved.items() if phase not in TROUBLED):
            self.logs.code.recovered(service)
        for standing in self.standings():
            if self.view.is_news(standing):
                text = (standing.detail, standing.check, standing.error)
                self._emit(ServiceState(standing.service, standing.phase.value, *text))
                if standing.service in moved and self._crashes.is_crash(standing, now):
                    tasks.start_soon(self._crashes.report, standing)
            self._waits.check(standing, now, tasks)
        self._moved.send()
        return not has_missing
