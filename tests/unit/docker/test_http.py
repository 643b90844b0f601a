"""The body of a stream: chunks as they come, whatever their bounds are on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from devenv.docker import http
from devenv.docker.endpoint import Connection
from devenv.docker.http import Client, GarbledError, LostError

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


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Line:
    """Connections to an engine: each answers every call with `ok`, until the network path of its time is cut."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.closed: list[int] = []
        self.cut = 0  # the connections before this one are silent

    async def dial(self) -> Connection:
        """A new one."""
        self.asked.append([])
        return Kept(self, len(self.asked) - 1)


class Kept:
    """One of them."""

    def __init__(self, line: Line, number: int) -> None:
        self.line, self.number, self.ready = line, number, 0

    async def send(self, data: bytes) -> None:
        """Note the call."""
        if data:
            self.line.asked[self.number].append(data.split(b" ", 1)[0].decode())
            self.ready += 1

    async def receive(self, _: int) -> bytes:
        """The answer, or silence."""
        if self.number < self.line.cut or not self.ready:
            await anyio.sleep_forever()
        await anyio.sleep(0.01)
        self.ready -= 1
        return OK

    async def aclose(self) -> None:
        """Note it."""
        self.line.closed.append(self.number)


async def asked(client: Client, method: str, idle: float = 30.0) -> bytes:
    """The body of the answer to a call."""
    async with client.request(method, "/x", idle=idle) as answer:
        return await answer.read()


async def _kept(line: Line, count: int) -> Client:
    """A client that keeps so many connections."""
    client = Client(line.dial)
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(asked, client, "GET")
    assert len(line.asked) == count
    return client


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_kept_connection_that_is_silent_is_replaced_once(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a change of address: the call goes out on a new connection, and the other kept ones end."""
    monkeypatch.setattr(http, "KEPT_SILENCE", 0.05)
    line = Line()
    client = await _kept(line, 3)
    line.cut = 3
    with anyio.fail_after(2):
        assert await asked(client, method, idle=0.2) == b"ok"
    assert line.asked[2:] == [["GET", method], [method]]
    assert sorted(line.closed) == [0, 1, 2]
    line.cut = 5
    with anyio.fail_after(2), pytest.raises(TimeoutError):  # the network is away altogether
        await asked(client, method, idle=0.2)
    assert len(line.asked) == 5


async def test_a_call_with_effects_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request may have arrived; but no call after it meets that silence."""
    monkeypatch.setattr(http, "KEPT_SILENCE", 0.05)
    line = Line()
    client = await _kept(line, 2)
    line.cut = 2
    with anyio.fail_after(2), pytest.raises(TimeoutError):
        await asked(client, "PUT", idle=0.2)
    assert await asked(client, "PUT") == b"ok"
    assert line.asked == [["GET"], ["GET", "PUT"], ["PUT"]]


async def test_the_answer_of_a_slow_engine_on_a_new_connection_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a kept connection is doubted so soon."""
    monkeypatch.setattr(http, "KEPT_SILENCE", 0.05)
    line = Line()
    line.cut = 1
    with anyio.move_on_after(0.3) as scope:
        await asked(Client(line.dial), "GET")
    assert scope.cancelled_caught
    assert line.asked == [["GET"]]


EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


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
    wires = [Recorder(EMPTY), Recorder(EMPTY)]
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
