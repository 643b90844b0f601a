"""What a service is doing, for `up`, `ps` and the live view; and the status of the project in a folder. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from itertools import chain
from typing import Annotated, Literal

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container

CONTAINER_STATES = ("absent", "created", "running", "paused", "restarting", "removing", "exited", "dead")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - as engines report it
_LOOPBACK = ("127.0.0.1", "::1")


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


GOOD = frozenset({Phase.STARTED, Phase.HEALTHY, Phase.COMPLETED})
BAD = frozenset({Phase.UNHEALTHY, Phase.EXITED, Phase.REMOVED})
ENDED = frozenset({Phase.COMPLETED, Phase.EXITED, Phase.STOPPED})
ALWAYS = ("always", "unless-stopped")  # restart policies
SIGNALLED = (130, 143)  # exit codes after INT and TERM
CRASHES = 5  # consecutive ends after which a service counts as crashing
STEADY = 2.0  # seconds that a process without a health check has to run until it counts as up
LONG = 10.0  # seconds of running after which an end is a new one, not a repeated one
EARLY = 60.0  # seconds: a process that ended sooner failed at its start; the next one has to run for longer
OFTEN = 2  # restarts
BUSY_FOR = 20.0  # seconds that a busy process may take to count as up: a long import may still fail
DATABASE_BEGINS = 20.0  # seconds that a new database without a health check may take to answer
OTHERS = "by somebody else"
# Commands of programs that wait for work without a port: they are not meant to end, whatever the exit code.
WORKERS = re.compile(
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
    rank = list(Phase)
    phases = [(*phase(c, purpose, watched.get(c.id, Watched()), starting), c.check) for c in containers]
    worst, detail, check = min(phases, key=lambda entry: rank.index(entry[0]), default=(Phase.ABSENT, "", ""))
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
    serves = purpose.serves or WORKERS.search(container.command) is not None
    is_server = serves or (is_unseen and container.health is not None)
    if watched.ended_by == "others" or (is_unseen and _looks_stopped(container, is_server=is_server)):
        return Phase.STOPPED, OTHERS
    if code or is_server:
        return Phase.EXITED, how
    if purpose.users and container.lived >= LONG:
        verb = "depends" if len(purpose.users) == 1 else "depend"
        return Phase.STOPPED, f"ended by itself ({how}), and {', '.join(purpose.users)} {verb} on it"
    return Phase.COMPLETED, ""


def _looks_stopped(container: Container, *, is_server: bool) -> bool:
    """Whether a process that ended unseen was probably stopped; all others ended by themselves.

    A restart policy that always restarts leaves a container alone only if somebody stopped it.
    """
    code = container.exit_code
    return code in SIGNALLED or container.restart in ALWAYS or (is_server and not code)


@dataclass(frozen=True, slots=True)
class Address:
    """A published port."""

    target: Annotated[int, "the port in the container"]
    address: Annotated[str, "the host's address, with its port; 0.0.0.0 means all"]
    protocol: Annotated[str, ("tcp", "udp")] = "tcp"


@dataclass(frozen=True, slots=True)
class Stand:
    """A container of a service, or a service without containers."""

    service: str
    container: Annotated[str | None, "its name; null without a container"] = None
    state: Annotated[str, CONTAINER_STATES] = "absent"
    health: Annotated[str | None, "starting, healthy or unhealthy; null without a health check"] = None
    exit_code: Annotated[int | None, "once it has ended"] = None
    ports: Annotated[tuple[Address, ...], "published ports"] = ()
    age: Annotated[float | None, "seconds since its start, or its end"] = None
    restarts: Annotated[int, "by the engine, since it was created"] = 0
    ours: Annotated[bool | None, "whether devenv created it; null without a container"] = None
    id: Annotated[str | None, "the id of the container"] = None
    image: Annotated[str | None, "the image that the container was created from, as written"] = None
    started_at: Annotated[str | None, "RFC 3339; null if it was never started"] = None
    phase: Annotated[str, "its phase, as `state` in the event `service`"] = Phase.ABSENT.value
    detail: Annotated[str, "the reason for the phase"] = ""
    check: Annotated[str, "the last line of its last health check if that failed"] = ""
    error: Annotated[str, "an error in its log since the last save, if a run of devenv has seen it"] = ""


@dataclass(frozen=True, slots=True)
class Stands:
    """The project's services in the order of the file, then those that only have containers."""

    project: str
    services: tuple[Stand, ...]
    background: Annotated[str, "what the process in the background does, or since when it has ended"] = ""


def stands(
    project: str,
    services: Sequence[str],
    containers: Sequence[Container],
    age: Callable[[str], float | None],
    removed: Callable[[], Collection[str]] = frozenset,
    noted: Callable[[], Mapping[str, tuple[str, str, str]]] = dict,
) -> Stands:
    """The rows of all services; `services` are the enabled ones, `age` returns the seconds since an engine's time.

    `removed` returns the services of a live run; it is called only if a service has no container. `noted` returns
    phase, detail and error of its services that have ended or have an error in their log.
    """
    by_service: dict[str, list[Container]] = {name: [] for name in services}
    for container in sorted(containers, key=lambda c: (c.service, c.name)):
        by_service.setdefault(container.service, []).append(container)
    missing = frozenset(removed()) if not all(by_service.values()) else frozenset()
    starting = [c.service for c in containers if c.running and c.health == "starting"]
    known = noted() if containers else {}

    def seen(container: Container) -> Standing:
        phase, detail, error = known.get(container.service, ("", "", ""))
        if container.state == "exited" and phase in ENDED:
            return Standing(container.service, Phase(phase), detail, error)
        inspected = _looping(container, age) or _inspected(container, containers, starting)
        return replace(inspected, error=error if container.running else "")

    rows = (
        [_stand(c, seen(c), age) for c in own]
        or [Stand(name, phase=Phase.REMOVED.value, detail=OTHERS) if name in missing else Stand(name)]
        for name, own in by_service.items()
    )
    return Stands(project, tuple(chain.from_iterable(rows)))


def _looping(container: Container, age: Callable[[str], float | None]) -> Standing | None:
    """The standing of a container that will probably end again soon, by how often the engine has restarted it."""
    if not container.running or container.health or container.restarts < OFTEN:
        return None
    if (created := age(container.created)) is None or (started := age(container.started_at)) is None:
        return None
    cycle = (created - started) / container.restarts
    is_loop = cycle < EARLY and started < 2 * cycle
    return Standing(container.service, Phase.RESTARTING, f"{container.restarts} restarts") if is_loop else None


def _inspected(container: Container, others: Sequence[Container], starting: Sequence[str]) -> Standing:
    """The standing of a container by inspections alone, for a command that has seen no events."""
    purpose = Purpose(
        serves=container.publishes or container.restart in ALWAYS,
        is_checked=True,
        is_awaited=any(container.service in c.awaits for c in others),
        users=tuple(c.service for c in others if c.running and container.service in c.depends_on),
    )
    watched = Watched(crashes=container.restarts if container.state == "restarting" else 0)
    late = [c.service for c in others if c.service in starting and container.service not in c.depends_on]
    late = [name for name in late if name != container.service]
    return standing(container.service, [container], purpose, {container.id: watched}, late)


def _stand(container: Container, standing_: Standing, age: Callable[[str], float | None]) -> Stand:
    has_ended = container.state in ("exited", "dead")
    return Stand(
        container.service,
        container.name,
        container.state,
        container.health if container.running else None,
        container.exit_code if has_ended else None,
        (*_ports(container.ports, "tcp"), *_ports(container.udp_ports, "udp")),
        age(container.finished_at if has_ended else container.started_at),
        container.restarts,
        container.ours,
        container.id,
        container.reference or None,
        None if container.started_at.startswith("0001-") else container.started_at or None,
        standing_.phase.value,
        standing_.detail,
        standing_.check,
        standing_.error,
    )


def troubles(stands: Iterable[Stand]) -> str:
    """The services that are not well, and why: `web stopped, db exited (3)`; empty if all are well."""
    bad = [stand for stand in stands if stand.error or stand.phase in (*BAD, Phase.STOPPED, Phase.RESTARTING)]
    return ", ".join(
        f"{stand.service} {stand.phase if stand.exit_code is None else f'{stand.phase} ({stand.exit_code})'}"
        if stand.phase not in GOOD
        else f"{stand.service}: {stand.error}"
        for stand in bad
    )


def _ports(ports: Iterable[tuple[str, int, int]], protocol: str) -> tuple[Address, ...]:
    """Each port once, even if it is published on IPv4 and IPv6."""
    published = {(target, _host(ip), port) for ip, port, target in ports}
    return tuple(Address(target, f"{host}:{port}", protocol) for target, host, port in sorted(published))


def _host(ip: str) -> str:
    if ip in _LOOPBACK:
        return "localhost"
    return _EVERYWHERE[0] if ip in ("", *_EVERYWHERE) else f"[{ip}]" if ":" in ip else ip
