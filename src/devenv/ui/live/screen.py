"""State and size -> the rows of the live view. Pure.

Nothing is said by colour alone, and what depends on the time changes in steps: where nothing happened, the screen
is the same.
"""

from __future__ import annotations

from devenv.ui.cells import Row, Span, beside, cut, row, width
from devenv.ui.live.pane import built, log_or_page, under_way
from devenv.ui.live.state import BAD, GOOD, State
from devenv.ui.live.table import SAFE_URL, STOPPED, counted, hidden, most, services_table, shortened
from devenv.ui.text import BEGUN, MARKS, clean

FEW = 8  # rows that have to be there for more than the log and what is going on
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
    found = [*head, *table, *pane, *below, *foot]
    return [row(one, columns) for one in [*found, *([()] * rows)][:rows]]


def _header(state: State, columns: int, hidden: int) -> Row:
    words = [service.word for service in state.services.values()]
    up = sum(word in GOOD for word in words)
    bad = ", ".join(clean(service.name) for service in state.services.values() if service.word in BAD)
    said = f"{up} of {len(words)} up" if words else ""
    name = clean(state.project.graph.project) or "devenv"
    spans = [Span(name, "bold"), Span(f"  {said}", "dim" if up < len(words) else "good")]
    spans += [Span(f"  {MARKS['exited']} {cut(bad, max(columns // 3, 10))}", "bad")] if bad else []
    for url in state.ready.urls if state.ready else ():
        spans += [Span("  "), _link(url)]
    more = f"↑ ↓ {hidden} more   " if hidden else ""
    return beside(spans, [Span(f"{more}? help", "dim")], columns)


def _link(url: str) -> Span:
    return Span(shortened(url), "link", url if SAFE_URL.match(url) else "")


def _hints(state: State, columns: int) -> Row:
    if state.view.typing is not None:
        fault = state.log.filter.fault
        count = fault or f"{len(state.log.shown)} lines"
        left = [Span("/", "bold"), Span(state.view.typing), Span("▏")]
        return beside(left, [Span(count, "bad" if fault else "dim")], columns)
    return (Span(next((hints for hints in HINTS if width(hints) <= columns), HINTS[-1]), "dim"),)


def _status(state: State, columns: int) -> Row:
    said, style = _doing(state)
    return (Span(cut(said, columns), style),)


def _doing(state: State) -> tuple[str, str]:  # noqa: PLR0911 - one return a thing to say
    """What is going on and why, the most pressing first; and its style."""
    busy = [f"{service.name} {service.busy}" for service in state.services.values() if service.busy]
    if state.view.note:
        return state.view.note, "bold"
    if busy:
        return f"{MARKS['starting']} {'; '.join(busy)}", "warn"
    if state.step is not None:
        return f"{MARKS['starting']} {_step(state)}{'; then detaches' if state.view.is_detaching else ''}", "warn"
    if state.problem:
        return f"{MARKS['exited']} {state.problem}", "bad"
    late = _late(state)
    if late:
        return f"{MARKS['starting']} {late}", "warn"
    failed = [
        f"{s.name} {s.state}{f' ({s.detail})' if s.detail else ''}" for s in state.services.values() if s.word in BAD
    ]
    if failed:
        return f"{MARKS['exited']} {'; '.join(failed)}", "bad"
    stopped = [service.name for service in state.services.values() if service.word == "stopped"]
    if stopped:
        return f"{STOPPED} {', '.join(stopped)} stopped: r starts it again", "warn"
    if state.ready is None:
        return "", ""
    pending = sum(service.service_stats.pending for service in state.services.values())
    if pending:
        return f"{MARKS['starting']} {counted(pending, 'saved file')} on the way", "warn"
    return f"{MARKS['healthy']} up after {state.ready.seconds:.1f} s", "good"


def _step(state: State) -> str:
    assert state.step is not None  # noqa: S101 - asked before
    if state.step.name in ("start", "healthy") and (late := _late(state)):
        return late
    said = BEGUN.get(state.step.name, state.step.name)
    if state.step.name == "build" and state.progress.steps:
        return f"building: {built(state.progress)}"
    if state.step.name == "images" and state.progress.pulls:
        return f"{said}: {counted(len(state.progress.pulls), 'image')} on the way"
    detail = state.step_detail or clean(state.step.detail)
    return f"{said}{f'; {detail}' if detail else ''}"


def _late(state: State) -> str:
    """Who is waited for, why and since when, and who waits for that."""
    starting = [s for s in state.services.values() if s.state == "starting" and not s.busy]
    later = [s.name for s in state.services.values() if s.state in ("created", "absent") and s.detail]
    if not starting:
        return ""
    said = []
    for service in starting:
        why, told = service.detail.removeprefix("waits for "), service.waiting
        about = [why] if why else []
        about += [f"{told.seconds:.0f} s"] if told else []
        words = clean(told.check or told.line) if told else ""
        about += [words] if words else []
        said.append(f"{service.name} ({', '.join(about)})" if about else service.name)
    then = f"; then {', '.join(later)}" if later else ""
    return f"waiting for {', '.join(said)}{then}"
