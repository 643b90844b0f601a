"""The product's own client of the Engine API, connected to an engine in memory."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import email.utils
import io
import json
import struct
import tarfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import Any, Self, TypeVar, cast
from urllib.parse import parse_qsl, unquote

import anyio
from anyio.lowlevel import checkpoint

from devenv.docker.client import Engine
from devenv.docker.containers import MODE_LINK
from devenv.docker.endpoint import Endpoint
from devenv.docker.exchange import Body, LostError
from devenv.docker.http import Client
from devenv.docker.transport import CallError
from support.memory.faults import Fails, Fault, Faults
from support.memory.host import Container, MemoryHost, shown
from support.memory.refusal import Refused
from support.memory.routes import answer

SWITCHING = 101
CHUNK = 1 << 16
HEADER = struct.Struct(">BxxxL")
T = TypeVar("T")
OK = 200
MEMORY = Endpoint("unix:///run/memory.sock")


class MemoryAnswer:
    """The answer to a call: as `docker.http.Exchange`."""

    def __init__(self, status: int, date: str, body: bytes | AsyncIterator[bytes], *, is_cut: bool = False) -> None:
        self.status = status
        self.date = date
        self.stat = b""
        self._body = body
        self._at = 0
        self._is_cut = is_cut

    async def chunk(self) -> bytes:
        """The next piece of the body; empty at the end. Raises LostError if it is cut off."""
        begin, self._at = self._at, self._at + CHUNK
        if self._is_cut and (begin or isinstance(self._body, bytes)):  # the first piece of a stream has arrived
            raise LostError("the connection ended before the answer")
        return self._body[begin : self._at] if isinstance(self._body, bytes) else await anext(self._body, b"")

    async def read(self) -> bytes:
        """The whole body."""
        chunks = []
        while piece := await self.chunk():
            chunks.append(piece)
        return b"".join(chunks)

    async def send(self, _: bytes) -> None:
        """Raise LostError: there is no shell in memory."""
        raise LostError("the process has ended")


def _stat(tar: object) -> bytes:
    """The header of an archive request that describes the path."""
    assert isinstance(tar, bytes)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        first = archive.next()
    assert first is not None
    changed = dt.datetime.fromtimestamp(first.mtime, dt.UTC).isoformat()
    status = {"mode": MODE_LINK if first.issym() else 0, "size": first.size, "mtime": changed}
    return base64.b64encode(json.dumps(status).encode())


class MemoryClient(Client):
    """Calls to one engine in memory: as `docker.http.Client`."""

    def __init__(self, host: MemoryHost, faults: Faults) -> None:
        super().__init__(_no_dial)
        self.host = host
        self.faults = faults
        self._executions: dict[str, tuple[Container, dict[str, Any], int]] = {}

    @contextlib.asynccontextmanager
    async def request(  # type: ignore[override]
        self,
        method: str,
        target: str,
        *,
        body: Body = b"",
        idle: float | None,
        **_more: Any,
    ) -> AsyncIterator[MemoryAnswer]:
        """The answer to a call. Raises LostError or TimeoutError."""
        path, _, text = target.partition("?")
        path = path.partition("/v1.")[2].partition("/")[2] if path.startswith("/v1.") else path.lstrip("/")
        query = dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape")) if text else {}
        if isinstance(body, AsyncIterable):
            body = b"".join([piece async for piece in body])
        yield await self.asked(method, path, query, bytes(body), idle)

    async def asked(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, idle: float | None
    ) -> MemoryAnswer:
        """The answer, after the faults of this request."""
        status, content_, is_cut = await self.answered(method, path, query, body, idle)
        date = email.utils.formatdate(self.host.now / 1e9, usegmt=True) if path == "_ping" else ""
        content: Any = content_ if isinstance(content_, (bytes, AsyncIterator)) else json.dumps(content_).encode()
        reply = MemoryAnswer(status, date, content, is_cut=is_cut)
        if method == "HEAD" and status == OK:
            reply.stat = _stat(answer(self.host, "GET", unquote(path), query, body)[1])
        return reply

    async def answered(
        self, method: str, path: str, query: Mapping[str, str], body: bytes, idle: float | None
    ) -> tuple[int, Any, bool]:
        """Status and body of the answer, and whether that is lost on its way."""
        request = f"devenv {method} {path}"
        fault = self.faults.next(request)
        await self.before(request, fault, idle)
        try:
            status, content = (
                (fault.status, {"message": fault.reason})
                if isinstance(fault, Fails)
                else self._streamed(method, path, query, body)
                or answer(self.host, method, unquote(path), query, body)
            )
        except Refused as error:
            status, content = error.status, {"message": error.reason}
        if fault is Fault.KILLED_AFTER:
            raise self.faults.crash(request)
        return status, content, fault is Fault.LOST

    async def before(self, request: str, fault: Fault | Fails | None, idle: float | None) -> None:
        """Apply the fault that happens before the engine gets the request."""
        await checkpoint()
        if fault is Fault.KILLED_BEFORE:
            raise self.faults.crash(request)
        if fault is Fault.HANGS:
            with anyio.fail_after(idle):
                await anyio.sleep_forever()
        if fault is Fault.REFUSED or self.host.is_away:
            raise LostError("[Errno 111] Connection refused")

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""

    # --- streams and commands -------------------------------------------------------------------------------

    def _streamed(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, Any] | None:
        match method, path.split("/"):
            case "GET", ["events"]:
                return 200, self._events(query)
            case "GET", ["containers", name, "logs"]:
                return 200, self._logs(self.host.container(name), query)
            case "POST", ["containers", name, "exec"]:
                return 201, {"Id": self._wished(self.host.container(name), json.loads(body))}
            case "POST", ["exec", key, "start"]:
                return SWITCHING, self._executed(key)
            case "GET", ["exec", key, "json"]:
                return 200, {"ID": key, "Running": False, "ExitCode": self._executions[key][2]}
        return None

    async def _events(self, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        filters = {key: [*value] for key, value in json.loads(query.get("filters") or "{}").items()}
        kinds, labels, actions = filters.get("type"), filters.get("label", ()), filters.get("event")
        wanted = [label.partition("=") for label in labels]
        at = len(self.host.events)
        if since := query.get("since"):
            after = float(since) * 1e9
            at = next((i for i, e in enumerate(self.host.events) if e["timeNano"] >= after), at)
        lives = self.host.lives
        while not self.host.is_away and self.host.lives == lives:
            while at < len(self.host.events):
                event = self.host.events[at]
                at += 1
                its = event["Actor"]["Attributes"]
                fits = all(key in its and (not equals or its[key] == value) for key, equals, value in wanted)
                action = event["Action"].partition(":")[0]  # the action of `health_status: healthy`
                if fits and (not kinds or event["Type"] in kinds) and (not actions or action in actions):
                    yield json.dumps(event).encode() + b"\n"
            await self.host.changed()

    async def _logs(self, container: Container, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        tail, since = query.get("tail", "all"), float(query.get("since") or 0) * 1e9
        at = 0 if tail == "all" else max(len(container.log) - int(tail), 0)
        follows, times = query.get("follow") == "1", query.get("timestamps") == "1"
        while True:
            for stream, moment, line in container.log[at:]:
                if moment >= since:
                    text = (f"{shown(moment)} {line}\n" if times else f"{line}\n").encode()
                    yield text if container.wish.get("Tty") else HEADER.pack(stream, len(text)) + text
            at = len(container.log)
            if not follows or not container.running or self.host.containers.get(container.id) is not container:
                return
            await self.host.changed()

    def _wished(self, container: Container, wish: dict[str, Any]) -> str:
        if not container.running:
            raise Refused(409, f"container {container.id} is not running")
        key = self.host.new_id()
        self._executions[key] = (container, wish, 0)
        return key

    def _executed(self, key: str) -> AsyncIterator[bytes]:
        container, wish, _ = self._executions[key]
        code, output = self.host.execution(container, wish["Cmd"], wish)
        self._executions[key] = (container, wish, code)
        pieces = [(1, output)] if isinstance(output, bytes) else output

        async def frames() -> AsyncIterator[bytes]:
            for stream, piece in pieces:
                if piece:
                    yield HEADER.pack(stream, len(piece)) + piece

        return frames()


class _NoConnection:
    """What a dialled connection is in memory: requests do not use it."""

    plain = None

    async def aclose(self) -> None:
        """Do nothing."""


async def _no_dial() -> Any:
    return _NoConnection()


class MemoryEngine(Engine):
    """One engine in memory, used by the product's own client."""

    def __init__(self, host: MemoryHost, endpoint: Endpoint = MEMORY, faults: Faults | None = None) -> None:
        self.host = host
        self.faults = faults or Faults()
        self.client = MemoryClient(host, self.faults)
        super().__init__(self.client, endpoint)
        self._version, self.platform, self.kernel = "/v1.45", "linux/amd64", "memory"

    async def ask(
        self, path: str, action: str, read: Callable[[Any], T], query: Mapping[str, str] | None = None, **options: Any
    ) -> T:
        """Like `Engine.ask`, without HTTP and JSON, which would take most of the time in memory."""
        idle = options.get("total") or self.idle + options.get("extra", 0.0)
        with self.translate_errors(action):
            status, content, is_cut = await self.client.answered("GET", path, query or {}, b"", idle)
            if is_cut:
                raise LostError("the connection ended before the answer")
            if status >= 300:
                raise CallError(status, content["message"], action)
            return read(content)

    @classmethod
    @contextlib.asynccontextmanager
    async def on(
        cls, host: MemoryHost, endpoint: Endpoint = MEMORY, faults: Faults | None = None
    ) -> AsyncIterator[Self]:
        """A connected engine: as `Engine.connect`."""
        engine = cls(host, endpoint, faults)
        await engine._negotiate()
        yield engine


def factory(host: MemoryHost) -> Callable[..., Any]:
    """The replacement for `Engine.connect`."""
    return cast("Callable[..., Any]", lambda endpoint=None: MemoryEngine.on(host, endpoint or MEMORY))
