"""A socket that leads to an engine, and prepares each container before its start: for `docker compose run`.

Compose starts a one-off container as soon as it exists. Here, the request that starts it waits; everything else
passes through as it is, so that terminal, signals and exit code are Compose's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import anyio
from anyio.abc import UNIXSocketStream

from devenv.docker import ssh_lines
from devenv.docker.connection import DuplexConnection, accepted, dial
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, EngineError

CHUNK = 1 << 16
HEAD_END = b"\r\n\r\n"
_START = re.compile(rb"POST (?:/v[\d.]+)?/containers/([^/? ]+)/start[? ]")

Prepare = Callable[[str], Awaitable[object]]  # gets the id of a container
Serve = Callable[[str, Callable[[], object]], Coroutine[Any, Any, None]]


def beside(serve: Serve) -> Mapping[str, str]:
    """Fork a process that serves a gate; return the environment with which children use the gate.

    `serve` gets the path of its socket, and a function to call once it listens. The process ends with this one, or
    with the program that replaces it. Raises EngineError if it does not listen.
    """
    folder = tempfile.mkdtemp(prefix="devenv-gate-")
    path, (lifeline, held), (ready, told) = f"{folder}/s", os.pipe(), os.pipe()
    if not os.fork():
        try:
            os.setsid()  # Ctrl-C is for Compose
            os.close(held)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(0, 1)  # a reader of our output waits until all have closed it
            anyio.run(_until_end, lifeline, partial(serve, path, partial(os.write, told, b"+")))
        except Exception as error:  # noqa: BLE001 - reported by the other process
            os.write(told, str(error).encode())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)
    os.close(lifeline)
    os.close(told)
    os.set_inheritable(held, True)
    with open(ready, "rb") as answer:
        if (message := answer.read(1)) != b"+":
            raise EngineError((message + answer.read()).decode(errors="replace") or "the start gate has ended")
    return ssh_lines.environment(path)


async def _until_end(lifeline: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await anyio.wait_readable(lifeline)
        tasks.cancel_scope.cancel()


async def serve(path: str, endpoint: Endpoint, prepare: Prepare, listening: Callable[[], object]) -> None:
    """Pass connections to the socket at `path` on to the engine, until cancelled."""
    async with await anyio.create_unix_listener(path, mode=0o600) as listener:
        listening()
        await listener.serve(partial(_serve, endpoint, prepare))


async def _serve(endpoint: Endpoint, prepare: Prepare, stream: UNIXSocketStream) -> None:
    async with contextlib.AsyncExitStack() as stack:
        client = accepted(stream)
        stack.push_async_callback(client.aclose)
        stack.enter_context(contextlib.suppress(OSError, anyio.ClosedResourceError, anyio.BrokenResourceError))
        head, rest = await _head(client)
        if match := _START.match(head):
            try:
                await prepare(match[1].decode())
            except DevenvError as error:
                await client.send(_failure(error))
                return
        engine = await dial(endpoint)
        stack.push_async_callback(engine.aclose)
        await engine.send(head + rest)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_pass_on, client, engine)
            while data := await engine.receive(CHUNK):
                await client.send(data)
            tasks.cancel_scope.cancel()


async def _pass_on(client: DuplexConnection, engine: DuplexConnection) -> None:
    with contextlib.suppress(OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
        while data := await client.receive(CHUNK):
            await engine.send(data)
        await engine.end()


async def _head(client: DuplexConnection) -> tuple[bytes, bytes]:
    """The head of the only request of a connection, and what of its body has come with it.

    The engine is asked to close the connection after its answer, unless the connection becomes a raw stream: each
    request has to be seen.
    """
    data = b""
    while HEAD_END not in data:
        if not (more := await client.receive(CHUNK)):
            raise ConnectionResetError
        data += more
    head, _, rest = data.partition(HEAD_END)
    if not re.search(rb"(?i)\r\nupgrade:", head):
        head += b"\r\nConnection: close"
    return head + HEAD_END, rest


def _failure(error: DevenvError) -> bytes:
    body = json.dumps({"message": error.message}).encode()
    head = f"Content-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}"
    return b"HTTP/1.1 500 Internal Server Error\r\n" + head.encode() + HEAD_END + body
