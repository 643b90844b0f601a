"""The log of the live view, the rows for current pulls and builds, and the status line. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice

from devenv.docker.build_progress import BuildStep, ImageProgress
from devenv.errors import UsageError
from devenv.events import Step
from devenv.model.status import BAD, GOOD
from devenv.phrases import counted
from devenv.ui.cells import (
    ELLIPSIS,
    MARKS,
    Row,
    Styled,
    clean,
    coloured,
    cut,
    fit,
    marked,
    part,
    pieces,
    row,
    width,
)
from devenv.ui.live import log
from devenv.ui.live.log import Filter
from devenv.ui.live.state import State, View
from devenv.ui.run_state import ServiceRow
from devenv.ui.text import BEGUN

MINUTE = 60.0
LONE_PROBLEM = 60.0  # seconds to show a problem for which no event reports the end
WIDEST_PREFIX = 20
SERVICE_STYLES = 5


def log_pane(state: State, columns: int, rows: int) -> Iterator[Row]:
    """A title, and `rows` rows of the log, with the newest line at the bottom."""
    chosen, typed = state.log.filter, state.log.filter.typed
    heading = f"log: {typed}" if typed else "log"
    heading += f" ({counted(len(state.log.shown), 'line')})" if typed and not chosen.fault else ""
    note = chosen.fault if state.view.typing is None else ""
    if state.view.anchor is not None:
        note = f"paused, {counted(state.log.below(state.view.anchor), 'line')} below: space or End goes on"
    hidden = f"{counted(state.log.folded, 'health check')} hidden: h" if state.log.folded else ""
    yield title(heading, note, hidden, columns)
    yield from _log(state, columns, rows)


def _log(state: State, columns: int, rows: int) -> Iterator[Row]:
    """Exactly `rows` rows of the log, with the lowest line in view at the bottom."""
    typed = state.log.filter.typed
    if not state.log.shown and typed and not state.log.filter.fault:
        subject = "no other line" if state.log.folded else "no line"
        yield row((Styled(f"{subject} matches {typed}; Esc clears the filter", "dim"),), columns)
        rows -= 1
    names = list(state.services)
    prefix = min(max(map(width, (*names, "devenv"))), WIDEST_PREFIX, max(columns // 4, 1))
    styles = {name: f"service{index % SERVICE_STYLES}" for index, name in enumerate(state.services)}
    most = max(rows * 2 // 3, 1) if "wrap" in state.view.shows else 1
    drawn: list[Row] = []
    for line in state.log.above(state.view.anchor):
        if len(drawn) >= rows:
            break
        begin = _begin(line, prefix, styles.get(line.service, "dim"), state.view)
        drawn += reversed(list(_line(line, begin, columns, most, state.log.filter)))
    yield from reversed(drawn[:rows])
    yield from [()] * (rows - len(drawn))


def title(text: str, middle: str, right: str, columns: int) -> Row:
    """The row above the log or a page."""
    begin = [Styled("── ", "dim"), Styled(text, "bold"), Styled(" ", "dim")]
    begin += [Styled("── ", "dim"), Styled(middle, "warn"), Styled(" ", "dim")] if middle else []
    end = [Styled(f" {right} ", "dim"), Styled("──", "dim")] if right else []
    room = columns - sum(width(span.text) for span in (*begin, *end))
    return row((*begin, Styled("─" * max(room, 0), "dim"), *end), columns)


def _begin(line: log.LogLine, prefix: int, style: str, view: View) -> Row:
    """The begin of a row: the time of the line, if times are shown, and its service."""
    is_own, mark = line.service == log.OURS, "▶" if line.number == view.marked else "│"
    time = (Styled(f"{view.tools.clock(line.at)} ", "dim"),) if "times" in view.shows else ()
    name = fit("devenv" if is_own else clean(line.service), prefix)
    return *time, Styled(f"{name} {mark} ", "dim" if is_own else style)


def _line(line: log.LogLine, begin: Row, columns: int, most: int, chosen: Filter) -> Iterator[Row]:
    """The rows of a line of the log, `most` at most; matches of the filter are marked."""
    indent = sum(width(span.text) for span in begin)
    room, spans = max(columns - indent, 1), coloured(line.raw)
    style = {"error": "bad", "warn": "warn"}.get(line.level, "dim" if line.service == log.OURS else "")
    text = "".join(span.text for span in spans).rstrip()
    shown = [span._replace(style=style) for span in spans]
    if chosen.seeks:
        with contextlib.suppress(UsageError):
            shown = list(marked(shown, chosen.places(text), "match"))
    before, done = begin, 0
    for index, piece in enumerate(islice(pieces(text, room), most)):
        if index == most - 1 and done + len(piece) < len(text):
            length = len(cut(text[done:], room)) - len(ELLIPSIS)
            yield *before, *part(shown, done, done + length), Styled(ELLIPSIS, style)
        else:
            yield *before, *part(shown, done, done + len(piece.removesuffix(" ")))
        done += len(piece)
        before = (Styled(f"{' ' * (indent - 2)}│ ", begin[-1].style),)


def under_way(state: State, columns: int, now: float) -> Iterator[Row]:
    """Rows for current pulls and build steps, and for failed steps."""
    progress = state.progress
    for reference, pull in progress.pulls.items():
        bar = f"{'■' * min(pull.done, 30)}{'□' * min(pull.layers - pull.done, 30)} " if pull.layers else ""
        share = f"{pull.share:.0%}" if pull.share is not None else ""
        known = ", ".join(filter(None, (pull.detail, share, _since(pull.began, now).strip())))
        yield (
            Styled(f"{MARKS['starting']} ", "warn"),
            Styled(f"{pull.state} {clean(reference)} "),
            Styled(f"{bar}{known}", "dim"),
        )
    if progress.failed:
        yield Styled(f"{MARKS['exited']} ", "bad"), Styled(f"build failed: {built(progress)}")
    for step in progress.steps.values():
        if step.state in ("running", "failed"):
            yield from _build_step(step, columns, now)


def built(progress: ImageProgress) -> str:
    """The number of finished steps of a build."""
    ended = [step for step in progress.steps.values() if step.state in ("done", "cached")]
    cached = sum(step.state == "cached" for step in ended)
    return f"{counted(len(ended), 'step')} done{f', {cached} of them cached' if cached else ''}"


def _build_step(step: BuildStep, columns: int, now: float) -> Iterator[Row]:
    failed = step.state == "failed"
    yield (
        Styled(f"  {MARKS['exited' if failed else 'starting']} ", "bad" if failed else "warn"),
        Styled(cut(f"[{step.label}] {step.instruction}", max(columns - 12, 1))),
        Styled("" if failed else _since(step.began, now), "dim"),
    )
    for line in [*step.lines][0 if failed else -1 :]:
        yield (Styled(f"      {line}", "" if failed else "dim"),)


def _since(began: float, now: float) -> str:
    seconds = int(now - began)
    return f" {seconds} s" if seconds else ""


def ago(seconds: float) -> str:
    """An age in steps that change rarely."""
    minutes = int(seconds // 60)
    if minutes:
        return f"{minutes} min ago" if minutes < 60 else f"{minutes // 60} h ago"  # noqa: PLR2004 - an hour
    count = int(seconds // 10 * 10)
    return f"{count} s ago" if count else "just now"


def status(state: State, columns: int, now: float) -> Row:
    """The most important state or activity, and its reason."""
    text, style = next(filter(None, (status_of(state, now) for status_of in STATUSES)), ("", ""))
    return (Styled(cut(text, columns), style),)


Status = tuple[str, str] | None  # text and style


def _question(state: State, _now: float) -> Status:
    if not state.view.asked:
        return None
    if state.view.asked == "q":
        return "end the run? q again ends it, d leaves it running, Esc goes back", "bold"
    name = state.chosen.name if state.chosen else ""
    return f"stop {name}? s again stops it, Esc goes back", "bold"


def _note(state: State, _now: float) -> Status:
    return (state.view.note, "bold") if state.view.note else None


def _busy(state: State, _now: float) -> Status:
    busy = [f"{service.name} {service.busy}" for service in state.services.values() if service.busy]
    return (f"{MARKS['starting']} {'; '.join(busy)}", "warn") if busy else None


def _under_way(state: State, _now: float) -> Status:
    if state.step is None:
        return None
    then = "; then detaches" if state.view.is_detaching else ""
    return f"{MARKS['starting']} {_step(state, state.step)}{then}", "warn"


def _bad(state: State, now: float) -> Status:
    """Problems and failed services, the newest first, and the services that the run waits for."""
    bad = [(p.at, p.message) for p in state.problems.values() if p.ends or now - p.at < LONE_PROBLEM]
    failed = [s for s in state.services.values() if (s.error or s.word in BAD) and s.name not in state.problems]
    alike: dict[str, list[ServiceRow]] = {}
    for service in failed:
        alike.setdefault(_failure(service), []).append(service)
    bad += [(max(s.changed for s in rows), f"{', '.join(s.name for s in rows)}{how}") for how, rows in alike.items()]
    texts = [text for _, text in sorted(bad, key=lambda dated: -dated[0])]
    texts += ["r recreates what was removed, q ends"] if "removed" in {s.word for s in failed} else []
    return (f"{MARKS['exited']} {'; '.join(filter(None, (*texts, _late(state))))}", "bad") if bad else None


def _failure(service: ServiceRow) -> str:
    """What is said after the name of a failed service: its state, the error in its log, its failing health check."""
    failed = f" {_how(service)}" if service.word in BAD else ""
    check = f"; last check: {service.check}" if service.check and service.state == "unhealthy" else ""
    return f"{failed}{f': {service.error}' if service.error else ''}{check}"


def _how(service: ServiceRow) -> str:
    state, detail = service.state, service.detail
    return detail if detail.startswith(state) else f"{state} ({detail})" if detail else state


def _awaited(state: State, _now: float) -> Status:
    late = _late(state)
    return (f"{MARKS['starting']} {late}", "warn") if late else None


def _halted(state: State, _now: float) -> Status:
    """Stopped services; if there are none, services that restart again and again."""
    stopped = [s for s in state.services.values() if s.word == "stopped"]
    if stopped:
        texts = (f"{s.name} stopped{f' {s.detail}' if s.detail else ': r starts it again'}" for s in stopped)
        return f"{MARKS['stopped']} {'; '.join(texts)}", "warn"
    again = [f"{s.name} restarting ({s.detail})" for s in state.services.values() if s.word == "restarting"]
    return (f"{MARKS['restarting']} {'; '.join(again)}", "warn") if again else None


def _up(state: State, now: float) -> Status:
    if state.ready is None:
        return None
    if pending := sum(service.service_stats.pending for service in state.services.values()):
        return f"{MARKS['starting']} {counted(pending, 'saved file')} on the way", "warn"
    if missing := [service.name for service in state.services.values() if service.word not in GOOD]:
        return f"{MARKS['starting']} not up: {', '.join(missing)}", "warn"
    ready, at = state.ready
    since = f"after {ready.seconds:.1f} s" if now - at < MINUTE else f"for {ago(now - at).removesuffix(' ago')}"
    return f"{MARKS['healthy']} up {since}", "good"


STATUSES = (_question, _note, _busy, _under_way, _bad, _awaited, _halted, _up)


def _step(state: State, step: Step) -> str:
    if step.name in ("start", "healthy") and (late := _late(state)):
        return late
    text = BEGUN.get(step.name, step.name)
    if step.name == "build" and state.progress.steps:
        return f"building: {built(state.progress)}"
    if step.name == "images" and state.progress.pulls:
        return f"{text}: {counted(len(state.progress.pulls), 'image')} on the way"
    detail = state.step_detail or clean(step.detail)
    return f"{text}{f'; {detail}' if detail else ''}"


def _late(state: State) -> str:
    """The services that the run waits for, with reason and duration, and the services that start after them."""
    starting = [s for s in state.services.values() if s.state == "starting" and not s.busy]
    later = [s.name for s in state.services.values() if s.state in ("created", "absent") and s.detail]
    then = f"; then {', '.join(later)}" if later else ""
    return f"waiting for {', '.join(map(_wait, starting))}{then}" if starting else ""


def _wait(service: ServiceRow) -> str:
    """The name of a starting service, what it waits for, for how long, and its last output, as far as known."""
    facts = [service.detail.removeprefix("waits for ")]
    if (waiting := service.waiting) is not None:
        facts += [f"{waiting.seconds:.0f} s", clean(waiting.check or waiting.line)]
    known = ", ".join(filter(None, facts))
    return f"{service.name} ({known})" if known else service.name
