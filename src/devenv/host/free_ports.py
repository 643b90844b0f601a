"""Published ports: which are in use and by whom, and which are free instead."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from devenv.compose.run_model import PortChange
from devenv.docker.client import Engine
from devenv.host import listeners, ports
from devenv.host.ports import Place, Taken, Wanted


async def require_free(wanted: Iterable[Wanted], engine: Engine, given: Iterable[PortChange] = ()) -> None:
    """Raise PortError if wanted ports are in use, with their owners and the flags to type.

    `given`: the changes that the command line has already.
    """
    if in_use := await taken(wanted, engine):
        raise ports.taken_error(in_use, given)


async def taken(wanted: Iterable[Wanted], engine: Engine) -> tuple[Taken, ...]:
    """The wanted ports that are in use, with the addresses on which they are."""
    all_wanted = [port for port in wanted if port.protocol == "tcp"]
    in_use: list[Taken] = []
    for port in all_wanted:
        if ips := tuple(ip for ip in port.ips if listeners.listener(ip, port.port)):
            reserved = {other.port for other in all_wanted} | {other.free for other in in_use}
            free = listeners.free_port(port.ips, port.port, reserved)
            in_use.append(Taken(replace(port, ips=ips), await _owner(port, engine), free))
    return tuple(in_use)


async def automatic(
    places: Collection[Place], *, seed: str, known: Mapping[Place, int], engine: Engine
) -> dict[Place, int]:
    """A free host port for each place, as in `ports.choose`; probed if the engine publishes ports on this machine."""
    taken = {number for _, _, number in await engine.containers.published()}
    while True:
        chosen = ports.choose(places, seed=seed, known=known, taken=taken)
        new = [port for place, port in chosen.items() if place not in known and engine.endpoint.local]
        busy = {port for port in new if listeners.listener("", port)}
        if not busy:
            return chosen
        taken |= busy


async def _owner(port: Wanted, engine: Engine) -> str | None:
    published = await engine.containers.published()
    containers = (name for name, ip, number in published if number == port.port and _meets(port, ip))
    return next(containers, None) or await listeners.owner(port.port)


def _meets(port: Wanted, ip: str) -> bool:
    return any(ports.overlap(own, ip) for own in port.ips)
