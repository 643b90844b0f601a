"""Facts -> what is wrong and what to type; which ports to take. Pure."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from devenv.compose.run_model import PortChange
from devenv.errors import ConfigError, PortError
from devenv.model.project import Project

# Below what systems give to outgoing connections, and free of the numbers that programs are known by.
LOWEST, COUNT = 20000, 10000

Place = tuple[str, int]  # a service and a port of its containers


@dataclass(frozen=True, slots=True)
class Wanted:
    """A host port that a service will publish; an empty address stands for all of them."""

    service: str
    ips: tuple[str, ...]
    port: int
    target: int
    protocol: str = "tcp"


Written = tuple[Wanted, tuple[str | None, int | None]]  # with the file and line where it is


@dataclass(frozen=True, slots=True)
class Taken:
    """A wanted port that somebody else has, and a free one instead of it."""

    wanted: Wanted
    owner: str | None
    free: int


def wanted_ports(
    project: Project, names: Collection[str], changes: Mapping[Place, str], addresses: tuple[str, ...]
) -> tuple[Wanted, ...]:
    """The fixed ports that the named services publish, `changes` applied; `addresses` where the file names none.

    Ranges are left to the engine, which picks a free one itself.
    """
    found: dict[tuple[str, int, str, str], Wanted] = {}
    for service in project.services:
        for port in service.ports if service.name in names else ():
            published = changes.get((service.name, port.target), port.published) or ""
            ips = (port.host_ip,) if port.host_ip else addresses or ("",)
            if published.isdigit() and int(published):
                one = Wanted(service.name, ips, int(published), port.target, port.protocol)
                # of several entries that one change makes the same, the run model keeps the first
                key = "" if (service.name, port.target) in changes else f"{published} {port.host_ip}"
                found.setdefault((service.name, port.target, port.protocol, key), one)
    return tuple(found.values())


def clash(wanted: Sequence[Wanted]) -> tuple[Wanted, Wanted] | None:
    """The first two that cannot both be published."""
    for one, other in itertools.combinations(wanted, 2):
        same = (one.port, one.protocol) == (other.port, other.protocol)
        if same and any(overlap(a, b) for a in one.ips for b in other.ips):
            return one, other
    return None


def overlap(one: str, other: str) -> bool:
    """Whether a port on the one address takes it on the other, too."""
    return one == other or _holds(one, other) or _holds(other, one)


def _holds(wide: str, ip: str) -> bool:
    return wide in ("", "::" if ":" in ip else "0.0.0.0")  # noqa: S104 - compared, not bound


def clash_error(
    one: Written, other: Written, free: Callable[[Wanted], int], given: Iterable[PortChange] = ()
) -> ConfigError:
    """The error for two that clash, at the place of the one that is written later; `given` stays in the hint."""
    (first, _), (second, (file, line)) = sorted((one, other), key=lambda written: written[1][1] or 0)
    whose = f"`{first.service}` and `{second.service}` both publish" if first.service != second.service else ""
    return ConfigError(
        f"{whose or f'`{first.service}` publishes twice'} the host port {second.port}",
        hint=f"Write another one here, or type: {_command(given, [(second, free(second))])}",
        file=file,
        line=line,
    )


def taken_error(taken: Iterable[Taken], given: Iterable[PortChange] = ()) -> PortError:
    """One error for all taken ports: who has them, and the `--port` to type beside those that are `given`."""
    rows = tuple(taken)
    said = [
        f"port {row.wanted.port} (service {row.wanted.service}) is taken by {row.owner or 'another program'}"
        for row in rows
    ]
    return PortError("; ".join(said), hint=_command(given, [(row.wanted, row.free) for row in rows]))


def _command(given: Iterable[PortChange], new: Iterable[tuple[Wanted, int]]) -> str:
    ports = {(change.service, change.target): change.published for change in given}
    ports |= {(wanted.service, wanted.target): str(port) for wanted, port in new}
    return " ".join(
        ["devenv up", *(f"--port {service}:{port}={target}" for (service, target), port in ports.items())]
    )


def choose(
    places: Collection[Place], *, seed: str, known: Mapping[Place, int], taken: AbstractSet[int]
) -> dict[Place, int]:
    """A host port for each place: the known one, else one that follows from place and `seed`, or the next not taken.

    Raises PortError where all are taken.
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
    """Whether it is one of those that `choose` gives out."""
    return LOWEST <= port < LOWEST + COUNT


def variables(ports: Mapping[Place, str]) -> dict[str, str]:
    """What containers are told of the host's ports: DEVENV_PORT_<SERVICE>_<PORT>."""
    return {
        f"DEVENV_PORT_{re.sub('[^A-Z0-9]', '_', service.upper())}_{target}": published
        for (service, target), published in ports.items()
    }
