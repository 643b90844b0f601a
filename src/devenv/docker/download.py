"""Read the large body of an answer in a thread: an event loop takes more than twice the processor time."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import h11

HEAD_CHUNK = 1 << 16
BUFFER = 1 << 18  # bytes; a chunk of a body is smaller

FIRST_ERROR = 300  # no redirects are followed

Take = Callable[[memoryview], object]


class BodyError(ValueError):
    """The answer is not HTTP with a chunked body."""


def download(connection: socket.socket, head: h11.Request, take: Take, *, idle: float) -> tuple[int, bytes]:
    """Send a request without a body; pass the body of the answer to `take`, in pieces valid until it returns.

    Return the status, and the body of an error answer, of which `take` gets nothing. Blocking. Raises OSError if the
    connection fails or is silent for `idle` seconds, ConnectionError if it ends too early, BodyError.
    """
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
            _chunks(connection, http.trailing_data[0], take)
        else:
            for piece in _pieces(connection, http):
                take(memoryview(piece))
    except h11.RemoteProtocolError as error:
        raise BodyError(str(error)) from error
    return answer.status_code, b""


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
