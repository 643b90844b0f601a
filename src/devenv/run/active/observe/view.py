"""What is known of a project from inspections and events: what services do, who ended them, crashes. No I/O."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, NamedTuple

import anyio

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, ProjectState, seconds
from devenv.model.project import Project
from devenv.model.status import BUSY_FOR, CRASHES, EARLY, ENDED, GOOD, LONG, STEADY, EndedBy, Phase, Standing, Watched
from devenv.run.active.phases import late_for, standings, still_starting, with_needs

HARMLESS = frozenset(
    {"1", "9", "10", "12", "18", "28"}
)  # signals that are not a request to end: HUP, KILL, USR1, ...

EARLIEST = STEADY / 2  # seconds before the first look: in the rest of the time, it may be seen to be busy
OWN_CRASHES = 2  # crashes while no other service is starting: the first may be of a process that started earlier

Life = tuple[str, str]  # `Container.key`: a container and its start


class Signal:
    """Wakes all tasks that are waiting for the next `send`."""

    def __init__(self) -> None:
        self.sent = 0  # how often
        self._event = anyio.Event()

    def send(self) -> None:
        """Wake all waiting tasks."""
        self.sent += 1
        self._event.set()
        self._event = anyio.Event()

    def next(self) -> anyio.Event:
        """The event of the next `send`."""
        return self._event


class ProcessEnd(NamedTuple):
    """How a process ended, and the seconds after its start, by the engine's clock."""

    exit_code: int
    lived: float

    @property
    def next_has_to_last(self) -> float:
        """Seconds until the process that was started after it goes on for longer, on a machine half as fast."""
        return 2 * self.lived if self.lived < EARLY else -math.inf


class StartEvent(NamedTuple):
    """The event of the start of a process: when it was sent, by the engine's clock, and when it came, by ours."""

    sent: float = -math.inf
    came: float = -math.inf


class BegunLook(NamedTuple):
    """A look at the engine: when it began, and the ids of containers that we had ended before."""

    at: float
    over: frozenset[str]


class CrashRow(NamedTuple):
    """Consecutive crashes with one exit code: restarts before the first, and while other services were starting."""

    exit_code: int
    base: int
    settled: int


@dataclass
class ContainerWatch:
    """What events and looks show beyond a container's inspection: who ended it, how often it crashed."""

    busy: set[Life] = field(default_factory=set)  # processes that have just used a processor
    patience: float = BUSY_FOR  # seconds that a busy one may take until it counts as up
    _ended_by: dict[str, EndedBy] = field(default_factory=dict)  # container id -> who ended its last process
    _started: dict[str, StartEvent] = field(default_factory=dict)  # container id -> of its last start
    _ends: dict[str, ProcessEnd] = field(default_factory=dict)  # container id -> of its last process
    _crashes: dict[str, CrashRow] = field(default_factory=dict)
    _seen_since: dict[Life, float] = field(default_factory=dict)
    _connected: dict[str, frozenset[str]] = field(default_factory=dict)  # container id -> all networks seen

    def event(self, event: Mapping[str, Any], ours: Collection[str], now: float) -> None:
        """Record an event of the engine; `ours` are the ids of containers that this run ends itself."""
        actor, action = event.get("Actor") or {}, event.get("Action")
        container = str(actor.get("ID", ""))
        attributes = actor.get("Attributes") or {}
        signal, at = str(attributes.get("signal", "")), float(event.get("timeNano", 0)) / 1e9
        if action == "start":
            self._ended_by.pop(container, None)
            if at > self._started.get(container, StartEvent()).sent:  # events may be repeated
                self._started[container] = StartEvent(at, now)
        elif action == "stop" or (action == "kill" and signal not in HARMLESS):
            is_ours = container in ours or self._ended_by.get(container) == "us"
            self._ended_by[container] = "us" if is_ours else "others"
        elif action == "die":
            self._ended_by.setdefault(container, "itself")
            code = str(attributes.get("exitCode", ""))
            lived = at - self._started.get(container, StartEvent()).sent
            self._ends[container] = ProcessEnd(int(code) if code.isdecimal() else 0, lived)

    def stopped(self, containers: Iterable[Container]) -> None:
        """Note that a command of the user stopped these containers."""
        self._ended_by.update(dict.fromkeys((c.id for c in containers), "us"))

    def look(self, container: Container, now: float, *, counts: bool) -> None:
        """Record an inspection; `counts`: no other service is starting, so a crash is the container's own."""
        if container.state == "created":
            return
        if container.running and container.key not in self._seen_since:
            self._ended_by.pop(container.id, None)  # the event of its start may have been missed
        end = self._ends.get(container.id, ProcessEnd(container.exit_code, container.lived))
        since = self._seen_since.setdefault(container.key, self._start_seen(container, now))
        lasts = now - since >= max(LONG, end.next_has_to_last)
        self._connected[container.id] = self._connected.get(container.id, frozenset()) | {*container.networks}
        before, restarts = self._crashes.get(container.id), container.restarts
        if container.running and (before is None or lasts or before.base > restarts):
            before = CrashRow(container.exit_code, restarts, restarts)
        is_other = before is None or container.lived >= EARLY or before.exit_code != container.exit_code
        if container.state == "restarting" and is_other:
            before = CrashRow(container.exit_code, restarts - 1, restarts - 1)
        if before is not None:
            self._crashes[container.id] = before if counts else before._replace(settled=restarts)

    def _start_seen(self, container: Container, now: float) -> float:
        """When its start was known here: the event of it comes earlier than the answer of the look that follows."""
        event = self._started.get(container.id, StartEvent())
        return max(event.came, now - EARLIEST) if event.sent >= seconds(container.started_at) else now

    def mark_lasting(self, container: Container) -> None:
        """Note that the container's process has run for long."""
        self._seen_since[container.key] = -LONG

    def since(self, container: Container, default: float) -> float:
        """When the start of the container's process was seen, or the default."""
        return self._seen_since.get(container.key, default)

    def may_be_busy(self, containers: Iterable[Container], now: float) -> list[Container]:
        """Those without a health check whose process is so young that it does not count as up if it is busy."""
        return [c for c in containers if c.health is None and self.since(c, now) > now - self.patience]

    def of(self, container: Container, now: float, networks: Collection[str]) -> Watched:
        """What was observed of the container; `networks` are those of the project."""
        row = self._crashes.get(container.id, CrashRow(0, container.restarts, container.restarts))
        crashes = max(container.restarts - row.base, 0)
        is_own = container.restarts - row.settled >= OWN_CRASHES
        end = self._ends.get(container.id)
        gone = self._connected.get(container.id, frozenset()) - {*container.networks}
        return Watched(
            ended_by=self._ended_by.get(container.id, ""),
            crashes=crashes if is_own else min(crashes, CRASHES - 1),
            exit_code=end.exit_code if end else row.exit_code,
            lasted=now - self.since(container, now),
            has_to_last=end.next_has_to_last if end else -math.inf,
            lost=tuple(sorted(gone.intersection(networks))),
        )


@dataclass
class ProjectView:
    """The project as last seen; times are in seconds of one clock."""

    project: Project
    names: frozenset[str]
    state: ProjectState = field(default_factory=ProjectState)
    watch: ContainerWatch = field(default_factory=ContainerWatch)
    looked_at: float = 0.0  # when the last finished look began
    look_again: Signal = field(default_factory=Signal)  # sent when something may have changed
    _reported: dict[str, Standing] = field(default_factory=dict)
    _history: set[Life] = field(default_factory=set)
    _had: dict[str, frozenset[str]] = field(default_factory=dict)  # service -> ids of the containers seen last
    _missing: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())  # services, in the last two looks
    _ending: set[str] = field(default_factory=set)  # ids of containers that we end ourselves
    _over: set[str] = field(default_factory=set)  # those of them that have ended

    def follow(self, project: Project, names: frozenset[str]) -> None:
        """Observe this project, and these services of it, from now on."""
        self.project, self.names = project, names
        self._reported = {name: standing for name, standing in self._reported.items() if name in names}

    def look_at(self, state: ProjectState) -> None:
        """Set the current state."""
        containers = (replace(c, state="created") if c.key in self._history else c for c in state.containers)
        self.state = replace(state, containers=tuple(containers))

    def begin_look(self, now: float) -> BegunLook:
        """Return the value for `finish_look`: a look that began before one of our ends was over may still see it."""
        return BegunLook(now, frozenset(self._over))

    def finish_look(self, state: ProjectState, begun: BegunLook, now: float) -> None:
        """Set the result of a look; `begun` is the value that `begin_look` returned."""
        self.look_at(state)
        self.looked_at = begun.at
        over = begun.over & self._over
        self._note_missing()
        self._ending -= over
        self._over -= over
        reached = {s.service: s.phase for s in self.standings()}
        late = with_needs(self.project, still_starting(self.project, self.state, reached, self._watched()))
        for container in self.chosen:
            self.watch.look(container, now, counts=not late_for(container.service, late))

    def _note_missing(self) -> None:
        """Note which services have lost their containers, except through this run."""
        missing = set[str]()
        for service in self.names:
            if ids := frozenset(c.id for c in self.state.of(service)):
                self._had[service] = ids
            elif self._ending & self._had.get(service, frozenset()):
                del self._had[service]
            elif service in self._had:
                missing.add(service)
        self._missing = self._missing[1], frozenset(missing)

    @property
    def removed(self) -> frozenset[str]:
        """Services whose containers somebody else removed: missing in two looks, as one answer may be wrong."""
        return self._missing[0] & self._missing[1]

    @property
    def chosen(self) -> tuple[Container, ...]:
        """The containers of the chosen services."""
        return tuple(c for c in self.state.containers if c.service in self.names)

    def forget(self, containers: Iterable[Container]) -> None:
        """Let ended containers count as created until they are started, or until `all_started`."""
        self._history |= {c.key for c in containers if c.state in ("exited", "dead")}

    def all_started(self) -> None:
        """Note that everything has been started: from now on, an ended container has ended."""
        self._history.clear()
        self.look_again.send()

    @contextlib.contextmanager
    def ending(self, containers: Iterable[Container]) -> Iterator[None]:
        """While the context is open, we end these containers: that is neither reported nor a failure."""
        ids = {c.id for c in containers}
        self._ending |= ids
        self._over -= ids
        try:
            yield
        finally:
            self._over |= ids  # the current look may still see them ended; the next look counts
            self.look_again.send()

    def expect_end(self, containers: Iterable[Container]) -> None:
        """Note that these containers have ended and are about to be started again, in a context of `ending`."""
        self._ending |= {c.id for c in containers}

    def standings(self) -> tuple[Standing, ...]:
        """Every chosen service as last seen; services that this run is ending keep their previous standing."""
        if not self.state.containers and not self.removed:
            return ()
        ours = {c.service for c in self.state.containers if c.id in self._ending}
        return tuple(
            self._reported.get(s.service, s) if s.phase in ENDED and s.service in ours else s
            for s in standings(self.project, self.names, self.state, watched=self._watched(), removed=self.removed)
        )

    def _watched(self) -> dict[str, Watched]:
        networks = {network.name for network in self.project.networks}
        return {c.id: self.watch.of(c, self.looked_at, networks) for c in self.chosen}

    def note(self, event: Mapping[str, Any], now: float) -> bool:
        """Take in an event that came now. Return whether it is of a container, or of a network of the project."""
        self.watch.event(event, self._ending, now)
        name = ((event.get("Actor") or {}).get("Attributes") or {}).get("name")
        return event.get("Type") != "network" or name in {network.name for network in self.project.networks}

    def has_moved(self, standing: Standing) -> bool:
        """Whether phase or reason differ from what was last reported."""
        reported = self._reported.get(standing.service)
        return reported is None or (reported.phase, reported.detail) != (standing.phase, standing.detail)

    def is_news(self, standing: Standing) -> bool:
        """Whether the standing differs from what was last reported; it counts as reported from now on."""
        if self._reported.get(standing.service) == standing:
            return False
        self._reported[standing.service] = standing
        return True

    def is_well(self) -> bool:
        """Whether every service is up or has completed."""
        now = self.standings()
        return bool(now) and all(s.phase in GOOD for s in now)

    def is_over(self) -> bool:
        """Whether every service has ended by itself; services that the user stopped may be started again."""
        now, alive = self.standings(), any(c.running or c.state == "restarting" for c in self.chosen)
        return bool(now) and not alive and all(s.phase in ENDED and s.phase is not Phase.STOPPED for s in now)

    def has_to_last(self, standing: Standing) -> float:
        """Seconds after the last look until the service counts as up; 0 if it does already."""
        if standing.phase is not Phase.STARTED:
            return 0.0
        lives = {c.key: self.watch.since(c, self.looked_at) for c in self.state.of(standing.service)}
        watch = self.watch
        until = (since + (watch.patience if life in watch.busy else STEADY) for life, since in lives.items())
        return max(until) - self.looked_at

    def has_lost_network(self, service: str) -> bool:
        """Whether a container of the service was disconnected from a network of the project."""
        watched = self._watched()
        return any(watched[c.id].lost for c in self.chosen if c.service == service)
