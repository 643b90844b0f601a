"""Where the engine listens: the docker CLI's own choice, turned into a socket that can be dialled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass

from devenv.engine import process
from devenv.errors import EngineError

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine's address as the docker CLI would use it, and the context that named it, if one did."""

    host: str
    context: str | None = None

    @property
    def socket(self) -> str | None:
        """The path of a unix socket, or None where the engine is reached in another way."""
        return self.host.removeprefix("unix://") if self.host.startswith("unix://") else None

    @property
    def local(self) -> bool:
        """Whether published ports appear on this machine."""
        return self.socket is not None


async def resolve() -> Endpoint:
    """The endpoint in force: DOCKER_HOST, else DOCKER_CONTEXT, else the CLI's current context.

    Raises EngineError where the context does not exist, or the docker CLI that reads it is not there: another
    engine than the one that was named must not be taken for it.
    """
    if host := os.environ.get("DOCKER_HOST"):
        return Endpoint(host)
    context = os.environ.get("DOCKER_CONTEXT") or _current_context()
    if context in (None, "", "default"):
        return Endpoint(DEFAULT_SOCKET)
    shown = await process.run(["docker", "context", "inspect", "--", context])
    with contextlib.suppress(json.JSONDecodeError, LookupError, TypeError):
        return Endpoint(json.loads(shown.stdout)[0]["Endpoints"]["docker"]["Host"], context)
    raise EngineError(f"there is no docker context `{context}` that names an engine", hint="docker context ls")


def _current_context() -> str | None:
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    path = os.path.join(folder, "config.json")
    with contextlib.suppress(OSError, ValueError, AttributeError), open(path, "rb") as file:
        value = json.load(file).get("currentContext")
        return value if isinstance(value, str) else None
    return None


@contextlib.asynccontextmanager
async def dialable(endpoint: Endpoint) -> AsyncIterator[str]:
    """A unix socket path that leads to the engine.

    Anything but a unix socket (ssh, tcp with TLS) goes through `docker system dial-stdio`, which follows
    whatever the CLI follows, one child a connection. The endpoint is named to it: the CLI's current context may
    be another one by then.
    """
    if endpoint.socket is not None:
        yield endpoint.socket
        return
    with tempfile.TemporaryDirectory(prefix="devenv-") as folder:
        path = os.path.join(folder, "engine.sock")
        bridges: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            bridge = asyncio.get_running_loop().create_task(_bridge(endpoint, reader, writer))
            bridges.add(bridge)
            bridge.add_done_callback(bridges.discard)

        server = await asyncio.start_unix_server(connected, path)
        async with server:
            try:
                yield path
            finally:
                # A bridge that outlives the loop leaves its child and its socket to nobody.
                for bridge in bridges:
                    bridge.cancel()
                await asyncio.gather(*bridges, return_exceptions=True)


async def _bridge(endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await _dial_stdio(endpoint, reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _dial_stdio(endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    where = ("--context", endpoint.context) if endpoint.context else ("--host", endpoint.host)
    child = await asyncio.create_subprocess_exec(
        "docker",
        *where,
        "system",
        "dial-stdio",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert child.stdin is not None  # noqa: S101 - asked for above
    assert child.stdout is not None  # noqa: S101 - asked for above
    pumps = [asyncio.create_task(_pump(reader, child.stdin)), asyncio.create_task(_pump(child.stdout, writer))]
    try:
        # Neither side closes only half: when one has ended, an endless answer (events, logs) must not hold the other.
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await asyncio.gather(child.wait(), *pumps, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
    with contextlib.suppress(OSError, RuntimeError):
        sink.write_eof()
