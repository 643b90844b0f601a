"""The report about a run that has ended, from its logs, and from its events if it was in the background."""

from __future__ import annotations

import datetime as dt
import heapq
import os
import time
from collections.abc import Iterator

from devenv import __version__
from devenv.compose.worktrees import branch
from devenv.events import Log
from devenv.inspect.log_merge import merged
from devenv.inspect.logs import LogReader
from devenv.redact import Redactor
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.view_messages import TimedEvent, event_of
from devenv.state.event_log import EventLog
from devenv.state.run_dir import Run, ended
from devenv.web import messages
from devenv.web.earlier import QUERY, REPORTED, seconds
from devenv.web.fold import Fold, Message

ENDED = "its containers are removed"


async def report(run: Run) -> list[Message]:
    """The messages of the report about the last run that has ended; empty if it left nothing."""
    ledger = ended(run)
    pieces, _ = KeptLogs(run.path).pieces(ledger.began if ledger else None)
    if ledger is None or not pieces:
        return []
    reader = LogReader(QUERY, dt.datetime.now(dt.UTC))
    lines = [
        TimedEvent(seconds(line.at), Log(line.service, line.text, line.stream, level=line.level))
        async for batch in merged([*map(reader.kept, pieces)])
        for line in batch
    ]
    fold = Fold(Redactor(os.environ), REPORTED)
    for service in sorted({piece.service for piece in pieces}):
        fold.state.row(service)  # of which there may be no event
    for timed in heapq.merge(_events(run, ledger.began), lines, key=lambda timed: timed.at):
        fold.tell(timed.event, timed.at)
    folder, last = ledger.place.path, run.last()
    hello = messages.hello(
        ledger.project,
        folder,
        branch(folder) or "",
        __version__,
        is_read_only=True,
        now=max([timed.at for timed in lines[-1:]], default=time.time()),
        began=ledger.began,
    )
    timings = last.get("timings") if last.get("began") == ledger.began else None
    startup = [{"type": "startup", "seconds": timings["seconds"], "spans": timings["spans"]}] if timings else []
    return [hello, *fold.history(), *startup, {"type": "ended", "reason": ENDED}]


def _events(run: Run, began: float) -> Iterator[TimedEvent]:
    """The events of a run that began then, the oldest first, if it was in the background."""
    found = map(event_of, EventLog.documents(run.path))
    return (timed for timed in found if timed is not None and timed.at >= began)
