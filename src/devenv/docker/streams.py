"""Output of containers and commands: frames of the Engine API, and the lines in them."""

from __future__ import annotations

import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from devenv.docker.http import Exchange

QUIET = 10.0  # seconds without data after which `plain` calls `on_quiet`
STREAMS = {1: "stdout", 2: "stderr"}
TIME = re.compile(rb"\A\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) ")
HEADER = struct.Struct(">BxxxL")  # stream, length of the data
Read = Callable[[], Awaitable[tuple[int, bytes] | None]]


class Frames:
    """Frames of a multiplexed stream: a header of 8 bytes (stream, 3 zero bytes, length), then the data."""

    def __init__(self, answer: Exchange) -> None:
        self._answer = answer
        self._buffer = b""
        self._at = 0

    async def next(self) -> tuple[int, bytes] | None:
        """(1 for stdout or 2 for stderr, data), or None at the end."""
        while True:
            begin = self._at + HEADER.size
            if len(self._buffer) >= begin:
                stream, length = HEADER.unpack_from(self._buffer, self._at)
                if len(self._buffer) >= begin + length:
                    self._at = begin + length
                    return stream, self._buffer[begin : self._at]
            chunk = await self._answer.chunk()
            if not chunk:
                return None
            self._buffer, self._at = self._buffer[self._at :] + chunk, 0


def plain(answer: Exchange, on_quiet: Callable[[], Awaitable[None]] | None = None) -> Read:
    """Read a body without frames as stdout; `on_quiet` is called after every `QUIET` seconds without data."""

    async def read() -> tuple[int, bytes] | None:
        while True:
            with anyio.move_on_after(QUIET if on_quiet else None):
                chunk = await answer.chunk()
                return (1, chunk) if chunk else None
            if on_quiet is not None:
                await on_quiet()

    return read


def without_inner_times(read: Read) -> Read:
    """As `read`, but each line has its time only once: the engine repeats it before each piece of a long line."""
    is_open = {1: False, 2: False}

    async def pieces() -> tuple[int, bytes] | None:
        if (frame := await read()) is None:
            return None
        stream, chunk = frame
        if is_open.get(stream):
            chunk = TIME.sub(b"", chunk, count=1)
        is_open[stream] = not chunk.endswith(b"\n")
        return stream, chunk

    return pieces


async def lines(read: Read) -> AsyncIterator[tuple[str, str]]:
    """(stream, line) for each line, without its line ending; a last line without one at the end."""
    rest = {1: b"", 2: b""}
    while (frame := await read()) is not None:
        stream, chunk = frame
        *complete, rest[stream] = (rest.get(stream, b"") + chunk).split(b"\n")
        for line in complete:
            yield STREAMS[stream], line.removesuffix(b"\r").decode(errors="backslashreplace")
    for stream, line in rest.items():
        if line:
            yield STREAMS[stream], line.decode(errors="backslashreplace")
