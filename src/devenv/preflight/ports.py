"""Whether the ports that services will publish are free, and who has them where they are not."""

from __future__ import annotations

from collections.abc import Iterable

from devenv.engine.api import Engine
from devenv.preflight import checks, facts
from devenv.preflight.checks import Taken, Wanted


async def require_free(wanted: Iterable[Wanted], engine: Engine) -> None:
    """Nothing where all are free. Raises PortError that names every taken port, its owner and the flag to type."""
    taken = [await _taken(port, engine) for port in wanted if facts.listener(port.ip, port.port)]
    if taken:
        raise checks.taken_error(taken)


async def _taken(port: Wanted, engine: Engine) -> Taken:
    published = await engine.published()
    container = next((name for name, _, number in published if number == port.port), None)
    owner = f"container {container}" if container else await facts.owner(port.port)
    return Taken(port, owner, facts.free_port(port.ip, port.port))
