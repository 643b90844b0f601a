"""Turn events into lines of text. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from devenv import events as e
from devenv.docker.build_progress import StepBegin, parse
from devenv.lazy_dataclass import dataclass
from devenv.model.snapshot import ago, shown
from devenv.phrases import counted
from devenv.ui.cells import MARKS, clean, clean_lines, forwarded

BEGUN = {
    "load": "reading the project",
    "check": "checking the machine",
    "before_up": "running before_up",
    "images": "looking for the images",
    "build": "building",
    "restore": "restoring the volumes",
    "save": "saving the volumes",
    "create": "creating the containers",
    "sync": "bringing the containers up to date",
    "start": "starting",
    "healthy": "waiting until all are healthy",
    "after_healthy": "running after_healthy",
    "before_down": "running before_down",
}
# Without the steps whose end another line reports, such as `ready` and `rebuilt`.
ENDED = {
    "load": "read the project",
    "check": "checked the machine",
    "images": "got the images",
    "build": "built the images",
    "create": "created the containers",
    "sync": "brought the containers up to date",
}
COUNTS = re.compile(r"\d+ of \d+ layers|building, step ")
# Events without a line if only results and problems are asked for.
QUIET_EVENTS = (e.Log, e.HookLine, e.Synced, e.Step, e.ImageState, e.ServiceState, e.Waiting, e.Restarted, e.Executed)
LONE_SYNCS = 2  # a burst with more syncs has one line for all
QUIET = 1.0  # seconds without a sync that end a burst
LONG_MS = 1000.0


def traced(event: e.Traced) -> str:
    """The duration, the outcome, and the command or request."""
    return f"{event.ms:>8.0f} ms  {event.outcome:<9} {clean(event.what)}"


def plain(event: e.Event) -> str | None:
    """The line for people (a log line begins with its service), or None for an event that only programs need."""
    line = LINES.get(type(event))
    return line(event) if line else None


def progress(event: e.Event) -> str | None:
    """The current activity, for a status line; None if the event does not change it."""
    match event:
        case e.Step("rebuild", "begin", detail):
            return f"rebuilding {detail}"
        case e.Step(name, "begin", detail):
            return f"{BEGUN[name]}{f'; {detail}' if detail else ''}" if name in BEGUN else None
        case e.Step("build", "detail", detail):
            step = parse(clean(detail))
            building = (
                isinstance(step, StepBegin) and not step.is_internal and f"building [{step.label}] {step.instruction}"
            )
            return building or None
        case e.Step(_, "detail", detail):
            return clean(detail).strip() or None
        case e.ImageState(reference, "pulling" | "making" | "pushing" as state, detail):
            return f"{state} {reference}{f': {clean(detail).strip()}' if detail else ''}"
        case _:
            return None


def is_count(event: e.Event) -> bool:
    """Whether the event only counts layers or steps, which are useless in a log."""
    return isinstance(event, e.ImageState) and COUNTS.match(event.detail) is not None


def _step(event: e.Step) -> str | None:
    if event.state == "detail":
        return None if event.seconds else f"  {clean(event.detail)}"
    if event.state == "begin":
        return progress(event) if event.name in ("rebuild", "before_down") else None
    took = event.seconds or 0.0
    return f"{ENDED[event.name]} ({took:.1f} s)" if event.name in ENDED and took >= 1.0 else None


def _service(event: e.ServiceState) -> str | None:
    """The line for a service; None if it was created and waits for nothing, since it starts at once."""
    state, detail = event.state, event.detail
    if state in ("created", "absent") and not detail:
        return None
    condition = detail if state in ("created", "absent", "starting") and detail else state
    reason = f" ({detail})" if detail and condition == state else ""
    error = f": {clean(event.error)}" if event.error else ""
    check = f"\n  {clean(event.check)}" if event.check and state == "unhealthy" else ""
    if error and state in ("healthy", "started"):
        return f"{MARKS['exited']} {event.service}{error}"
    return f"{MARKS.get(state, '○')} {event.service} {condition}{reason}{error}{check}"


def _waiting(event: e.Waiting) -> str:
    others = ", ".join(event.holds_up)
    after = f"; {others} {'wait' if len(event.holds_up) > 1 else 'waits'} for it" if others else ""
    more = [f"\n  {clean(line)}" for line in (event.check, event.line) if line]
    return f"{MARKS['starting']} {event.service} {event.detail} ({event.seconds:.0f} s{after}){''.join(more)}"


def _synced(event: e.Synced) -> str:
    first = clean(event.paths[0]) if event.paths else ""
    more = event.files + event.deleted - 1
    paths = f"{first}{f' +{more}' if more > 0 else ''}"
    verb = "removed from" if event.deleted and not event.files else "→"
    tail = "" if event.atomic else ", not atomic: the image has no shell"
    return f"{paths} {verb} {event.service} ({took(event.ms)}{tail})"


@dataclass(frozen=True, slots=True)
class Burst:
    """Syncs of a service, each begun within QUIET seconds after the previous sync."""

    service: str
    began: float
    ended: float
    syncs: int
    files: int

    @classmethod
    def of(cls, event: e.Synced, at: float) -> Burst:
        """The burst that begins with a sync."""
        return cls(event.service, at - event.ms / 1000, at, 1, event.files + event.deleted)

    def after(self, event: e.Synced, at: float) -> Burst:
        """The burst with the sync added, or a new burst if the sync came later."""
        if at - event.ms / 1000 - self.ended > QUIET:
            return Burst.of(event, at)
        files = self.files + event.files + event.deleted
        return replace(self, ended=at, syncs=self.syncs + 1, files=files)

    @property
    def is_many(self) -> bool:
        """Whether the burst is shown in one line."""
        return self.syncs > LONE_SYNCS

    def line(self) -> str:
        """The number of files and the time so far."""
        ms = (self.ended - self.began) * 1000
        return f"{self.files:,} file{'s' if self.files > 1 else ''} synced → {self.service} ({took(ms)})"


def _compared(event: e.Compared) -> str:
    if not event.different:
        return f"{event.container} equals the source tree: {counted(event.files, 'file')}, no difference"
    lines = [f"  {clean(path)}" for path in event.different]
    return "\n".join([f"{event.container} differs in {counted(len(lines), 'path')}:", *lines])


def _reloaded(event: e.Reloaded) -> str:
    done = {"recreated": event.recreated, "added": event.added, "scaled": event.scaled, "removed": event.removed}
    changes = [f"{name} {verb}" for verb, names in done.items() for name in names]
    changes += ["new watch rules"] if event.rules and not changes else []
    return f"{', '.join(event.files)} changed: {', '.join(changes) or 'no service affected'} ({event.seconds:.1f} s)"


def _log(event: e.Log | e.HookLine) -> str:
    source, line = (event.service, event.line) if isinstance(event, e.Log) else (event.hook, event.line)
    return f"{source} | {clean(line)}"


def _image(event: e.ImageState) -> str | None:
    if event.state in ("present", "failed"):  # an error or a notice follows a failure
        return None
    return f"image {event.reference}: {event.state}{f' ({event.detail})' if event.detail else ''}"


def _ready(event: e.Ready) -> str:
    where = f": {'  '.join(event.urls)}" if event.urls else ""
    where += forwarded(event.forwarded_from) if event.urls else ""
    shown = () if len(event.ports) == len(event.urls) == 1 else event.ports  # the URL says the same
    rows = [f"\n  {port.service} {port.target}: {port.address}" for port in shown]
    rows += [f"\n  {MARKS['exited']} {fault.service}: {clean(fault.error)}" for fault in event.faults]
    how = "has started, with errors," if event.faults else "is up"
    return f"{event.project} {how} after {event.seconds:.1f} s{where}{''.join(rows)}"


def _executed(event: e.Executed) -> str:
    last = clean(event.output.strip().splitlines()[-1]) if event.output.strip() else ""
    return f"{event.service} ran `{event.command}`: exit code {event.exit_code}{f', {last}' if last else ''}"


def _problem(event: e.Problem) -> str:
    where = f" in {event.service}" if event.service else ""
    return _with_hint(f"problem{where}: {clean_lines(event.message)}", event.hint)


def _stopping(event: e.Stopping) -> str | None:
    how = {"INT": "; Ctrl-C again ends them at once", "TERM": "; a second signal ends them at once"}
    containers = counted(event.containers, "container")
    return f"stopping {containers}{how.get(event.reason, '')}" if event.containers else None


def _restored(event: e.Restored) -> str:
    return f"{event.volume} restored (saved {ago(event.age)}, {shown(event.size)} in {event.seconds:.1f} s)"


def _kept(event: e.Kept) -> str:
    command = f"\n  to remove it: {event.command}" if event.command else ""
    return f"kept {event.kind} {event.name}: {event.reason}{command}"


def _volumes_stay(event: e.VolumesStay) -> str:
    one = len(event.volumes) == 1
    volumes, verb, them = ("volume", "stays", "it") if one else ("volumes", "stay", "them")
    stay = f"{volumes} {', '.join(event.volumes)} {verb} on {event.machine} for the next `devenv up`"
    return f"{stay} ({event.save}: saves {them} here and removes {them}; {event.remove}: removes {them} unsaved)"


def _stopped(event: e.Stopped) -> str:
    gone = ", ".join(counted(number, kind) for kind, number in event.removed.items())
    nothing = "nothing was removed" if event.survivors else "there was nothing to remove"
    done = f"removed {gone} in {event.seconds:.1f} s" if gone else nothing
    done += "".join(f"; {name} is saved ({shown(size)})" for name, size in event.saved.items())
    nothing_else = "nothing else of this run is left" if event.waiting else "nothing of this run is left"
    left = f"left: {', '.join(event.survivors)}" if event.survivors else nothing_else
    return f"{done}; {left}"


def _because(cause: str) -> str:
    return f" ({cause} changed)" if cause else ""


def took(ms: float) -> str:
    """A duration in milliseconds, or in seconds from 1 s."""
    return f"{ms:.0f} ms" if ms < LONG_MS else f"{ms / 1000:.1f} s"


def _with_hint(message: str, hint: str | None) -> str:
    return f"{message}\n  hint: {hint}" if hint else message


LINES: dict[type[e.Event], Callable[[Any], str | None]] = {
    e.Log: _log,
    e.HookLine: _log,
    e.Step: _step,
    e.ImageState: _image,
    e.ServiceState: _service,
    e.Waiting: _waiting,
    e.Ready: _ready,
    e.Synced: _synced,
    e.Compared: _compared,
    e.Rebuilt: lambda event: f"{event.service} rebuilt in {event.seconds:.1f} s{_because(event.cause)}",
    e.Restarted: lambda event: f"{event.service} restarted in {took(event.ms)}{_because(event.cause)}",
    e.Reloaded: _reloaded,
    e.Executed: _executed,
    e.Problem: _problem,
    e.Notice: lambda event: _with_hint(event.message, event.hint),
    e.Restored: _restored,
    e.Kept: _kept,
    e.Stopping: _stopping,
    e.Stopped: _stopped,
    e.VolumesStay: _volumes_stay,
}
