"""Where the time of a start went, and which parts everything else waited for, from its events with times."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from devenv.docker.build_progress import StepBegin, StepEnd, StepOutput, parse
from devenv.events import Emit, Event, ImageState, Ready, Restored, ServiceState, Span, Step, Timings
from devenv.images.layers import mark
from devenv.model.project import Condition, Project

Timed = tuple[float, Event]  # seconds from the beginning

NOT_YET = ("absent", "created")
SERVICES = ("start", "healthy")  # shared by all services, and shown for each service
SLACK = 0.05  # seconds by which a part may overlap the part that it follows
WORD = re.compile(r"\w*")


class StartRecord:
    """Pass events on, and record the events of a start with their times (from `clock`, in seconds)."""

    def __init__(self, emit: Emit, clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock
        self._began = clock()
        self._events: list[Timed] | None = []

    def seconds(self) -> float:
        """The seconds since the beginning."""
        return self._clock() - self._began

    def emit(self, event: Event) -> None:
        """Pass an event on."""
        if self._events is not None and isinstance(event, (Step, ImageState, ServiceState, Restored, Ready)):
            if self._events and _is_more(event, self._events[-1][1]):
                self._events.pop()
            self._events.append((self.seconds(), event))
        self._emit(event)

    def end(self, project: Project) -> tuple[Timings, tuple[tuple[str, float | None], ...]]:
        """Where the time went, and what the builds did. Recording stops."""
        events, self._events = self._events or [], None
        return timings(events, project), steps(events)


def steps(events: Iterable[Timed]) -> tuple[tuple[str, float | None], ...]:
    """For each instruction that was built, its mark and the seconds that it took; None if it was cached."""
    marks: dict[str, str] = {}
    built: list[tuple[str, float | None]] = []
    for _, event in events:
        match _line(event):
            case StepBegin(number, _, instruction):
                marks[number] = mark(instruction)
            case StepEnd(number, state, seconds) if number in marks and (seconds is not None or state == "cached"):
                built.append((marks.pop(number), seconds))
    return tuple(built)


def _line(event: Event) -> StepBegin | StepOutput | StepEnd | None:
    return parse(event.detail) if isinstance(event, Step) and event.name == "build" else None


def _is_more(event: Event, last: Event) -> bool:
    """Whether both events are output of the same build step."""
    line, before = _line(event), _line(last)
    return isinstance(line, StepOutput) and isinstance(before, StepOutput) and line.number == before.number


def timings(events: Sequence[Timed], project: Project) -> Timings:
    """The spans of a start that has ended, in the order in which they began."""
    spans: list[Span] = []
    begins: dict[str, float] = {}
    for at, event in events:
        if isinstance(event, Step) and event.state == "begin":
            begins[event.name] = at
        if isinstance(event, Step) and event.state == "end" and event.name not in SERVICES:
            parts = _critical(_PARTS[event.name](events) if event.name in _PARTS else [])
            spans += [Span(event.name, begins.get(event.name, 0.0), at, critical=True), *parts]
    if "start" in begins:
        spans += _services(events, project, begins["start"])
    rounded = [replace(span, start=round(span.start, 3), end=round(span.end, 3)) for span in spans]
    seconds = round(events[-1][0], 3) if events else 0.0
    return Timings(seconds, tuple(sorted(rounded, key=lambda span: (span.start, -span.end))))


def _critical(spans: Sequence[Span]) -> list[Span]:
    """The spans of one step; critical are those in the chain that ends with the last one."""
    chain, left = list[Span](), list(spans)
    while left:
        chain.append(max(left, key=lambda span: span.end))
        left = [span for span in left if span.end <= chain[-1].start + SLACK and span not in chain]
    return [replace(span, critical=span in chain) for span in spans]


def _stages(events: Iterable[Timed]) -> list[Span]:
    """A span for each stage of a service's Dockerfile, from its first output to its last."""
    names: dict[str, str] = {}
    spans: dict[str, Span] = {}
    for at, event in events:
        line = _line(event)
        if line is None:
            continue
        if isinstance(line, StepBegin):
            names[line.number] = _stage(line)
        if name := names.get(line.number):
            seconds = line.seconds or 0.0 if isinstance(line, StepEnd) else 0.0
            began = max(0.0, at - seconds)  # a step may be reported late
            known = spans.get(name, Span(name, began, at))
            spans[name] = replace(known, start=min(known.start, began), end=at)
    return list(spans.values())


def _stage(step: StepBegin) -> str:
    verb = [] if step.place or step.is_internal else WORD.findall(step.instruction)[:1]
    return " ".join(["build", *step.names, *verb])


def _pulls(events: Iterable[Timed]) -> list[Span]:
    spans: dict[str, Span] = {}
    for at, event in events:
        if isinstance(event, ImageState) and event.state != "present":
            known = spans.get(event.reference, Span(f"images {event.reference}", at, at))
            spans[event.reference] = replace(known, end=at)
    return list(spans.values())


def _restores(events: Iterable[Timed]) -> list[Span]:
    return [Span(f"restore {e.volume}", max(0.0, at - e.seconds), at) for at, e in events if isinstance(e, Restored)]


def _fills(events: Iterable[Timed]) -> list[Span]:
    """A span for each container whose anonymous volumes took a while: the engine fills them from the image."""
    steps_ = [(at, event) for at, event in events if isinstance(event, Step) and event.state == "detail"]
    filled = [(at, step, step.seconds) for at, step in steps_ if step.name == "create" and step.seconds]
    return [Span(f"create {step.detail}", max(0.0, at - seconds), at) for at, step, seconds in filled]


_PARTS = {"images": _pulls, "build": _stages, "restore": _restores, "create": _fills}


def _services(events: Iterable[Timed], project: Project, begin: float) -> list[Span]:
    """Two spans for each service, to running and to healthy; critical if the last service waited for them."""
    seen: dict[str, list[tuple[float, str]]] = {}
    for at, event in events:
        if isinstance(event, ServiceState) and event.state not in NOT_YET and at >= begin:
            seen.setdefault(event.service, []).append((at, event.state))
    begins = {name: states[0][0] for name, states in seen.items()}
    ends = {name: states[-1][0] for name, states in seen.items()}
    held: dict[str, tuple[float, str, Condition]] = {}
    for service in project.services:
        met = [
            ((begins if d.condition is Condition.STARTED else ends)[d.service], d.service, d.condition)
            for d in service.depends_on
            if d.service in seen
        ]
        held |= {service.name: max(met)} if met else {}
    critical = _waited_for(max(ends, key=ends.__getitem__, default=""), held)
    spans: list[Span] = []
    for name, states in seen.items():
        free, after, _ = held.get(name, (begin, "", None))
        spans.append(Span(f"start {name}", min(free, begins[name]), begins[name], f"start {name}" in critical, after))
        if ends[name] > begins[name]:
            label = f"{'run' if states[-1][1] == 'completed' else 'health'} {name}"
            spans.append(Span(label, begins[name], ends[name], name in critical))
    return spans


def _waited_for(last: str, held: Mapping[str, tuple[float, str, Condition]]) -> set[str]:
    """What the last service waited for: names of services (healthy or completed) and `start NAME`."""
    waited: set[str] = {last}
    while last and f"start {last}" not in waited:
        waited.add(f"start {last}")
        _, last, condition = held.get(last, (0.0, "", Condition.STARTED))
        waited |= set() if condition is Condition.STARTED else {last}
    return waited
