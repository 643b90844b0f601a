"""A long-lived shell in a container: a command to it takes less than a millisecond, a new exec takes sixty."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio

from devenv.docker.client import Engine
from devenv.docker.exec import SESSION_MARK, SHELL, Session
from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.sync.container import perl_helper, shell_commands
from devenv.sync.container.shell_commands import quoted
from devenv.tasks import task_group

ANSWER_SECONDS = 60.0
START_SECONDS = 5.0
SILENT_SECONDS = 1.0  # without output: a container that was paused or has ended may never answer
BATCH_BYTES = 64 * 1024  # more could fill the pipes in both directions while nobody reads
HELPER_BYTES = 2 << 20  # of operations, which get one answer together
COMMAND_EXTRA = 64  # bytes added to each command
# Seconds before each try: a busy engine loses the processes of an exec for a while after the start of a container.
PAUSES = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
NO_PROGRAM = re.compile(r'executable file (?:\S+ )?not found|exec: "[^"]+": .*no such file or directory')
PROGRAMS = (SHELL, "/busybox/sh")
ROOT = "0"
Check = Callable[["Shell"], Awaitable[bool]] | None

# Ends earlier shells of this run, whose pending commands would undo later ones. They are found by
# their arguments, which every user may read; only root can end root's shells.
PREDECESSORS = b"""k=; for f in $(grep -lF %s /proc/[0-9]*/cmdline 2>/dev/null); do
f=${f#/proc/}; f=${f%%/cmdline}
[ "$f" = $$ ] || kill -9 "$f" 2>/dev/null || [ ! -d "/proc/$f" ] || k=1; done; [ -z "$k" ]"""


class BrokenShellError(EngineError):
    """The shell has ended; the last commands may or may not have been carried out."""

    def __init__(self) -> None:
        super().__init__("the shell in the container has ended")


class NoProgramError(BrokenShellError):
    """The program has not started."""


class Shell:
    """Runs short commands one after another, and returns which of them failed, with their output."""

    def __init__(
        self, session: Session, stack: contextlib.AsyncExitStack, silence: Callable[[], Awaitable[str]]
    ) -> None:
        self._session = session
        self._silence = silence
        self._stack = stack
        self._mark = secrets.token_hex(8)
        self._sending = anyio.Semaphore(1, fast_acquire=True)
        self._answering = anyio.Lock(fast_acquire=True)  # answers are read in the order of the sends
        self._buffer = b""
        self.has_helper = False
        self.broken = False

    @classmethod
    async def open(
        cls,
        engine: Engine,
        container_id: str,
        mark: str,
        user: str = ROOT,
        check: Check = None,
        by_helper: bool = True,
        started_at: str = "",
    ) -> Shell | None:
        """Open a shell as this user in a running container.

        Returns None if the image has no shell or lacks a tool, if shells of root from an earlier run cannot be ended,
        or if `check`, which takes the open shell, returns False. `by_helper`: start the helper if the image has a
        working perl. Raises EngineError if the container is removed or paused, or has another time of start than
        `started_at`, if that is given.
        """
        for pause in PAUSES:
            await anyio.sleep(pause)
            is_lost = False
            for program in PROGRAMS:
                try:
                    return await cls._open(engine, container_id, mark, program, user, check, by_helper, started_at)
                except NoProgramError:
                    is_lost = True
                except CallError as error:
                    if not NO_PROGRAM.search(error.reason):
                        raise
                except (BrokenShellError, ConnectionError, TimeoutError) as error:
                    raise EngineError("the shell in the container does not answer") from error
            if not is_lost:
                break
        if reason := await _end_of_start(engine, container_id, started_at):
            raise EngineError(reason)
        return None

    @classmethod
    async def _open(
        cls,
        engine: Engine,
        container_id: str,
        mark: str,
        program: str,
        user: str,
        check: Check,
        by_helper: bool,
        started_at: str,
    ) -> Shell | None:
        stack = contextlib.AsyncExitStack()
        name = f"{SESSION_MARK}={mark}/{container_id}."
        argv = [program, "-s", name]
        async with contextlib.AsyncExitStack() as opening:
            opening.push_async_callback(_close, stack)
            session = await stack.enter_async_context(
                engine.exec.session(container_id, argv, user=user, mark=name.partition("=")[2])
            )
            shell = cls(session, stack, partial(_end_of_start, engine, container_id, started_at))
            with contextlib.suppress(ConnectionError):
                await session.send(shell_commands.PRELUDE)
            if await shell.run([shell_commands.NEEDED, PREDECESSORS % quoted(name)]):
                return None
            if check is not None and not await check(shell):
                return None
            if by_helper:
                try:
                    await shell._start_helper(program, name)
                except (BrokenShellError, ConnectionError, TimeoutError):
                    await _close(stack)
                    return await cls._open(engine, container_id, mark, program, user, check, False, started_at)
            opening.pop_all()
            return shell

    async def _start_helper(self, program: str, name: str) -> None:
        """Start the helper, if the image has perl: it needs no new process for each operation."""
        with anyio.fail_after(START_SECONDS):
            has_helper = not await self._exchange(perl_helper.start(self._mark, program, name))
        if has_helper:
            await self._session.send(perl_helper.message(b"s", shell_commands.PRELUDE))
        self.has_helper = has_helper

    async def do(self, operations: Sequence[bytes]) -> list[int]:
        """Let the helper carry out operations (see `perl_helper`). Return the indices of those that failed.

        Without a helper, all fail, and shell commands have to be used. Raises EngineError if the shell has ended.
        """
        if not self.has_helper:
            return list(range(len(operations)))
        batches = _batches(operations, HELPER_BYTES)
        if len(batches) == 1:
            return sorted(await self._exchange_early(perl_helper.message(b"d", b"".join(operations))))
        failed: list[int] = []
        async with self._sending:  # a large file is several operations, which nothing must interrupt
            for start, stop in batches:
                answer = await self._exchange(perl_helper.message(b"d", b"".join(operations[start:stop])))
                failed += [start + index for index in sorted(answer)]
        return failed

    async def run(self, commands: Sequence[bytes]) -> dict[int, str]:
        """The output of the commands that failed, by index. Raises EngineError if the shell has ended."""
        failures: dict[int, str] = {}
        async with self._sending:
            for start, stop in _batches(commands, BATCH_BYTES):
                answer = await self._exchange(self._commands(commands[start:stop]))
                failures.update({start + index: text for index, text in answer.items()})
        return failures

    def _commands(self, commands: Sequence[bytes]) -> bytes:
        mark = self._mark.encode()
        lines = [command + b" || printf '\\n%s %s\\n' " + mark + b" %d" % i for i, command in enumerate(commands)]
        lines.append(b"printf '\\n%s end\\n' " + mark)
        text = b"{\n" + b"\n".join(lines) + b"\n}\n"  # if the connection is cut, all commands run or none
        return perl_helper.message(b"s", text) if self.has_helper else text

    async def _exchange_early(self, data: bytes) -> dict[int, str]:
        """Like `_exchange`, but the next data may be sent before the answer: the helper never waits for its input."""
        await self._sending.acquire()
        steps = 2  # the data is sent, and all earlier answers have been read

        def step() -> None:
            nonlocal steps
            steps -= 1
            if not steps:
                self._sending.release()

        try:
            return await self._exchange(data, step)
        finally:
            if steps:
                self._sending.release()

    async def _exchange(self, data: bytes, step: Callable[[], object] = bool) -> dict[int, str]:
        """Send the data and read its answer; `step` is called once it is sent, and once its answer is read next."""
        if self.broken:
            raise BrokenShellError
        try:
            if len(data) <= BATCH_BYTES:
                with anyio.fail_after(ANSWER_SECONDS):
                    await self._send(data, step)
                return await self._next_answer(step)
            # More data than a pipe holds may be read late or never, so read the answer at the same time.
            async with task_group() as tasks:
                tasks.start_soon(self._send, data, step)
                return await self._next_answer(step)
        except (ConnectionError, TimeoutError) as error:
            self.broken = True
            raise BrokenShellError from error
        except BaseException:  # after a cancellation, the next answer could belong to this exchange
            self.broken = True
            raise

    async def _next_answer(self, step: Callable[[], object]) -> dict[int, str]:
        async with self._answering:
            step()
            if self.broken:
                raise BrokenShellError
            is_answered = False
            try:
                with anyio.fail_after(ANSWER_SECONDS):
                    failures = await self._answer()
                is_answered = True
            finally:  # before the next exchange reads
                self.broken = self.broken or not is_answered
            return failures

    async def _send(self, data: bytes, step: Callable[[], object]) -> None:
        with contextlib.suppress(ConnectionError):  # reading the answer raises the error
            await self._session.send(data)
        step()

    async def _answer(self) -> dict[int, str]:
        mark = self._mark.encode()
        failures: dict[int, str] = {}
        output: list[bytes] = []
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if not newline:
                self._buffer += await self._receive()
                continue
            self._buffer = rest
            if line == mark + b" end":
                return failures
            if line.startswith(mark + b" "):
                text = b" ".join(filter(None, output))
                failures[int(line.split()[1])] = text.decode(errors="backslashreplace")
                output = []
            else:
                output.append(line)

    async def _receive(self) -> bytes:
        while True:
            with anyio.move_on_after(SILENT_SECONDS):
                if (message := await self._session.receive()) is None:
                    raise NoProgramError
                return message[1]
            if reason := await self._silence():
                raise EngineError(reason)

    async def close(self) -> None:
        """End the shell by closing its input."""
        self.broken = True
        await _close(self._stack)


def _batches(commands: Sequence[bytes], most: int) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    start = size = 0
    for index, command in enumerate(commands):
        if index > start and size + len(command) + COMMAND_EXTRA > most:
            ranges.append((start, index))
            start, size = index, 0
        size += len(command) + COMMAND_EXTRA
    if start < len(commands):
        ranges.append((start, len(commands)))
    return ranges


async def _end_of_start(engine: Engine, container_id: str, started_at: str) -> str:
    """Why a shell of that start of the container (of any, if empty) cannot answer any more, or an empty text."""
    now = await engine.containers.inspect(container_id)
    if now is None or now.state == "paused":
        return "the container is paused"
    return "the container was started again" if started_at not in ("", now.started_at) else ""


async def _close(stack: contextlib.AsyncExitStack) -> None:
    with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
        await stack.aclose()
