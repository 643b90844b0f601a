"""Find conflicts of published ports, and choose port numbers in place of taken or missing ones. Pure."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from devenv.compose.run_model import PortChange
from devenv.errors import ConfigError, PortError
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Project

# Below the range of outgoing connections, and above the well-known ports of most programs.
LOWEST, COUNT = 20000, 10000

Place = tuple[str, int]  # a service and a port of its containers


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A host port that a service will publish; an empty address means all addresses."""

    service: str
    ips: tuple[str, ...]
    port: int
    target: int
    protocol: str = "tcp"


Written = tuple[WantedPort, tuple[str | None, int | None]]  # with its file and line


@dataclass(frozen=True, slots=True)
class Taken:
    """A wanted port that another program uses, and a free port instead."""

    wanted: WantedPort
    owner: str | None
    free: int


def wanted_ports(
    project: Project, names: Collection[str], changes: Mapping[Place, str], addresses: tuple[str, ...]
) -> tuple[WantedPort, ...]:
    """The fixed ports that the named services publish, with `changes`; on `addresses` if the file has no address.

    Ranges are left out, since the engine picks a free port of a range.
    """
    wanted: dict[tuple[str, int, str, str], WantedPort] = {}
    for service in project.services:
        for port in service.ports if service.name in names else ():
            published = changes.get((service.name, port.target), port.published) or ""
            ips = (port.host_ip,) if port.host_ip else addresses or ("",)
            if published.isdigit() and int(published):
                new = WantedPort(service.name, ips, int(published), port.target, port.protocol)
                # a change can make entries equal, of which the run model keeps only the first
                key = "" if (service.name, port.target) in changes else f"{published} {port.host_ip}"
                wanted.setdefault((service.name, port.target, port.protocol, key), new)
    return tuple(wanted.values())


def clash(wanted: Sequence[WantedPort]) -> tuple[WantedPort, WantedPort] | None:
    """The first two ports that cannot both be published."""
    for first, second in itertools.combinations(wanted, 2):
        same = (first.port, first.protocol) == (second.port, second.protocol)
        if same and any(overlap(a, b) for a in first.ips for b in second.ips):
            return first, second
    return None


def overlap(ip: str, other: str) -> bool:
    """Whether the same port cannot be published on both addresses."""
    return ip == other or _includes(ip, other) or _includes(other, ip)


def _includes(wide: str, ip: str) -> bool:
    return wide in ("", "::" if ":" in ip else "0.0.0.0")  # noqa: S104 - compared, not bound


def clash_error(
    port: Written, other: Written, free: Callable[[WantedPort], int], given: Iterable[PortChange] = ()
) -> ConfigError:
    """The error for two ports that clash, at the later place in the files; the hint includes the `given` changes."""
    (first, _), (second, (file, line)) = sorted((port, other), key=lambda written: written[1][1] or 0)
    both = f"`{first.service}` and `{second.service}` both publish" if first.service != second.service else ""
    return ConfigError(
        f"{both or f'`{first.service}` publishes twice'} the host port {second.port}",
        hint=f"Write another port here, or type: {_command(given, [(second, free(second))])}",
        file=file,
        line=line,
    )


def taken_error(taken: Iterable[Taken], given: Iterable[PortChange] = ()) -> PortError:
    """The error for all ports in use, with their owners; the hint has the `given` and new `--port` flags."""
    rows = tuple(taken)
    messages = [
        f"port {row.wanted.port} (service {row.wanted.service}) is taken by {row.owner or 'another program'}"
        for row in rows
    ]
    return PortError("; ".join(messages), hint=_command(given, [(row.wanted, row.free) for row in rows]))


def _command(given: Iterable[PortChange], new: Iterable[tuple[WantedPort, int]]) -> str:
    ports = {(change.service, change.target): change.published for change in given}
    ports |= {(wanted.service, wanted.target): str(port) for wanted, port in new}
    return " ".join(
        ["devenv up", *(f"--port {service}:{port}={target}" for (service, target), port in ports.items())]
    )


def choose(
    places: Collection[Place], *, seed: str, known: Mapping[Place, int], taken: AbstractSet[int]
) -> dict[Place, int]:
    """A host port for each place: the known port, else a port computed from place and `seed`, or the next free port.

    Raises PortError if all are taken.
    """
    chosen = {place: known[place] for place in places if place in known}
    for place in places:
        if place not in chosen:
            first = int.from_bytes(hashlib.sha256(f"{seed}\0{place[0]}\0{place[1]}".encode()).digest())
            numbers = (LOWEST + (first + more) % COUNT for more in range(COUNT))
            free = next((n for n in numbers if n not in taken and n not in chosen.values()), None)
            if free is None:
                raise PortError(f"all ports from {LOWEST} to {LOWEST + COUNT - 1} are taken", hint="ss -ltn")
            chosen[place] = free
    return chosen


def is_chosen(port: int) -> bool:
    """Whether the port is in the range of `choose`."""
    return LOWEST <= port < LOWEST + COUNT


def variables(ports: Mapping[Place, str]) -> dict[str, str]:
    """The variables that tell containers the host ports: DEVENV_PORT_<SERVICE>_<PORT>."""
    return {
        f"DEVENV_PORT_{re.sub('[^A-Z0-9]', '_', service.upper())}_{target}": published
        for (service, target), published in ports.items()
    }
