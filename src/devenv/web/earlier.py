"""Lines of logs from before those that a page has: of this run's containers, or those that the last run left."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections import deque
from collections.abc import Mapping, Sequence

import anyio

from devenv.compose.outline import Selection
from devenv.inspect.log_merge import Lines, merged
from devenv.inspect.logs import LogQuery, LogReader
from devenv.redact import Redactor
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.page import PageSource
from devenv.web.lines import FirstLines, PageLine, PageLines

MOST = 100_000  # lines
REPORTED = 20_000  # lines of a report before those in memory
FIRST = -(10**9)  # number while the lines are read: no line has 0
EACH = 100  # lines between two pauses, in which the run goes on
QUERY = LogQuery(Selection(""), tail=MOST, levels=True)
PAUSE = 0.001


async def of_this_run(source: PageSource, beginnings: Mapping[str, FirstLines], redactor: Redactor) -> list[PageLine]:
    """The lines before those that a page has, by time: the newest `MOST`. The last has the number -1."""
    engine, project = source.project.engine, source.project.desired.project.name
    containers = await engine.containers.list(project)
    ids = {container.id for container in containers}
    pieces, _ = KeptLogs(source.run.path).pieces(source.project.ledger.began)
    reader = LogReader(QUERY, await engine.clock())
    kept = [reader.kept(piece) for piece in pieces if piece.container_id not in ids]
    lines = await _read([*kept, *(reader.printed(engine, container) for container in containers)], redactor)
    return _before(lines, beginnings)


async def of_the_last_run(source: PageSource, redactor: Redactor) -> list[PageLine]:
    """The lines that the run before this one left, by time. The last has the number -1."""
    pieces = KeptLogs(source.run.path).before(source.project.ledger.began)
    reader = LogReader(QUERY, dt.datetime.now(dt.UTC))
    return _before(await _read([*map(reader.kept, pieces)], redactor), {})


async def _read(streams: Sequence[Lines], redactor: Redactor) -> list[PageLine]:
    """The newest lines of all streams by time, with pauses in which the run goes on."""
    made, lines = PageLines(redactor, FIRST), deque[PageLine](maxlen=MOST)
    async with contextlib.AsyncExitStack() as stack:
        for stream in streams:
            stack.push_async_callback(stream.aclose)
        async for batch in merged(streams):
            for line in batch:
                lines.append(made.line(line.service, line.stream, line.text, line.level, seconds(line.at)))
                if made.number % EACH == 0:
                    await anyio.sleep(PAUSE)
    return list(lines)


def _before(lines: Sequence[PageLine], beginnings: Mapping[str, FirstLines]) -> list[PageLine]:
    """The lines before those that the page has, numbered so that the last is -1."""
    texts: dict[str, list[str]] = {service: [] for service in beginnings}
    for line in lines:
        if line.service in texts:
            texts[line.service].append(line.text)
    left = {service: beginning.index(texts[service]) for service, beginning in beginnings.items()}
    kept: list[PageLine] = []
    for line in lines:
        if left.get(line.service, 1) > 0:
            kept.append(line)
            if line.service in left:
                left[line.service] -= 1
    numbers = {line.number: index - len(kept) for index, line in enumerate(kept)}
    return [line._replace(number=numbers[line.number], group=numbers.get(line.group, 0)) for line in kept]


def seconds(at: str) -> float:
    """The time of a line in seconds since 1970; 0 without one."""
    return dt.datetime.fromisoformat(f"{at[:26]}+00:00").timestamp() if at else 0.0
