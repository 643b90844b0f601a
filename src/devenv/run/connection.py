"""A connection to the run of a folder by its socket, for commands with an event loop; `client` is the quick one."""

from __future__ import annotations

import contextlib

import anyio
from anyio.abc import SocketStream

from devenv.run import client
from devenv.state.run_dir import Run

PAUSE = 0.05  # seconds between two tries to reach a run that is starting
GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)


async def connected(folder: str) -> SocketStream | None:
    """A connection to the run; None if no process answers there."""
    with client.socket_path(folder) as path, contextlib.suppress(OSError):
        if path is not None:
            return await anyio.connect_unix(path)
    return None


async def connected_once_up(run: Run, patience: float) -> SocketStream | None:
    """A connection to the run, which may still start; None if no process has the run, or none answers in time."""
    with anyio.move_on_after(patience):
        while (stream := await connected(run.path)) is None and run.lock.is_of_run():  # noqa: ASYNC110 - of others
            await anyio.sleep(PAUSE)
        return stream
    return None


async def ask(stream: SocketStream, *words: str) -> client.Answer | None:
    """The answer of the run to a request; None if it ends before. The connection is closed."""
    answer = b""
    with contextlib.suppress(*GONE):
        async with stream:
            await stream.send(client.request(words))
            with contextlib.suppress(anyio.EndOfStream):
                while True:
                    answer += await stream.receive()
    return client.parsed(answer)
