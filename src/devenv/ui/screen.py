"""State and size -> the rows of the live view. Pure.

Nothing is said by colour alone, and what depends on the time changes in steps: where nothing happened, the screen
is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from devenv.ui import graph, logbook
from devenv.ui.cells import Row, Span, beside, cut, fit, pieces, row, width
from devenv.ui.progress import Progress, Stair
from devenv.ui.state import BAD, GOOD, Service, State, Sync
from devenv.ui.text import BEGUN, LONG_MS, MARKS, clean

SAFE_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+/?\Z")
BLOCK = 104  # columns that a table has to have before there are two of them
WIDEST_NAME, WIDEST_PREFIX = 24, 20
SERVICE_STYLES = 5
STOPPED = "■"
FEW = 8  # rows that have to be there for more than the log and what is going on
MOST_WRAPPED = 40  # rows of one line
HEADS = ("", "SERVICE", "STATE", "ADDRESS", "CPU", "MEM", "↻", "LAST SYNC")
HELP = (
    "↑ ↓        choose a service              PgUp PgDn Home End  scroll",
    "/          filter: text, /regex/, @service, level:error; all must hold",
    "l          the log of this service alone, and back",
    "e          the last error; again: the one before",
    "space      pause the log, and go on     Esc  back",
    "r b s      restart, rebuild, stop this service",
    "x, Enter   a shell in it                o    open it in the browser",
    "g          who waits for whom           y    the last syncs",
    "d          detach: leave it running, as `up -d` does",
    "q, Ctrl-C  end it all; Ctrl-Z suspends the view",
)
HINTS = (
    "/ filter  e error  space pause  r restart  b rebuild  s stop  x shell  o open  g graph  y syncs  d detach",
    "/ filter  e error  space pause  r restart  x shell  o open  d detach  q end",
    "? help  q end",
)


def screen(state: State, columns: int, rows: int, now: float) -> list[Row]:
    """Exactly `rows` rows, none wider than `columns`."""
    table = list(_table(state, columns, _most(rows), now)) if rows >= FEW else []
    foot = [_status(state, columns), _hints(state, columns)][: max(rows - 1, 1)]
    head = [_header(state, columns, _hidden(state, columns, rows) if table else 0)] if rows >= FEW else []
    below = list(_progress(state, columns, now))
    room = rows - len(head) - len(table) - len(foot) - 1
    below = below[-max(room * 2 // 3, 0) :] if room > 0 else []
    state.height = max(room - len(below), 1)
    pane = list(_pane(state, columns, room - len(below), now)) if room >= 0 else []
    found = [*head, *table, *pane, *below, *foot]
    return [row(one, columns) for one in [*found, *([()] * rows)][:rows]]


# --- head and foot ------------------------------------------------------------------------------------------------


def _header(state: State, columns: int, hidden: int) -> Row:
    words = [service.word for service in state.services.values()]
    up = sum(word in GOOD for word in words)
    bad = ", ".join(clean(service.name) for service in state.services.values() if service.word in BAD)
    said = f"{up} of {len(words)} up" if words else ""
    spans = [Span(clean(state.project) or "devenv", "bold"), Span(f"  {said}", "dim" if up < len(words) else "good")]
    spans += [Span(f"  {MARKS['exited']} {cut(bad, max(columns // 3, 10))}", "bad")] if bad else []
    for url in state.ready.urls if state.ready else ():
        spans += [Span("  "), _link(url)]
    more = f"↑ ↓ {hidden} more   " if hidden else ""
    return beside(spans, [Span(f"{more}? help", "dim")], columns)


def _link(url: str) -> Span:
    return Span(_shortened(url), "link", url if SAFE_URL.match(url) else "")


def _shortened(url: str) -> str:
    return clean(url).removeprefix("http://").rstrip("/")


def _hints(state: State, columns: int) -> Row:
    if state.typing is not None:
        fault = state.log.filter.fault
        count = fault or f"{len(state.log.shown)} lines"
        left = [Span("/", "bold"), Span(state.typing), Span("▏")]
        return beside(left, [Span(count, "bad" if fault else "dim")], columns)
    return (Span(next((hints for hints in HINTS if width(hints) <= columns), HINTS[-1]), "dim"),)


def _status(state: State, columns: int) -> Row:
    said, style = _doing(state)
    return (Span(cut(said, columns), style),)


def _doing(state: State) -> tuple[str, str]:  # noqa: PLR0911 - one return a thing to say
    """What is going on and why, the most pressing first; and its style."""
    busy = [f"{service.name} {service.busy}" for service in state.services.values() if service.busy]
    if state.note:
        return state.note, "bold"
    if busy:
        return f"{MARKS['starting']} {'; '.join(busy)}", "warn"
    if state.step is not None:
        return f"{MARKS['starting']} {_step(state)}", "warn"
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
    pending = sum(service.vitals.pending for service in state.services.values())
    if pending:
        return f"{MARKS['starting']} {_count(pending, 'saved file')} on the way", "warn"
    return f"{MARKS['healthy']} up after {state.ready.seconds:.1f} s; saved files arrive by themselves", "good"


def _step(state: State) -> str:
    assert state.step is not None  # noqa: S101 - asked before
    if state.step.name in ("start", "healthy") and (late := _late(state)):
        return late
    said = BEGUN.get(state.step.name, state.step.name)
    if state.step.name == "build" and state.progress.steps:
        return f"building: {_built(state.progress)}"
    if state.step.name == "images" and state.progress.pulls:
        return f"{said}: {_count(len(state.progress.pulls), 'image')} on the way"
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


# --- the table ----------------------------------------------------------------------------------------------------


def _table(state: State, columns: int, most: int, now: float) -> Iterator[Row]:
    """A heading and the services; in several blocks beside each other where there are many and the screen is wide."""
    services = list(state.services.values())
    if not services:
        return
    blocks, tall = _blocks(len(services), columns, most)
    seen = tall * blocks
    first = max(min(state.selected, len(services) - 1) - seen + 1, 0)
    cells = (columns - 2 * (blocks - 1)) // blocks
    shape = _shape(services, cells, now)
    shown = services[first : first + seen]
    head = _cells(HEADS, shape, "dim")
    gap = Span(" " * (cells + 2 - sum(width(span.text) for span in head)))
    yield tuple([span for _ in range(blocks) for span in (*head, gap)][:-1])
    chosen = state.chosen
    for index in range(tall):
        spans: list[Span] = []
        for block in range(blocks):
            place = block * tall + index
            if place < len(shown):
                service = shown[place]
                one = row(_service(service, shape, now, state, chosen=service is chosen), cells)
                spans += one
                if block < blocks - 1:
                    spans.append(Span(" " * (cells + 2 - sum(width(span.text) for span in one))))
        yield tuple(spans)


def _blocks(count: int, columns: int, most: int) -> tuple[int, int]:
    """How many blocks the table of so many services has, and the services in each that fit."""
    blocks = max(min(columns // BLOCK, -(-count // (most - 1))), 1)
    return blocks, min(-(-count // blocks), most - 1)


def _hidden(state: State, columns: int, rows: int) -> int:
    blocks, tall = _blocks(len(state.services), columns, _most(rows))
    return max(len(state.services) - blocks * tall, 0)


def _most(rows: int) -> int:
    """The rows that a table may take."""
    return max(rows * 2 // 5, 3)


def _shape(services: Sequence[Service], cells: int, now: float) -> tuple[int, ...]:
    """The width of each column: what its cells need, and where all is too much, less of what matters least."""
    texts = [_texts(service, now) for service in services]
    need = [max(width(head), *(width(one[i]) for one in texts)) for i, head in enumerate(HEADS)]
    need[0] = 3
    need[1] = min(need[1], WIDEST_NAME)
    least = (3, 8, 9, 0, 4, 4, 2, 9)
    gaps = 2 * (len(need) - 2)
    for column in (7, 3, 2, 1):
        over = sum(need) + gaps - cells
        need[column] = min(need[column], max(need[column] - max(over, 0), least[column]))
    for column in (3, 6, 5, 4, 7):
        if sum(need) + 2 * (sum(1 for n in need if n) - 2) > cells:
            need[column] = 0
    return tuple(need)


def _texts(service: Service, now: float) -> tuple[str, ...]:
    vitals = service.vitals
    address = ", ".join(dict.fromkeys(map(_shortened, vitals.urls)))
    cpu = "" if vitals.cpu is None else f"{vitals.cpu:.0f} %"
    memory = "" if vitals.memory is None else _bytes(vitals.memory)
    restarts = str(vitals.restarts) if vitals.restarts else ""
    return ("", clean(service.name), _word(service), address, cpu, memory, restarts, _synced(service, now))


def _word(service: Service) -> str:
    exited = f" {service.detail.removeprefix('exit ')}" if service.word == "exited" else ""
    return f"{service.word}{exited.partition(',')[0]}"


def _synced(service: Service, now: float) -> str:
    """Files, how long they took, how long ago that is, how many more wait."""
    pending = service.vitals.pending
    waits = f"{pending} pending" if pending else ""
    if service.sync is None:
        return waits
    event, at = service.sync
    done = f"{_count(event.files + event.deleted, 'file')} {took(event.ms)} {ago(now - at)}"
    return f"{waits}; {done}" if waits else done


def took(ms: float) -> str:
    """Milliseconds, or seconds where they are many."""
    return f"{ms:.0f} ms" if ms < LONG_MS else f"{ms / 1000:.1f} s"


def ago(seconds: float) -> str:
    """How long ago, in steps that seldom change."""
    for unit, size, step in (("s", 1, 10), ("min", 60, 1), ("h", 3600, 1)):
        count = int(seconds // size // step * step)
        if count < 60 or unit == "h":  # noqa: PLR2004 - seconds, minutes
            return f"{count} {unit} ago" if count else "just now"
    raise AssertionError  # pragma: no cover - hours have no end


def _bytes(size: int) -> str:
    mega = size / 2**20
    return f"{mega:.0f} M" if mega < 1000 else f"{mega / 1024:.1f} G"  # noqa: PLR2004 - four digits are many


def _service(service: Service, shape: Sequence[int], now: float, state: State, *, chosen: bool) -> list[Span]:
    word = service.word
    style = (
        "good"
        if word in GOOD
        else "bad"
        if word in BAD
        else "dim"
        if word in ("absent", "created", "stopped")
        else "warn"
    )
    mark = STOPPED if word == "stopped" else MARKS.get(word, MARKS["starting"] if style == "warn" else "○")
    cells = list(_cells((f"{'›' if chosen else ' '}{mark}", *_texts(service, now)[1:]), shape, ""))
    cells[0] = cells[0]._replace(style=style)
    cells[1] = cells[1]._replace(style="chosen" if chosen else "bold")
    cells[2] = cells[2]._replace(style=style)
    url = next(iter(service.vitals.urls), "")
    if state.ready and url in state.ready.urls and SAFE_URL.match(url):
        cells[3] = cells[3]._replace(style="link", link=url)
    return cells


def _cells(texts: Sequence[str], shape: Sequence[int], style: str) -> list[Span]:
    """A span a column, the numbers on the right; links and styles cover no padding."""
    found = []
    for index, (text, cells) in enumerate(zip(texts, shape, strict=True)):
        gap = "" if index in (0, len(shape)) or not cells else "  " if index > 1 else ""
        fitted = fit(text, cells, right=index in (4, 5, 6)) if cells else ""
        found.append(Span(f"{gap}{fitted}", style))
    return found


# --- the pane -----------------------------------------------------------------------------------------------------


def _pane(state: State, columns: int, rows: int, now: float) -> Iterator[Row]:
    """A title, and so many rows of the log or of what is in its place, the newest at the bottom."""
    if state.page:
        lines = list(_page(state, columns, now))
        state.offset = max(0, min(state.offset, len(lines) - rows))
        shown = lines[state.offset : state.offset + rows]
        more = len(lines) - len(shown)
        yield _title(state.page, f"{more} more: PgUp PgDn" if more else "", "Esc: back to the log", columns)
        yield from shown
        yield from [()] * (rows - len(shown))
        return
    chosen, typed = state.log.filter, state.log.filter.typed
    title = f"log: {typed}" if typed else "log"
    title += f" ({_count(len(state.log.shown), 'line')})" if typed and not chosen.fault else ""
    held = ""
    if state.anchor is not None:
        held = f"paused, {_count(state.log.below(state.anchor), 'line')} below: space or End goes on"
    yield _title(title, held, "", columns)
    names = list(state.services)
    prefix = min(max(map(width, (*names, "devenv"))), WIDEST_PREFIX, max(columns // 4, 1))
    styles = {name: f"service{index % SERVICE_STYLES}" for index, name in enumerate(state.services)}
    found: list[Row] = []
    for line in state.log.above(state.anchor):
        if len(found) >= rows:
            break
        found += reversed(list(_line(line, prefix, styles, columns, marked=line.number == state.marked)))
    found = found[:rows]
    yield from reversed(found)
    yield from [()] * (rows - len(found))


def _title(title: str, middle: str, right: str, columns: int) -> Row:
    said = [Span("── ", "dim"), Span(title, "bold"), Span(" ", "dim")]
    said += [Span("── ", "dim"), Span(middle, "warn"), Span(" ", "dim")] if middle else []
    end = [Span(f" {right} ", "dim"), Span("──", "dim")] if right else []
    room = columns - sum(width(span.text) for span in (*said, *end))
    return row((*said, Span("─" * max(room, 0), "dim"), *end), columns)


def _line(line: logbook.Line, prefix: int, styles: dict[str, str], columns: int, *, marked: bool) -> Iterator[Row]:
    """One line of the log, on as many rows as it needs."""
    ours = line.service == logbook.OURS
    level = logbook.level(line)
    style = {"error": "bad", "warn": "warn"}.get(level, "dim" if ours else "")
    name = fit("devenv" if ours else clean(line.service), prefix)
    begin = Span(f"{name} {'▶' if marked else '│'} ", "dim" if ours else styles.get(line.service, "dim"))
    room = max(columns - prefix - 3, 1)
    for index, piece in enumerate(pieces(line.text, room)):
        if index == MOST_WRAPPED:
            return
        yield (begin if not index else Span(f"{' ' * prefix} │ ", begin.style)), Span(piece, style)


def _page(state: State, columns: int, now: float) -> Iterator[Row]:
    match state.page:
        case "graph" if state.graph is not None:
            for line in graph.tree(state.graph):
                yield _drawn(line, state)
        case "syncs":
            for sync in reversed(state.syncs):
                yield _sync(sync, columns, now)
            if not state.syncs:
                yield (Span("nothing was synced yet", "dim"),)
        case "help":
            yield from ((Span(line),) for line in HELP)
        case _:
            yield (Span("the project is not read yet", "dim"),)


def _drawn(line: str, state: State) -> Row:
    """A line of the graph with the state of its service."""
    found = re.match(r"([│├└─ ]*[├└]─ (?:\* )?)(\S+)(.*)", line)
    service = state.services.get(found[2]) if found else None
    if found is None or service is None:
        return (Span(line, "dim"),)
    style = "good" if service.word in GOOD else "bad" if service.word in BAD else "warn"
    rest = re.sub(r"^ \((.+?)\)", r" (needed: \1)", found[3])
    return Span(found[1], "dim"), Span(found[2], "bold"), Span(f" {service.word}", style), Span(rest, "dim")


def _sync(sync: Sync, columns: int, now: float) -> Row:
    event = sync.event
    count = _count(event.files + event.deleted, "file")
    cells = (
        fit(ago(now - sync.at), 10),
        fit(clean(event.service), 14),
        fit(count, 9),
        fit(took(event.ms), 7, right=True),
    )
    begin = "  ".join((*cells, ""))
    paths = ", ".join(map(clean, event.paths))
    more = event.files + event.deleted - len(event.paths)
    said = f"{paths}{f' +{more}' if more > 0 else ''}{' (removed)' if not event.files else ''}"
    return row((Span(begin, "dim"), Span(said)), columns)


# --- pulls and builds ---------------------------------------------------------------------------------------------


def _progress(state: State, columns: int, now: float) -> Iterator[Row]:
    progress = state.progress
    for reference, pull in progress.pulls.items():
        bar = f"{'■' * min(pull.done, 30)}{'□' * min(pull.layers - pull.done, 30)} " if pull.layers else ""
        yield (
            Span(f"{MARKS['starting']} ", "warn"),
            Span(f"{pull.state} {clean(reference)} "),
            Span(f"{bar}{pull.detail}", "dim"),
        )
    if progress.failed:
        yield Span(f"{MARKS['exited']} ", "bad"), Span(f"build failed: {_built(progress)}")
    for step in progress.steps.values():
        if step.state in ("running", "failed"):
            yield from _stair(step, columns, now)


def _built(progress: Progress) -> str:
    """What is done of a build; the other steps stand above."""
    ended = [step for step in progress.steps.values() if step.state in ("done", "cached")]
    cached = sum(step.state == "cached" for step in ended)
    return f"{_count(len(ended), 'step')} done{f', {cached} of them cached' if cached else ''}"


def _stair(step: Stair, columns: int, now: float) -> Iterator[Row]:
    failed = step.state == "failed"
    yield (
        Span(f"  {MARKS['exited' if failed else 'starting']} ", "bad" if failed else "warn"),
        Span(cut(f"[{step.where}] {step.what}", max(columns - 12, 1))),
        Span("" if failed else _since(step.began, now), "dim"),
    )
    for line in [*step.lines][0 if failed else -1 :]:
        yield (Span(f"      {line}", "" if failed else "dim"),)


def _since(began: float, now: float) -> str:
    seconds = int(now - began)
    return f" {seconds} s" if seconds else ""


def _count(number: int, kind: str) -> str:
    return f"{number} {kind}{'' if number == 1 else 's'}"
