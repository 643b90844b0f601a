"""An engine that is not behind a unix socket, reached through `docker system dial-stdio`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.docker.context import DEFAULT_SOCKET
from devenv.docker.endpoint import Endpoint, resolve
from devenv.errors import EngineError
from support import docker_cli as docker
from support.stack import IDLE, free_port, unique_name

pytestmark = [pytest.mark.anyio, pytest.mark.engine]


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


@pytest.fixture
async def far(engine: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    """The same engine at a tcp:// address, which DOCKER_HOST names."""
    socket = (await resolve()).socket or DEFAULT_SOCKET.removeprefix("unix://")

    relays = set[asyncio.Task[None] | None]()  # asyncio holds its tasks only weakly

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.add(asyncio.current_task())
        there, back = await asyncio.open_unix_connection(socket)
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            for end in (back, writer):
                end.close()

    port = free_port()
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    async with server:
        yield await resolve()


def bridges() -> list[str]:
    """The child processes that connect to the engine."""
    shown = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True, check=False
    )
    return [line for line in shown.stdout.splitlines() if "dial-stdio" in line]


async def test_calls_streams_and_shells_work_through_dial_stdio(
    far: Endpoint, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that the sync needs works, and no child process is left."""
    assert far.host.startswith("tcp://")
    assert far.dialled is None
    name = unique_name("far")
    script = [part.replace("$$", "$") for part in IDLE]
    try:
        box = await anyio.to_thread.run_sync(docker.docker, "run", "-d", f"--name={name}", base_image, *script)
        with anyio.fail_after(30):
            async with Engine.connect(far) as client:
                # From here on the address alone must lead to the engine, with any environment.
                monkeypatch.setenv("DOCKER_HOST", "unix:///no/such.sock")
                assert (await client.containers.inspect(box)) is not None
                assert await client.exec.run(box, ["cat", "/proc/self/comm"]) == (0, "cat\n")
                async with client.exec.session(box, ["sh"], user="0", mark="x") as session:
                    await session.send(b"echo $((6 * 7))\n")
                    assert await session.receive() == (1, b"42\n")
                async with anyio.create_task_group() as tasks:

                    async def listen() -> None:
                        async for _ in client.events("nobody"):
                            pass

                    tasks.start_soon(listen)
                    await anyio.sleep(0.3)
                    assert bridges()
                    tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            while bridges():  # noqa: ASYNC110 - there is no such event
                await anyio.sleep(0.05)
    finally:
        monkeypatch.undo()
        docker.succeeds("rm", "-fv", name)


async def test_address_without_an_engine_is_an_error(engine: str) -> None:
    """The error names the address, soon."""
    host = f"tcp://127.0.0.1:{free_port()}"
    with anyio.fail_after(20), pytest.raises(EngineError) as caught:
        async with Engine.connect(Endpoint(host)):
            pass
    assert host in caught.value.message
