"""Send and receive large bodies in a thread: an event loop takes more than twice the processor time."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Generator, Iterator

import h11

HEAD_CHUNK = 1 << 16
BUFFER = 1 << 18  # bytes; a chunk of a body is smaller

FIRST_ERROR = 300  # no redirects are followed

Take = Callable[[memoryview], object]
Status = tuple[int, bytes]  # and the body of the answer, if it is an error


class OwnError(Exception):
    """What takes or gives the pieces has raised `error`; the connection did not fail."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class BodyError(ValueError):
    """The answer is not HTTP with a chunked body."""


def download(connection: socket.socket, head: h11.Request, take: Take, *, idle: float) -> Status:
    """Send a request without a body; pass the body of the answer to `take`, in pieces valid until it returns.

    Return the status, and the body of an error answer, of which `take` gets nothing. Blocking. Raises OSError if the
    connection fails or is silent for `idle` seconds, ConnectionError if it ends too early, BodyError; OwnError if
    `take` raises.
    """

    def pass_on(piece: memoryview) -> None:
        with _own_errors():
            take(piece)

    connection.settimeout(idle)
    http = h11.Connection(h11.CLIENT)
    try:
        connection.sendall((http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b""))
        answer = _next(connection, http)
        if not isinstance(answer, h11.Response):
            raise BodyError("the answer has no head")
        if answer.status_code >= FIRST_ERROR:
            return answer.status_code, b"".join(_pieces(connection, http))
        if dict(answer.headers).get(b"transfer-encoding", b"").lower() == b"chunked":
            _chunks(connection, http.trailing_data[0], pass_on)
        else:
            for piece in _pieces(connection, http):
                pass_on(memoryview(piece))
    except h11.RemoteProtocolError as error:
        raise BodyError(str(error)) from error
    return answer.status_code, b""


def upload(connection: socket.socket, head: h11.Request, pieces: Generator[bytes], *, idle: float) -> Status:
    """Send a request whose body has these pieces in chunks; return the status, and the body of the answer.

    The generator is closed. An engine that refuses the body may close the connection before it has read it all: its
    answer is read. Blocking. Raises as `download`; OwnError if the generator raises.
    """
    connection.settimeout(idle)
    http = h11.Connection(h11.CLIENT)
    try:
        start, end = http.send(head) or b"", http.send(h11.EndOfMessage()) or b""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(start)
            for piece in _own(pieces):
                connection.sendall(b"%x\r\n" % len(piece))
                connection.sendall(piece)
                connection.sendall(b"\r\n")
            connection.sendall(end)
        answer = _next(connection, http)
        if not isinstance(answer, h11.Response):
            raise BodyError("the answer has no head")
        return answer.status_code, b"".join(_pieces(connection, http))
    except h11.RemoteProtocolError as error:
        raise BodyError(str(error)) from error


def _own(pieces: Generator[bytes]) -> Iterator[bytes]:
    """The pieces that are not empty. Raises OwnError."""
    with contextlib.closing(pieces), _own_errors():
        yield from filter(None, pieces)


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise OwnError(error) from error


def _next(connection: socket.socket, http: h11.Connection) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        if not (data := connection.recv(HEAD_CHUNK)):
            raise ConnectionError("the connection ended before the answer")
        http.receive_data(data)
    return event


def _pieces(connection: socket.socket, http: h11.Connection) -> Iterator[bytes]:
    while isinstance(event := _next(connection, http), h11.Data):
        yield bytes(event.data)


def _chunks(connection: socket.socket, left: bytes, take: Take) -> None:
    """Pass the content of a chunked body on, whose first bytes have arrived."""
    buffer = bytearray(max(BUFFER, len(left)))
    view, filled, wanted = memoryview(buffer), len(left), 0  # wanted: bytes of the current chunk that are to come
    buffer[:filled] = left
    is_first = True
    while True:
        at = 0
        while at < filled:
            if wanted:
                size = min(wanted, filled - at)
                take(view[at : at + size])
                at, wanted = at + size, wanted - size
                continue
            begin = at if is_first else at + 2  # after the line end of the chunk before
            end = buffer.find(b"\r\n", begin, filled)
            if end < 0:
                break
            with contextlib.suppress(ValueError):
                wanted = int(buffer[begin:end].partition(b";")[0], 16)
                if not wanted:
                    return
            if wanted <= 0:
                raise BodyError("the length of a chunk is not a number")
            at, is_first = end + 2, False
        rest = filled - at
        buffer[:rest] = buffer[at:filled]
        if rest == len(buffer):
            raise BodyError("the length of a chunk does not end")
        if not (size := connection.recv_into(view[rest:])):
            raise ConnectionError("the connection ended before the answer")
        filled = rest + size
