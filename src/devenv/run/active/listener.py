"""The socket of a run: other commands of devenv ask it, one request for each connection.

A request is a line: a verb, and `name=value` for each of its options, separated by NUL. The answer is the exit code
on a line, the answer as JSON on a line, then the lines for people; some verbs have the rest of the connection to
themselves. Only the user can connect: the folder is private.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio
from anyio.abc import SocketStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from devenv import private_files
from devenv.errors import DevenvError
from devenv.events import JSON_VERSION
from devenv.lazy_dataclass import dataclass
from devenv.run import client
from devenv.tasks import task_group, unless

LONGEST = 1 << 16  # bytes of a request


@dataclass(frozen=True, slots=True)
class Answer:
    """The exit code of the command that asked, its document, and its lines for people."""

    exit_code: int
    document: Mapping[str, Any]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """A connection to another command: what it sends, and what is sent to it."""

    received: BufferedByteReceiveStream
    stream: SocketStream


Options = Sequence[tuple[str, str]]
Handle = Callable[[str, Options], Awaitable[Answer]]
Stream = Callable[[ClientConnection, Options], Awaitable[None]]


async def serve(
    folder: str,
    directory: str,
    project: str,
    handle: Handle,
    streams: Mapping[str, Stream],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests until cancelled; `folder` is the run's, `directory` the project's.

    `handle` answers, except for the verbs in `streams`, which have the connection to themselves.
    """
    with client.socket_path(folder) as path:
        if path is None:  # the folder's path is too long for a socket, on a system without /proc
            task_status.started()
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        async with await anyio.create_unix_listener(path, mode=private_files.PRIVATE_FILE) as listener:
            private_files.replace(
                os.path.join(folder, client.PLACE), f"{project}\n{os.path.realpath(directory)}", durable=False
            )
            task_status.started()
            try:
                await listener.serve(lambda stream: _connected(stream, handle, streams))
            finally:
                for name in (client.PLACE, client.SOCKET):
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(folder, name))


async def _connected(stream: SocketStream, handle: Handle, streams: Mapping[str, Stream]) -> None:
    """Serve one connection."""
    gone = (anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound)
    with contextlib.suppress(*gone, ValueError):
        async with stream:
            connection = ClientConnection(BufferedByteReceiveStream(stream), stream)
            request = await connection.received.receive_until(b"\n", LONGEST)
            verb, *words = request.decode(errors="surrogateescape").split("\0")
            options = [word.partition("=")[::2] for word in words]
            if verb in streams:
                await streams[verb](connection, options)
            else:
                await _answer(stream, lambda: _text(verb, options, handle))


async def _answer(stream: SocketStream, work: Callable[[], Awaitable[str]]) -> None:
    """Send the answer; the work is cancelled if the other end closes the connection."""
    closed = anyio.Event()

    async def answer() -> None:
        await stream.send((await work()).encode(errors="surrogateescape"))

    async def watch() -> None:
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await stream.receive()
        closed.set()

    async with task_group() as tasks:
        tasks.start_soon(watch)
        await unless(closed, answer)
        tasks.cancel_scope.cancel()


async def _text(verb: str, options: Options, handle: Handle) -> str:
    try:
        answer = await handle(verb, options)
    except DevenvError as error:
        hint = (f"hint: {error.hint}",) if error.hint else ()
        document = {"error": error.said, "hint": error.hint, "exit_code": error.exit_code}
        answer = Answer(error.exit_code, document, (f"error: {error.said}", *hint))
    return "\n".join([str(answer.exit_code), json.dumps({"v": JSON_VERSION, **answer.document}), *answer.lines])
