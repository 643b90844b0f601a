"""Event -> line of text. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from devenv import events as e
from devenv.docker.build_progress import StepBegin, parse
from devenv.model.snapshot import ago, shown

ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, clipboard, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS and the other strings
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]?"
)
MARKS = {"healthy": "●", "started": "●", "completed": "✓", "unhealthy": "✗", "exited": "✗", "starting": "◐"}
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
# Steps that another line tells of (`ready`, `rebuilt`) are not here.
ENDED = {
    "load": "read the project",
    "check": "checked the machine",
    "images": "got the images",
    "build": "built the images",
    "create": "created the containers",
    "sync": "brought the containers up to date",
}
LONG_MS = 1000.0


def clean(line: str) -> str:
    """The line without escape sequences, control and direction-changing characters."""
    if line.isprintable():  # nearly all are, and a log may have a million
        return line
    bare = ESCAPES.sub("", line).replace("\t", "    ")
    if bare.isprintable():
        return bare
    return "".join(c for c in bare if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or c == "\u200d")


def clean_lines(text: str) -> str:
    """Every line of the text cleaned, the lines themselves kept."""
    if text.isprintable():
        return text
    return "\n".join(clean(line) for line in text.splitlines())


def traced(event: e.Traced) -> str:
    """What was run or asked, after how long it took and how it ended."""
    return f"{event.ms:>8.0f} ms  {event.outcome:<9} {clean(event.what)}"


def plain(event: e.Event) -> str | None:  # noqa: PLR0911 - one return an event is what this is
    """One line for people, or None for what only machines want to know. Log lines carry their service first."""
    match event:
        case e.Log(source, line) | e.HookLine(source, line):
            return f"{source} | {clean(line)}"
        case e.Step():
            return _step(event)
        case e.ImageState(reference, state, detail):
            if state == "present":
                return None
            return f"image {reference}: {state}{f' ({detail})' if detail else ''}"
        case e.ServiceState():
            return _service(event)
        case e.Ready(project, urls, seconds, ports):
            where = f": {'  '.join(urls)}" if urls else ""
            rows = (f"\n  {port.service} {port.target}: {port.address}" for port in ports)
            return f"{project} is up after {seconds:.1f} s{where}{''.join(rows)}"
        case e.Synced():
            return _synced(event)
        case e.Rebuilt(service, cause, seconds):
            return f"{service} rebuilt in {seconds:.1f} s{_because(cause)}"
        case e.Restarted(service, cause, ms):
            return f"{service} restarted in {_took(ms)}{_because(cause)}"
        case e.Reloaded():
            return _reloaded(event)
        case e.Executed(service, command, exit_code, output):
            last = clean(output.strip().splitlines()[-1]) if output.strip() else ""
            return f"{service} ran `{command}`: exit code {exit_code}{f', {last}' if last else ''}"
        case _:
            return _rest(event)


def _rest(event: e.Event) -> str | None:  # noqa: PLR0911 - as above
    match event:
        case e.Problem(message, hint, service):
            said = f"problem{f' in {service}' if service else ''}: {clean_lines(message)}"
            return f"{said}\n  hint: {hint}" if hint else said
        case e.Notice(message, hint):
            return f"{message}\n  hint: {hint}" if hint else message
        case e.Waiting():
            return _waiting(event)
        case e.Compared():
            return _compared(event)
        case e.Stopping(reason, containers):
            how = {"INT": "; Ctrl-C again ends them at once", "TERM": "; a second signal ends them at once"}
            return f"stopping {_count(containers, 'container')}{how.get(reason, '')}" if containers else None
        case e.Restored(volume, _, age, size, seconds):
            return f"{volume} is as it was {ago(age)} ({shown(size)} restored in {seconds:.1f} s)"
        case e.Kept(kind, name, reason, command):
            return f"kept {kind} {name}: {reason}" + (f"\n  to remove it: {command}" if command else "")
        case e.Stopped(survivors, seconds, removed, saved):
            gone = ", ".join(_count(n, kind) for kind, n in removed.items())
            nothing = "nothing was removed" if survivors else "nothing was there to remove"
            took = f"removed {gone} in {seconds:.1f} s" if gone else nothing
            took += "".join(f"; {name} is saved ({shown(size)})" for name, size in saved.items())
            return f"{took}; left: {', '.join(survivors)}" if survivors else f"{took}; nothing of this run is left"
        case _:
            return None


def progress(event: e.Event) -> str | None:
    """What is going on now, for a line that the next one replaces; None where nothing new is."""
    match event:
        case e.Step("rebuild", "begin", detail):
            return f"rebuilding {detail}"
        case e.Step(name, "begin", detail):
            return f"{BEGUN[name]}{f'; {detail}' if detail else ''}" if name in BEGUN else None
        case e.Step("build", "detail", detail):
            step = parse(clean(detail))
            building = isinstance(step, StepBegin) and not step.is_internal and f"building [{step.label}] {step.what}"
            return building or None
        case e.Step(_, "detail", detail):
            return clean(detail).strip() or None
        case e.ImageState(reference, "pulling" | "making" | "pushing" as state, detail):
            return f"{state} {reference}{f': {clean(detail).strip()}' if detail else ''}"
        case _:
            return None


def columns(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Lines with rows of the same keys as aligned columns under their names; nothing where there are none."""
    heads = list(rows[0]) if rows else []
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    for cells in ([h.upper() for h in heads], *([row[h] for h in heads] for row in rows)) if rows else ():
        yield "  ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip()


def is_count(event: e.Event) -> bool:
    """Whether it only says how far a transfer is: several of them a second, and nothing that a log is read for."""
    return isinstance(event, e.ImageState) and re.match(r"\d+ of \d+ layers", event.detail) is not None


def _step(event: e.Step) -> str | None:
    if event.state == "detail":
        return f"  {clean(event.detail)}"
    if event.state == "begin":
        return progress(event) if event.name in ("rebuild", "before_down") else None
    took = event.seconds or 0.0
    return f"{ENDED[event.name]} ({took:.1f} s)" if event.name in ENDED and took >= 1.0 else None


def _service(event: e.ServiceState) -> str | None:
    """A service that was created and waits for nothing is about to start: not worth a line."""
    state, detail = event.state, event.detail
    if state in ("created", "absent") and not detail:
        return None
    said = detail if state in ("created", "absent", "starting") and detail else state
    failed = f" ({detail})" if state in ("unhealthy", "exited") and detail else ""
    return f"{MARKS.get(state, '○')} {event.service} {said}{failed}"


def _waiting(event: e.Waiting) -> str:
    others = ", ".join(event.holds_up)
    after = f"; {others} {'wait' if len(event.holds_up) > 1 else 'waits'} for it" if others else ""
    said = [f"\n  {clean(line)}" for line in (event.check, event.line) if line]
    return f"{MARKS['starting']} {event.service} {event.detail} ({event.seconds:.0f} s{after}){''.join(said)}"


def _synced(event: e.Synced) -> str:
    shown = [clean(p) for p in event.paths]
    first = shown[0] if shown else ""
    more = event.files + event.deleted - 1
    what = f"{first}{f' +{more}' if more > 0 else ''}"
    only_gone = event.deleted and not event.files
    verb = "removed from" if only_gone else "→"
    tail = "" if event.atomic else ", not atomic: the image has no shell"
    return f"{what} {verb} {event.service} ({_took(event.ms)}{tail})"


def _compared(event: e.Compared) -> str:
    if not event.different:
        return f"{event.container} equals the source tree: {_count(event.files, 'file')}, no difference"
    lines = [f"  {clean(path)}" for path in event.different]
    return "\n".join([f"{event.container} differs in {_count(len(lines), 'path')}:", *lines])


def _reloaded(event: e.Reloaded) -> str:
    done = {"recreated": event.recreated, "added": event.added, "scaled": event.scaled, "removed": event.removed}
    said = [f"{name} {verb}" for verb, names in done.items() for name in names]
    said += ["new watch rules"] if event.rules and not said else []
    return f"{', '.join(event.files)} changed: {', '.join(said) or 'all runs as before'} ({event.seconds:.1f} s)"


def _because(cause: str) -> str:
    return f" ({cause} changed)" if cause else ""


def _took(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < LONG_MS else f"{ms / 1000:.1f} s"


def _count(number: int, kind: str) -> str:
    return f"{number} {kind}{'' if number == 1 else 's'}"
