"""Reactions to what is observed: handle starts of containers, follow logs, report crashes and long waits."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import field

import anyio
from anyio.abc import TaskGroup

from devenv.docker import peer
from devenv.docker.client import Engine
from devenv.docker.containers import Usage
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, Log, Problem, Waiting
from devenv.explain.log_lines import PATTERNS, LevelReader
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, Line, ProjectState, line, seconds, unix_time
from devenv.model.status import BUSY_FOR, LONG, Phase, Standing
from devenv.run.active.observe.view import ProjectView, Signal
from devenv.run.active.observe.watch import ContainerWatch, Life
from devenv.run.active.phases import held_up, optional, reminder
from devenv.sync.code_health import CodeWatch

RETRY_AFTER = 1.0  # seconds
BEFORE = dt.timedelta(seconds=1)
QUIET = 0.3  # seconds between two measurements of a process
BUSY = 20.0  # percent of a core, on a machine that does nothing else
CALM = 1.0  # seconds without use of a processor after which a process is not busy any more
RECENT = 200  # lines of a service's log that are kept, and that are searched for what the program says at its start
LONGEST = 60.0  # seconds that a busy process may take on a crowded machine

OnStart = Callable[[Container], Awaitable[object]]
OnGone = Callable[[str], Awaitable[None]]


@dataclass
class ServedContainers:
    """Calls `on_start` for each start of a container, `on_gone` with the id of each that has been removed."""

    on_start: OnStart
    on_gone: OnGone
    look_again: Signal
    _served: dict[str, Life] = field(default_factory=dict)  # container id -> the start that is served
    _missed: set[str] = field(default_factory=set)  # ids of containers that ended while they were served

    def mark(self, container: Container) -> None:
        """Note that the container is served already; only a new start of it counts as a start."""
        self._served[container.id] = container.key

    def start_all_again(self) -> None:
        """Let every running container count as just started."""
        self._served = dict.fromkeys(self._served, ("", ""))
        self.look_again.send()

    def meet(self, container: Container, tasks: TaskGroup) -> None:
        """Serve the container, unless this start of it is served already."""
        if container.state == "paused":
            self._served.pop(container.id, None)  # when unpaused, it counts as started
        is_wanted = container.running or container.id in self._missed
        if is_wanted and self._served.get(container.id) != container.key:
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
        """Serve a container in its own task: a slow sync must not hide what other containers do."""
        try:
            await self.on_start(container)
            self._missed.discard(container.id)
        except EngineError:
            self._served.pop(container.id, None)  # not served yet: the next look tries again
            self._missed.add(container.id)  # also if it ends at once: the next save has to reach it
            await anyio.sleep(RETRY_AFTER)
            self.look_again.send()


def _recent() -> deque[tuple[float, str]]:
    return deque(maxlen=RECENT)


@dataclass
class LogStreams:
    """Follows the log of each start of each container, and passes on its lines if `is_on`.

    `recent`: the last new lines of each service, and when they came. `reloaders`: services that say at their start
    that they watch their files.
    """

    engine: Engine
    emit: Emit
    is_on: bool
    look_again: Signal = field(default_factory=Signal)
    code: CodeWatch = field(default_factory=CodeWatch)
    recent: dict[str, deque[tuple[float, str]]] = field(default_factory=lambda: defaultdict(_recent))
    reloaders: set[str] = field(default_factory=set)
    _complete: dict[Life, anyio.Event] = field(default_factory=dict)  # set once the whole log is passed on
    _since: dict[Life, str] = field(default_factory=dict)  # when the previous process ended; in order of the starts
    _ended: dict[str, str] = field(default_factory=dict)  # id of a container -> when its last process ended

    def meet(self, container: Container, tasks: TaskGroup, *, is_old: bool = False) -> None:
        """Follow the container's log, unless this start of it is followed already.

        Past output of a process that `is_old` says nothing about its current code.
        """
        if container.key not in self._since:
            self._since[container.key] = self._end_of_last_process(container)
        if container.key not in self._complete:
            self._complete[container.key] = anyio.Event()
            if not is_old:
                self.code.started(container.service, anyio.current_time())
            tasks.start_soon(self._follow, container, self.since(container), is_old)
        if not container.running:
            self._ended[container.id] = container.finished_at

    async def drain(self, containers: Iterable[Container]) -> None:
        """Return when all output of those of these containers that have ended is passed on."""
        for container in containers if self.is_on else ():
            if not container.running:
                if container.key not in self._complete:
                    self._complete[container.key] = anyio.Event()
                    await self._follow(container, self.since(container), is_old=True)
                await self._complete[container.key].wait()

    async def _follow(self, container: Container, since: str, is_old: bool) -> None:
        levels, service, news, count = LevelReader(), container.service, "", 0
        with contextlib.suppress(EngineError):
            began = await self.engine.clock() - BEFORE if is_old else None  # the last sync was a moment ago
            news = f"{began:%Y-%m-%dT%H:%M:%S}" if began else ""
        logs = self.engine.containers.logs(container, since=unix_time(since), timed=bool(news))
        async for stream, printed in logs:
            entry = line(service, stream, printed) if news else Line("", service, stream, printed)
            level = levels.level(stream, entry.text)
            if self.is_on:
                self.emit(Log(service, entry.text, stream, level=level))
            count += 1
            if count <= RECENT and PATTERNS["reloader"].search(entry.text):
                self.reloaders.add(service)
            if entry.at >= news:
                now = anyio.current_time()
                self.recent[service].append((now, entry.text))
                if self.code.logged(service, entry.text, levels.errors[stream], now):
                    self.look_again.send()
        self._complete[container.key].set()

    def since(self, container: Container, *, has_ended: bool = False) -> str:
        """When the process before the container's last one ended; later log lines are from the last one.

        `has_ended`: take the last process that has ended, though the engine may have started the next one.
        """
        if has_ended and container.running:
            known = [s for life, s in self._since.items() if life[0] == container.id and life != container.key]
            return known[-1] if known else ""
        if container.key in self._since:
            return self._since[container.key]
        return self._end_of_last_process(container)

    def _end_of_last_process(self, container: Container) -> str:
        """When the process before this one ended; empty if this is the first, or the first that was seen.

        StartedAt would be too late: the first output of a process is older than that.
        """
        if container.running and seconds(container.finished_at) < seconds(container.started_at):
            return container.finished_at
        return self._ended.get(container.id, "")


def crowd() -> float:
    """The number of runnable processes for each processor of this machine, at least 1: each takes so much longer."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
    return max(load / (os.cpu_count() or 1), 1.0)


@dataclass
class BusyProcesses:
    """Finds busy processes without a health check: a process with a long startup may still fail.

    The load of this machine counts only for an engine on it; that of another machine is not known.
    """

    engine: Engine
    watch: ContainerWatch
    _is_here: bool | None = None  # whether the engine runs on this machine
    _used: dict[Life, tuple[float, Usage]] = field(default_factory=dict)
    _busy_at: dict[Life, float] = field(default_factory=dict)

    async def measure(self, containers: Iterable[Container]) -> None:
        """Compare the CPU time of these containers with the last measurement, if that is old enough."""
        if self._is_here is None:
            self._is_here = await peer.is_on_this_machine(self.engine.endpoint, self.engine.kernel)
        share = 1 / crowd() if self._is_here else 1.0
        self.watch.patience = min(BUSY_FOR / share, LONGEST)
        for container in containers:
            life, now = container.key, anyio.current_time()
            then, before = self._used.get(life, (-QUIET, None))
            if container.running and now - then >= QUIET:
                with contextlib.suppress(EngineError):
                    usage = await self.engine.containers.usage(container.id)
                    if usage.cpu > LONGEST * 1e9 * usage.cpus:
                        continue  # the CPU time of the whole machine: a rootless engine without cgroups
                    self._used[life] = now, usage
                    if before is not None and usage.percent_since(before) >= BUSY * share:
                        self._busy_at[life] = now
                        self.watch.busy.add(life)
                    elif now - self._busy_at.get(life, 0.0) >= CALM:
                        self.watch.busy.discard(life)


@dataclass
class CrashReports:
    """Reports ends that nothing else reports: after the project was up, or of services that may fail."""

    emit: Emit
    view: ProjectView
    failure: Callable[[Standing], Awaitable[DevenvError]]
    is_up: bool = False
    _reported: set[str] = field(default_factory=set)

    def is_crash(self, standing: Standing, now: float) -> bool:
        """Whether the end of a service is a problem that has not been reported yet."""
        if standing.phase not in (Phase.EXITED, Phase.RESTARTING):
            return False
        lasted = max((now - self.view.watch.since(c, now) for c in self.view.state.of(standing.service)), default=0.0)
        is_new = standing.service not in self._reported or lasted >= LONG
        return is_new and (self.is_up or standing.service in optional(self.view.project))

    async def report(self, standing: Standing) -> None:
        """Report the end with its cause."""
        self._reported.add(standing.service)
        error = await self.failure(standing)
        message = error.said.replace(f"service {standing.service} failed: ", "", 1)
        self.emit(Problem(message, error.hint, standing.service))


@dataclass
class WaitReports:
    """Reports services that take long to start although they wait for no other service."""

    engine: Engine
    emit: Emit
    view: ProjectView
    _late: dict[str, tuple[float, int]] = field(default_factory=dict)  # waiting since, and number of reports

    def check(self, standing: Standing, now: float, tasks: TaskGroup) -> None:
        """Report the service if it is not up, and enough time has passed since the last report."""
        if standing.phase in (Phase.STARTING, Phase.RESTARTING):
            since, reports = self._late.setdefault(standing.service, (now, 0))
            if now - since >= reminder(reports):
                self._late[standing.service] = since, reports + 1
                tasks.start_soon(self._report, standing, now - since)
        elif self.view.has_to_last(standing) <= 0:
            self._late.pop(standing.service, None)

    async def _report(self, standing: Standing, seconds: float) -> None:
        lines = [""]
        for container in self.view.state.of(standing.service):
            lines += [line async for _, line in self.engine.containers.logs(container, tail="1", follow=False)]
        others = held_up(self.view.project, self.view.standings()).get(standing.service, ())
        self.emit(Waiting(standing.service, standing.how, round(seconds, 1), others, lines[-1], standing.check))
