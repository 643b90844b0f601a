"""Large bodies, read in a thread from a real socket."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Generator, Iterator

import h11
import pytest

from devenv.docker.bulk import BUFFER, BodyError, OwnError, download, upload

HEAD = h11.Request(method="GET", target="/x", headers=[("Host", "docker")])
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DICE = random.Random(3)
CONTENT = DICE.randbytes(3 * BUFFER)


def chunked(content: bytes, sizes: Iterator[int], extension: bytes = b"") -> bytes:
    """The content in chunks of these sizes."""
    body, at = b"", 0
    while at < len(content):
        part = content[at : at + next(sizes)]
        body += b"%x%s\r\n%s\r\n" % (len(part), extension, part)
        at += len(part)
    return body + b"0\r\n\r\n"


def received(answer: bytes, piece: int = 1 << 30, idle: float = 30.0) -> tuple[int, bytes, bytes]:
    """(status, error body, content) of an answer that is sent in pieces of that size."""
    here, there = socket.socketpair()
    content = bytearray()

    def send() -> None:
        there.recv(1 << 16)
        with contextlib.suppress(BrokenPipeError):  # the last line end is not waited for
            for at in range(0, len(answer), piece):
                there.sendall(answer[at : at + piece])
        if idle == 30.0:
            there.close()

    sender = threading.Thread(target=send)
    sender.start()
    with here:
        try:
            status, body = download(here, HEAD, content.extend, idle=idle)
        finally:
            here.shutdown(socket.SHUT_RDWR)
            sender.join()
            there.close()
    return status, body, bytes(content)


@pytest.mark.parametrize("largest", [10, 32 * 1024, 3 * BUFFER])
@pytest.mark.parametrize("piece", [1000, 4096, 1 << 30])
def test_a_chunked_body_is_read_whole(largest: int, piece: int) -> None:
    """Wherever the chunks and the pieces of the network end."""
    content = CONTENT if largest > 10 else CONTENT[:20_000]
    sizes = iter(lambda: DICE.randint(1, largest), 0)
    assert received(CHUNKED + chunked(content, sizes, b";a=b"), piece) == (200, b"", content)


def test_each_byte_may_come_alone() -> None:
    """Between any two bytes."""
    answer = CHUNKED + chunked(CONTENT[:300], iter(lambda: 100, 0))
    assert received(answer, 1) == (200, b"", CONTENT[:300])


def test_a_body_with_a_length_is_read() -> None:
    """As other engines may send it."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + CONTENT[:300]
    assert received(answer, 100) == (200, b"", CONTENT[:300])


def test_an_error_is_returned() -> None:
    """With its body, of which `take` gets nothing."""
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
    assert received(answer) == (404, b"no", b"")


@pytest.mark.parametrize("end", [len(CHUNKED) - 5, len(CHUNKED) + 1, len(CHUNKED) + 50, -3, -5])
def test_an_answer_that_is_cut_off_is_an_error(end: int) -> None:
    """Its content is not taken for the whole."""
    with pytest.raises(ConnectionError):
        received((CHUNKED + chunked(CONTENT[:300], iter(lambda: 100, 0)))[:end])


@pytest.mark.parametrize("body", [b"zz\r\n", b"-5\r\nabc", b"\r\n\r\n", b"1" * (BUFFER + 1)])
def test_a_malformed_chunk_is_an_error(body: bytes) -> None:
    """Not a body of any length."""
    with pytest.raises(BodyError):
        received(CHUNKED + body)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"])
def test_another_protocol_is_an_error(answer: bytes) -> None:
    """Not an answer."""
    with pytest.raises(BodyError):
        received(answer)


def test_silence_is_an_error() -> None:
    """After the idle time."""
    with pytest.raises(TimeoutError):
        received(CHUNKED + b"5\r\nab", idle=0.05)


UPLOAD = h11.Request(method="PUT", target="/x", headers=[("Host", "docker"), ("Transfer-Encoding", "chunked")])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def sent(pieces: Generator[bytes], answer: bytes, *, reads: int = 1 << 30) -> tuple[int, bytes, bytes]:
    """(status, body, what the engine got), from an engine that answers after so many bytes."""
    here, there = socket.socketpair()
    got = bytearray()

    def engine() -> None:
        while len(got) < reads and not got.endswith(b"\r\n0\r\n\r\n"):
            if not (data := there.recv(1 << 16)):
                return
            got.extend(data)
        there.sendall(answer)
        there.close()

    thread = threading.Thread(target=engine)
    thread.start()
    with here:
        try:
            status, body = upload(here, UPLOAD, pieces, idle=30)
        finally:
            here.shutdown(socket.SHUT_RDWR)
            thread.join()
            there.close()
    return status, body, bytes(got)


def generated(*pieces: bytes, error: Exception | None = None) -> Generator[bytes]:
    """The pieces, then the error."""
    yield from pieces
    if error is not None:
        raise error


def test_pieces_are_sent_as_chunks() -> None:
    """An empty piece, which would end the body, is left out."""
    status, body, got = sent(generated(b"abc", b"", CONTENT), OK)
    assert (status, body) == (200, b"")
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(got)
    parts = []
    while (event := connection.next_event()) is not h11.NEED_DATA and not isinstance(event, h11.EndOfMessage):
        parts.append(bytes(event.data) if isinstance(event, h11.Data) else b"")
    assert b"".join(parts) == b"abc" + CONTENT


def test_the_answer_to_a_refused_body_is_read() -> None:
    """The engine closes the connection before it has the whole body; the generator is closed."""
    pieces = generated(*[CONTENT] * 50)
    status, body, _ = sent(pieces, b"HTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\nfull", reads=1000)
    assert (status, body) == (400, b"full")
    assert next(pieces, None) is None


def test_an_error_of_the_source_is_told_from_one_of_the_connection() -> None:
    """In both directions."""
    with pytest.raises(OwnError) as raised:
        sent(generated(b"abc", error=OSError("the disk is gone")), OK)
    assert str(raised.value.error) == "the disk is gone"

    def take(_: memoryview) -> None:
        raise OSError("the disk is full")

    here, there = socket.socketpair()
    there.sendall(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")
    with here, there, pytest.raises(OwnError) as raised:
        download(here, HEAD, take, idle=30)
    assert str(raised.value.error) == "the disk is full"
