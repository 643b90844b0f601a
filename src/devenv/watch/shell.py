"""One long-lived shell in a container: a line to an open one costs under a millisecond, a fresh exec sixty."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence

import anyio

from devenv.engine.api import CallError, Engine, Session
from devenv.errors import EngineError

ANSWER_SECONDS = 60.0
LATE_SECONDS = 1.0  # without a word: orders to a paused container are taken, and never answered
BATCH_BYTES = 64 * 1024
ORDER_EXTRA = 64  # what is sent around each order
NEEDED = b"( for c in mv rm rmdir mkdir chown; do command -v $c || exit 1; done ) >/dev/null"
NO_PROGRAM = re.compile("executable file not found|no such file or directory")

# o: no folder is in the way. m: move a staged entry over its target, never into it. l: the same for a link. d: a
# folder with the service's owner. g: many staged entries of one folder at once. t: a whole new folder. r: remove
# files, and what turns out to be an empty folder; one that holds something is not ours to remove.
PRELUDE = b"""exec 2>&1
o() { [ ! -d "$2" ] || [ -h "$2" ] || { echo "a folder is there in the container"; return 1; }; }
m() { { o "$1" "$2" && { [ ! -d "$2" ] || rm -f -- "$2"; } && mv -f -- "$1" "$2"; } || { rm -f -- "$1"; return 1; }; }
l() { { o "$1" "$2" && rm -f -- "$2" && mv -f -- "$1" "$2"; } || { rm -f -- "$1"; return 1; }; }
d() { [ -d "$1" ] || { mkdir -- "$1" && chown "$2" -- "$1"; }; }
g() { s=$1; t=$2; shift 2; ( cd -- "$s" && mv -f -- "$@" "$t/" ); c=$?; return $c; }
t() { { [ ! -e "$2" ] && [ ! -h "$2" ] && mv -- "$1" "$2"; } || { rm -rf -- "$1"; return 1; }; }
r() { rm -f -- "$@" 2>/dev/null || for p in "$@"; do
if [ -d "$p" ] && [ ! -h "$p" ]; then rmdir -- "$p" 2>/dev/null || :
elif [ -e "$p" ] || [ -h "$p" ]; then rm -f -- "$p" || return 1; fi; done; }
"""


# A process for each rename is a third of what a save costs. Where there is perl (in Debian's and Ubuntu's images), it
# renames by itself what comes after a byte 1 (from, to, number; nothing: the end), and hands all else on to a shell.
SWIFT = b"""if command -v perl >/dev/null; then exec perl -e '$| = 1; my $m = shift;
$SIG{CHLD} = sub { exit 1 }; open(S, "|-", "sh") || exit 1; my $o = select(S); $| = 1; select($o);
print "\\n$m end\\n"; while (<STDIN>) {
if (!/^\\x01(?:([0-9a-f]+) ([0-9a-f]+) (\\d+))?$/) { print S $_ } elsif (!defined $1) { print "\\n$m end\\n" }
elsif (!rename(pack("H*", $1), pack("H*", $2))) { print "\\n$m $3\\n" } }' %b
else printf '\\n%%s 0\\n\\n%%s end\\n' %b %b; fi
"""
SWIFT_MOST = 32  # renames at once; more go folder by folder


class BrokenShellError(ConnectionError):
    """The shell has ended; what it was asked last may or may not have happened."""


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
        self._is_swift = False
        self.broken = False

    @classmethod
    async def open(cls, engine: Engine, container_id: str, mark: str) -> Shell | None:
        """A shell as root in a running container, or None where the image has no `sh`, `mv` or `rm`.

        Raises EngineError where that cannot be told now: the container has gone, or is paused.
        """
        stack = contextlib.AsyncExitStack()

        async def is_paused() -> bool:
            now = await engine.inspect(container_id)
            return now is None or now.state == "paused"

        try:
            session = await stack.enter_async_context(engine.session(container_id, ["sh"], user="0", mark=mark))
            shell = cls(session, stack, is_paused)
            with contextlib.suppress(ConnectionError):
                await session.send(PRELUDE)
            failures = await shell.run([NEEDED])
            if not failures:
                await shell.hurry()
        except BaseException as error:
            await _close(stack)
            refused = isinstance(error, CallError) and NO_PROGRAM.search(error.reason)
            if refused or isinstance(error, BrokenShellError):
                return None
            if isinstance(error, (ConnectionError, TimeoutError)):
                raise EngineError("the shell in the container does not answer") from error
            raise
        if failures:
            await _close(stack)
            return None
        return shell

    async def hurry(self) -> None:
        """From now on renames take no process each, where the image has what it takes."""
        mark = self._mark.encode()
        self._is_swift = not await self._exchange(SWIFT % (mark, mark, mark))
        if self._is_swift:
            await self._session.send(PRELUDE)

    async def rename(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Which of these renames (from, to) are still to be done by orders: all where they cannot be quick.

        Raises BrokenShellError where the shell has ended.
        """
        if not self._is_swift or len(pairs) > SWIFT_MOST:
            return list(range(len(pairs)))
        lines = [b"\x01%s %s %d\n" % (_hex(old), _hex(new), index) for index, (old, new) in enumerate(pairs)]
        async with self._turn:
            return sorted(await self._exchange(b"".join(lines) + b"\x01\n"))

    async def run(self, orders: Sequence[bytes]) -> dict[int, str]:
        """Which orders failed, by index, with what they printed. Raises BrokenShellError where it has ended."""
        failures: dict[int, str] = {}
        async with self._turn:
            for start, stop in _batches(orders):
                answer = await self._ask(orders[start:stop])
                failures.update({start + index: text for index, text in answer.items()})
        return failures

    async def _ask(self, orders: Sequence[bytes]) -> dict[int, str]:
        mark = self._mark.encode()
        lines = [order + b" || printf '\\n%s %s\\n' " + mark + b" %d" % i for i, order in enumerate(orders)]
        lines.append(b"printf '\\n%s end\\n' " + mark + b"\n")
        return await self._exchange(b"\n".join(lines))

    async def _exchange(self, data: bytes) -> dict[int, str]:
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                with contextlib.suppress(ConnectionError):  # why it is gone is said where its answer is read
                    await self._session.send(data)
                return await self._answer(self._mark.encode())
        except BaseException:
            # Cancelled or cut off in the middle: nobody can tell any more whose answer comes next.
            self.broken = True
            raise

    async def _answer(self, mark: bytes) -> dict[int, str]:
        failures: dict[int, str] = {}
        said: list[bytes] = []
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if not found:
                with anyio.move_on_after(LATE_SECONDS) as late:
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


def quoted(path: str) -> bytes:
    """The path as one word of a POSIX shell, whatever bytes it holds."""
    return b"'" + os.fsencode(path).replace(b"'", b"'\\''") + b"'"


def _hex(path: str) -> bytes:
    return os.fsencode(path).hex().encode()


def _batches(orders: Sequence[bytes]) -> list[tuple[int, int]]:
    """Index ranges of at most 64 KiB of orders: more could fill the pipe both ways while nobody reads."""
    ranges: list[tuple[int, int]] = []
    start = size = 0
    for index, order in enumerate(orders):
        if index > start and size + len(order) + ORDER_EXTRA > BATCH_BYTES:
            ranges.append((start, index))
            start, size = index, 0
        size += len(order) + ORDER_EXTRA
    if start < len(orders):
        ranges.append((start, len(orders)))
    return ranges


async def _close(stack: contextlib.AsyncExitStack) -> None:
    with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
        await stack.aclose()
