"""A client of the page: what a browser sends, or what it should not send."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import h11
from anyio.abc import ByteStream

LIMIT = 20.0  # seconds


@dataclass(frozen=True)
class Address:
    """The address of a page, in its parts."""

    url: str

    @property
    def origin(self) -> str:
        """The origin of the page."""
        return self.url.partition("/#")[0]

    @property
    def token(self) -> str:
        """Its token."""
        return self.url.partition("/#")[2]

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.origin.rpartition(":")[2])

    def headers(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """The headers that the page sends, with changes; a header that is None is not sent."""
        own: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.port}",
            "Origin": self.origin,
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        return {name: value for name, value in {**own, **changes}.items() if value is not None}

    def head(self, method: str, target: str, length: int | None, changes: Mapping[str, str | None]) -> bytes:
        """The head of a request."""
        lengths = {} if length is None else {"Content-Length": str(length)}
        lines = [f"{name}: {value}" for name, value in self.headers({**lengths, **changes}).items()]
        return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


@dataclass
class Answer:
    """An answer, whose body is read by pieces."""

    status: int
    headers: dict[str, str]
    stream: ByteStream
    connection: h11.Connection

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body."""
        while True:
            event = await _next(self.connection, self.stream)
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)

    async def body(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces()])

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """The messages of a stream."""
        rest = b""
        async for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)


@contextlib.asynccontextmanager
async def asked(
    page: Address, method: str, target: str, body: bytes | None = b"{}", **changes: str | None
) -> AsyncIterator[Answer]:
    """The answer to a request; `changes` of headers, with `_` for `-`."""
    renamed = {name.replace("_", "-").title(): value for name, value in changes.items()}
    length = None if body is None else len(body)
    async with await anyio.connect_tcp("127.0.0.1", page.port) as stream:
        with anyio.fail_after(LIMIT):
            await stream.send(page.head(method, target, length, renamed) + (body or b""))
            connection = h11.Connection(h11.CLIENT)
            connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
            connection.send(h11.EndOfMessage())
            event = await _next(connection, stream)
        assert isinstance(event, h11.Response), event
        headers = {name.decode(): value.decode() for name, value in event.headers}
        yield Answer(event.status_code, headers, stream, connection)


async def status(page: Address, method: str, target: str, body: bytes | None = b"{}", **changes: str | None) -> int:
    """The status of the answer."""
    async with asked(page, method, target, body, **changes) as answer:
        return answer.status


async def _next(connection: h11.Connection, stream: ByteStream) -> h11.Event | type:
    while (event := connection.next_event()) is h11.NEED_DATA:
        try:
            connection.receive_data(await stream.receive())
        except anyio.EndOfStream:
            connection.receive_data(b"")
    return event


def first(page: Address, kind: str) -> dict[str, Any]:
    """The first message of this type in a new stream."""
    with contextlib.closing(streamed(page)) as stream:
        return next(message for message in stream if message["type"] == kind)


def streamed(page: Address) -> Generator[dict[str, Any], None, None]:
    """The messages of a stream."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=LIMIT)
    try:
        connection.request("POST", "/api/stream", "{}", page.headers({}))
        answer = connection.getresponse()
        assert answer.status == 200
        for line in answer:
            yield json.loads(line)
    finally:
        connection.close()
