"""Calls to an engine, over connections that are kept open."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Mapping
from functools import partial

import anyio
import anyio.to_thread
import h11

from devenv.docker import trace
from devenv.docker.bulk import FIRST_ERROR, BodyError, OwnError, Status, Take, download, upload
from devenv.docker.connection import Connection
from devenv.docker.exchange import HEAD_TIMEOUT, Body, Exchange, GarbledError, LostError, translated

KEPT = 8
AHEAD = 4
KEPT_SILENCE = 8.0  # seconds without an answer after which a kept connection counts as lost
REPEATABLE = ("GET", "HEAD", "DELETE")
TAR = "application/x-tar"

Dial = Callable[[], Awaitable[Connection]]


class Client:
    """Calls to an engine, over connections that are kept open."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._kept: list[Exchange] = []
        self._open: set[Exchange] = set()

    async def open_ahead(self) -> None:
        """Open connections for the next calls, if to open one takes long. Raises LostError, TimeoutError."""
        for _ in range(AHEAD):
            self._kept.append(await self._connect())

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        target: str,
        *,
        body: Body = b"",
        idle: float | None,
        upgrade: bool = False,
        by_chunks: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Exchange]:
        """The answer to a call, whose body is not read yet. `idle` in seconds; None for streams that may be silent.

        An iterable body is sent in its own pieces. `by_chunks`: as for `Exchange.ask`. Raises LostError, TimeoutError
        or GarbledError.
        """
        with trace.call(method, target) as span:
            head = _head(method, target, body, upgrade=upgrade, headers=headers or {})
            async with self._asked(method, head, body, idle, by_chunks=by_chunks) as answer:
                span.outcome = str(answer.status)
                if idle is None or upgrade:
                    span.end(span.outcome)  # reported now: the body may have no end
                yield answer

    async def download(self, target: str, take: Take, *, idle: float) -> Status:
        """Pass the body of the answer to a GET to `take` in pieces, which are valid until it returns, in a thread.

        Return the status, and the body of an error answer. Errors as of `request`, and those of `take`.
        """
        async with self._plain() as plain:
            if plain is not None:
                head = _head("GET", target, b"", upgrade=False, headers={})
                return await _in_thread("GET", target, partial(download, plain, head, take, idle=idle))
        async with self.request("GET", target, idle=idle, by_chunks=True) as answer:
            while answer.status < FIRST_ERROR and (chunk := await answer.chunk()):
                await anyio.to_thread.run_sync(take, memoryview(chunk))
            return answer.status, await answer.read() if answer.status >= FIRST_ERROR else b""

    async def upload(self, target: str, pieces: Generator[bytes], *, idle: float) -> Status:
        """PUT a body that is read in a thread; return the status, and the body of the answer.

        The generator is closed. Errors as of `request`, and those of `pieces`.
        """

        async def read() -> AsyncIterator[bytes]:
            while piece := await anyio.to_thread.run_sync(next, pieces, b""):
                yield piece

        async with self._plain() as plain:
            if plain is not None:
                head = _head("PUT", target, read(), upgrade=False, headers={})
                return await _in_thread("PUT", target, partial(upload, plain, head, pieces, idle=idle))
        with contextlib.closing(pieces):
            async with self.request("PUT", target, body=read(), idle=idle) as answer:
                return answer.status, await answer.read()

    @contextlib.asynccontextmanager
    async def _plain(self) -> AsyncIterator[socket.socket | None]:
        """The socket of a new connection, for a thread; None if connections are no sockets: the next call uses it."""
        exchange = await self._connect()
        if exchange.connection.plain is None:  # a login by ssh, maybe
            self._kept.append(exchange)
            yield None
            return
        self._open.add(exchange)
        try:
            yield exchange.connection.plain
        finally:
            await self._end(exchange)

    @contextlib.asynccontextmanager
    async def _asked(
        self, method: str, head: h11.Request, body: Body, idle: float | None, *, by_chunks: bool
    ) -> AsyncIterator[Exchange]:
        # The engine may close a kept connection at any time, which only the next call notices: that call must be
        # repeatable.
        is_once = method == "POST" or isinstance(body, AsyncIterable)
        kept_exchange = self._kept.pop() if self._kept and not is_once else None
        exchange = kept_exchange or await self._connect()
        try:
            self._open.add(exchange)
            try:
                with anyio.fail_after(None if kept_exchange is None else _patience(method, idle)):
                    await exchange.ask(head, body, idle, by_chunks=by_chunks)
            except (LostError, TimeoutError) as error:
                if kept_exchange is None or exchange not in self._open:
                    raise
                await self._end(exchange)
                if isinstance(error, TimeoutError):
                    await self._end_kept()  # a network failure affects all kept connections
                    if method not in REPEATABLE:
                        raise
                exchange = await self._connect()
                self._open.add(exchange)
                await exchange.ask(head, body, idle, by_chunks=by_chunks)
            yield exchange
            if exchange.renewed() and len(self._kept) < KEPT:
                self._open.discard(exchange)
                self._kept.append(exchange)
        finally:
            if exchange in self._open:
                await self._end(exchange)

    async def _connect(self) -> Exchange:
        with translated():
            return Exchange(await self._dial())

    async def _end(self, exchange: Exchange) -> None:
        self._open.discard(exchange)
        await exchange.aclose()

    async def _end_kept(self) -> None:
        kept, self._kept = self._kept, []
        for exchange in kept:
            await exchange.aclose()

    async def aclose(self) -> None:
        """Close all connections; calls in progress fail with LostError."""
        in_use, self._open = self._open, set()
        await self._end_kept()
        for exchange in in_use:
            await exchange.aclose()


def _head(method: str, target: str, body: Body, *, upgrade: bool, headers: Mapping[str, str]) -> h11.Request:
    fields = [
        ("Host", "docker"),
        ("Content-Type", TAR if method == "PUT" else "application/json"),
        ("Transfer-Encoding", "chunked") if isinstance(body, AsyncIterable) else ("Content-Length", str(len(body))),
        *headers.items(),
    ]
    fields += [("Connection", "Upgrade"), ("Upgrade", "tcp")] if upgrade else []
    return h11.Request(method=method, target=target, headers=fields)


def _patience(method: str, idle: float | None) -> float | None:
    """Seconds for the head of an answer on a kept connection; None: as many as on a new connection.

    Removals, and calls that may take long, must not be repeated because they are slow.
    """
    limit = idle or HEAD_TIMEOUT
    return min(KEPT_SILENCE, limit) if method in ("GET", "HEAD") and limit <= HEAD_TIMEOUT else None


async def _in_thread(method: str, target: str, call: Callable[[], Status]) -> Status:
    with trace.call(method, target) as span, translated():
        try:
            status, body = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        except OwnError as error:
            raise error.error from None
        except BodyError as error:
            raise GarbledError(str(error)) from error
        span.outcome = str(status)
        return status, body
