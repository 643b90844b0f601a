"""One long-lived shell in a container: a line to an open one costs under a millisecond, a fresh exec sixty."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence

import anyio

from devenv.docker.client import Engine
from devenv.docker.exec import SESSION_MARK, SHELL, Session
from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.sync.container import perl_helper, shell_commands
from devenv.sync.container.shell_commands import quoted
from devenv.tasks import first

ANSWER_SECONDS = 60.0
START_SECONDS = 5.0
SILENT_SECONDS = 1.0  # without a word: orders to a paused container are taken, and never answered
BATCH_BYTES = 64 * 1024  # more orders could fill the pipe both ways while nobody reads
HELPER_BYTES = 2 << 20  # of deeds, which are answered together at their end
COMMAND_EXTRA = 64  # what is sent around each order
NO_PROGRAM = re.compile("executable file not found|no such file or directory")
PROGRAMS = (SHELL, "/busybox/sh")
ROOT = "0"

# What an earlier shell of this run was sent and has not done yet would undo what comes now.
# Their arguments name them, which every user may read; to end root's shells takes root.
PREDECESSORS = b"""k=; for f in $(grep -lF %s /proc/[0-9]*/cmdline 2>/dev/null); do
f=${f#/proc/}; f=${f%%/cmdline}
[ "$f" = $$ ] || kill -9 "$f" 2>/dev/null || [ ! -d "/proc/$f" ] || k=1; done; [ -z "$k" ]"""


class BrokenShellError(ConnectionError):
    """The shell has ended; what it was asked last may or may not have happened."""


async def _always(_: Shell) -> bool:
    return True


class Shell:
    """Runs short orders one after the other, and tells which of them failed and why."""

    def __init__(
        self, session: Session, stack: contextlib.AsyncExitStack, paused: Callable[[], Awaitable[bool]]
    ) -> None:
        self._session = session
        self._is_paused = paused
        self._stack = stack
        self._mark = secrets.token_hex(8)
        self._turn = anyio.Lock()
        self._buffer = b""
        self.has_helper = False
        self.broken = False

    @classmethod
    async def open(
        cls,
        engine: Engine,
        container_id: str,
        mark: str,
        *,
        user: str = ROOT,
        check: Callable[[Shell], Awaitable[bool]] = _always,
        by_helper: bool = True,
    ) -> Shell | None:
        """A shell as this user in a running container.

        None if the image has no `sh`, `mv` or `rm`, if root's shells of an earlier run are there and the user is not
        root, or if `check` says no, which may already use it. `by_hand`: with the image's perl before it, where it
        has one that works. Raises EngineError where that cannot be told now: the container has gone, or is paused.
        """
        for program in PROGRAMS:
            found = await cls._open(engine, container_id, f"{mark}/{container_id}.", program, user, check, by_helper)
            if not isinstance(found, str):
                return found
        return None

    @classmethod
    async def _open(
        cls,
        engine: Engine,
        container_id: str,
        mark: str,
        program: str,
        user: str,
        check: Callable[[Shell], Awaitable[bool]],
        by_helper: bool,
    ) -> Shell | str | None:
        """As `open`, or why this program cannot be run."""
        stack = contextlib.AsyncExitStack()
        name = f"{SESSION_MARK}={mark}"

        async def is_paused() -> bool:
            now = await engine.containers.inspect(container_id)
            return now is None or now.state == "paused"

        is_starting_helper = False
        try:
            argv = [program, "-s", name]
            session = await stack.enter_async_context(engine.exec.session(container_id, argv, user=user, mark=mark))
            shell = cls(session, stack, is_paused)
            with contextlib.suppress(ConnectionError):
                await session.send(shell_commands.PRELUDE)
            is_fit = not await shell.run([shell_commands.NEEDED, PREDECESSORS % quoted(name)]) and await check(shell)
            is_starting_helper = by_helper and is_fit
            if is_starting_helper:
                await shell._start_helper(program, name)
        except BaseException as error:
            await _close(stack)
            if is_starting_helper and isinstance(error, (ConnectionError, TimeoutError)):
                return await cls._open(engine, container_id, mark, program, user, check, by_helper=False)
            if isinstance(error, CallError) and NO_PROGRAM.search(error.reason):
                return error.reason
            if isinstance(error, BrokenShellError):
                return program
            if isinstance(error, (ConnectionError, TimeoutError)):
                raise EngineError("the shell in the container does not answer") from error
            raise
        if not is_fit:
            await _close(stack)
            return None
        return shell

    async def _start_helper(self, program: str, name: str) -> None:
        """From now on deeds are done without a process each, where the image has what that takes."""
        with anyio.fail_after(START_SECONDS):
            has_helper = not await self._exchange(perl_helper.start(self._mark, program, name))
        if has_helper:
            await self._session.send(perl_helper.shell_message(shell_commands.PRELUDE))
        self.has_helper = has_helper

    async def do(self, operations: Sequence[bytes]) -> list[int]:
        """Which of these deeds (see `hand`) are still to be done by orders: all where the image has no perl.

        Raises BrokenShellError where the shell has ended.
        """
        if not self.has_helper:
            return list(range(len(operations)))
        failed: list[int] = []
        async with self._turn:
            for start, stop in _batches(operations, HELPER_BYTES):
                answer = await self._exchange(perl_helper.operations_message(operations[start:stop]))
                failed += [start + index for index in sorted(answer)]
        return failed

    async def run(self, orders: Sequence[bytes]) -> dict[int, str]:
        """Which orders failed, by index, with what they printed. Raises BrokenShellError where it has ended."""
        failures: dict[int, str] = {}
        async with self._turn:
            for start, stop in _batches(orders, BATCH_BYTES):
                answer = await self._ask(orders[start:stop])
                failures.update({start + index: text for index, text in answer.items()})
        return failures

    async def _ask(self, orders: Sequence[bytes]) -> dict[int, str]:
        mark = self._mark.encode()
        lines = [order + b" || printf '\\n%s %s\\n' " + mark + b" %d" % i for i, order in enumerate(orders)]
        lines.append(b"printf '\\n%s end\\n' " + mark)
        text = b"{\n" + b"\n".join(lines) + b"\n}\n"  # whole or not at all, wherever the connection is cut
        return await self._exchange(perl_helper.shell_message(text) if self.has_helper else text)

    async def _exchange(self, data: bytes) -> dict[int, str]:
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                if len(data) > BATCH_BYTES:
                    return await self._exchange_much(data)
                await self._send(data)
                return await self._answer()
        except BaseException:
            # Cancelled or cut off in the middle: nobody can tell any more whose answer comes next.
            self.broken = True
            raise

    async def _exchange_much(self, data: bytes) -> dict[int, str]:
        """What is more than a pipe holds may be taken late, or never: then it is the answer that tells."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send, data)
                answer = await self._answer()
        except BaseExceptionGroup as group:
            raise first(group) from None
        return answer

    async def _send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # why it is gone is said where its answer is read
            await self._session.send(data)

    async def _answer(self) -> dict[int, str]:
        mark = self._mark.encode()
        failures: dict[int, str] = {}
        said: list[bytes] = []
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if not found:
                with anyio.move_on_after(SILENT_SECONDS) as late:
                    message = await self._session.receive()
                if late.cancelled_caught:
                    if await self._is_paused():
                        raise EngineError("the container is paused")
                    continue
                if message is None:
                    raise BrokenShellError
                self._buffer += message[1]
                continue
            self._buffer = rest
            if line == mark + b" end":
                return failures
            if line.startswith(mark + b" "):
                text = b" ".join(s for s in said if s)
                failures[int(line.split()[1])] = text.decode(errors="backslashreplace")
                said = []
            else:
                said.append(line)

    async def close(self) -> None:
        """The shell ended; its process in the container sees the end of its input."""
        self.broken = True
        await _close(self._stack)


def _batches(orders: Sequence[bytes], most: int) -> list[tuple[int, int]]:
    """Index ranges of at most so many bytes of orders."""
    ranges: list[tuple[int, int]] = []
    start = size = 0
    for index, order in enumerate(orders):
        if index > start and size + len(order) + COMMAND_EXTRA > most:
            ranges.append((start, index))
            start, size = index, 0
        size += len(order) + COMMAND_EXTRA
    if start < len(orders):
        ranges.append((start, len(orders)))
    return ranges


async def _close(stack: contextlib.AsyncExitStack) -> None:
    with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
        await stack.aclose()
