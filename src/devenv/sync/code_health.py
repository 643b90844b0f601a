"""Whether the code of a service is broken, from its log and the syncs of its files, before a health check fails.

An error marks the service if it follows a sync, or if a process that has just started prints a traceback. The mark is
removed after a sync of a suitable file without another error, if the log says that the program has loaded, or if the
service recovers. Pure: times are arguments, in seconds of one clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import field, replace

from devenv.events import Synced
from devenv.explain.log_lines import PATTERNS, TABLE, LoggedError
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import bare

WINDOW = 10.0  # seconds after a sync or a start in which an error belongs to it
QUIET = 3.0  # seconds without an error after which a sync counts as good
LOADED = 1.0  # like QUIET, after the log says that the program has loaded
COMPLETE = 0.2  # seconds after the last line of an error until it counts as complete
_WEB = frozenset(TABLE["web"])


@dataclass(frozen=True, slots=True)
class CodeHealth:
    """What is known of a service's code. `error` is the mark; `last` the last error in the log since it was well.

    `opened`: the time of the last sync or start; `takes_all`: any error after it becomes the mark, not only a
    traceback. `clears`: when the mark is removed unless another error occurs. `kept`: the mark to show until the new
    one is complete. `waits`: the program has ended and waits for a change; its next output shows that it noticed one.
    """

    last: LoggedError | None = None
    last_at: float = -math.inf
    error: LoggedError | None = None
    error_at: float = -math.inf
    opened: float = -math.inf
    takes_all: bool = False
    clears: float = math.inf
    kept: str = ""
    waits: bool = False

    def at(self, now: float) -> CodeHealth:
        """The health at that time: without an expired mark."""
        return self.recovered() if now >= self.clears else self

    def synced(self, event: Synced, at: float) -> CodeHealth:
        """The health after a sync. It began with a save, so a quick program may have printed its error already."""
        new = replace(self, opened=at, takes_all=True)
        if self.last is not None and self.error is not self.last and self.last_at >= at - event.ms / 1000:
            return _marked(new, self.last, self.last_at)
        if self.error is not None and not self.waits and may_mend(event, self.error):
            return replace(new, clears=at + QUIET)
        return new

    def started(self, at: float) -> CodeHealth:
        """The health after the start of a container, or of the program in it."""
        takes_all = self.takes_all and at <= self.opened + WINDOW
        clears = at + QUIET if self.error is not None else math.inf
        return replace(self, opened=at, takes_all=takes_all, clears=clears)

    def logged(self, line: str, error: LoggedError | None, at: float) -> CodeHealth:
        """The health after a log line, and the error that the line belongs to, if any."""
        if error is None:
            is_reload = PATTERNS["reloads"].search(line)
            return replace(self.started(at), waits=False) if is_reload else self._went_on(bare(line), at)
        if PATTERNS["npm_frame"].match(bare(line)):
            return self
        new = replace(self, last=error, last_at=at, waits=PATTERNS["waiting"].search(line) is not None)
        if new.waits and self.error is None:  # the program has ended, whenever that is
            return _marked(new, self._reason(at) or error, at)
        if at > self.opened + WINDOW or not (self.takes_all or error.is_trace):
            return replace(_marked(new, error, at), clears=new.clears) if self._goes_on(error) else new
        has_more = (
            self.error is None or self.error_at < self.opened or _is_specific(error) >= _is_specific(self.error)
        )
        return _marked(new, error, at) if has_more or self._goes_on(error) else replace(new, clears=math.inf)

    def recovered(self) -> CodeHealth:
        """The health after the service has become healthy again, or was stopped."""
        return CodeHealth(opened=self.opened, takes_all=self.takes_all)

    def shown(self, now: float, *, is_bad: bool = False) -> str:
        """The mark on one line; for a failed service (`is_bad`), its last error, unless a sync has fixed it."""
        if now >= self.clears:
            return ""
        if self.error is not None:
            return (self.error.text if self.error_at + COMPLETE <= now else "") or self.kept
        return self.last.text or self.kept if is_bad and self.last is not None else ""

    def due(self, now: float) -> float:
        """The time at which `shown` may change without a new line or sync."""
        times = (self.error_at + COMPLETE, self.clears) if self.error is not None else ()
        return min((time for time in times if time > now), default=math.inf)

    def _went_on(self, line: str, at: float) -> CodeHealth:
        """The health after a line without an error."""
        if self.error is None:
            return self
        if PATTERNS["waiting"].search(line):
            return replace(self, waits=True)
        if self.waits and PATTERNS["restarts"].search(line):
            return replace(self, opened=at, clears=at + QUIET, waits=False)
        if PATTERNS["reloaded"].search(line):
            return replace(self, opened=at, clears=min(self.clears, at + LOADED), waits=False)
        if self.waits and self.opened > self.error_at:
            return replace(self, clears=at + QUIET, waits=False)
        return self

    def _reason(self, at: float) -> LoggedError | None:
        """The error just before the end of the program, if it describes a problem in the code."""
        is_recent = at <= self.last_at + WINDOW
        return self.last if is_recent and self.last is not None and _is_specific(self.last) else None

    def _goes_on(self, error: LoggedError) -> bool:
        """Whether the error is the marked one with more lines."""
        return self.error is not None and self.error is self.last and error.lines > self.error.lines


def _marked(health: CodeHealth, error: LoggedError, at: float) -> CodeHealth:
    return replace(health, error=error, error_at=at, clears=math.inf, kept=health.shown(at))


def _is_specific(error: LoggedError) -> bool:
    """Whether the error describes the problem in the code; others, such as `npm ERR!`, only follow such an error."""
    return error.is_trace or bool(error.place)


def may_mend(event: Synced, error: LoggedError) -> bool:
    """Whether the sync may have fixed the error: it contains files of the kind that the error names."""
    kind = error.place.partition(":")[0].rpartition(".")[2]
    kinds = _WEB if kind in _WEB else {kind}
    is_whole = event.files + event.deleted <= len(event.paths)
    return not (kind and is_whole) or any(path.rpartition(".")[2] in kinds for path in event.paths)


@dataclass(slots=True)
class CodeWatch:
    """The health of the code of all services."""

    services: dict[str, CodeHealth] = field(default_factory=dict)

    def of(self, service: str) -> CodeHealth:
        """The health of a service's code."""
        return self.services.get(service, CodeHealth())

    def synced(self, event: Synced, at: float) -> bool:
        """Record a sync. Return whether a change is due earlier than before."""
        return self._becomes(event.service, self.of(event.service).at(at).synced(event, at), at)

    def started(self, service: str, at: float) -> None:
        """Record the start of a container of the service."""
        self.services[service] = self.of(service).at(at).started(at)

    def logged(self, service: str, line: str, error: LoggedError | None, at: float) -> bool:
        """Record a line of the service's log. Return whether a change is due earlier than before."""
        health = self.of(service)
        is_empty = error is None and health.error is None and not PATTERNS["reloads"].search(line)  # nearly all lines
        return not is_empty and self._becomes(service, health.at(at).logged(line, error, at), at)

    def _becomes(self, service: str, health: CodeHealth, at: float) -> bool:
        before, self.services[service] = self.of(service), health
        return health.due(at) < before.due(at)

    def recovered(self, service: str) -> None:
        """Record that the service has become healthy, or was stopped."""
        self.services[service] = self.of(service).recovered()

    def undecided(self, services: Iterable[str], now: float) -> float:
        """The time at which the logs will have shown the effect of the last sync on these services' code."""
        healths = (self.of(service) for service in services)
        return max((each.opened + QUIET for each in healths if each.takes_all and not each.shown(now)), default=0.0)

    def due(self, services: Iterable[str], now: float) -> float:
        """The time at which the mark of one of the services may change without a new line or sync."""
        return min((self.of(service).due(now) for service in services), default=math.inf)
