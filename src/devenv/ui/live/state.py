"""The state of the live view, made from events and facts of the run. Pure: times (seconds) are arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import NamedTuple

from devenv import events as e
from devenv.lazy_dataclass import dataclass
from devenv.model.graph import Fact, ServiceStats
from devenv.model.status import BAD, GOOD
from devenv.ui import cells, drawing, text
from devenv.ui.live import log
from devenv.ui.live.log import Filter, Logbook, Search, unbounded
from devenv.ui.run_state import RunState, ServiceRow

TIMINGS_WIDTH = 68  # columns: 80 without the names


class BurstLines(NamedTuple):
    """A burst of syncs, and the numbers of its lines in the log."""

    burst: text.Burst
    lines: tuple[int, ...]


class ViewTools(NamedTuple):
    """The functions that search for a filter, and that format the time of a line."""

    search: Search = unbounded
    clock: Callable[[float], str] = str


class Typing(NamedTuple):
    """A filter that is being typed, and the filter before it."""

    text: str
    replaced: Filter


@dataclass(slots=True)
class View:
    """The choices that keys made: what is shown of the run, and what is being typed."""

    tools: ViewTools
    note: str = ""  # the result of the last key
    asked: str = ""  # the key, q or s, that has to be pressed again
    shows: set[str] = field(default_factory=lambda: {"wrap"})  # `wrap` for long lines, `times` before lines
    selected: int = 0
    page: str = ""  # in place of the log: graph, syncs or help
    offset: int = 0  # first line of the page
    anchor: int | None = None  # the lowest line of the log in view; None follows the log
    marked: int | None = None  # the last error that was searched for
    typing: Typing | None = None
    is_detaching: bool = False
    height: int = 10  # rows of the pane when it was drawn last

    def follow_log(self) -> None:
        """Show the end of the log."""
        self.anchor = self.marked = None


class State(RunState):
    """Everything that the screen shows."""

    def __init__(self, *, verbose: bool = False, tools: ViewTools | None = None, is_attached: bool = False) -> None:
        super().__init__()
        self.verbose = verbose  # show the output of builds in the log
        self.is_attached = is_attached  # another process has the run, which goes on without this view
        self.log = Logbook()
        self.view = View(tools or ViewTools())
        self._bursts: dict[str, BurstLines] = {}  # by service

    @property
    def chosen(self) -> ServiceRow | None:
        """The service to which keys apply."""
        rows = list(self.services.values())
        return rows[min(self.view.selected, len(rows) - 1)] if rows else None

    def learn(self, fact: Fact) -> None:
        """Apply a fact."""
        super().learn(fact)
        if isinstance(fact, ServiceStats):
            self.log.expect(fact.service, fact.checked)

    def tell(self, event: e.Event, at: float) -> None:
        """Apply an event that came at this time."""
        match event:
            case e.Log(source, line) | e.HookLine(source, line):
                self.log.add(source, line, event.level, at)
            case _:
                self.view.note = ""
                is_known = self._is_known(event)
                super().tell(event, at)
                if not is_known:
                    self._add(event, at)

    def _is_known(self, event: e.Event) -> bool:
        """Whether the log has the line of this event already, or gets none: the state of a service."""
        if not isinstance(event, e.ServiceState):
            return False
        row = self.row(event.service)
        is_same = (row.state, row.detail) == (event.state, cells.clean(event.detail))
        return is_same or event.state not in GOOD | BAD

    def _add(self, event: e.Event, at: float) -> None:
        """Add the event's lines to the log."""
        match event:
            case e.Step(name, "detail"):
                if name == "build" and self.verbose:
                    self.log.add(log.OURS, event.detail, "info", at)
            case e.Step("rebuild") | e.Step(_, "begin") | e.ImageState() | e.Waiting() | e.Solved():
                pass
            case e.ServiceState(_, state):
                self._say(event, at, "error" if state in BAD else "info")
            case e.Synced(name):
                self.log.errors.pop(name, None)
                self._say_sync(event, at)
            case e.Traced():
                self.log.add(log.OURS, text.traced(event), "info", at)
            case e.Timings():
                for line in drawing.waterfall(event, TIMINGS_WIDTH):
                    self.log.add(log.OURS, line, "info", at)
            case e.Problem():
                self._say(event, at, "error")
            case _:
                self._say(event, at)

    def _say_sync(self, event: e.Synced, at: float) -> None:
        """Add the sync's line to the log; from the third sync of a burst on, a single line counts them."""
        before = self._bursts.get(event.service)
        burst = before.burst.after(event, at) if before else text.Burst.of(event, at)
        lines = before.lines if before and burst.syncs > 1 else ()
        if burst.is_many:
            for number in lines:
                self.log.drop(number)
            lines = ()
            self.log.add(log.OURS, burst.line(), "info", at)
        else:
            self._say(event, at)
        self._bursts[event.service] = BurstLines(burst, (*lines, self.log.number))

    def _say(self, event: e.Event, at: float, level: str = "info") -> None:
        """Add the event's lines to the log, as devenv's own."""
        lines = text.plain(event)
        for line in lines.splitlines() if lines else ():
            self.log.add(log.OURS, line, level, at)

    def settled(self, service: str, why: str = "") -> None:
        """Note that a command for a service is done, or why it failed."""
        super().settled(service, why)
        self.view.note = why
