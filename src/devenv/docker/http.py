"""HTTP/1.1 over any stream of bytes: connections that are kept open, time limits on silence, upgrades."""

from __future__ import annotations

import contextlib
import functools
import mmap
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Self

import anyio
import anyio.to_thread
import h11

from devenv.docker import trace
from devenv.docker.download import FIRST_ERROR, BodyError, Take, download
from devenv.docker.endpoint import Connection

CHUNK = 65536
LARGE_CHUNK = 4 * CHUNK  # of a body that may have gigabytes
PIECE = 1 << 20
KEPT = 8
KEPT_SILENCE = 8.0  # seconds without an answer after which a kept connection counts as lost
HEAD_TIMEOUT = 30.0
REPEATABLE = ("GET", "HEAD", "DELETE")
TAR = "application/x-tar"
SWITCHING = 101

Body = bytes | mmap.mmap | AsyncIterable[bytes]
Dial = Callable[[], Awaitable[Connection]]


class LostError(ConnectionError):
    """The connection failed, or ended before the answer was complete."""


class GarbledError(ValueError):
    """The answer is not HTTP."""


class Exchange:
    """A connection with its current call: `status`, `date` and `stat` of the answer, and the rest of its body."""

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.date = ""
        self.stat = b""
        self._connection = connection
        self._http = h11.Connection(h11.CLIENT)
        self._idle: float | None = None
        self._ended = False
        self._left = b""
        self._is_raw = False
        self._is_over = False
        self._ready = deque[bytes]()

    async def ask(self, head: h11.Request, body: Body, idle: float | None, *, by_chunks: bool = False) -> Self:
        """Send a request and read the head of the answer, which must be complete within the idle time.

        An engine may refuse the request and close the connection before it has the whole body: its answer is read.
        `by_chunks`: if the body of the answer is chunked, it is read without h11, and its connection is not kept.
        """
        self._idle = idle
        try:
            await (self._flow(head, body) if isinstance(body, AsyncIterable) else self._whole(head, body))
        except LostError:
            self._http.send_failed()
        with anyio.fail_after(idle or HEAD_TIMEOUT):
            answer = await self._event()
            while isinstance(answer, h11.InformationalResponse) and answer.status_code != SWITCHING:
                answer = await self._event()
        assert isinstance(answer, (h11.Response, h11.InformationalResponse))  # noqa: S101 - h11's order of events
        self.status = answer.status_code
        fields = dict(answer.headers)
        self.date = fields.get(b"date", b"").decode("ascii", "replace")
        self.stat = fields.get(b"x-docker-container-path-stat", b"")
        is_chunked = fields.get(b"transfer-encoding", b"").lower() == b"chunked"
        self._is_raw = is_chunked and (by_chunks or self._idle is None)
        if self.status == SWITCHING or self._is_raw:
            self._left = self._http.trailing_data[0]
        if self.status == SWITCHING:
            self._idle = None
        return self

    async def _whole(self, head: h11.Request, body: bytes | mmap.mmap) -> None:
        parts: list[bytes | mmap.mmap] = []
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):  # type: ignore[arg-type] # anything with a length
            parts += self._http.send_with_data_passthrough(event) or []
        await self.send(b"".join(parts) if len(body) < PIECE else parts)

    async def _flow(self, head: h11.Request, body: AsyncIterable[bytes]) -> None:
        await self.send(self._http.send(head) or b"")
        async for chunk in body:
            await self.send(self._http.send(h11.Data(data=chunk)) or b"")
        await self.send(self._http.send(h11.EndOfMessage()) or b"")

    async def send(self, data: bytes | Sequence[bytes | mmap.mmap]) -> None:
        """Send bytes in pieces, each within the idle time. Raises LostError if the connection failed."""
        with _lost():
            for part in [data] if isinstance(data, bytes) else data:
                for start in range(0, len(part), PIECE):
                    with anyio.fail_after(self._idle):
                        whole = isinstance(part, bytes) and len(part) <= PIECE
                        await self._connection.send(bytes(part) if whole else part[start : start + PIECE])

    async def receive(self, size: int = CHUNK) -> bytes:
        """The next bytes on the connection; none at its end. Raises LostError if the connection failed."""
        with _lost(), anyio.fail_after(self._idle):
            return await self._connection.receive(size)

    async def chunk(self) -> bytes:
        """The next bytes of the body or of the upgraded connection; none at the end.

        For a chunked body that may be silent (a log, events), one chunk; for one that is read `by_chunks`, all that
        have arrived. Raises LostError if the body is cut off.
        """
        if self.status == SWITCHING:
            left, self._left = self._left, b""
            return left or await self.receive()
        if self._is_raw:
            return await self._chunks()
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _chunks(self) -> bytes:
        """The next chunk, without h11, which is slow for one chunk per line of a log, and for gigabytes."""
        while not self._ready and not self._is_over:
            chunks, self._left, self._is_over = _unchunked(self._left)
            if chunks and self._idle is not None:  # their limits mean nothing: fewer and larger pieces are faster
                chunks = [b"".join(chunks)]
            self._ready.extend(chunks)
            if not chunks and not self._is_over:
                if not (data := await self.receive(LARGE_CHUNK)):
                    raise LostError("the connection ended before the answer")
                self._left += data
        return self._ready.popleft() if self._ready else b""

    async def read(self) -> bytes:
        """The whole body."""
        chunks = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return b"".join(chunks)

    async def _event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = await self.receive()
                self._ended = not data
                self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            if self._ended:
                raise LostError("the connection ended before the answer") from error
            raise GarbledError(str(error)) from error
        return event

    def renewed(self) -> bool:
        """Whether the call is complete; if so, the connection is ready for the next call."""
        is_complete = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if is_complete:
            self._http.start_next_cycle()
        return is_complete

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.aclose()


class Client:
    """Calls to an engine, over connections that are kept open."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._kept: list[Exchange] = []
        self._open: set[Exchange] = set()

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

    async def download(self, target: str, take: Take, *, idle: float) -> tuple[int, bytes]:
        """Pass the body of the answer to a GET to `take` in pieces, which are valid until it returns, in a thread.

        Return the status, and the body of an error answer. Errors as of `request`, and those of `take`.
        """
        with _lost():
            connection = await self._dial()
        if (plain := connection.plain) is None:
            await connection.aclose()
            async with self.request("GET", target, idle=idle, by_chunks=True) as answer:
                while answer.status < FIRST_ERROR and (chunk := await answer.chunk()):
                    await anyio.to_thread.run_sync(take, memoryview(chunk))
                return answer.status, await answer.read() if answer.status >= FIRST_ERROR else b""
        exchange, errors = Exchange(connection), list[Exception]()

        def passed_on(piece: memoryview) -> None:
            try:
                take(piece)
            except Exception as error:  # not of the connection
                errors.append(error)
                raise BodyError from error

        self._open.add(exchange)
        try:
            with trace.call("GET", target) as span, _lost():
                head = _head("GET", target, b"", upgrade=False, headers={})
                work = functools.partial(download, plain, head, passed_on, idle=idle)
                status, body = await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
                span.outcome = str(status)
                return status, body
        except BodyError as error:
            raise errors[0] if errors else GarbledError(str(error)) from error
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
        with _lost():
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


def _unchunked(data: bytes) -> tuple[list[bytes], bytes, bool]:
    """(complete chunks, remaining bytes, whether the last chunk has arrived). Raises GarbledError."""
    parts: list[bytes] = []
    at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        begin = end + 2
        try:
            stop = begin + int(data[at:end].partition(b";")[0], 16)
        except ValueError as error:
            raise GarbledError(str(error)) from error
        if stop <= begin or len(data) < stop + 2:
            return parts, data[at:], stop <= begin
        parts.append(data[begin:stop])
        at = stop + 2
    return parts, data[at:], False


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
        raise LostError(str(error) or "the connection broke") from error
