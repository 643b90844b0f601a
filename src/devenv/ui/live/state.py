"""The live view's state: events and facts of the run, folded. Pure: times (seconds) are arguments."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from devenv import events as e
from devenv.docker.build_progress import StepBegin, StepEnd, StepOutput, parse
from devenv.model.graph import Fact, Graph, ServiceGraph, ServiceStats
from devenv.ui import text
from devenv.ui.live import log
from devenv.ui.live.log import Filter, Logbook, Search, unbounded

LAYERS = re.compile(r"(\d+) of (\d+) layers(?:, (\d+) of (\d+) MB)?")
LAST_LINES = 15
MOST_STEPS = 500
SYNCS = 200
TIMINGS_WIDTH = 68  # columns: 80 without the names
GOOD = ("healthy", "started", "completed")
BAD = ("unhealthy", "exited", "removed")
ALIVE = ("healthy", "started", "starting", "unhealthy")


@dataclass(slots=True)
class Pull:
    """An image that is pulled: finished layers of all, and a detail."""

    state: str
    detail: str
    done: int = 0
    layers: int = 0


@dataclass(slots=True)
class BuildStep:
    """A step of a build, with its line of the Dockerfile."""

    where: str
    what: str
    began: float
    state: str = "running"  # or done, cached, failed
    seconds: float | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))


@dataclass(slots=True)
class ImageProgress:
    """Current pulls and builds. A failed build stays until the next begins."""

    pulls: dict[str, Pull] = field(default_factory=dict)
    steps: dict[str, BuildStep] = field(default_factory=dict)
    failed: bool = False

    def image(self, event: e.ImageState) -> None:
        """Follow a change of an image."""
        if event.state not in ("pulling", "making", "pushing"):
            self.pulls.pop(event.reference, None)
            return
        detail = text.clean(event.detail).strip()
        count = LAYERS.match(detail)
        done, layers = (int(count[1]), int(count[2])) if count else (0, 0)
        self.pulls[event.reference] = Pull(event.state, detail, done, layers)

    def line(self, line: str, at: float) -> None:
        """Follow a line of a build's output."""
        match parse(text.clean(line).strip()):
            case StepBegin(number, label, what) as begin if not begin.is_internal and number not in self.steps:
                if self.failed:
                    self.clear()
                self.steps[number] = BuildStep(label, what, at)
                while len(self.steps) > MOST_STEPS:
                    del self.steps[next(iter(self.steps))]
            case StepEnd(number, state, seconds) if step := self.steps.get(number):
                step.state, step.seconds = state, seconds
                self.failed = self.failed or state == "failed"
            case StepOutput(number, line, is_own=True) if step := self.steps.get(number):
                step.lines.append(line)

    def over(self, *, images: bool = False) -> None:
        """Remove the finished build unless it failed; with `images`, the pulls too.

        An image that was got without a pull has no last event.
        """
        if images:
            self.pulls.clear()
        if not self.failed:
            self.clear()

    def clear(self) -> None:
        """Remove all builds."""
        self.steps, self.failed = {}, False

    @property
    def is_empty(self) -> bool:
        """Whether no pull and no build is shown."""
        return not (self.pulls or self.steps)


class TimedSync(NamedTuple):
    """A sync, and when its event came."""

    event: e.Synced
    at: float


class TimedReady(NamedTuple):
    """The end of the start, and when its event came."""

    event: e.Ready
    at: float


class TimedProblem(NamedTuple):
    """A problem until its cause is gone. `ends`: an event says when; otherwise the problem is shown for a while."""

    message: str
    at: float
    ends: bool


@dataclass(slots=True)
class ServiceRow:
    """A service. `busy`: the action that runs on it, and why."""

    name: str
    state: str = ""
    detail: str = ""
    error: str = ""  # of its log
    check: str = ""  # the last line of its failing health check
    busy: str = ""
    changed: float = 0.0  # when the state became what it is
    is_stopped: bool = False  # by a key
    service_stats: ServiceStats = field(default_factory=lambda: ServiceStats(""))
    sync: TimedSync | None = None
    waiting: e.Waiting | None = None

    @property
    def word(self) -> str:
        """Its state in a word."""
        if self.busy:
            return self.busy.partition(" ")[0].rstrip(":")
        if self.is_stopped and self.state not in ALIVE:
            return "stopped"
        return {"": "absent", "created": "waiting" if self.detail else "created"}.get(self.state, self.state)


@dataclass(slots=True)
class View:
    """What the keys chose: what is shown of the run, and what is being typed. `search`: how filters search."""

    search: Search = unbounded
    note: str = ""  # what the last key led to
    asked: str = ""  # the key, q or s, that has to be pressed again
    selected: int = 0
    page: str = ""  # what is in the log's place: graph, syncs or help
    offset: int = 0  # first line of that page
    anchor: int | None = None  # the lowest line of the log in view; None follows the log
    marked: int | None = None  # the error that was looked for
    typing: str | None = None  # a filter that is being typed
    replaced: Filter = field(default_factory=Filter)  # the filter before that
    is_detaching: bool = False
    height: int = 10  # rows of the pane, as last drawn: the length of a page

    def follow_log(self) -> None:
        """Show the end of the log."""
        self.anchor = self.marked = None


class State:
    """All that the screen is made of."""

    def __init__(self, *, verbose: bool = False, search: Search = unbounded) -> None:
        self.verbose = verbose  # show the output of builds in the log
        self.project = ServiceGraph(Graph("", ()))
        self.services: dict[str, ServiceRow] = {}
        self.log = Logbook()
        self.syncs: deque[TimedSync] = deque(maxlen=SYNCS)
        self.progress = ImageProgress()
        self.step: e.Step | None = None
        self.step_detail = ""
        self.ready: TimedReady | None = None
        self.problems: dict[str, TimedProblem] = {}  # by path, service, or ""
        self.view = View(search)

    @property
    def chosen(self) -> ServiceRow | None:
        """The service that keys are for."""
        rows = list(self.services.values())
        return rows[min(self.view.selected, len(rows) - 1)] if rows else None

    def learn(self, fact: Fact) -> None:
        """Take in a fact."""
        if isinstance(fact, ServiceStats):
            self._service(fact.service).service_stats = fact
            return
        self.project = fact
        known = self.services
        self.services = {node.name: known.get(node.name) or ServiceRow(node.name) for node in fact.graph.nodes}

    def tell(self, event: e.Event, at: float) -> None:
        """Take in an event, and when it came."""
        match event:
            case e.Log(source, line) | e.HookLine(source, line):
                self.log.add(source, line)
            case _:
                self.view.note = ""
                self._fold(event, at)

    def _fold(self, event: e.Event, at: float) -> None:
        match event:
            case e.Step():
                self._step(event, at)
            case e.ImageState():
                self.progress.image(event)
            case e.ServiceState(name, state, detail):
                row = self._service(name)
                is_same = (row.state, row.detail) == (state, text.clean(detail))
                row.state, row.detail, row.changed = state, text.clean(detail), at
                row.error, row.check = text.clean(event.error), text.clean(event.check)
                row.is_stopped = row.is_stopped and (state not in ALIVE or bool(row.busy))
                if state in (*GOOD, *BAD):
                    row.waiting = None
                    if state in GOOD:
                        self.problems.pop(name, None)
                    if not row.is_stopped and not is_same:  # the log has the error already
                        self._say(event, "error" if state in BAD else "info")
            case e.Waiting(name):
                self._service(name).waiting = event
            case e.Synced(name):
                self.syncs.append(TimedSync(event, at))
                self._service(name).sync = self.syncs[-1]
                self.log.errors.pop(name, None)
                self._say(event, "info")
            case e.Rebuilt(name) | e.Restarted(name):
                self._service(name).busy = ""
                self.problems.pop(name, None)
                self._say(event, "info")
            case _:
                self._rest(event, at)

    def _rest(self, event: e.Event, at: float) -> None:
        match event:
            case e.Traced():
                self.log.add(log.OURS, text.traced(event), "info")
            case e.Timings():
                for line in text.waterfall(event, TIMINGS_WIDTH):
                    self.log.add(log.OURS, line, "info")
            case e.Ready():
                self.ready, self.step, self.problems = TimedReady(event, at), None, {}
                self._say(event, "info")
            case e.Problem():
                self._problem(event, at)
            case e.Solved(path):
                self.problems.pop(path, None)
            case e.Reloaded():
                self.progress.over(images=True)
                self._say(event, "info")
            case _:
                self._say(event, "info")

    def _step(self, event: e.Step, at: float) -> None:
        if event.name == "build" and event.state == "detail":
            self.progress.line(event.detail, at)
            if self.verbose:
                self.log.add(log.OURS, event.detail, "info")
        elif event.name == "rebuild":
            name = event.detail.partition(":")[0]
            if name in self.services:
                begins = event.state == "begin"
                self.services[name].busy = f"rebuilding{text.clean(event.detail[len(name) :])}" if begins else ""
            self.progress.over(images=True) if event.state == "end" else self.progress.clear()
        elif event.state == "detail":
            self.step_detail = text.clean(event.detail).strip()
        else:
            self.step, self.step_detail = (event if event.state == "begin" else None), ""
            if event.state == "end":
                self.progress.over(images=event.name == "images")
                self._say(event, "info")

    def _problem(self, event: e.Problem, at: float) -> None:
        name = event.service or ""
        if name:
            self._service(name).busy = ""
        self.progress.pulls.clear()  # of the rebuild or reload that failed; another pull reports again soon
        message = text.clean_lines(event.message).partition("\n")[0]
        key = event.path or name
        self.problems.pop(key, None)  # the newest is the last
        self.problems[key] = TimedProblem(f"{f'{name}: ' if name else ''}{message}", at, ends=bool(key))
        self._say(event, "error")

    def _say(self, event: e.Event, level: str) -> None:
        """Add the event's line to the log, as devenv's own."""
        lines = text.plain(event)
        for line in lines.splitlines() if lines else ():
            self.log.add(log.OURS, line, level)

    def _service(self, name: str) -> ServiceRow:
        return self.services.setdefault(name, ServiceRow(name))

    def settled(self, service: str, why: str) -> None:
        """A command for a service is done, or failed: `why`."""
        if service in self.services:
            self.services[service].busy = ""
        self.view.note = why
