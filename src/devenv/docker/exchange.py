"""Calls on one connection: HTTP/1.1 over any stream of bytes, with time limits on silence, and upgrades."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import AsyncIterable, Iterator, Sequence
from typing import Self

import anyio
import h11

from devenv.docker.connection import Connection

CHUNK = 65536
LARGE_CHUNK = 4 * CHUNK  # of a body that may have gigabytes
PIECE = 1 << 20
HEAD_TIMEOUT = 30.0
SWITCHING = 101

Body = bytes | mmap.mmap | AsyncIterable[bytes]


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
        self.connection = connection
        self._http = h11.Connection(h11.CLIENT)
        self._idle: float | None = None
        self._ended = False
        self._left = b""
        self._is_raw = False
        self._is_over = False

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
        with translated():
            for part in [data] if isinstance(data, bytes) else data:
                for start in range(0, len(part), PIECE):
                    with anyio.fail_after(self._idle):
                        whole = isinstance(part, bytes) and len(part) <= PIECE
                        await self.connection.send(bytes(part) if whole else part[start : start + PIECE])

    async def receive(self, size: int = CHUNK) -> bytes:
        """The next bytes on the connection; none at its end. Raises LostError if the connection failed."""
        with translated(), anyio.fail_after(self._idle):
            return await self.connection.receive(size)

    async def chunk(self) -> bytes:
        """The next bytes of the body or of the upgraded connection; none at the end.

        The chunks of a body, whose limits mean nothing, are joined if several have arrived: fewer and larger pieces
        are faster. Raises LostError if the body is cut off.
        """
        if self.status == SWITCHING:
            left, self._left = self._left, b""
            return left or await self.receive()
        if self._is_raw:
            return await self._chunks()
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _chunks(self) -> bytes:
        """The next chunks, without h11, which is slow for one chunk per line of a log, and for gigabytes."""
        while not self._is_over:
            chunks, self._left, self._is_over = _unchunked(self._left)
            if chunks:
                return b"".join(chunks)
            if not self._is_over:
                if not (data := await self.receive(LARGE_CHUNK)):
                    raise LostError("the connection ended before the answer")
                self._left += data
        return b""

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
        await self.connection.aclose()


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
def translated() -> Iterator[None]:
    """Raise LostError if the connection fails."""
    try:
        yield
    except TimeoutError:
        raise
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
        raise LostError(str(error) or "the connection broke") from error
