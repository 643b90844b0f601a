"""The rows of `devenv ps`: each container of a project, and services without a container."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from devenv.model.containers import Container

STATES = ("absent", "created", "running", "paused", "restarting", "removing", "exited", "dead")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what an engine says
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
    state: Annotated[str, STATES] = "absent"
    health: Annotated[str | None, "starting, healthy or unhealthy; null without a health check"] = None
    exit_code: Annotated[int | None, "once it has ended"] = None
    ports: Annotated[tuple[Address, ...], "where ports are published"] = ()
    age: Annotated[float | None, "seconds since its start, or its end"] = None
    restarts: Annotated[int, "by the engine, since it was created"] = 0
    ours: Annotated[bool | None, "whether devenv created it; null without a container"] = None


@dataclass(frozen=True, slots=True)
class Stands:
    """The project's services, in the order of the file, then those that only have containers."""

    project: str
    services: tuple[Stand, ...]


def stands(
    project: str, services: Sequence[str], containers: Iterable[Container], age: Callable[[str], float | None]
) -> Stands:
    """The rows of all services; `services` are the enabled ones, `age` gives the seconds since an engine's time."""
    by_service: dict[str, list[Container]] = {name: [] for name in services}
    for one in sorted(containers, key=lambda c: (c.service, c.name)):
        by_service.setdefault(one.service, []).append(one)
    rows = [
        stand
        for name, found in by_service.items()
        for stand in ([_stand(one, age) for one in found] or [Stand(name)])
    ]
    return Stands(project, tuple(rows))


def _stand(container: Container, age: Callable[[str], float | None]) -> Stand:
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
    )


def _ports(ports: Iterable[tuple[str, int, int]], protocol: str) -> tuple[Address, ...]:
    """Each port once, also if it is published on IPv4 and IPv6."""
    found = dict.fromkeys((target, _host(ip), port) for ip, port, target in ports)
    return tuple(Address(target, f"{host}:{port}", protocol) for target, host, port in sorted(found))


def _host(ip: str) -> str:
    if ip in _LOOPBACK:
        return "localhost"
    return _EVERYWHERE[0] if ip in ("", *_EVERYWHERE) else f"[{ip}]" if ":" in ip else ip
