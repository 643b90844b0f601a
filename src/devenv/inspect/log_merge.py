"""Streams of log lines: merged by time, or their last lines. Pure."""

from __future__ import annotations

import bisect
import operator
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from devenv.model.containers import Line

Lines = AsyncGenerator[Sequence[Line], None]  # in batches, which may be empty


async def merged(streams: Sequence[Lines]) -> Lines:
    """The lines of all streams by time, those of a stream in their order; one batch of each is in memory."""
    sources = [_Source(stream) for stream in streams]
    while sources:
        for source in sources:
            await source.fill()
        # What comes later is not older than the end of any batch here.
        until = min((source.batch[-1][0] for source in sources if source.batch), default="")
        sources = [source for source in sources if source.batch]
        ready = [timed for source in sources for timed in source.taken(until)]
        yield [entry for _, entry in sorted(ready, key=operator.itemgetter(0))]


class _Source:
    """A stream of lines; `batch` has those that were not taken, with times that never go back."""

    def __init__(self, stream: Lines) -> None:
        self.batch: list[tuple[str, Line]] = []
        self._stream = stream
        self._latest = ""

    async def fill(self) -> None:
        """Read the next batch if there is none left; leave it empty at the end of the stream."""
        while not self.batch and (entries := await anext(self._stream, None)) is not None:
            for entry in entries:
                self._latest = max(self._latest, entry.at)
                self.batch.append((self._latest, entry))

    def taken(self, until: str) -> list[tuple[str, Line]]:
        """Take the lines up to that time."""
        count = bisect.bisect_right(self.batch, until, key=operator.itemgetter(0))
        taken, self.batch = self.batch[:count], self.batch[count:]
        return taken


async def last(lines: Lines, count: int | None) -> Lines:
    """The last `count` lines of a stream, or all if it is None."""
    kept = deque[Line](maxlen=count)
    async for batch in lines:
        if count is None:
            yield batch
        else:
            kept.extend(batch)
    yield [*kept]
