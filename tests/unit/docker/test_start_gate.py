"""Requests pass a start gate as they are; the start of a container waits until it is prepared."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream

from devenv.docker import start_gate
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError

pytestmark = pytest.mark.anyio

START = b"POST /v1.45/containers/abc/start HTTP/1.1\r\nHost: docker\r\nContent-Length: 2\r\n\r\n{}"
ATTACH = b"POST /v1.45/containers/abc/attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


async def read(stream: SocketStream) -> bytes:
    """All that the other side sends until its end."""
    received = b""
    with contextlib.suppress(anyio.EndOfStream):
        while True:
            received += await stream.receive()
    return received


@contextlib.asynccontextmanager
async def gate(folder: Path, prepare: Callable[[str], Awaitable[object]]) -> AsyncIterator[str]:
    """The path of a gate to an engine that sends back all that it has received, once a client sends no more."""

    async def echo(stream: SocketStream) -> None:
        async with stream:
            await stream.send(await read(stream))

    listening, path = anyio.Event(), f"{folder}/gate"
    serve = partial(start_gate.serve, path, Endpoint(f"unix://{folder}/engine"), prepare, listening.set)
    async with await anyio.create_unix_listener(folder / "engine") as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(engine.serve, echo)
        tasks.start_soon(serve)
        await listening.wait()
        yield path
        tasks.cancel_scope.cancel()


async def answer(path: str, *pieces: bytes) -> bytes:
    """What comes back for a request that is sent in these pieces."""
    async with await anyio.connect_unix(path) as stream:
        for piece in pieces:
            await stream.send(piece)
            await anyio.lowlevel.checkpoint()
        await stream.send_eof()
        return await read(stream)


async def test_a_start_waits(tmp_path: Path) -> None:
    """Until the container is prepared; other requests, and raw streams with their end, pass meanwhile."""
    prepared, asked = anyio.Event(), list[str]()

    async def prepare(container: str) -> None:
        asked.append(container)
        await prepared.wait()

    async with gate(tmp_path, prepare) as path, await anyio.connect_unix(path) as start:
        await start.send(START)
        assert await answer(path, ATTACH + b"stdin", b" of it") == ATTACH + b"stdin of it"
        head, _, body = START.partition(b"\r\n\r\n")
        other = head.replace(b"/start", b"/json") + b"\r\n\r\n" + body
        assert await answer(path, other[:30], other[30:]) == other.replace(
            b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
        )
        assert asked == ["abc"]
        prepared.set()
        await start.send_eof()
        assert await read(start) == head + b"\r\nConnection: close\r\n\r\n" + body
    assert asked == ["abc"]


async def test_a_container_that_cannot_be_prepared(tmp_path: Path) -> None:
    """It is not started: Compose gets the reason as an error of the engine."""

    async def prepare(_container: str) -> None:
        raise EngineError("`src` cannot be read")

    async with gate(tmp_path, prepare) as path:
        head, _, body = (await answer(path, START)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert json.loads(body) == {"message": "`src` cannot be read"}


async def test_an_engine_that_is_gone(tmp_path: Path) -> None:
    """The client's connection ends; the gate still serves others."""

    async def prepare(_container: str) -> None: ...

    async with gate(tmp_path, prepare) as path:
        (tmp_path / "engine").unlink()
        assert await answer(path, ATTACH) == b""
        assert await answer(path, START) == b""
