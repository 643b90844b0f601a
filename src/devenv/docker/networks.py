"""Networks of an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from devenv.docker import inspect as answers
from devenv.docker.transport import Transport
from devenv.model.containers import Network


class Networks:
    """The networks of one engine; `is_ours` says whether devenv created a network."""

    def __init__(self, transport: Transport, is_ours: Callable[[Network], bool]) -> None:
        self._transport = transport
        self._is_ours = is_ours

    async def list(self, project: str) -> tuple[Network, ...]:
        """All networks that carry the project's label."""
        query = {"filters": answers.labelled(project)}
        networks = await self._transport.ask_all("networks", "listing the project", answers.network, query)
        return tuple(replace(network, ours=self._is_ours(network)) for network in networks)

    async def names(self) -> frozenset[str]:
        """The names of all networks on the engine."""
        names = await self._transport.ask_all(
            "networks", "listing networks", lambda shown: answers.text(shown["Name"])
        )
        return frozenset(names)

    async def users(self, network_id: str) -> tuple[str, ...]:
        """The names of the containers that are connected to the network now."""
        return await self._transport.ask(
            f"networks/{network_id}",
            "inspecting a network",
            lambda shown: tuple(sorted(c["Name"] for c in (shown.get("Containers") or {}).values())),
        )

    async def remove(self, network_id: str) -> None:
        """Remove the network; nothing happens if it is gone. Raises CallError if a running container is connected."""
        await self._transport.remove(f"networks/{network_id}", "removing a network")
