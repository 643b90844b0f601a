"""HTTP to an engine: chunked bodies, and kept connections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from devenv.docker import http
from devenv.docker.connection import Connection
from devenv.docker.exchange import GarbledError, LostError
from devenv.docker.http import Client

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"4\r\none\n\r\n0A;x=y\r\n" + b"\r\n0\r\n\r\ntwo" + b"\r\n0\r\n\r\n"
pytestmark = pytest.mark.anyio
CHUNKS = [b"one\n", b"\r\n0\r\n\r\ntwo"]


class Wire:
    """A connection that receives these pieces."""

    plain = None

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    async def send(self, data: bytes) -> None:
        """Ignore the request."""

    async def receive(self, _: int) -> bytes:
        """The next piece."""
        return self.pieces.pop(0) if self.pieces else b""

    async def aclose(self) -> None:
        """Nothing is open."""


async def streamed(*pieces: bytes, idle: float | None = None) -> list[bytes]:
    """The chunks of a body that is received in these pieces; with an idle time, read by chunks on request."""

    async def dial() -> Wire:
        return Wire(*pieces)

    chunks = []
    async with Client(dial).request("GET", "/logs", idle=idle, by_chunks=idle is not None) as answer:
        while chunk := await answer.chunk():
            chunks.append(chunk)
        assert await answer.chunk() == b""
    return chunks


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("idle", [None, 60.0])
async def test_the_chunks_of_a_stream_come_as_they_arrive(size: int, idle: float | None) -> None:
    """In whatever pieces the connection delivers them, those that have arrived are joined."""
    whole = HEAD + BODY
    chunks = await streamed(*(whole[at : at + size] for at in range(0, len(whole), size)), idle=idle)
    assert chunks == ([b"".join(CHUNKS)] if size > len(whole) else CHUNKS)


async def test_a_stream_that_is_cut_off_is_lost_and_one_without_sizes_is_garbled() -> None:
    """Half a log must not pass for a whole log."""
    with pytest.raises(LostError):
        await streamed(HEAD + BODY[:-5])
    with pytest.raises(GarbledError):
        await streamed(HEAD + b"what\r\n")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Line:
    """Connections to an engine: each answers every call with `ok`, until its network is cut."""

    plain = None

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.closed: list[int] = []
        self.cut = 0  # # the connections before this one do not answer

    async def dial(self) -> Connection:
        """A new connection."""
        self.asked.append([])
        return Kept(self, len(self.asked) - 1)


class Kept:
    """A connection of this network."""

    plain = None

    def __init__(self, line: Line, number: int) -> None:
        self.line, self.number, self.ready = line, number, 0

    async def send(self, data: bytes) -> None:
        """Record the call."""
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
        """Record that it was closed."""
        self.line.closed.append(self.number)


async def asked(client: Client, method: str, idle: float = 30.0) -> bytes:
    """The body of the answer to a call."""
    async with client.request(method, "/x", idle=idle) as answer:
        return await answer.read()


async def _kept(line: Line, count: int) -> Client:
    """A client with this number of kept connections."""
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
    """As after a change of address: the call is repeated on a new connection, and all kept connections are closed."""
    monkeypatch.setattr(http, "KEPT_SILENCE", 0.05)
    line = Line()
    client = await _kept(line, 3)
    line.cut = 3
    with anyio.fail_after(20):
        assert await asked(client, method, idle=0.2) == b"ok"
    assert line.asked[2:] == [["GET", method], [method]]
    assert sorted(line.closed) == [0, 1, 2]
    line.cut = 5
    with anyio.fail_after(20), pytest.raises(TimeoutError):  # the network is away altogether
        await asked(client, method, idle=0.2)
    assert len(line.asked) == 5


async def test_a_call_with_effects_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request may have arrived. The next call uses a new connection."""
    monkeypatch.setattr(http, "KEPT_SILENCE", 0.05)
    line = Line()
    client = await _kept(line, 2)
    line.cut = 2
    with anyio.fail_after(20), pytest.raises(TimeoutError):
        await asked(client, "PUT", idle=0.2)
    assert await asked(client, "PUT") == b"ok"
    assert line.asked == [["GET"], ["GET", "PUT"], ["PUT"]]


async def test_the_answer_of_a_slow_engine_on_a_new_connection_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a kept connection counts as lost after a short time."""
    monkeypatch.setattr(http, "KEPT_SILENCE", 0.05)
    line = Line()
    line.cut = 1
    with anyio.move_on_after(0.3) as scope:
        await asked(Client(line.dial), "GET")
    assert scope.cancelled_caught
    assert line.asked == [["GET"]]


EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Recorder(Wire):
    """A connection that records what is sent, and breaks once there are no more answers."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(*pieces)
        self.sent = b""

    async def send(self, data: bytes) -> None:
        """Record it."""
        self.sent += data


async def test_a_body_in_pieces_needs_a_new_connection() -> None:
    """The engine may have closed a kept connection, and the pieces cannot be sent twice."""
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


async def test_a_connection_that_no_thread_can_use_is_used_by_the_call() -> None:
    """By ssh, a second connection would be a second login."""
    wires = list[Wire]()

    async def dial() -> Wire:
        wires.append(Wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
        return wires[-1]

    got = bytearray()
    assert await Client(dial).download("/archive", got.extend, idle=5) == (200, b"")
    assert (bytes(got), len(wires)) == (b"abc", 1)
