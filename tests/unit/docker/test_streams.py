"""Frames and lines of what containers print."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from devenv.docker.streams import Frame, Read, lines, without_inner_times

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
