"""`devenv open`."""

from __future__ import annotations

import sys
import webbrowser
from typing import Annotated

from typer import Argument, Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.errors import DevenvError

with LazyImports():
    import anyio

    from devenv.compose import outline as outlines
    from devenv.docker import client
    from devenv.run import urls


def open_(
    service: Annotated[str | None, Argument(help="The service to open.")] = None,
    only_print: Annotated[bool, Option("--print", help="Print the URLs only.")] = False,
) -> None:
    """Open the project's website in the browser, and print its URLs."""
    project, sites = anyio.run(_sites, options.selection(), service)
    window = options.console()
    opened = not (only_print or window.is_json) and sys.stdout.isatty() and webbrowser.open(sites[0])
    window.answer({"project": project, "urls": sites, "opened": opened}, sites)


async def _sites(selection: outlines.Selection, service: str | None) -> tuple[str, tuple[str, ...]]:
    """The project's name and its URLs, as `up` prints them; with `service`, its URLs only.

    Raises UsageError for an unknown service, DevenvError if nothing runs or nothing answers with HTTP.
    """
    name, outline = await outlines.outline(selection)
    async with client.Engine.connect() as engine:
        containers = await engine.containers.list(name)
        known = (*outline.services, *outline.dormant, *(c.service for c in containers))
        outlines.require_known([service] if service else [], known)
        running = [c for c in containers if c.running and service in (None, c.service)]
        if not running:
            message = f"`{service}` does not run" if service else "nothing of this project runs"
            raise DevenvError(message, hint="devenv up")
        addresses = await urls.addresses(running, engine.endpoint.host)
    if not addresses.urls:
        ports = ", ".join(f"{port.service} {port.target} at {port.address}" for port in addresses.ports)
        message = f"no published port answers with HTTP: {ports}" if ports else "no port is published"
        raise DevenvError(message, hint="devenv ps")
    return name, addresses.urls
