"""Volumes of an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from devenv.docker import inspect as answers
from devenv.docker.transport import CallError, Transport
from devenv.model.containers import Volume


class Volumes:
    """The named volumes of one engine."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, project: str) -> tuple[Volume, ...]:
        """All named volumes that carry the project's label."""
        query = {"filters": answers.labelled(project)}
        return tuple(await self._transport.ask_all("volumes", "listing the project", answers.volume, query))

    async def inspect(self, name: str) -> Volume | None:
        """The volume, or None if there is none of that name."""
        try:
            return await self._transport.ask(_path(name), f"inspecting the volume {name}", answers.volume)
        except CallError as error:
            if error.absent:
                return None
            raise

    async def times(self) -> dict[str, str]:
        """The names of all volumes on the engine, with their `CreatedAt`."""
        volumes = await self._transport.ask_all("volumes", "listing volumes", answers.volume)
        return {volume.name: volume.created for volume in volumes}

    async def users(self, name: str) -> tuple[str, ...]:
        """The names of the containers that mount the volume, running or not."""
        query = {"all": "1", "filters": json.dumps({"volume": [name]})}
        what = "listing the users of a volume"
        names = await self._transport.ask_all("containers/json", what, answers.listed_name, query)
        return tuple(sorted(filter(None, names)))

    async def create(self, options: Mapping[str, Any]) -> Volume:
        """Create a volume as the Engine API's VolumeCreateOptions describe it, or return the existing one."""
        return await self._transport.create("volumes/create", "creating a volume", options, answers.volume)

    async def remove(self, name: str) -> None:
        """Remove the volume; nothing happens if it is gone. Raises CallError if a container mounts it."""
        await self._transport.remove(_path(name), f"removing the volume {name}")


def _path(name: str) -> str:
    return f"volumes/{quote(name, safe='')}"
