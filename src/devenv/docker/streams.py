"""Output that arrives as a stream: frames of stdout and stderr, and their lines."""

from __future__ import annotations

import itertools
import operator
import re
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import anyio

from devenv.docker.exchange import Exchange

QUIET = 10.0  # seconds without data after which `plain` calls `on_quiet`
STREAMS = {1: "stdout", 2: "stderr"}
TIME = re.compile(rb"\A\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) ")
HEADER = struct.Struct(">BxxxL")  # stream, length of the data

Frame = tuple[int, bytes]  # 1 for stdout or 2 for stderr, and data
Read = Callable[[], Awaitable[Sequence[Frame]]]  # the frames that have arrived, at least one; none at the end


class Frames:
    """The frames of a multiplexed stream: a header of 8 bytes (stream, 3 zero bytes, length), then the data."""

    def __init__(self, answer: Exchange) -> None:
        self._answer = answer
        self._buffer = b""
        self._complete = deque[Frame]()

    async def next(self) -> Frame | None:
        """The next frame, or None at the end."""
        if not self._complete:
            self._complete.extend(await self.arrived())
        return self._complete.popleft() if self._complete else None

    async def arrived(self) -> Sequence[Frame]:
        """The frames that have arrived since the last call, at least one; none at the end."""
        frames: list[Frame] = []
        while not frames and (chunk := await self._answer.chunk()):
            buffer, at = self._buffer + chunk, 0
            while len(buffer) >= (begin := at + HEADER.size):
                stream, length = HEADER.unpack_from(buffer, at)
                if len(buffer) < begin + length:
                    break
                at = begin + length
                frames.append((stream, buffer[begin:at]))
            self._buffer = buffer[at:]
        return frames


def plain(answer: Exchange, on_quiet: Callable[[], Awaitable[None]] | None = None) -> Read:
    """A reader of a body without frames, as stdout; calls `on_quiet` after each `QUIET` seconds without data."""

    async def read() -> Sequence[Frame]:
        while True:
            with anyio.move_on_after(QUIET if on_quiet else None):
                chunk = await answer.chunk()
                return [(1, chunk)] if chunk else []
            if on_quiet is not None:
                await on_quiet()

    return read


def without_inner_times(read: Read) -> Read:
    """`read` with one time in each line: the engine repeats the time before each piece of a long line."""
    is_open = {1: False, 2: False}

    async def pieces() -> Sequence[Frame]:
        frames = list(await read())
        for index, (stream, data) in enumerate(frames):
            if is_open.get(stream):
                frames[index] = stream, TIME.sub(b"", data, count=1)
            is_open[stream] = not data.endswith(b"\n")
        return frames

    return pieces


async def line_batches(read: Read) -> AsyncIterator[tuple[str, Sequence[str]]]:
    """(stream, lines that have arrived), the lines without their line ends; the last line may have none."""
    rest = {1: b"", 2: b""}
    while frames := await read():
        for stream, group in itertools.groupby(frames, key=operator.itemgetter(0)):
            data = b"".join([rest.get(stream, b""), *(data for _, data in group)])
            complete, end, rest[stream] = data.rpartition(b"\n")
            if end:
                # No character contains the byte of a line end, so that all lines can be decoded at once.
                text = complete.decode(errors="backslashreplace")
                yield STREAMS[stream], [line.removesuffix("\r") for line in text.split("\n")]
    for stream, line in rest.items():
        if line:
            yield STREAMS[stream], [line.decode(errors="backslashreplace")]


async def lines(read: Read) -> AsyncIterator[tuple[str, str]]:
    """(stream, line) for each line, as `line_batches` has them."""
    async for stream, batch in line_batches(read):
        for line in batch:
            yield stream, line
