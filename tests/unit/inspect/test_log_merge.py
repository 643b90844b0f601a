"""Streams of log lines: their order, and their last lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from devenv.inspect.log_merge import last, merged
from devenv.model.containers import Line


async def stream(service: str, *batches: str) -> AsyncGenerator[Sequence[Line], None]:
    """Batches of lines at these times (a character each), each saying its own."""
    for times in batches:
        yield [Line(at, service, "stdout", at) for at in times]


@pytest.mark.anyio
async def test_streams_are_merged_by_time() -> None:
    """Lines of the same time stay in the order of the streams; empty and short streams stop none."""
    streams = [stream("a", "1", "", "44"), stream("none"), stream("b", "0", "45"), stream("c", "2"), stream("d", "")]
    lines = [f"{line.service}{line.text}" async for batch in merged(streams) for line in batch]
    assert lines == ["b0", "a1", "c2", "a4", "a4", "b4", "b5"]
    assert [line async for line in merged([])] == []


@pytest.mark.anyio
async def test_a_line_waits_for_older_ones_of_other_streams() -> None:
    """They may be in a batch that was not read yet."""
    streams = [stream("a", "159"), stream("b", "2", "36", "7")]
    batches = [[f"{line.service}{line.text}" for line in batch] async for batch in merged(streams)]
    assert [line for batch in batches for line in batch] == ["a1", "b2", "b3", "a5", "b6", "b7", "a9"]


@pytest.mark.anyio
async def test_lines_of_one_stream_stay_in_their_order() -> None:
    """The clock of the engine may have been set back between two of them."""
    streams = [stream("a", "152", "36"), stream("b", "4", "7")]
    lines = [f"{line.service}{line.text}" async for batch in merged(streams) for line in batch]
    assert [line for line in lines if line[0] == "a"] == ["a1", "a5", "a2", "a3", "a6"]
    assert [line for line in lines if line[0] == "b"] == ["b4", "b7"]
    assert lines[:2] == ["a1", "b4"]


@pytest.mark.anyio
@pytest.mark.parametrize(("count", "left"), [(None, "123"), (2, "23"), (0, ""), (9, "123")])
async def test_tail_limits_lines_of_a_stream(count: int | None, left: str) -> None:
    """The limit is a number of lines, or all."""
    lines = [line.text async for batch in last(stream("a", "1", "23"), count) for line in batch]
    assert "".join(lines) == left
