"""What events and looks show of a container: who ended its process, how often it crashed, since when it runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from typing import Any, NamedTuple

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, seconds
from devenv.model.status import BUSY_FOR, CRASHES, EARLY, LONG, STEADY, EndedBy, Watched

HARMLESS = frozenset(
    {"1", "9", "10", "12", "18", "28"}
)  # signals that are not a request to end: HUP, KILL, USR1, ...
EARLIEST = STEADY / 2  # seconds before the first look: in the rest of the time, it may be seen to be busy
OWN_CRASHES = 2  # crashes while no other service is starting: the first may be of a process that started earlier
Life = tuple[str, str]  # `Container.key`: a container and its start


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
