"""The live view's state: what was told, and what was typed, folded. Pure: the clock (seconds) is handed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from devenv import events as e
from devenv.model.graph import Graph
from devenv.model.live import Fact, ServiceStats, ViewCommand
from devenv.model.logline import Search, unbounded
from devenv.ui import text, waterfall
from devenv.ui.live import log
from devenv.ui.live.keys import PASTED
from devenv.ui.live.log import Filter, Line, Logbook
from devenv.ui.live.progress import Progress

SYNCS = 200
TIMINGS_WIDTH = 68  # what is left of 80 columns beside the names
GOOD = ("healthy", "started", "completed")
BAD = ("unhealthy", "exited")
ALIVE = ("healthy", "started", "starting", "unhealthy")
PAGES = {"g": "graph", "y": "syncs", "?": "help"}
BUSY = {"restart": "restarting", "rebuild": "rebuilding", "stop": "stopping"}


class Sync(NamedTuple):
    """A sync, and when it was told."""

    event: e.Synced
    at: float


@dataclass(slots=True)
class Service:
    """One row of the table. `busy` says what is being done with it, and why."""

    name: str
    state: str = ""
    detail: str = ""
    busy: str = ""
    is_stopped: bool = False  # because somebody wanted it
    service_stats: ServiceStats = field(default_factory=lambda: ServiceStats(""))
    sync: Sync | None = None
    waiting: e.Waiting | None = None

    @property
    def word(self) -> str:
        """Its state in a word."""
        if self.busy:
            return self.busy.partition(" ")[0].rstrip(":")
        if self.is_stopped and self.state not in ALIVE:
            return "stopped"
        return {"": "absent", "created": "waiting" if self.detail else "created"}.get(self.state, self.state)


class State:
    """All that the screen is made of."""

    def __init__(self, *, verbose: bool = False, search: Search = unbounded) -> None:
        self._search = search
        self.verbose = verbose  # what builds print is in the log, too
        self.project = ""
        self.graph: Graph | None = None
        self.built: frozenset[str] = frozenset()
        self.services: dict[str, Service] = {}
        self.log = Logbook()
        self.syncs: deque[Sync] = deque(maxlen=SYNCS)
        self.progress = Progress()
        self.step: e.Step | None = None
        self.step_detail = ""
        self.ready: e.Ready | None = None
        self.problem = ""
        self.note = ""  # what the last key came to
        self.is_detaching = False
        self.selected = 0
        self.page = ""  # what is in the log's place: graph, syncs or help
        self.offset = 0  # first line of that page
        self.anchor: int | None = None  # the lowest line of the log in view; None follows it
        self.marked: int | None = None  # the error that was looked for
        self.typing: str | None = None  # a filter that is being typed
        self._before = Filter()
        self.height = 10  # rows of the pane, as last drawn: what a page is

    # --- what is told ---------------------------------------------------------------------------------------------

    def learn(self, fact: Fact) -> None:
        """One fact that is no event."""
        if isinstance(fact, ServiceStats):
            self._service(fact.service).service_stats = fact
            return
        self.project, self.graph, self.built = fact.graph.project, fact.graph, fact.built
        known = self.services
        self.services = {node.name: known.get(node.name) or Service(node.name) for node in fact.graph.nodes}

    def tell(self, event: e.Event, at: float) -> None:
        """One event, and when it came."""
        match event:
            case e.Log(service, line):
                self.log.add(service, line)
                return
            case e.HookLine(hook, line):
                self.log.add(hook, line)
                return
            case _:
                self.note = ""
                self._told(event, at)

    def _told(self, event: e.Event, at: float) -> None:
        match event:
            case e.Step():
                self._step(event, at)
            case e.ImageState():
                self.progress.image(event)
            case e.ServiceState(name, state, detail):
                row = self._service(name)
                row.state, row.detail = state, text.clean(detail)
                row.is_stopped = row.is_stopped and (state not in ALIVE or bool(row.busy))
                if state in (*GOOD, *BAD):
                    row.waiting = None
                    if not row.is_stopped:
                        self._say(event, "error" if state in BAD else "info")
            case e.Waiting(name):
                self._service(name).waiting = event
            case e.Synced(name):
                self.syncs.append(Sync(event, at))
                self._service(name).sync = self.syncs[-1]
                self._say(event, "info")
            case e.Rebuilt(name) | e.Restarted(name):
                self._service(name).busy = ""
                if self.problem.startswith(f"{name}: "):
                    self.problem = ""
                self._say(event, "info")
            case _:
                self._rest(event)

    def _rest(self, event: e.Event) -> None:
        match event:
            case e.Traced():
                self.log.add(log.OURS, text.traced(event), "info")
            case e.Timings():
                for line in waterfall.lines(event, TIMINGS_WIDTH):
                    self.log.add(log.OURS, line, "info")
            case e.Ready():
                self.ready, self.step, self.problem = event, None, ""
                self._say(event, "info")
            case e.Problem(message, _, service):
                if service:
                    self._service(service).busy = ""
                self.problem = f"{f'{service}: ' if service else ''}{text.clean_lines(message).partition(chr(10))[0]}"
                self._say(event, "error")
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

    def _say(self, event: e.Event, level: str) -> None:
        """What devenv itself has to say, in its place in the log."""
        said = text.plain(event)
        for line in said.splitlines() if said else ():
            self.log.add(log.OURS, line, level)

    def _service(self, name: str) -> Service:
        return self.services.setdefault(name, Service(name))

    # --- what is typed --------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> Service | None:
        """The service that keys are for."""
        rows = list(self.services.values())
        return rows[min(self.selected, len(rows) - 1)] if rows else None

    def press(self, key: str) -> ViewCommand | None:
        """One key; what it asks of somebody else."""
        self.note = ""
        if self.typing is not None:
            self._type(key)
            return None
        if key.startswith(PASTED):
            self.note = "what is pasted is no key; / filters by it"
            return None
        if key in ("q", "d"):
            return self._leave(key)
        if key in ("up", "k", "down", "j"):
            step = -1 if key in ("up", "k") else 1
            self.selected = max(0, min(self.selected + step, len(self.services) - 1))
        elif key in PAGES:
            self.page, self.offset = ("" if self.page == PAGES[key] else PAGES[key]), 0
        elif key in ("pgup", "pgdn", "home", "end"):
            self._scroll(key)
        elif not self._log_key(key):
            return self._service_key(key)
        return None

    def _leave(self, key: str) -> ViewCommand | None:
        if key == "q":
            return ViewCommand("quit")
        self.is_detaching = True
        self.note = "" if self.ready else "detaches once all is up"
        return ViewCommand("detach")

    def _log_key(self, key: str) -> bool:
        """Whether it was a key of the log."""
        match key:
            case "/":
                self._before, self.typing, self.page = self.log.filter, self.log.filter.typed, ""
            case "e":
                self._find_error()
            case " ":
                self.anchor, self.marked = (None if self.anchor is not None else self.log.newest), None
            case "l":
                self._only_chosen()
            case "escape":
                self._escape()
            case _:
                return False
        return True

    def _escape(self) -> None:
        """Back by one step: the page, the pause, the filter, a failed build."""
        if self.page:
            self.page = ""
        elif self.anchor is not None:
            self.anchor = self.marked = None
        elif self.log.filter.typed:
            self.log.narrow(Filter())
        else:
            self.problem = ""
            if self.progress.failed:
                self.progress.clear()

    def _only_chosen(self) -> None:
        if self.chosen is not None:
            wanted = f"@{self.chosen.name}"
            self.log.narrow(log.parse("" if self.log.filter.typed == wanted else wanted, self._search))
            self.anchor, self.marked, self.page = None, None, ""

    def _find_error(self) -> None:
        """The last error in view, or, where that is what is looked at, the one before."""

        def is_error(line: Line) -> bool:
            return log.level(line) == "error"

        found = self.log.last(is_error, self.marked)
        found = self.log.last(is_error) if found is None else found
        if found is None:
            self.note = "no error in the log" + (" that the filter lets through" if self.log.filter.typed else "")
        else:
            self.marked, self.page = found, ""
            self.anchor = self.log.step(found, self.height - 3) or self.log.newest  # what follows it is seen too

    def _scroll(self, key: str) -> None:
        page = max(self.height - 1, 1)
        if self.page:
            self.offset = {"pgup": max(self.offset - page, 0), "pgdn": self.offset + page, "home": 0, "end": 10**6}[
                key
            ]
        elif key == "end":
            self.anchor = self.marked = None
        else:
            lines = {"pgup": -page, "pgdn": page, "home": -log.SHOWN}[key]
            self.anchor = self.log.step(self.anchor, lines)

    def _service_key(self, key: str) -> ViewCommand | None:
        service = self.chosen
        verb = {"r": "restart", "b": "rebuild", "s": "stop", "x": "shell", "enter": "shell", "o": "open"}.get(key)
        if verb is None or service is None:
            return None
        if verb == "open":
            return self._open(service)
        if verb == "shell":
            self.note = "" if service.service_stats.container else f"{service.name} does not run"
            return ViewCommand("shell", service.service_stats.container) if service.service_stats.container else None
        if service.busy:
            self.note = f"{service.name} is busy: {service.busy}"
            return None
        if verb == "rebuild" and service.name not in self.built:
            self.note = f"{service.name} is not built by this run: r restarts it"
            return None
        service.busy, service.is_stopped = f"{BUSY[verb]}: you asked for it", verb == "stop"
        return ViewCommand(verb, service.name)

    def _open(self, service: Service) -> ViewCommand | None:
        known = self.ready.urls if self.ready else ()
        url = next((url for url in service.service_stats.urls if url in known), None)
        if url is None and self.ready and not service.service_stats.urls:
            self.note = f"{service.name} publishes no port"
            return None
        url = url or next(iter(service.service_stats.urls), None)
        self.note = f"opening {url}" if url else f"{service.name} is not up yet"
        return ViewCommand("open", url) if url else None

    def _type(self, key: str) -> None:
        assert self.typing is not None  # noqa: S101 - only then it is called
        match key:
            case "enter":
                self.typing = None
                return
            case "escape":
                self.typing = None
                self.log.narrow(self._before)
                return
            case "backspace":
                self.typing = self.typing[:-1]
            case "clear":
                self.typing = ""
            case _ if len(key) == 1 or key.startswith(PASTED):
                self.typing += key.removeprefix(PASTED)
            case _:
                return
        self.log.narrow(log.parse(self.typing, self._search))
        self.anchor = self.marked = None

    def settled(self, service: str, why: str) -> None:
        """What was asked for is done, or is not, because of that."""
        if service in self.services:
            self.services[service].busy = ""
        self.note = why
