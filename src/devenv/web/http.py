"""A small HTTP/1.1 server for one page on this machine: one request for each connection, with limits on all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import field

import anyio
import h11
from anyio.abc import ByteStream

from devenv.lazy_dataclass import dataclass
from devenv.web.access import Request

HEAD = 16 * 1024  # bytes of the head of a request
BODY = 4 * 1024
PATIENCE = 5.0  # seconds for the head, and for the body of a request, and for its answer
CONNECTIONS = 64
PIECE = HEAD  # bytes that are read at once
LINGER = 0.5  # seconds in which what a refused client still sends is read, so that it can read its answer
GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, h11.ProtocolError)
REASONS = {
    200: "OK", 303: "See Other",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 409: "Conflict", 411: "Length Required", 413: "Content Too Large",
    415: "Unsupported Media Type", 421: "Misdirected Request", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 502: "Bad Gateway",
}  # fmt: skip
Headers = Iterable[tuple[str, str]]


class BadRequest(Exception):  # noqa: N818 - the name in HTTP
    """A request that cannot be read, with the status of its answer."""

    def __init__(self, status: int) -> None:
        super().__init__(REASONS[status])
        self.status = status


@dataclass
class HttpExchange:
    """A request and its answer."""

    request: Request
    _connection: h11.Connection
    _stream: ByteStream
    _began: bool = field(default=False, init=False)

    @property
    def has_answer(self) -> bool:
        """Whether the answer has begun."""
        return self._began

    async def body(self) -> bytes:
        """The body of the request. Raises BadRequest if it is too long or too slow."""
        length = int(self.request.header("content-length") or 0)
        if length > BODY:
            raise BadRequest(413)
        body = b""
        with _in_time():
            while isinstance(event := await next_event(self._connection, self._stream), h11.Data):
                body += event.data
        if not isinstance(event, h11.EndOfMessage):
            raise BadRequest(400)
        return body

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer at once."""
        self._began = True
        parts = (self._head(status, [*headers, ("Content-Length", str(len(body)))]), h11.Data(data=body))
        sent = [self._connection.send(part) for part in (*parts, h11.EndOfMessage())]
        await self._stream.send(b"".join(filter(None, sent)))

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head of the answer; a body without a length is chunked."""
        self._began = True
        await self._send(self._head(status, headers))

    async def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        if data:
            await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """End the answer."""
        await self._send(h11.EndOfMessage())

    async def until_closed(self) -> None:
        """Return once the client has closed its connection."""
        with contextlib.suppress(*GONE):
            while True:
                await self._stream.receive(PIECE)

    def _head(self, status: int, headers: Headers) -> h11.Response:
        everything = [*headers, ("Connection", "close")]
        return h11.Response(status_code=status, headers=everything, reason=REASONS[status].encode())

    async def _send(self, event: h11.Event) -> None:
        data = self._connection.send(event)
        if data:
            await self._stream.send(data)


Handle = Callable[[HttpExchange], Awaitable[None]]


class HttpServer:
    """Answers each connection by `handle`.

    `refuse` answers a request that cannot be read; `report` is called with an error of ours, which ends no run.
    """

    def __init__(
        self,
        handle: Handle,
        refuse: Callable[[HttpExchange, int], Awaitable[None]],
        report: Callable[[Exception], object],
    ) -> None:
        self._handle = handle
        self._refuse = refuse
        self._report = report
        self._open = 0

    async def connected(self, stream: ByteStream) -> None:
        """Serve one connection; the connection is closed at once if there are too many."""
        async with stream:
            if self._open >= CONNECTIONS:
                return
            self._open += 1
            try:
                with contextlib.suppress(*GONE):
                    await self._serve(stream)
            finally:
                self._open -= 1

    async def _serve(self, stream: ByteStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD)
        exchange = HttpExchange(Request("", "", ()), connection, stream)
        try:
            with _in_time():
                event = await next_event(connection, stream)
            if not isinstance(event, h11.Request):
                return
            exchange.request = request_of(event)
            await self._handle(exchange)
        except (BadRequest, h11.RemoteProtocolError) as error:
            await self._refused(exchange, _status(error))
        except GONE:
            return
        except Exception as error:  # noqa: BLE001 - as above
            self._report(error)
            await self._refused(exchange, 500)
        await _linger(stream)

    async def _refused(self, exchange: HttpExchange, status: int) -> None:
        if not exchange.has_answer:
            with anyio.move_on_after(PATIENCE):
                await self._refuse(exchange, status)


def request_of(event: h11.Request) -> Request:
    """The head of the request as text."""
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
    return Request(event.method.decode("latin-1"), event.target.decode("latin-1"), headers)


async def next_event(connection: h11.Connection, stream: ByteStream) -> h11.Event | type:
    """The next event of the request. Raises h11.RemoteProtocolError."""
    while (event := connection.next_event()) is h11.NEED_DATA:
        try:
            data = await stream.receive(PIECE)
        except anyio.EndOfStream:
            data = b""
        connection.receive_data(data)
    return event


def _status(error: Exception) -> int:
    status = error.status if isinstance(error, BadRequest) else getattr(error, "error_status_hint", 400)
    return status if status in REASONS else 400


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """Raises BadRequest if the block takes too long."""
    with anyio.move_on_after(PATIENCE) as scope:
        yield
    if scope.cancelled_caught:
        raise BadRequest(408)


async def _linger(stream: ByteStream) -> None:
    """Close our side, and read a little more: an unread rest would discard the answer."""
    with contextlib.suppress(*GONE), anyio.move_on_after(LINGER):
        if isinstance(stream, anyio.abc.SocketStream):
            await stream.send_eof()
        for _ in range(16):
            await stream.receive(PIECE)
