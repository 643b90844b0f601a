"""A run of another process, as its view sees it: follow it by its socket, and send it commands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import field

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from devenv.docker.client import Engine
from devenv.errors import DevenvError, StateError, UsageError
from devenv.lazy_dataclass import dataclass
from devenv.model.graph import ViewCommand
from devenv.run import client, page
from devenv.run.active.control import open_shell
from devenv.run.connection import GONE, connected
from devenv.run.view_messages import VERB, Message, command_line, message_of
from devenv.state.kept import RESUME
from devenv.state.run_dir import Run
from devenv.tasks import task_group, unless

PAUSE = 0.1  # seconds between two tries to connect
NEXT_KEEPER = 15.0  # seconds until a process that died is replaced at the latest
PAGE = 1.0  # seconds until the page has to answer a key
LONGEST = 1 << 24  # bytes of a message


@dataclass
class Attached:
    """The run of a project in another process; `put` takes its messages."""

    run: Run
    project: str
    put: Callable[[Message], object]
    _left: anyio.Event = field(default_factory=anyio.Event)
    _commands: list[ViewCommand] = field(default_factory=list)
    _asked: anyio.Event = field(default_factory=anyio.Event)

    def ask(self, command: ViewCommand) -> None:
        """Let the run carry out the command; `detach` ends the view alone."""
        if command.verb == "detach":
            self._left.set()
        else:
            self._commands.append(command)
            self._asked.set()

    async def shell(self, container: str) -> None:
        """Run the best shell of a container in the terminal. Raises DevenvError if the container has none."""
        async with Engine.connect() as engine:
            found = await engine.containers.inspect(container)
            if found is None:
                raise DevenvError("the container no longer exists")
            await open_shell(engine, found)

    async def page(self) -> page.PageAddress:
        """The address of the page that shows the run. Raises DevenvError."""
        return await page.address(self.run, self.project, patience=PAGE)

    async def follow(self) -> bool:
        """Pass the run's messages on until the view leaves or the run has ended; return whether the run goes on.

        Raises StateError if no process has the run, or none has it any more.
        """
        return not await unless(self._left, self._follow)

    async def _follow(self) -> None:
        words, patience = [VERB], 0.0
        while (stream := await self._connected(patience)) is not None:
            with contextlib.suppress(*GONE):
                async with stream:
                    await stream.send(client.request(words))
                    await self._pass_on(stream)
            words, patience = [VERB, "lines=no"], NEXT_KEEPER  # a new process repeats what the view has
            await anyio.sleep(PAUSE)

    async def _connected(self, patience: float) -> SocketStream | None:
        """A connection to the process that has the run, which may still start; None if the run has ended.

        Raises StateError if no process has had the run for so many seconds.
        """
        since = anyio.current_time()
        while True:
            if (stream := await connected(self.run.path)) is not None:
                return stream
            if patience and self.run.read() is None:
                return None
            if self.run.lock.is_of_run():
                since = anyio.current_time()
            elif anyio.current_time() >= since + patience:
                hint = f"{RESUME}   (for a service: devenv attach SERVICE)"
                raise StateError(f"no process of devenv syncs {self.project}", hint=hint)
            await anyio.sleep(PAUSE)

    async def _pass_on(self, stream: SocketStream) -> None:
        """Pass messages on and send commands until the run closes the connection. Raises UsageError, OSError."""
        received = BufferedByteReceiveStream(stream)
        async with task_group() as tasks:
            tasks.start_soon(self._send, stream)
            with contextlib.suppress(anyio.IncompleteRead, anyio.EndOfStream):
                while True:
                    line = await received.receive_until(b"\n", LONGEST)
                    if line.isdigit():  # an answer: the run is of a version without views
                        raise UsageError(f"the process that has {self.project} is too old", hint=RESUME)
                    with contextlib.suppress(ValueError, TypeError, KeyError):  # of another version
                        if (message := message_of(line)) is not None:
                            self.put(message)
            tasks.cancel_scope.cancel()

    async def _send(self, stream: SocketStream) -> None:
        while True:
            while self._commands:
                await stream.send(command_line(self._commands.pop(0)))
            self._asked = anyio.Event()
            await self._asked.wait()
