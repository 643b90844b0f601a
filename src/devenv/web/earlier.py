"""Lines of logs from before those that a page has: of this run's containers, or those that the last run left."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

import anyio

from devenv.compose.outline import Selection
from devenv.inspect.logs import Lines, LogQuery, LogReader, merged
from devenv.model.containers import Line
from devenv.redact import Redactor
from devenv.run.cleanup.kept_logs import KeptLogs, Piece
from devenv.run.page import PageSource
from devenv.web.lines import PageLine, PageLines

MOST = 100_000  # lines
REPORTED = 20_000  # lines of a report before those in memory
EACH = 100  # lines between two pauses, in which the run goes on
PAUSE = 0.001
OVERLAP = 2.0  # seconds before the first known line of a service in which this line is looked for


async def of_this_run(source: PageSource, first: Mapping[str, PageLine]) -> list[Line]:
    """The lines before the first line of each service, by time: the newest `MOST`."""
    engine, project = source.project.engine, source.project.desired.project.name
    containers = await engine.containers.list(project)
    ids = {container.id for container in containers}
    pieces = [piece for piece in _pieces(source) if piece.container_id not in ids]
    reader = LogReader(LogQuery(Selection(""), tail=MOST, levels=True), await engine.clock())
    streams = [*map(reader.kept, pieces), *(reader.printed(engine, container) for container in containers)]
    lines = await _newest(streams)
    return _before(lines, first)


async def of_the_last_run(source: PageSource) -> list[Line]:
    """The lines that the run before this one left, by time."""
    pieces = KeptLogs(source.run.path).before(source.project.ledger.began)
    reader = LogReader(LogQuery(Selection(""), tail=MOST, levels=True), dt.datetime.now(dt.UTC))
    return await _newest([*map(reader.kept, pieces)])


async def numbered(lines: Sequence[Line], redactor: Redactor) -> AsyncIterator[PageLine]:
    """The lines for a page; the last has the number -1, the one before it -2."""
    made = PageLines(redactor, number=-len(lines))
    for index, line in enumerate(lines):
        if index % EACH == 0:
            await anyio.sleep(PAUSE)
        yield made.line(line.service, line.stream, line.text, line.level, _seconds(line.at))


def _pieces(source: PageSource) -> list[Piece]:
    return KeptLogs(source.run.path).pieces(source.project.ledger.began)[0]


async def _newest(streams: Sequence[Lines]) -> list[Line]:
    lines, count = deque[Line](maxlen=MOST), 0
    try:
        async for line in merged(streams):
            lines.append(line)
            count += 1
            if count % EACH == 0:
                await anyio.sleep(PAUSE)
    finally:
        for stream in streams:
            await stream.aclose()
    return list(lines)


def _before(lines: Sequence[Line], first: Mapping[str, PageLine]) -> list[Line]:
    """The lines before those that the page has. Times differ a little: the text of the first known line decides."""
    ends = {service: (line.at, line.text) for service, line in first.items()}
    kept, over = list[Line](), set[str]()
    for line in lines:
        end = ends.get(line.service)
        if end is not None:
            at = _seconds(line.at)
            if at >= end[0] or (at >= end[0] - OVERLAP and line.text.rstrip() == end[1]):
                over.add(line.service)
        if line.service not in over:
            kept.append(line)
    return kept


def _seconds(at: str) -> float:
    return dt.datetime.fromisoformat(f"{at[:26]}+00:00").timestamp() if at else 0.0
