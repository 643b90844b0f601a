"""Everything that a page shows of a run: events and facts in, messages out. Pure: times (seconds) are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from devenv import events as e
from devenv.model.graph import Fact, ServiceStats
from devenv.redact import Redactor
from devenv.ui import text
from devenv.ui.run_state import RunState
from devenv.web import messages
from devenv.web.lines import OURS, FirstLines, PageLine, PageLines
from devenv.web.timeline import Timeline

LINES = 5000  # lines that are kept for pages that open later
POINTS = 720  # measurements of a service that are kept
AT_ONCE = 1000  # lines of a message

Message = Mapping[str, Any]


class Fold:
    """What is known of a run, and which messages have news of it."""

    def __init__(self, redactor: Redactor, kept: int = LINES) -> None:
        self.state = RunState()
        self.timeline = Timeline()
        self.beginnings: dict[str, FirstLines] = {}  # of the log, by service
        self.is_state_new = False
        self._redactor = redactor
        self._lines = PageLines(redactor)
        self._kept: deque[PageLine] = deque(maxlen=kept)
        self._load: dict[str, deque[tuple[int, float | None, int | None]]] = {}
        self._new_lines: list[PageLine] = []
        self._notes: list[Message] = []

    def begin(self, verb: str, service: str) -> str:
        """Note that an action is asked for; why it cannot be, if it cannot."""
        row = self.state.services.get(service)
        if row is None:
            return f"{service} is not a service of this run"
        if row.busy:
            return f"{service} is busy: {row.busy}"
        if verb == "rebuild" and service not in self.state.project.built:
            return f"{service} is not built by this run"
        row.begin(verb)
        self.state.problems.pop(service, None)
        self.is_state_new = True
        return ""

    def settled(self, verb: str, service: str, why: str) -> None:
        """Note that an action has ended, or why it was not carried out."""
        self.state.settled(service)
        self.is_state_new = True
        self._notes.append({"type": "done", "verb": verb, "service": service, "error": why})

    def tell(self, event: e.Event | Fact, at: float) -> None:
        """Apply an event or a fact that came at this time."""
        match event:
            case e.Log():
                self._line(event.service, event.stream, event.line, event.level, at)
            case e.HookLine():
                self._line(OURS, event.stream, f"{event.hook}: {event.line}", event.level, at)
            case e.Event():
                self._event(_bare(event, self._redactor), at)
            case ServiceStats():
                self._measured(event, at)
            case _:
                self.state.learn(event)
                self.is_state_new = True

    def history(self) -> list[Message]:
        """The messages that a new page gets first, after `hello`."""
        kept = [line.message() for line in self._kept]
        load = [{"type": "load", "service": name, "points": [*points]} for name, points in self._load.items()]
        items = [item.message() for item in self.timeline.items.by_id.values()]
        logs = ({"type": "log", "lines": kept[begin : begin + AT_ONCE]} for begin in range(0, len(kept), AT_ONCE))
        return [messages.state(self.state), *load, {"type": "timeline", "items": items}, *logs]

    def news(self, *, with_state: bool) -> list[Message]:
        """The messages with what is new, except for the state if it is not wanted yet."""
        news: list[Message] = []
        if with_state and self.is_state_new:
            news.append(messages.state(self.state))
            self.is_state_new = False
        if items := self.timeline.items.taken():
            news.append({"type": "timeline", "items": [item.message() for item in items]})
        if self._new_lines:
            news.append({"type": "log", "lines": [line.message() for line in self._new_lines]})
        notes, self._notes, self._new_lines = self._notes, [], []
        return [*news, *notes]

    def _event(self, event: e.Event, at: float) -> None:
        before = self.state.services.get(getattr(event, "service", None) or "")
        was = (before.state, before.detail) if before else None
        self.state.tell(event, at)
        self.timeline.tell(event, at)
        self.is_state_new = True
        is_same = isinstance(event, e.ServiceState) and was == (event.state, event.detail)
        said = None if is_same else text.plain(event)
        level = "error" if isinstance(event, e.Problem) else ""
        for line in said.splitlines() if said else ():
            self._line(OURS, "", line, level, at)

    def _line(self, service: str, stream: str, raw: str, level: str, at: float) -> None:
        line = self._lines.line(service, stream, raw, level, at)
        self.beginnings.setdefault(service, FirstLines()).add(line.text)
        self._kept.append(line)
        self._new_lines.append(line)
        if service != OURS and line.group == line.number:
            self.timeline.logged(service, line.text, at, line.number)

    def _measured(self, stats: ServiceStats, at: float) -> None:
        before = self.state.row(stats.service).service_stats
        self.state.learn(stats)
        self.is_state_new = True
        if (stats.cpu, stats.memory) != (before.cpu, before.memory):
            point = (messages.ms(at), stats.cpu, stats.memory)
            self._load.setdefault(stats.service, deque(maxlen=POINTS)).append(point)
            self._notes.append({"type": "load", "service": stats.service, "points": [point]})


def _bare(event: e.Event, redactor: Redactor) -> e.Event:
    """The event without secrets: the output of a command, an error, or a problem may have some."""
    changes: dict[str, Any] = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, str) and value:
            text = "\n".join(map(redactor.line, value.split("\n")))
            if text != value:
                changes[field.name] = text
    return replace(event, **changes) if changes else event
