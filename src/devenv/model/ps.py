"""The rows of `devenv ps`: what services do, from inspections and from what a run has seen. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Annotated

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.status import ALWAYS, BAD, EARLY, ENDED, GOOD, OTHERS, Phase, Purpose, Standing, Watched, standing

CONTAINER_STATES = ("absent", "created", "running", "paused", "restarting", "removing", "exited", "dead")
OFTEN = 2  # restarts
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - as engines report it
_LOOPBACK = ("127.0.0.1", "::1")


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
    forwarded_from: Annotated[str, "the other machine that has the ports, if ssh forwards them"] = ""


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
