"""Files of containers, read and written as tar archives; it works for stopped containers too."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterable
from typing import Protocol

import anyio

from devenv.docker.http import Body
from devenv.docker.transport import LONG_TIMEOUT, CallError, EngineGroup, IgnoreAbsent

LOOP = "too many links"  # the engine's message for a symbolic link that leads to itself
MODE_LINK = 1 << 27  # in Go's os.FileMode
SLOWEST = 1e6  # bytes per second that a transfer must reach at least


class Writable(Protocol):
    """Anything with a `write` method for bytes."""

    def write(self, chunk: bytes, /) -> object:
        """Write all bytes; the result is awaited if it is awaitable."""


class Archive(EngineGroup):
    """Files of containers and of the volumes that they mount."""

    async def put(self, container_id: str, tar: Body, *, size: int = 0) -> None:
        """Extract a tar, compressed or not, at the container's root. A tar in pieces has about `size` bytes.

        Not atomic: if it fails, the entries before the bad one stay. Raises CallError and errors of the iterator.
        """
        query = {"path": "/", "noOverwriteDirNonDir": "1"}
        total = LONG_TIMEOUT + (size if isinstance(tar, AsyncIterable) else len(tar)) / SLOWEST
        what = "writing into a container"
        await self._api.call("PUT", _path(container_id), what, query=query, body=tar, total=total)

    async def get(self, container_id: str, path: str) -> bytes | None:
        """The tar of `path`, whose entry names begin with its last component; None if there is no such path."""
        what, query = f"reading {path} in a container", {"path": path}
        with IgnoreAbsent():
            return await self._api.call("GET", _path(container_id), what, query=query, total=LONG_TIMEOUT)
        return None

    async def save(self, container_id: str, path: str, file: Writable, *, total: float | None = LONG_TIMEOUT) -> None:
        """Write the tar of `path` in the container into the file; nothing if there is no such path."""
        what = f"reading {path} in a container"
        with IgnoreAbsent(), self._api.translate_errors(what), anyio.fail_after(total):
            await self._api.stream("GET", _path(container_id), what, file.write, query={"path": path})

    async def is_link(self, container_id: str, path: str) -> bool | None:
        """Whether `path` in the container is a symbolic link; None if there is no such path."""
        what, idle = f"looking at {path} in a container", self._api.idle
        try:
            with self._api.translate_errors(what), anyio.fail_after(idle):
                async with self._api.request(
                    "HEAD", _path(container_id), what, query={"path": path}, idle=idle
                ) as answer:
                    await answer.read()
                    return bool(json.loads(base64.b64decode(answer.stat))["mode"] & MODE_LINK)
        except CallError as error:
            if error.absent:
                return None
        # The answer to a HEAD request has no body, hence no reason.
        try:
            return True if await self.get(container_id, path) is not None else None
        except CallError as error:
            if LOOP in error.reason:
                return True
            raise


def _path(container_id: str) -> str:
    return f"containers/{container_id}/archive"
