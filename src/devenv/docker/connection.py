"""Connections to the engine: a plain socket, or a child process that connects."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Protocol

from devenv.docker.endpoint import LAST_BYTES, Endpoint, WayError, reason
from devenv.lazy_imports import LazyImports

if TYPE_CHECKING:
    from anyio.abc import Process, UNIXSocketStream

with LazyImports():
    import signal
    import socket

    import anyio
    from anyio import abc

    from devenv.docker import process, trace

CONNECT_TIMEOUT = 5.0
EXIT_GRACE = 1.0  # seconds from the end of a child's output to its exit


class Connection(Protocol):
    """A stream of bytes to and from an engine."""

    async def send(self, data: bytes) -> None:
        """Send all of the data."""

    async def receive(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Raises WayError if the program that connects has failed."""

    async def aclose(self) -> None:
        """Close the connection; tasks that wait for it get anyio.ClosedResourceError."""

    @property
    def plain(self) -> socket.socket | None:
        """The socket, for a thread that alone uses it from then on; None if there is none."""


class DuplexConnection(Connection, Protocol):
    """A connection of which one direction may end before the other."""

    async def end(self) -> None:
        """Send no more; the other side may still send."""


async def dial(endpoint: Endpoint) -> DuplexConnection:
    """Connect to the engine. Raises OSError if that fails, TimeoutError after `CONNECT_TIMEOUT`.

    Other addresses than unix sockets (ssh, tcp with TLS) go through `docker system dial-stdio`, which supports all
    that the CLI supports: a child process for each connection.
    """
    with anyio.fail_after(CONNECT_TIMEOUT):
        if endpoint.dialled is not None:
            try:
                return _Socket(await anyio.connect_unix(endpoint.dialled))
            except OSError:
                if not endpoint.is_borrowed:
                    raise
                endpoint = Endpoint(endpoint.host, endpoint.context)
        argv = endpoint.docker_command("system", "dial-stdio")
        with trace.command(argv) as span:
            span.outcome = "goes on"
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context(open(process.scratch(), "r+b", buffering=0))  # noqa: ASYNC230 - in memory
            child = await anyio.open_process(argv, stderr=errors, start_new_session=True)
            stack.pop_all()
        return _Child(child, errors)


def accepted(stream: UNIXSocketStream) -> DuplexConnection:
    """The connection of a client to a socket of this process."""
    return _Socket(stream)


class _Socket:
    """A plain socket: anyio's stream prints an error if data arrive while it is cancelled."""

    def __init__(self, stream: UNIXSocketStream) -> None:
        self._socket: socket.socket = stream.extra(abc.SocketAttribute.raw_socket)  # noqa: S610 - no Django here

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._require_open()
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)

    async def end(self) -> None:
        self._require_open()
        self._socket.shutdown(socket.SHUT_WR)

    def _require_open(self) -> None:
        if self._socket.fileno() < 0:  # another task has closed the socket between two calls
            raise anyio.ClosedResourceError

    async def receive(self, size: int) -> bytes:
        while True:
            self._require_open()
            await anyio.wait_readable(self._socket)  # even if there are data, to let other tasks run
            with contextlib.suppress(BlockingIOError):
                return self._socket.recv(size)

    async def aclose(self) -> None:
        anyio.notify_closing(self._socket)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        self._socket.close()

    @property
    def plain(self) -> socket.socket | None:
        self._require_open()
        return self._socket


class _Child:
    """The stdin and stdout of a child as a connection, which ends with the child; `errors` is its stderr."""

    def __init__(self, child: Process, errors: IO[bytes]) -> None:
        assert child.stdin is not None  # noqa: S101 - a pipe by default
        assert child.stdout is not None  # noqa: S101 - a pipe by default
        self._child, self._in, self._out, self._errors = child, child.stdin, child.stdout, errors

    async def send(self, data: bytes) -> None:
        await self._in.send(data)

    async def end(self) -> None:
        await self._in.aclose()

    async def receive(self, size: int) -> bytes:
        with contextlib.suppress(anyio.EndOfStream):
            return await self._out.receive(size)
        with anyio.move_on_after(EXIT_GRACE):
            await self._child.wait()
        if (self._child.returncode or 0) > 0 and (message := reason(self._last_errors())):
            raise WayError(message)
        return b""

    def _last_errors(self) -> str:
        if self._errors.closed:
            return ""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), LAST_BYTES, max(size - LAST_BYTES, 0)).decode(errors="replace")

    @property
    def plain(self) -> socket.socket | None:
        return None

    async def aclose(self) -> None:
        self._errors.close()
        with anyio.CancelScope(shield=True):
            if self._child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._child.pid, signal.SIGTERM)  # asyncio warns if `terminate` reaps the child
            await self._child.aclose()
