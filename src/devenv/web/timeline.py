"""What happened in a run on one time axis, each item with the save that led to it. Pure: times are in seconds."""

from __future__ import annotations

from dataclasses import field

from devenv import events as e
from devenv.docker.build_progress import StepBegin, StepEnd, parse
from devenv.lazy_dataclass import dataclass
from devenv.model.status import BAD, GOOD, Phase
from devenv.phrases import counted
from devenv.ui.cells import clean, clean_lines
from devenv.web.timeline_items import Items, TimelineItem

SAME_SAVE = 0.3  # seconds between two saves that count as one: an editor writes several files, git many
FILES = 20  # files of an item
AGO = 60.0  # seconds after a sync, restart or rebuild in which a change of the service's state belongs to its save
LOG_AGO = 10.0  # the same for errors in the log, as in `sync.code_health`
QUIET = 2.0  # seconds without an error that end an item of errors
NAMED = 15.0  # seconds after an error in the log in which the service's state may name it
BUSY = (Phase.STARTING, Phase.RESTARTING, Phase.CREATED)


@dataclass(slots=True)
class ServiceChange:
    """The last change of a service by devenv: the item that led to it, and its time."""

    cause: int | None
    at: float


@dataclass(slots=True)
class OfService:
    """What is known of a service: the last change, its state, and the open items about it."""

    change: ServiceChange | None = None
    state: str = ""
    error: str = ""
    errors: TimelineItem | None = None  # the last item about errors in its log
    count: int = 0  # errors in this item
    rebuild: TimelineItem | None = None
    problem: TimelineItem | None = None


@dataclass(slots=True)
class Timeline:
    """The items that follow from the events of a run."""

    items: Items = field(default_factory=Items)
    _services: dict[str, OfService] = field(default_factory=dict)
    _saves: list[TimelineItem] = field(default_factory=list)
    _problems: dict[str, TimelineItem] = field(default_factory=dict)  # by path
    _steps: dict[str, TimelineItem] = field(default_factory=dict)  # by number of the current build

    def tell(self, event: e.Event, at: float) -> None:
        """Apply an event."""
        match event:
            case e.Synced():
                self._synced(event, at)
            case e.Executed():
                self._executed(event, at)
            case e.Restarted():
                self._restarted(event, at)
            case e.Step("rebuild" | "build"):
                self._step(event, at)
            case e.Rebuilt():
                self._rebuilt(event, at)
            case e.ServiceState():
                self._state(event, at)
            case e.Problem():
                self._problem(event, at)
            case e.Solved(path):
                self.items.end(self._problems.pop(path, None), at)
            case e.Reloaded():
                self._reloaded(event, at)
            case e.Ready(_, _, seconds):
                tone = "bad" if event.faults else "good"
                self.items.add("start", "", at - seconds, at, f"up in {seconds:.1f} s", tone=tone)

    def logged(self, service: str, text: str, at: float, line: int) -> None:
        """Apply the first line of an error in a log."""
        of = self._of(service)
        item, of.count = of.errors, of.count + 1
        if item is not None and item.end is not None and at - item.end <= QUIET:
            item.end, item.detail = at, f"{of.count} errors"
            self.items.change(item)
            return
        of.count = 1
        cause = self._blamed(service, at, LOG_AGO)
        of.errors = self.items.add("error", service, at, at, text, tone="bad", cause=cause, line=line)

    def _of(self, service: str) -> OfService:
        return self._services.setdefault(service, OfService())

    def _blamed(self, service: str, at: float, ago: float = AGO) -> int | None:
        """The item that led to the last change of the service, unless that is too long ago."""
        effect = self._of(service).change
        return effect.cause if effect is not None and at - effect.at <= ago else None

    def _save(self, at: float, paths: tuple[str, ...]) -> TimelineItem:
        """The save of these files at this time: a known one, or a new one."""
        files = tuple(clean(path) for path in paths)
        save = next((save for save in reversed(self._saves) if abs(save.start - at) <= SAME_SAVE), None)
        if save is None:
            save = self.items.add("save", "", at, at, "")
            self._saves = [*self._saves[-50:], save]
        save.files = (*dict.fromkeys((*save.files, *files)),)[:FILES]
        save.start, save.title = min(save.start, at), _named(save.files)
        self.items.change(save)
        return save

    def _saved(self, file: str, at: float) -> TimelineItem:
        """The last save of a file that led to something."""
        recent = (save for save in reversed(self._saves) if at - save.start <= AGO and clean(file) in save.files)
        return next(recent, None) or self._save(at, (file,))

    def _synced(self, event: e.Synced, at: float) -> None:
        saved = at - event.ms / 1000
        save = self._save(saved, event.paths)
        parts = [
            f"{counted(count, 'file')} {verb}"
            for count, verb in ((event.files, "synced"), (event.deleted, "deleted"))
            if count
        ]
        title, files = f"{', '.join(parts)} in {event.ms:.0f} ms", tuple(map(clean, event.paths))
        self.items.add("sync", event.service, saved, at, title, files=files, tone="good", cause=save.id)
        self._of(event.service).change = ServiceChange(save.id, at)

    def _executed(self, event: e.Executed, at: float) -> None:
        start, is_good = at - event.ms / 1000, not event.exit_code
        cause = self._blamed(event.service, start)
        detail = clean_lines(event.output) if is_good else f"exit code {event.exit_code}\n{clean_lines(event.output)}"
        tone = "good" if is_good else "bad"
        self.items.add("exec", event.service, start, at, event.command, detail=detail, tone=tone, cause=cause)
        if cause is not None:
            self._of(event.service).change = ServiceChange(cause, at)

    def _restarted(self, event: e.Restarted, at: float) -> None:
        start, others, cause = at - event.ms / 1000, event.cause.split(", ") if event.cause else [], None
        if others and all(other in self._services for other in others):  # it was restarted after these services
            causes = [self._blamed(other, at) for other in others]
            cause, title = next(filter(None, causes), None), f"restarted after {event.cause}"
        else:
            cause = self._saved(event.cause, start).id if event.cause else None
            title = "restarted" if event.cause else "restarted by command"
        item = self.items.add("restart", event.service, start, at, title, tone="good", cause=cause)
        self._of(event.service).change = ServiceChange(cause or item.id, at)
        self._end_problem(event.service, at)

    def _step(self, event: e.Step, at: float) -> None:
        if event.state == "detail":
            self._build_step(event.detail, at)
        elif event.state == "begin" and event.name == "rebuild":  # a step "build" goes on with earlier builds
            self._steps.clear()
            service, _, why = event.detail.partition(": ")
            self._rebuilding(service, why.removesuffix(" changed") if why.endswith(" changed") else "", at)

    def _rebuilding(self, service: str, file: str, at: float) -> TimelineItem:
        cause = self._saved(file, at).id if file else None
        title = "rebuild" if file else "rebuild by command"
        item = self.items.add("rebuild", service, at, None, title, detail=file, tone="busy", cause=cause)
        self._of(service).rebuild = item
        self._of(service).change = ServiceChange(cause or item.id, at)
        return item

    def _rebuilt(self, event: e.Rebuilt, at: float) -> None:
        of = self._of(event.service)
        item = of.rebuild or self._rebuilding(event.service, event.cause, at - event.seconds)
        item.title, of.rebuild = f"rebuilt in {event.seconds:.1f} s", None
        self.items.end(item, at, "good")
        of.change = ServiceChange(item.cause or item.id, at)
        self._end_problem(event.service, at)

    def _build_step(self, line: str, at: float) -> None:
        match parse(clean(line).strip()):
            case StepBegin(number, label, instruction) as step if not step.is_internal and number not in self._steps:
                builds = [name for name, of in self._services.items() if of.rebuild is not None]
                service = next((name for name in step.names if name in self._services), "")
                service = service or (builds[0] if len(builds) == 1 else "")
                rebuild = self._of(service).rebuild if service else None
                cause = rebuild.id if rebuild else None
                title = f"{label}: {instruction}"
                self._steps[number] = self.items.add("build-step", service, at, None, title, tone="busy", cause=cause)
            case StepEnd(number, state, seconds) if item := self._steps.get(number):
                item.start = min(item.start, at - (seconds or 0.0))
                item.detail = state
                self.items.end(item, at, {"failed": "bad", "cached": "idle"}.get(state, "good"))

    def _state(self, event: e.ServiceState, at: float) -> None:
        of = self._of(event.service)
        cause = None if event.state == "stopped" else self._blamed(event.service, at)
        if event.error and event.error != of.error:
            self._named_error(event, of, at)
        is_repaired = bool(of.error) and not event.error and event.state in GOOD
        if event.state != of.state or is_repaired:
            tone = "bad" if event.state in BAD else "good" if event.state in GOOD else "idle"
            tone = "busy" if event.state in BUSY else tone
            title = "error gone" if event.state == of.state else event.state
            detail = clean(event.check or event.detail)
            self.items.add("health", event.service, at, at, title, detail=detail, tone=tone, cause=cause)
        if event.state in GOOD:
            self._end_problem(event.service, at)
        of.state, of.error = event.state, event.error

    def _named_error(self, event: e.ServiceState, of: OfService, at: float) -> None:
        """Give the last item of errors the text that the state of the service has."""
        item = of.errors
        if item is None or item.end is None or at - item.end > NAMED:
            of.count = 1
            item = of.errors = self.items.add("error", event.service, at, at, event.error, tone="bad")
        item.title = clean(event.error)
        item.cause = item.cause or self._blamed(event.service, at)
        self.items.change(item)

    def _problem(self, event: e.Problem, at: float) -> None:
        service, path = event.service or "", event.path or ""
        of = self._of(service) if service else None
        cause = None
        if of is not None and of.rebuild is not None:
            self.items.end(of.rebuild, at, "bad")
            cause, of.rebuild = of.rebuild.cause or of.rebuild.id, None
        elif service:
            cause = self._blamed(service, at)
        for step in self._steps.values():
            if step.end is None:
                self.items.end(step, at, "bad")
        message, _, rest = clean_lines(event.message).partition("\n")
        known = self._problems.get(path) if path else None
        if known is not None:
            known.title, known.detail = message, rest
            self.items.change(known)
            return
        end = None if path or service else at
        item = self.items.add("problem", service, at, end, message, detail=rest, tone="bad", cause=cause)
        if path:
            item.files = (clean(path),)
            self._problems[path] = item
        elif of is not None:
            self.items.end(of.problem, at)
            of.problem = item

    def _end_problem(self, service: str, at: float) -> None:
        of = self._of(service)
        self.items.end(of.problem, at)
        of.problem = None

    def _reloaded(self, event: e.Reloaded, at: float) -> None:
        files, start = tuple(map(clean, event.files)), at - event.seconds
        item = self.items.add("reload", "", start, at, f"{_named(files)} applied", files=files, tone="good")
        for service in (*event.recreated, *event.added, *event.scaled):
            self._of(service).change = ServiceChange(item.id, at)
        for service in event.removed:
            self._end_problem(service, at)
            self._services.pop(service, None)


def _named(files: tuple[str, ...]) -> str:
    """The files in a few words."""
    return f"{files[0]}{f' +{len(files) - 1}' if len(files) > 1 else ''}" if files else "files"
