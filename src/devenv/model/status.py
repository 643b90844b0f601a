"""What a service is doing, decided from its containers, for `up`, `ps` and the live view. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Literal

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container


class Phase(StrEnum):
    """What a service is doing. Of several containers, the one whose phase comes first in this list counts."""

    EXITED = "exited"
    REMOVED = "removed"
    UNHEALTHY = "unhealthy"
    STOPPED = "stopped"
    RESTARTING = "restarting"
    ABSENT = "absent"
    CREATED = "created"
    STARTING = "starting"
    STARTED = "started"
    HEALTHY = "healthy"
    COMPLETED = "completed"


RANK = {phase: place for place, phase in enumerate(Phase)}  # the earliest is furthest behind
GOOD = frozenset({Phase.STARTED, Phase.HEALTHY, Phase.COMPLETED})
BAD = frozenset({Phase.UNHEALTHY, Phase.EXITED, Phase.REMOVED})
ENDED = frozenset({Phase.COMPLETED, Phase.EXITED, Phase.STOPPED})
ALWAYS = ("always", "unless-stopped")  # restart policies
SIGNALLED = (130, 143)  # exit codes after INT and TERM
CRASHES = 5  # consecutive ends after which a service counts as crashing
STEADY = 2.0  # seconds that a process without a health check has to run until it counts as up
LONG = 10.0  # seconds of running after which an end is a new one, not a repeated one
EARLY = 60.0  # seconds: a process that ended sooner failed at its start; the next one has to run for longer
BUSY_FOR = 20.0  # seconds that a busy process may take to count as up: a long import may still fail
DATABASE_BEGINS = 20.0  # seconds that a new database without a health check may take to answer
OTHERS = "by somebody else"
# Commands of programs that wait for work without a port: they are not meant to end, whatever the exit code.
# Compiled at its first use by `re`, for a service that has ended.
WORKERS = (
    r"\bcelery\b.*\s(?<!-A )(?<!--app )(?:worker|beat|flower)\b|\b(?:rq|arq|taskiq|faust)\b.*\sworker\b"
    r"|\brqworker\b|\bdramatiq\s|\bhuey_consumer|\bsidekiq\b|\bgood_job start\b|\bartisan (?:horizon|schedule:work)\b"
)

EndedBy = Literal["", "itself", "us", "others"]  # empty: not known


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a service is for.

    `serves`: it publishes ports, has a health check, or is always started again. `is_awaited`: another service waits
    for its completion. `users`: the running services that depend on it in another way.
    """

    serves: bool = False
    is_checked: bool = False  # by a health check of the Compose file
    is_awaited: bool = False
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """What was observed of a container beyond its inspection: from events, and by comparing looks."""

    ended_by: EndedBy = ""  # who ended its last process
    crashes: int = 0  # consecutive ends with the same `exit_code`, each followed by a restart by the engine
    exit_code: int = 0
    lasted: float = math.inf  # seconds since the start of its process was seen
    has_to_last: float = -math.inf  # seconds until it has run for longer than the one that failed at its start
    lost: tuple[str, ...] = ()  # networks of the project that it is no longer connected to


@dataclass(frozen=True, slots=True)
class Standing:
    """The phase of a service, what it waits for or why it failed, its last failed probe, and the error in its log."""

    service: str
    phase: Phase
    detail: str = ""
    error: str = ""  # in its log: see `sync.code_health`
    check: str = field(default="", compare=False)  # the last line of its last probe if that failed

    @property
    def has_fault(self) -> bool:
        """Whether it is not up although nobody stopped it, or its log has an error."""
        is_stopped = self.phase is Phase.STOPPED and self.detail in ("", OTHERS)
        return bool(self.error) or not (self.phase in GOOD or is_stopped)

    @property
    def how(self) -> str:
        """How the service failed, or what it does, as words after its name."""
        if self.detail == OTHERS:
            return f"{self.phase} {OTHERS}"
        return f"ended with {self.detail}" if self.detail.startswith("exit code") else self.detail or str(self.phase)


def standing(
    service: str,
    containers: Iterable[Container],
    purpose: Purpose,
    watched: Mapping[str, Watched],
    starting: Sequence[str] = (),
) -> Standing:
    """The standing of a service, by its container that is furthest behind.

    `watched` is keyed by container id; `starting` are the other services that are still starting.
    """
    phases = [(*phase(c, purpose, watched.get(c.id, Watched()), starting), c.check) for c in containers]
    worst, detail, check = min(phases, key=lambda entry: RANK[entry[0]], default=(Phase.ABSENT, "", ""))
    return Standing(service, worst, detail, check=check if worst in (Phase.UNHEALTHY, Phase.STARTING) else "")


def phase(container: Container, purpose: Purpose, watched: Watched, others: Sequence[str] = ()) -> tuple[Phase, str]:
    """The phase of a container and its reason; `others` are the other services that are still starting."""
    match container.state:
        case "created":
            return Phase.CREATED, ""
        case "restarting":
            return _crashing(container, watched, others)
        case "running" | "paused" if watched.crashes and not _has_lasted(container, watched):
            return _crashing(container, watched, others)
        case "running" | "paused":
            return _running(container, purpose, watched)
        case "exited" | "dead" | "removing":
            return _ended(container, purpose, watched)
        case state:
            return Phase.STARTING, state


def _has_lasted(container: Container, watched: Watched) -> bool:
    return watched.lasted >= (STEADY if container.health else max(STEADY, watched.has_to_last))


def _running(container: Container, purpose: Purpose, watched: Watched) -> tuple[Phase, str]:
    if watched.lost:
        return Phase.UNHEALTHY, f"disconnected from the network {', '.join(watched.lost)}"
    paused = "is paused" if container.state == "paused" else ""
    match container.health:
        case "healthy":
            return Phase.HEALTHY, paused
        case "unhealthy":
            return Phase.UNHEALTHY, "its health check fails"
        case "starting":
            origin = "" if purpose.is_checked else f" (of the image; every {container.check_every:g} s)"
            return Phase.STARTING, f"waits for its health check{origin}"
        case _:
            return (Phase.STARTING, "is running to its end") if purpose.is_awaited else (Phase.STARTED, paused)


def _crashing(container: Container, watched: Watched, starting: Sequence[str]) -> tuple[Phase, str]:
    """A container that the engine starts again and again, by its restart policy."""
    number = watched.exit_code if container.running else container.exit_code
    code = f"exit code {number}"
    if watched.crashes >= CRASHES and not starting:
        return Phase.EXITED, f"keeps {'crashing' if number else 'ending'} ({code}, {container.restarts} restarts)"
    return Phase.RESTARTING, f"{code}{f', probably waits for {starting[0]}' if starting else ''}"


def _ended(container: Container, purpose: Purpose, watched: Watched) -> tuple[Phase, str]:
    """A container whose process has ended for good."""
    code, how = container.exit_code, f"exit code {container.exit_code}"
    if watched.ended_by == "us":
        return Phase.STOPPED, ""
    if purpose.is_awaited:
        return (Phase.EXITED, how) if code else (Phase.COMPLETED, "")
    is_unseen = not watched.ended_by and not container.error
    is_server = _is_server(container, purpose, is_unseen=is_unseen)
    if watched.ended_by == "others" or (is_unseen and _looks_stopped(container, is_server=is_server)):
        return Phase.STOPPED, OTHERS
    if code or is_server:
        return Phase.EXITED, how
    if purpose.users and container.lived >= LONG:
        verb = "depends" if len(purpose.users) == 1 else "depend"
        return Phase.STOPPED, f"ended by itself ({how}), and {', '.join(purpose.users)} {verb} on it"
    return Phase.COMPLETED, ""


def _is_server(container: Container, purpose: Purpose, *, is_unseen: bool) -> bool:
    """Whether the process was not meant to end; an end that was not seen may be one of a service with a check."""
    return (
        purpose.serves
        or re.search(WORKERS, container.command) is not None
        or (is_unseen and container.health is not None)
    )


def _looks_stopped(container: Container, *, is_server: bool) -> bool:
    """Whether a process that ended unseen was probably stopped; all others ended by themselves.

    A restart policy that always restarts leaves a container alone only if somebody stopped it.
    """
    code = container.exit_code
    return code in SIGNALLED or container.restart in ALWAYS or (is_server and not code)
