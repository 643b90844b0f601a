"""A proxy before the real engine that records every call and fails some of them, the same ones for the same seed.

    with Proxy(seed=7) as proxy:
        devenv("up", env={"DOCKER_HOST": proxy.host})
        proxy.chaos(20)                      # from now on 20 % of the calls fail
        proxy.calm()
        proxy.drop("/events")                # cut what is open now
        assert all(call.query["path"] == ["/"] for call in proxy.calls if call.method == "PUT")

It runs on a thread of its own: tests with and without an event loop use it alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

REAL = "/var/run/docker.sock"
CHUNK = 65536
FAULTS = ("500", "404", "reset", "cut", "torn", "stall")


@dataclass
class Call:
    """One request as it was sent; with its outcome, as far as it is known."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    stream: bytearray = field(default_factory=bytearray)  # what was sent after the connection was upgraded
    fault: str | None = None
    status: int | None = None

    @property
    def path(self) -> str:
        """The path without the query, the version included."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query, decoded."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


class SocketServer:
    """A unix socket that is served by a thread, for the block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="devenv-test-")
        self.path = str(Path(self._folder.name) / "docker.sock")
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._main(ready)), daemon=True)
        self._stop = asyncio.Event()
        self._thread.start()
        assert ready.wait(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()
        self._folder.cleanup()

    @property
    def host(self) -> str:
        """The address for DOCKER_HOST."""
        return f"unix://{self.path}"

    async def _main(self, ready: threading.Event) -> None:
        server = await asyncio.start_unix_server(self._accept, self.path)
        ready.set()
        await self._stop.wait()
        self._loop.remove_reader(server.sockets[0].fileno())
        await asyncio.sleep(0.01)  # connections that were just accepted need the server for a moment
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports end in the next round

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._guarded(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.serve(reader, writer)
        finally:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        raise NotImplementedError


class FakeEngine(SocketServer):
    """Greets as an engine does and records all calls; `play` writes the other answers."""

    def __init__(
        self, play: Callable[[Call, asyncio.StreamWriter], Awaitable[None]], versions: object = None
    ) -> None:
        super().__init__()
        self._play = play
        self._versions = versions or {"ApiVersion": "1.45", "MinAPIVersion": "1.24"}
        self.calls: list[Call] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client."""
        async for call in requests(reader):
            self.calls.append(call)
            if call.target == "/version":
                writer.write(answer(200, json.dumps(self._versions).encode()))
            else:
                await self._play(call, writer)
            await writer.drain()


class Proxy(SocketServer):
    """Passes every call on to the engine, except for those that `chaos` selects."""

    def __init__(self, *, engine: str = REAL, seed: int = 0, stall: float = 10.0) -> None:
        super().__init__()
        self.engine = engine
        self.seed = seed
        self.stall = stall
        self.calls: list[Call] = []
        self.frozen = False  # connections stay open, but no byte is passed on
        self.away = False  # every connection ends at once
        self._open: dict[int, tuple[Call, asyncio.StreamWriter]] = {}
        self._links: set[_Link] = set()
        self._stranded: set[_Link] = set()
        self.calm()

    def chaos(
        self,
        percent: float,
        faults: tuple[str, ...] = FAULTS,
        only: Callable[[Call], bool] = lambda call: not call.path.endswith("/version"),
    ) -> None:
        """Let so many of the calls fail from now on. `404`: a call that would have succeeded answers "not found".

        `reset` and `cut` are carried out by the engine, but the answer is lost. With `torn` the engine gets half of
        the body.
        """
        self._percent, self._faults, self._only = percent, faults, only

    def calm(self) -> None:
        """Let no call fail any more."""
        self.chaos(0)

    def strand(self) -> None:
        """Silence the connections that are open now for ever, as after a change of the client's address."""
        self._stranded |= self._links

    def drop(self, part: str = "") -> int:
        """Cut every open connection whose last call has `part` in its target; return their number."""
        picked = [(call, writer) for call, writer in self._open.values() if part in call.target]
        for _, writer in picked:
            self._loop.call_soon_threadsafe(writer.transport.abort)
        return len(picked)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client, with one of its own to the engine."""
        if self.away:
            return
        there, back = await asyncio.open_unix_connection(self.engine)
        link = _Link()
        self._links.add(link)
        answers = asyncio.create_task(self._answers(there, writer, link))
        stream = bytearray()  # a connection may end without a request
        try:
            async for call in requests(reader):
                stream = call.stream
                await self._thaw(link)
                self._open[id(link)] = (call, writer)
                link.call, link.left = call, None
                call.fault = self._fault(call)
                self.calls.append(call)
                if call.fault is not None and not await self._fail(call, writer, back, link):
                    return
                back.write(raw(call))
                await back.drain()
                if "upgrade" in call.headers:
                    break
            await self._pump(reader, back, stream, link)
            if back.can_write_eof():
                back.write_eof()
            await answers
        finally:
            self._open.pop(id(link), None)
            self._links.discard(link)
            answers.cancel()
            back.transport.abort()

    def _fault(self, call: Call) -> str | None:
        dice = random.Random(f"{self.seed}:{len(self.calls)}")
        if not self._only(call) or dice.random() * 100 >= self._percent:
            return None
        return dice.choice(self._faults)

    async def _fail(self, call: Call, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, link: _Link) -> bool:
        """Apply the fault; return if the engine still gets the call."""
        if call.fault in ("500", "404"):
            call.status = int(call.fault)
            writer.write(answer(call.status, b'{"message": "a planned fault"}', close=True))
            await writer.drain()
        elif call.fault == "stall":
            await asyncio.sleep(self.stall)
        elif call.fault == "torn":
            sent = raw(call)
            back.write(sent[: len(sent) - len(call.body) // 2 - 1])
            await back.drain()
        else:
            link.left = 0 if call.fault == "reset" else 60
            return True
        return False

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await there.read(CHUNK):
                await self._thaw(link)
                if link.call is not None and link.call.status is None and chunk.startswith(b"HTTP/1.1 "):
                    link.call.status = int(chunk[9:12])
                writer.write(chunk if link.left is None else chunk[: link.left])
                await writer.drain()
                if link.left is not None:
                    break
        writer.transport.abort() if link.left is not None else writer.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, seen: bytearray, link: _Link
    ) -> None:
        while chunk := await source.read(CHUNK):
            seen += chunk
            await self._thaw(link)
            sink.write(chunk)
            await sink.drain()

    async def _thaw(self, link: _Link) -> None:
        while self.frozen or link in self._stranded:  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.02)


@dataclass(eq=False)
class _Link:
    call: Call | None = None
    left: int | None = None  # the number of bytes of the answer that arrive


async def requests(reader: asyncio.StreamReader) -> AsyncIterator[Call]:
    """The requests of a connection, with their whole bodies."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines if x)}
        call = Call(method, target, headers)
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int(await reader.readline(), 16):
                call.body += await reader.readexactly(size)
                await reader.readline()
            await reader.readline()
        else:
            call.body = await reader.readexactly(int(headers.get("content-length", 0)))
        yield call


def raw(call: Call) -> bytes:
    """The request as bytes, its body in one piece."""
    headers = {k: v for k, v in call.headers.items() if k not in ("transfer-encoding", "content-length")}
    if call.body or "content-length" in call.headers:
        headers["content-length"] = str(len(call.body))
    lines = [f"{call.method} {call.target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + call.body


def answer(status: int, body: bytes = b"", *, close: bool = False) -> bytes:
    """An answer as bytes."""
    end = "Connection: close\r\n" if close else ""
    head = f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{end}\r\n"
    return head.encode() + body
