"""The body of a stream: chunks as they come, whatever their bounds are on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from devenv.engine.http import Client, GarbledError, LostError

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"4\r\none\n\r\n0A;x=y\r\n" + b"\r\n0\r\n\r\ntwo" + b"\r\n0\r\n\r\n"
pytestmark = pytest.mark.anyio
CHUNKS = [b"one\n", b"\r\n0\r\n\r\ntwo"]


class Wire:
    """A connection on which these pieces come."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    async def send(self, data: bytes) -> None:
        """Take it."""

    async def receive(self, _: int) -> bytes:
        """The next piece."""
        return self.pieces.pop(0) if self.pieces else b""

    async def aclose(self) -> None:
        """Nothing to end."""


async def streamed(*pieces: bytes) -> list[bytes]:
    """What is read of a stream that comes in these pieces."""

    async def dial() -> Wire:
        return Wire(*pieces)

    chunks = []
    async with Client(dial).request("GET", "/logs", idle=None) as answer:
        while chunk := await answer.chunk():
            chunks.append(chunk)
        assert await answer.chunk() == b""
    return chunks


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_the_chunks_of_a_stream_come_as_they_were_sent(size: int) -> None:
    """Wherever the connection cuts them."""
    whole = HEAD + BODY
    assert await streamed(*(whole[at : at + size] for at in range(0, len(whole), size))) == CHUNKS


async def test_a_stream_that_is_cut_off_is_lost_and_one_without_sizes_is_garbled() -> None:
    """Nobody takes half a log for a whole one."""
    with pytest.raises(LostError):
        await streamed(HEAD + BODY[:-5])
    with pytest.raises(GarbledError):
        await streamed(HEAD + b"what\r\n")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Recorder(Wire):
    """A connection that keeps what is sent on it; it breaks if nothing is left to answer."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(*pieces)
        self.sent = b""

    async def send(self, data: bytes) -> None:
        """Keep it."""
        self.sent += data


async def test_a_body_in_pieces_never_goes_on_a_kept_connection() -> None:
    """The engine may have closed it; the second try would send what is left of the pieces: nothing."""
    wires = [Recorder(OK), Recorder(OK)]
    unused = list(wires)

    async def dial() -> Wire:
        return unused.pop(0)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    client = Client(dial)
    async with client.request("GET", "/first", idle=9) as answer:
        await answer.read()
    async with client.request("PUT", "/archive", body=pieces(), idle=9) as answer:
        assert answer.status == 200
    assert wires[1].sent.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    await client.aclose()
