"""The state of a run, made from its events and facts, as the live view and the page show it. Pure.

Times are arguments, in seconds of one clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import field
from typing import NamedTuple

from devenv import events as e
from devenv.docker.build_progress import ImageProgress
from devenv.lazy_dataclass import dataclass
from devenv.model.graph import Fact, Graph, ServiceGraph, ServiceStats
from devenv.model.status import BAD, GOOD
from devenv.ui import cells

SYNCS = 200
BUSY = {"restart": "restarting", "rebuild": "rebuilding", "stop": "stopping", "start": "starting"}


class TimedSync(NamedTuple):
    """A sync, and the time of its event."""

    event: e.Synced
    at: float


class TimedReady(NamedTuple):
    """The end of the start, and the time of its event."""

    event: e.Ready
    at: float


class TimedProblem(NamedTuple):
    """A problem until its cause is gone. `ends`: an event reports the end; otherwise it is shown for a while."""

    message: str
    at: float
    ends: bool
    event: e.Problem


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
    waiting: e.Waiting | None = None

    @property
    def word(self) -> str:
        """The state of the service in a word."""
        if self.busy:
            return self.busy.partition(" ")[0].rstrip(":")
        return {"": "absent", "created": "waiting" if self.detail else "created"}.get(self.state, self.state)

    def begin(self, verb: str) -> None:
        """Note that somebody asked for the action: `rebuild`, `restart`, `start` or `stop`."""
        self.busy = f"{BUSY[verb]}: you asked for it"


class RunState:
    """Services, problems, the current step, and the pulls and builds."""

    def __init__(self) -> None:
        self.project = ServiceGraph(Graph("", ()))
        self.services: dict[str, ServiceRow] = {}
        self.syncs: deque[TimedSync] = deque(maxlen=SYNCS)
        self.progress = ImageProgress()
        self.step: e.Step | None = None
        self.step_detail = ""
        self.ready: TimedReady | None = None
        self.problems: dict[str, TimedProblem] = {}  # by path, service, or ""

    def learn(self, fact: Fact) -> None:
        """Apply a fact."""
        if isinstance(fact, ServiceStats):
            self.row(fact.service).service_stats = fact
            return
        self.project = fact
        known = self.services
        self.services = {node.name: known.get(node.name) or ServiceRow(node.name) for node in fact.graph.nodes}
        for removed in known.keys() - self.services.keys():
            self.problems.pop(removed, None)

    def tell(self, event: e.Event, at: float) -> None:
        """Apply an event that came at this time."""
        match event:
            case e.Step():
                self._step(event, at)
            case e.ImageState():
                self.progress.image(event.reference, event.state, cells.clean(event.detail).strip(), at)
            case e.ServiceState():
                self._service_state(event, at)
            case e.Waiting(name):
                self.row(name).waiting = event
            case e.Synced(name):
                self.syncs.append(TimedSync(event, at))
                self.row(name).sync = self.syncs[-1]
            case e.Rebuilt(name) | e.Restarted(name):
                self.row(name).busy = ""
                self.problems.pop(name, None)
            case e.Ready():
                self.ready, self.step, self.problems = TimedReady(event, at), None, {}
            case e.Problem():
                self._problem(event, at)
            case e.Solved(path):
                self.problems.pop(path, None)
            case e.Reloaded():
                self.progress.over(images=True)

    def _service_state(self, event: e.ServiceState, at: float) -> None:
        row = self.row(event.service)
        row.state, row.detail, row.changed = event.state, cells.clean(event.detail), at
        row.error, row.check = cells.clean(event.error), cells.clean(event.check)
        if event.state in GOOD | BAD:
            row.waiting = None
            if event.state in GOOD or event.state == "removed":  # the kill before a removal is no other problem
                self.problems.pop(event.service, None)

    def _step(self, event: e.Step, at: float) -> None:
        if event.name == "build" and event.state == "detail":
            self.progress.line(cells.clean(event.detail).strip(), at)
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
                # Builds that have begun go on after the images have been pulled.
                self.progress.pulls.clear() if event.name == "images" else self.progress.over()

    def _problem(self, event: e.Problem, at: float) -> None:
        name = event.service or ""
        if name:
            self.row(name).busy = ""
        self.progress.pulls.clear()  # of the rebuild or reload that failed; another pull reports again soon
        message = cells.clean_lines(event.message).partition("\n")[0]
        key = event.path or name
        self.problems.pop(key, None)  # the newest is the last
        self.problems[key] = TimedProblem(f"{f'{name}: ' if name else ''}{message}", at, bool(key), event)

    def row(self, name: str) -> ServiceRow:
        """The service of that name, which is added if it is not known."""
        return self.services.setdefault(name, ServiceRow(name))

    def settled(self, service: str, _why: str = "") -> None:
        """Note that a command for a service is done, or was not carried out."""
        if service in self.services:
            self.services[service].busy = ""
