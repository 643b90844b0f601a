"""State and size -> the rows of the live view. Pure.

Nothing is shown by colour alone. What depends on the time changes in steps, so that an idle screen stays the same.
"""

from __future__ import annotations

from devenv.events import Step
from devenv.ui.cells import Row, Styled, beside, cut, row, width
from devenv.ui.live.pane import built, log_or_page, under_way
from devenv.ui.live.state import BAD, GOOD, ServiceRow, State
from devenv.ui.live.table import SAFE_URL, STOPPED, hidden, most, services_table, shortened
from devenv.ui.text import BEGUN, MARKS, clean, counted

FEW = 8  # rows; a smaller screen has only the log and the status
HINTS = (
    "/ filter  e error  space pause  r restart  b rebuild  s stop  x shell  o open  g graph  y syncs  d detach",
    "/ filter  e error  space pause  r restart  x shell  o open  d detach  q end",
    "? help  q end",
)


def screen(state: State, columns: int, rows: int, now: float) -> list[Row]:
    """Exactly `rows` rows, none wider than `columns`."""
    table = list(services_table(state, columns, most(rows), now)) if rows >= FEW else []
    foot = [_status(state, columns), _hints(state, columns)][: max(rows - 1, 1)]
    head = [_header(state, columns, hidden(state, columns, rows) if table else 0)] if rows >= FEW else []
    below = list(under_way(state, columns, now))
    room = rows - len(head) - len(table) - len(foot) - 1
    below = below[-max(room * 2 // 3, 0) :] if room > 0 else []
    state.view.height = max(room - len(below), 1)
    pane = list(log_or_page(state, columns, room - len(below), now)) if room >= 0 else []
    drawn = [*head, *table, *pane, *below, *foot, *([()] * rows)]
    return [row(spans, columns) for spans in drawn[:rows]]


def _header(state: State, columns: int, hidden: int) -> Row:
    words = [service.word for service in state.services.values()]
    up = sum(word in GOOD for word in words)
    bad = ", ".join(clean(service.name) for service in state.services.values() if service.word in BAD)
    count = f"{up} of {len(words)} up" if words else ""
    name = clean(state.project.graph.project) or "devenv"
    spans = [Styled(name, "bold"), Styled(f"  {count}", "dim" if up < len(words) else "good")]
    spans += [Styled(f"  {MARKS['exited']} {cut(bad, max(columns // 3, 10))}", "bad")] if bad else []
    for url in state.ready.urls if state.ready else ():
        spans += [Styled("  "), _link(url)]
    more = f"↑ ↓ {hidden} more   " if hidden else ""
    return beside(spans, [Styled(f"{more}? help", "dim")], columns)


def _link(url: str) -> Styled:
    return Styled(shortened(url), "link", url if SAFE_URL.match(url) else "")


def _hints(state: State, columns: int) -> Row:
    if state.view.typing is not None:
        fault = state.log.filter.fault
        count = fault or f"{len(state.log.shown)} lines"
        left = [Styled("/", "bold"), Styled(state.view.typing), Styled("▏")]
        return beside(left, [Styled(count, "bad" if fault else "dim")], columns)
    return (Styled(next((hints for hints in HINTS if width(hints) <= columns), HINTS[-1]), "dim"),)


def _status(state: State, columns: int) -> Row:
    """The most important thing that is going on, and why."""
    text, style = next(filter(None, (status(state) for status in STATUSES)), ("", ""))
    return (Styled(cut(text, columns), style),)


Status = tuple[str, str] | None  # text and style


def _note(state: State) -> Status:
    return (state.view.note, "bold") if state.view.note else None


def _busy(state: State) -> Status:
    busy = [f"{service.name} {service.busy}" for service in state.services.values() if service.busy]
    return (f"{MARKS['starting']} {'; '.join(busy)}", "warn") if busy else None


def _under_way(state: State) -> Status:
    if state.step is None:
        return None
    then = "; then detaches" if state.view.is_detaching else ""
    return f"{MARKS['starting']} {_step(state, state.step)}{then}", "warn"


def _problem(state: State) -> Status:
    return (f"{MARKS['exited']} {state.problem}", "bad") if state.problem else None


def _awaited(state: State) -> Status:
    late = _late(state)
    return (f"{MARKS['starting']} {late}", "warn") if late else None


def _failed(state: State) -> Status:
    failed = [service for service in state.services.values() if service.word in BAD]
    texts = (f"{s.name} {s.state}{f' ({s.detail})' if s.detail else ''}" for s in failed)
    return (f"{MARKS['exited']} {'; '.join(texts)}", "bad") if failed else None


def _stopped(state: State) -> Status:
    stopped = [service.name for service in state.services.values() if service.word == "stopped"]
    return (f"{STOPPED} {', '.join(stopped)} stopped: r starts it again", "warn") if stopped else None


def _up(state: State) -> Status:
    if state.ready is None:
        return None
    if pending := sum(service.service_stats.pending for service in state.services.values()):
        return f"{MARKS['starting']} {counted(pending, 'saved file')} on the way", "warn"
    return f"{MARKS['healthy']} up after {state.ready.seconds:.1f} s", "good"


STATUSES = (_note, _busy, _under_way, _problem, _awaited, _failed, _stopped, _up)


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
    """Which services are waited for, why and since when, and which services wait for those."""
    starting = [s for s in state.services.values() if s.state == "starting" and not s.busy]
    later = [s.name for s in state.services.values() if s.state in ("created", "absent") and s.detail]
    then = f"; then {', '.join(later)}" if later else ""
    return f"waiting for {', '.join(map(_wait, starting))}{then}" if starting else ""


def _wait(service: ServiceRow) -> str:
    """A service that starts, with what is known of it: what it waits for, how long, and its last output."""
    about = [service.detail.removeprefix("waits for ")]
    if (waiting := service.waiting) is not None:
        about += [f"{waiting.seconds:.0f} s", clean(waiting.check or waiting.line)]
    known = ", ".join(filter(None, about))
    return f"{service.name} ({known})" if known else service.name
