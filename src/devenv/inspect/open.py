"""`devenv open`: the URLs that the project or one of its services publishes."""

from __future__ import annotations

from devenv.compose.outline import Selection, outline, require_known
from devenv.docker.client import Engine
from devenv.errors import DevenvError
from devenv.run.urls import addresses


async def site(selection: Selection, service: str | None) -> tuple[str, tuple[str, ...]]:
    """The project's name and its URLs, as `up` prints them; with `service`, its URLs only.

    Raises UsageError for an unknown service, DevenvError if nothing runs or nothing answers with HTTP.
    """
    name, project = await outline(selection)
    async with Engine.connect() as engine:
        containers = await engine.containers.list(name)
        require_known(
            [service] if service else [], (*project.services, *project.dormant, *(c.service for c in containers))
        )
        mine = [c for c in containers if c.running and service in (None, c.service)]
        if not mine:
            said = f"`{service}` does not run" if service else "nothing of this project runs"
            raise DevenvError(said, hint="devenv up")
        found = await addresses(mine, engine.endpoint.host)
    if not found.urls:
        ports = ", ".join(f"{port.service} {port.target} at {port.address}" for port in found.ports)
        said = f"no published port answers with HTTP: {ports}" if ports else "no port is published"
        raise DevenvError(said, hint="devenv ps")
    return name, found.urls
