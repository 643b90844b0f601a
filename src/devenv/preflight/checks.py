"""Facts -> what is wrong and what to type. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from devenv.errors import PortError
from devenv.model.project import Project

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A host port that a service will publish; `ip` is empty for all addresses."""

    service: str
    ip: str
    port: int
    target: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A wanted port that somebody else has, and a free one instead of it."""

    wanted: Wanted
    owner: str | None
    free: int


def wanted_ports(
    project: Project, names: Collection[str], changes: Iterable[tuple[str, str, int]], *, loopback: bool
) -> tuple[Wanted, ...]:
    """The fixed TCP ports that the named services publish, after `--port` (service, published, target).

    Ranges are left to the engine, which picks a free one itself.
    """
    changed = {(service, target): published for service, published, target in changes}
    found = []
    for service in project.services:
        for port in service.ports if service.name in names else ():
            published = changed.get((service.name, port.target), port.published)
            if port.protocol == "tcp" and published and published.isdigit() and published != "0":
                ip = port.host_ip or (LOOPBACK if loopback else "")
                found.append(Wanted(service.name, ip, int(published), port.target))
    return tuple(found)


def taken_error(taken: Iterable[Taken]) -> PortError:
    """One error for all taken ports: who has them, and the `--port` to type."""
    rows = tuple(taken)
    said = [
        f"port {row.wanted.port} (service {row.wanted.service}) is taken by {row.owner or 'another program'}"
        for row in rows
    ]
    flags = " ".join(f"--port {row.wanted.service}:{row.free}={row.wanted.target}" for row in rows)
    return PortError("; ".join(said), hint=f"devenv up {flags}")
