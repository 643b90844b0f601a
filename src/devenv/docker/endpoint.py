"""Where the engine listens: the docker CLI's own choice, and how to dial there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from dataclasses import dataclass
from typing import IO, Protocol

import anyio
from anyio.abc import Process, SocketAttribute, UNIXSocketStream

from devenv.docker import context, process, trace
from devenv.docker.unreachable import reason
from devenv.errors import EngineError, RefusedError

DEFAULT_SOCKET = context.DEFAULT_SOCKET
CONNECT_TIMEOUT = 5.0
FAREWELL = 1.0  # seconds from the end of a child's output to its own
WORDS = 4096  # bytes of the end of its standard error

_ADDRESS = re.compile(
    r"(?:unix|npipe|fd)://.*|(?:\w+://)?(?:[^@/\s]*@)?(?:[^@/:\[\]\s]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?(?:/\S*)?"
)
_OPTION = re.compile(r"ssh://(?:[^@/]*@)?-")


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
    def shown(self) -> str:
        """The address without what stands before an `@`."""
        return re.sub(r"//.*@", "//***@", self.host)

    def docker_command(self, *args: str) -> list[str]:
        """The docker command on this engine: the CLI's current context may be another one by now."""
        return ["docker", *(("--context", self.context) if self.context else ("--host", self.host)), *args]

    @property
    def local(self) -> bool:
        """Whether published ports appear on this machine."""
        return self.socket is not None


async def resolve() -> Endpoint:
    """The endpoint in force: DOCKER_HOST, else DOCKER_CONTEXT, else the CLI's current context.

    Raises EngineError where the context does not exist, or the docker CLI that reads it is not there: another
    engine than the one that was named must not be taken for it.
    """
    require_address()
    if host := os.environ.get("DOCKER_HOST"):
        return Endpoint(host if "://" in host else f"tcp://{host}")  # as the docker CLI takes it
    named = context.named()
    if named is None:
        return Endpoint(DEFAULT_SOCKET)
    shown = await process.run(["docker", "context", "inspect", "--", named])
    with contextlib.suppress(json.JSONDecodeError, LookupError, TypeError):
        return Endpoint(json.loads(shown.stdout)[0]["Endpoints"]["docker"]["Host"], named)
    raise EngineError(f"there is no docker context `{named}` that names an engine", hint="docker context ls")


def require_address() -> None:
    """Returns where DOCKER_HOST is unset or may be an engine's address.

    Raises RefusedError for one of which ssh would make an option, EngineError for any other.
    """
    host = os.environ.get("DOCKER_HOST", "")
    shown, hint = re.sub(r"(?s)(\w+://)?.*@", r"\g<1>***@", host), "unset DOCKER_HOST"
    if _OPTION.match(host):
        raise RefusedError(f"DOCKER_HOST is {shown}, which ssh would take for an option", hint=hint)
    if host and not _ADDRESS.fullmatch(host):
        raise EngineError(f"cannot reach the engine at {shown}: DOCKER_HOST is no address of one", hint=hint)


class WayError(ConnectionError):
    """The program that leads to the engine has failed; its text is what it said last."""


class Connection(Protocol):
    """Bytes to an engine and back."""

    async def send(self, data: bytes) -> None:
        """All of it sent."""

    async def receive(self, size: int) -> bytes:
        """At most so many bytes; none at the end. Raises WayError if what leads to the engine has failed."""

    async def aclose(self) -> None:
        """The connection ended; who waits on it meets anyio.ClosedResourceError."""


async def dial(endpoint: Endpoint) -> Connection:
    """A connection to the engine. Raises OSError where there is none, TimeoutError after five seconds.

    Anything but a unix socket (ssh, tcp with TLS) goes through `docker system dial-stdio`, which supports
    whatever the CLI supports; one child per connection.
    """
    with anyio.fail_after(CONNECT_TIMEOUT):
        if endpoint.socket is not None:
            return _Socket(await anyio.connect_unix(endpoint.socket))
        argv = endpoint.docker_command("system", "dial-stdio")
        with trace.command(argv) as told:
            told.outcome = "goes on"
        printed = open(process.scratch(), "r+b", buffering=0)  # noqa: ASYNC230, SIM115 - in memory, as long as the child
        try:
            return _Child(await anyio.open_process(argv, stderr=printed, start_new_session=True), printed)
        except BaseException:
            printed.close()
            raise


class _Socket:
    """A socket without a stream in between: anyio's has an error on standard error where a cancel meets new data."""

    def __init__(self, stream: UNIXSocketStream) -> None:
        self._socket: socket.socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - no Django here

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._require_open()
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)

    def _require_open(self) -> None:
        if self._socket.fileno() < 0:  # another task has closed it between two of ours
            raise anyio.ClosedResourceError

    async def receive(self, size: int) -> bytes:
        while True:
            self._require_open()
            await anyio.wait_readable(self._socket)  # even where there is something: a flood must let others run
            with contextlib.suppress(BlockingIOError):
                return self._socket.recv(size)

    async def aclose(self) -> None:
        anyio.notify_closing(self._socket)
        self._socket.close()


class _Child:
    """A child's input and output as one connection, which ends with it; `printed` is its standard error."""

    def __init__(self, child: Process, printed: IO[bytes]) -> None:
        assert child.stdin is not None  # noqa: S101 - a pipe by default
        assert child.stdout is not None  # noqa: S101 - a pipe by default
        self._child, self._in, self._out, self._printed = child, child.stdin, child.stdout, printed

    async def send(self, data: bytes) -> None:
        await self._in.send(data)

    async def receive(self, size: int) -> bytes:
        with contextlib.suppress(anyio.EndOfStream):
            return await self._out.receive(size)
        with anyio.move_on_after(FAREWELL):
            await self._child.wait()
        if (self._child.returncode or 0) > 0 and (said := reason(self._words())):
            raise WayError(said)
        return b""

    def _words(self) -> str:
        if self._printed.closed:
            return ""
        size = os.fstat(self._printed.fileno()).st_size
        return os.pread(self._printed.fileno(), WORDS, max(size - WORDS, 0)).decode(errors="replace")

    async def aclose(self) -> None:
        self._printed.close()
        with anyio.CancelScope(shield=True):
            if self._child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._child.pid, signal.SIGTERM)  # `terminate` may reap it, and asyncio complains then
            await self._child.aclose()
