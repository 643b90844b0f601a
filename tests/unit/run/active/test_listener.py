"""The socket of a run: requests and answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from devenv.errors import UsageError
from devenv.run import client
from devenv.run.active import listener
from devenv.run.active.listener import Answer, ClientConnection, Options

pytestmark = pytest.mark.anyio


class Handler:
    """Answers with what it was asked; `wait` waits until it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = anyio.Event()

    async def __call__(self, verb: str, options: Options) -> Answer:
        """Answer."""
        if verb == "fail":
            raise UsageError("there is no service `wbe`", hint="web")
        if verb == "wait":
            try:
                await anyio.sleep_forever()
            finally:
                self.cancelled.set()
        return Answer(7, {"verb": verb, "options": options}, ("one", "two"))


async def echo(connection: ClientConnection, options: Options) -> None:
    """Send the options and each line back."""
    await connection.stream.send(repr(options).encode())
    while True:
        await connection.stream.send(await connection.received.receive_until(b"\n", 100))


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Handler]:
    """A socket in the folder; both files are gone afterwards."""
    handler = Handler()
    async with anyio.create_task_group() as tasks:
        await tasks.start(listener.serve, str(folder), "/src", "shop", handler, {"echo": echo})
        yield handler
        tasks.cancel_scope.cancel()
    assert list(folder.iterdir()) == []


async def ask(folder: Path, *words: str) -> tuple[int, str, str] | None:
    """What the client gets."""
    return await anyio.to_thread.run_sync(client.ask, str(folder), list(words), 10.0)


async def test_answers_and_errors(tmp_path: Path) -> None:
    """An error has its hint and its exit code; only the user can reach the socket; a stale socket is replaced."""
    (tmp_path / client.SOCKET).touch()
    async with serving(tmp_path):
        assert (tmp_path / client.PLACE).read_text() == "shop\n/src"
        assert (tmp_path / client.SOCKET).stat().st_mode & 0o777 == 0o600
        assert await ask(tmp_path, "do", "service=a", "x=") == (
            7, '{"v": 1, "verb": "do", "options": [["service", "a"], ["x", ""]]}', "one\ntwo",
        )  # fmt: skip
        assert await ask(tmp_path, "fail") == (
            2, '{"v": 1, "error": "there is no service `wbe`", "hint": "web", "exit_code": 2}',
            "error: there is no service `wbe`\nhint: web",
        )  # fmt: skip
    assert await ask(tmp_path, "do") is None


async def test_a_client_that_leaves_ends_its_request(tmp_path: Path) -> None:
    """The next one is answered; garbage too."""
    async with serving(tmp_path) as handler:
        async with await anyio.connect_unix(str(tmp_path / client.SOCKET)) as stream:
            await stream.send(b"wait\n")
            await anyio.sleep(0.05)
        with anyio.fail_after(10):
            await handler.cancelled.wait()
        async with await anyio.connect_unix(str(tmp_path / client.SOCKET)) as stream:
            await stream.send(b"\xff" * 10)
        assert (await ask(tmp_path, "do") or (0,))[0] == 7


async def test_a_verb_can_have_the_connection_to_itself(tmp_path: Path) -> None:
    """What was sent together with the request is not lost; a line without an end is no error."""
    async with serving(tmp_path):
        async with await anyio.connect_unix(str(tmp_path / client.SOCKET)) as stream:
            await stream.send(b"echo\0a=b\none\n")
            received = BufferedByteReceiveStream(stream)
            with anyio.fail_after(10):
                assert await received.receive_exactly(len("[('a', 'b')]one")) == b"[('a', 'b')]one"
                await stream.send(b"two\nthree")
                assert await received.receive_exactly(3) == b"two"
        await anyio.wait_all_tasks_blocked()
