"""The state of the live view, made from events and facts of the run. Pure: times (seconds) are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import field
from typing import NamedTuple

from devenv import events as e
from devenv.docker.build_progress import ImageProgress
from devenv.lazy_dataclass import dataclass
from devenv.model.graph import Fact, Graph, ServiceGraph, ServiceStats
from devenv.model.status import BAD, GOOD
from devenv.ui import cells, drawing, text
from devenv.ui.live import log
from devenv.ui.live.log import Filter, Logbook, Search, unbounded

SYNCS = 200
TIMINGS_WIDTH = 68  # columns: 80 without the names


class TimedSync(NamedTuple):
    """A sync, and the time of its event."""

    event: e.Synced
    at: float


class BurstLines(NamedTuple):
    """A burst of syncs, and the numbers of its lines in the log."""

    burst: text.Burst
    lines: tuple[int, ...]


class TimedReady(NamedTuple):
    """The end of the start, and the time of its event."""

    event: e.Ready
    at: float


class TimedProblem(NamedTuple):
    """A problem until its cause is gone. `ends`: an event reports the end; otherwise it is shown for a while."""

    message: str
    at: float
    ends: bool


@dataclass(slots=True)
class ServiceRow:
    """A service. `busy`: the action that runs on it, and why."""

    name: str
    state: str = ""
    detail: str = ""
    error: str = ""  # in its log
    check: str = ""  # the last line of its failing health check
    busy: str = ""
    changed: float = 0.0  # time of the last change of the state
    service_stats: ServiceStats = field(default_factory=lambda: ServiceStats(""))
    sync: TimedSync | None = None
    burst: BurstLines | None = None
    waiting: e.Waiting | None = None

    @property
    def word(self) -> str:
        """The state of the service in a word."""
        if self.busy:
            return self.busy.partition(" ")[0].rstrip(":")
        return {"": "absent", "created": "waiting" if self.detail else "created"}.get(self.state, self.state)


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


class State:
    """Everything that the screen shows."""

    def __init__(self, *, verbose: bool = False, tools: ViewTools | None = None, is_attached: bool = False) -> None:
        self.verbose = verbose  # show the output of builds in the log
        self.is_attached = is_attached  # another process has the run, which goes on without this view
        self.project = ServiceGraph(Graph("", ()))
        self.services: dict[str, ServiceRow] = {}
        self.log = Logbook()
        self.syncs: deque[TimedSync] = deque(maxlen=SYNCS)
        self.progress = ImageProgress()
        self.step: e.Step | None = None
        self.step_detail = ""
        self.ready: TimedReady | None = None
        self.problems: dict[str, TimedProblem] = {}  # by path, service, or ""
        self.view = View(tools or ViewTools())

    @property
    def chosen(self) -> ServiceRow | None:
        """The service to which keys apply."""
        rows = list(self.services.values())
        return rows[min(self.view.selected, len(rows) - 1)] if rows else None

    def learn(self, fact: Fact) -> None:
        """Apply a fact."""
        if isinstance(fact, ServiceStats):
            self._service(fact.service).service_stats = fact
            self.log.expect(fact.service, fact.checked)
            return
        self.project = fact
        known = self.services
        self.services = {node.name: known.get(node.name) or ServiceRow(node.name) for node in fact.graph.nodes}
        for removed in known.keys() - self.services.keys():
            self.problems.pop(removed, None)

    def tell(self, event: e.Event, at: float) -> None:
        """Apply an event that came at this time."""
        match event:
            case e.Log(source, line) | e.HookLine(source, line):
                self.log.add(source, line, event.level, at)
            case _:
                self.view.note = ""
                self._apply(event, at)

    def _apply(self, event: e.Event, at: float) -> None:
        match event:
            case e.Step():
                self._step(event, at)
            case e.ImageState():
                self.progress.image(event.reference, event.state, cells.clean(event.detail).strip(), at)
            case e.ServiceState(name, state, detail):
                row = self._service(name)
                is_same = (row.state, row.detail) == (state, cells.clean(detail))
                row.state, row.detail, row.changed = state, cells.clean(detail), at
                row.error, row.check = cells.clean(event.error), cells.clean(event.check)
                if state in GOOD | BAD:
                    row.waiting = None
                    if state in GOOD or state == "removed":  # the kill before a removal is no other problem
                        self.problems.pop(name, None)
                    if not is_same:  # the log has the line already
                        self._say(event, at, "error" if state in BAD else "info")
            case e.Waiting(name):
                self._service(name).waiting = event
            case e.Synced(name):
                self.syncs.append(TimedSync(event, at))
                self._service(name).sync = self.syncs[-1]
                self.log.errors.pop(name, None)
                self._say_sync(event, at)
            case e.Rebuilt(name) | e.Restarted(name):
                self._service(name).busy = ""
                self.problems.pop(name, None)
                self._say(event, at)
            case _:
                self._rest(event, at)

    def _rest(self, event: e.Event, at: float) -> None:
        match event:
            case e.Traced():
                self.log.add(log.OURS, text.traced(event), "info", at)
            case e.Timings():
                for line in drawing.waterfall(event, TIMINGS_WIDTH):
                    self.log.add(log.OURS, line, "info", at)
            case e.Ready():
                self.ready, self.step, self.problems = TimedReady(event, at), None, {}
                self._say(event, at)
            case e.Problem():
                self._problem(event, at)
            case e.Solved(path):
                self.problems.pop(path, None)
            case e.Reloaded():
                self.progress.over(images=True)
                self._say(event, at)
            case _:
                self._say(event, at)

    def _step(self, event: e.Step, at: float) -> None:
        if event.name == "build" and event.state == "detail":
            self.progress.line(cells.clean(event.detail).strip(), at)
            if self.verbose:
                self.log.add(log.OURS, event.detail, "info", at)
        elif event.name == "rebuild":
            name = event.detail.partition(":")[0]
            if name in self.services:
                begins = event.state == "begin"
                self.services[name].busy = f"rebuilding{cells.clean(event.detail[len(name) :])}" if begins else ""
            self.progress.over(images=True) if event.state == "end" else self.progress.clear()
        elif event.state == "detail":
            self.step_detail = cells.clean(event.detail).strip()
        else:
            self.step, self.step_detail = (event if event.state == "begin" else None), ""
            if event.state == "end":
                self.progress.over(images=event.name == "images")
                self._say(event, at)

    def _problem(self, event: e.Problem, at: float) -> None:
        name = event.service or ""
        if name:
            self._service(name).busy = ""
        self.progress.pulls.clear()  # of the rebuild or reload that failed; another pull reports again soon
        message = cells.clean_lines(event.message).partition("\n")[0]
        key = event.path or name
        self.problems.pop(key, None)  # the newest is the last
        self.problems[key] = TimedProblem(f"{f'{name}: ' if name else ''}{message}", at, ends=bool(key))
        self._say(event, at, "error")

    def _say_sync(self, event: e.Synced, at: float) -> None:
        """Add the sync's line to the log; from the third sync of a burst on, a single line counts them."""
        row = self._service(event.service)
        burst = row.burst.burst.after(event, at) if row.burst else text.Burst.of(event, at)
        lines = row.burst.lines if row.burst and burst.syncs > 1 else ()
        if burst.is_many:
            for number in lines:
                self.log.drop(number)
            lines = ()
            self.log.add(log.OURS, burst.line(), "info", at)
        else:
            self._say(event, at)
        row.burst = BurstLines(burst, (*lines, self.log.number))

    def _say(self, event: e.Event, at: float, level: str = "info") -> None:
        """Add the event's lines to the log, as devenv's own."""
        lines = text.plain(event)
        for line in lines.splitlines() if lines else ():
            self.log.add(log.OURS, line, level, at)

    def _service(self, name: str) -> ServiceRow:
        return self.services.setdefault(name, ServiceRow(name))

    def settled(self, service: str, why: str) -> None:
        """Note that a command for a service is done, or why it failed."""
        if service in self.services:
            self.services[service].busy = ""
        self.view.note = why
