"""Frames and lines of what containers print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import pytest

from devenv.docker.streams import HEADER, Frame, Frames, Read, lines, without_inner_times

if TYPE_CHECKING:
    from devenv.docker.exchange import Exchange

pytestmark = pytest.mark.anyio

AT = b"2026-11-29T09:40:05.123456789Z "
TIME = AT.decode()


def reader(*frames: Frame) -> Read:
    """Return the frames, one at a time, then none."""
    left = list(frames)

    async def read() -> Sequence[Frame]:
        return [left.pop(0)] if left else []

    return read


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([(1, AT + b"one\n"), (1, AT + b"two\n")], [("stdout", "one"), ("stdout", "two")]),
        (
            [(1, AT + b"a long "), (2, AT + b"other\n"), (1, AT + b"line\n")],
            [("stderr", "other"), ("stdout", "a long line")],
        ),
        ([(1, AT + b"x" * 9), (1, AT + b"y"), (1, AT + b"z")], [("stdout", "xxxxxxxxxyz")]),
        ([(1, AT + b"text " + AT + b"\n")], [("stdout", f"text {TIME}")]),
        ([(1, AT + b"\r\n"), (1, AT + b"\n")], [("stdout", ""), ("stdout", "")]),
        ([(1, b"2026-11-29T11:40:05+02:00 first "), (1, b"2026-11-29T11:40:05+02:00 piece\n")], None),
    ],
)
async def test_a_long_line_has_its_time_once(frames: list[Frame], expected: list[tuple[str, str]] | None) -> None:
    """The engine sends it in pieces with a time before each; times that the container printed stay."""
    read = [line async for line in lines(without_inner_times(reader(*frames)))]
    if expected is None:
        assert read == [("stdout", "2026-11-29T11:40:05+02:00 first piece")]
    else:
        assert read == [(stream, TIME + text) for stream, text in expected]


class Answer:
    """A body that arrives in pieces."""

    def __init__(self, body: bytes, size: int) -> None:
        self._pieces = [body[at : at + size] for at in range(0, len(body), size)]

    async def chunk(self) -> bytes:
        """The next piece; none at the end."""
        return self._pieces.pop(0) if self._pieces else b""


FRAMES = [(1, b"one\n"), (2, b""), (1, b"x" * 300), (2, b"two")]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100, 1000])
async def test_frames_are_whole_in_whatever_pieces_they_arrive(size: int) -> None:
    """All that have arrived come at once, and one after the other from `next`; half a frame at the end is dropped."""
    body = b"".join(HEADER.pack(stream, len(data)) + data for stream, data in FRAMES) + b"\1\0\0"
    frames = Frames(cast("Exchange", Answer(body, size)))
    read = list(await frames.arrived())
    assert read == (FRAMES if size == 1000 else FRAMES[: len(read)])
    while more := await frames.arrived():
        read += more
    assert read == FRAMES
    frames = Frames(cast("Exchange", Answer(body, size)))
    assert [await frames.next() for _ in range(5)] == [*FRAMES, None]
