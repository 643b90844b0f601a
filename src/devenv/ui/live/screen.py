"""Make the rows of the live view from its state and the size of the screen. Pure.

Colour is never the only sign of a state. Ages change in steps, so that an idle screen need not be drawn again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from devenv.model.status import BAD, GOOD
from devenv.phrases import counted
from devenv.ui import drawing
from devenv.ui.cells import MARKS, Row, Styled, beside, clean, cut, fit, forwarded, row, width
from devenv.ui.live import commands
from devenv.ui.live.pane import ago, log_pane, status, title, under_way
from devenv.ui.live.state import State
from devenv.ui.run_state import ServiceRow, TimedSync
from devenv.ui.text import took

SAFE_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+/?\Z")
BLOCK = 104  # columns of a block; a wider screen has several blocks
WIDEST_NAME = 24
STYLES = {"good": GOOD, "bad": BAD, "dim": ("absent", "created")}
HEADS = ("", "SERVICE", "STATE", "ADDRESS", "CPU", "MEM", "↻", "LAST SYNC")
FEW = 8  # rows; a smaller screen has only the log and the foot


def screen(state: State, columns: int, rows: int, now: float) -> list[Row]:
    """Exactly `rows` rows, none wider than `columns`."""
    table = list(_services_table(state, columns, _most(rows), now)) if rows >= FEW else []
    foot = [status(state, columns, now), _hints(state, columns)][: max(rows - 1, 1)]
    head = [_header(state, columns, _hidden(state, columns, rows) if table else 0)] if rows >= FEW else []
    below = list(under_way(state, columns, now))
    room = rows - len(head) - len(table) - len(foot) - 1
    below = below[-max(room * 2 // 3, 0) :] if room > 0 else []
    state.view.height = max(room - len(below), 1)
    pane: list[Row] = []
    if room >= 0:
        left = room - len(below)
        pane = list(_page_pane(state, columns, left, now) if state.view.page else log_pane(state, columns, left))
    drawn = [*head, *table, *pane, *below, *foot, *([()] * rows)]
    return [row(spans, columns) for spans in drawn[:rows]]


def _header(state: State, columns: int, hidden: int) -> Row:
    words = [service.word for service in state.services.values()]
    up = sum(word in GOOD for word in words)
    bad = ", ".join(clean(service.name) for service in state.services.values() if service.word in BAD)
    count = f"{up} of {len(words)} up" if words else ""
    name = clean(state.project.graph.project) or "devenv"
    errors = _errors(state)
    is_well = up == len(words) and not (errors and errors.style == "bad")
    spans = [Styled(name, "bold"), Styled(f"  {count}", "good" if is_well else "dim")]
    spans += [Styled(f"  {MARKS['exited']} {cut(bad, max(columns // 3, 10))}", "bad")] if bad else []
    spans += [errors] if errors else []
    for url in _addresses(state) if up else ():
        spans += [Styled("  "), Styled(_shortened(url), "link", url if SAFE_URL.match(url) else "")]
    if up and state.ready and state.ready.event.forwarded_from:
        spans += [Styled(f" {forwarded(state.ready.event.forwarded_from)}", "dim")]
    more = f"↑ ↓ {hidden} more   " if hidden else ""
    return beside(spans, [Styled(f"{more}? help", "dim")], columns)


def _addresses(state: State) -> list[str]:
    """The site's addresses, without those of services that are not up."""
    down = {url for row in state.services.values() if row.word not in GOOD for url in row.service_stats.urls}
    return [url for url in state.ready.event.urls if url not in down] if state.ready else []


def _errors(state: State) -> Styled | None:
    """The number of errors in the logs: red if an error followed a sync or a start, else dim."""
    failing, count = sum(bool(service.error) for service in state.services.values()), state.log.errors.total()
    if failing:
        count = max(failing, count)
        them = "it" if count == 1 else "them"
        return Styled(f"  {MARKS['exited']} {counted(count, 'error')}, e shows {them}", "bad")
    return Styled(f"  {counted(count, 'error')} in the log", "dim") if count else None


def _services_table(state: State, columns: int, most: int, now: float) -> Iterator[Row]:
    """A heading and the services, in several blocks side by side if there are many and the screen is wide."""
    services = list(state.services.values())
    if not services:
        return
    blocks, tall = _blocks(len(services), columns, most)
    seen = tall * blocks
    first = max(min(state.view.selected, len(services) - 1) - seen + 1, 0)
    cells = (columns - 2 * (blocks - 1)) // blocks
    shape = _shape(services, cells, now)
    shown = services[first : first + seen]
    head = _cells(HEADS, shape, "dim")
    gap = Styled(" " * (cells + 2 - sum(width(span.text) for span in head)))
    yield tuple([span for _ in range(blocks) for span in (*head, gap)][:-1])
    chosen = state.chosen
    for index in range(tall):
        spans: list[Styled] = []
        for block in range(blocks):
            place = block * tall + index
            if place < len(shown):
                service = shown[place]
                drawn = row(_service(service, shape, now, state, chosen=service is chosen), cells)
                spans += drawn
                if block < blocks - 1:
                    spans.append(Styled(" " * (cells + 2 - sum(width(span.text) for span in drawn))))
        yield tuple(spans)


def _blocks(count: int, columns: int, most: int) -> tuple[int, int]:
    """The number of blocks for `count` services, and the rows of each block."""
    blocks = max(min(columns // BLOCK, -(-count // (most - 1))), 1)
    return blocks, min(-(-count // blocks), most - 1)


def _hidden(state: State, columns: int, rows: int) -> int:
    """The number of services that do not fit on the screen."""
    blocks, tall = _blocks(len(state.services), columns, _most(rows))
    return max(len(state.services) - blocks * tall, 0)


def _most(rows: int) -> int:
    """The rows that a table may take."""
    return max(rows * 2 // 5, 3)


def _shape(services: Sequence[ServiceRow], cells: int, now: float) -> tuple[int, ...]:
    """The width of each column: what its cells need, but less for the least important columns if there is no room."""
    texts = [_texts(service, now) for service in services]
    need = [max(width(head), *(width(row[i]) for row in texts)) for i, head in enumerate(HEADS)]
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


def _texts(service: ServiceRow, now: float) -> tuple[str, ...]:
    service_stats = service.service_stats
    address = ", ".join(dict.fromkeys(map(_shortened, service_stats.urls)))
    cpu = "" if service_stats.cpu is None else f"{service_stats.cpu:.0f} %"
    memory = "" if service_stats.memory is None else _bytes(service_stats.memory)
    restarts = str(service_stats.restarts) if service_stats.restarts else ""
    return ("", clean(service.name), _word(service), address, cpu, memory, restarts, _synced(service, now))


def _word(service: ServiceRow) -> str:
    exited = f" {service.detail.removeprefix('exit ')}" if service.word == "exited" else ""
    return f"{service.word}{exited.partition(',')[0]}"


def _synced(service: ServiceRow, now: float) -> str:
    """The error in the log; else the number of pending files, and the files, duration and age of the last sync."""
    if service.error:
        return service.error
    pending = service.service_stats.pending
    waits = f"{pending} pending" if pending else ""
    if service.sync is None:
        return waits
    event, at = service.sync
    done = f"{counted(event.files + event.deleted, 'file')} {took(event.ms)} {ago(now - at)}"
    return f"{waits}; {done}" if waits else done


def _bytes(size: int) -> str:
    mega = size / 2**20
    return f"{mega:.0f} M" if mega < 1000 else f"{mega / 1024:.1f} G"  # noqa: PLR2004 - four digits are many


def _service(service: ServiceRow, shape: Sequence[int], now: float, state: State, *, chosen: bool) -> list[Styled]:
    word = service.word
    style = next((style for style, words in STYLES.items() if word in words), "warn")
    if service.error:
        word, style = "exited", "bad"
    mark = MARKS.get(word, MARKS["starting"] if style == "warn" else "○")
    cells = list(_cells((f"{'›' if chosen else ' '}{mark}", *_texts(service, now)[1:]), shape, ""))
    cells[7] = cells[7]._replace(style="bad" if service.error else "")
    cells[0] = cells[0]._replace(style=style)
    cells[1] = cells[1]._replace(style="chosen" if chosen else "bold")
    cells[2] = cells[2]._replace(style=style)
    url = next(iter(service.service_stats.urls), "")
    if state.ready and url in state.ready.event.urls and SAFE_URL.match(url):
        cells[3] = cells[3]._replace(style="link", link=url)
    return cells


def _cells(texts: Sequence[str], shape: Sequence[int], style: str) -> list[Styled]:
    """A span for each column; numbers are aligned to the right."""
    row = []
    for index, (text, cells) in enumerate(zip(texts, shape, strict=True)):
        gap = "  " if index > 1 and cells else ""
        row.append(Styled(gap + (fit(text, cells, right=index in (4, 5, 6)) if cells else ""), style))
    return row


def _shortened(url: str) -> str:
    """The address without `http://` and the slash at its end."""
    return clean(url).removeprefix("http://").rstrip("/")


def _hints(state: State, columns: int) -> Row:
    if state.view.typing is not None:
        fault = state.log.filter.fault
        count = fault or counted(len(state.log.shown), "line")
        left = [Styled("/", "bold"), Styled(state.view.typing.text), Styled("▏")]
        return beside(left, [Styled(count, "bad" if fault else "dim")], columns)
    return (Styled(commands.hints(columns, is_attached=state.is_attached), "dim"),)


def _page_pane(state: State, columns: int, rows: int, now: float) -> Iterator[Row]:
    """A title, and `rows` rows of the page."""
    lines = list(_page(state, columns, now))
    state.view.offset = max(0, min(state.view.offset, len(lines) - rows))
    shown = lines[state.view.offset : state.view.offset + rows]
    more = len(lines) - len(shown)
    yield title(state.view.page, f"{more} more: PgUp PgDn" if more else "", "Esc: back to the log", columns)
    yield from shown
    yield from [()] * (rows - len(shown))


def _page(state: State, columns: int, now: float) -> Iterator[Row]:
    match state.view.page:
        case "graph" if state.project.graph.nodes:
            for line in drawing.tree(state.project.graph):
                yield _drawn(line, state)
        case "syncs":
            for sync in reversed(state.syncs):
                yield _sync(sync, columns, now)
            if not state.syncs:
                yield (Styled("nothing was synced yet", "dim"),)
        case "help":
            yield from ((Styled(line),) for line in commands.help_lines(is_attached=state.is_attached))
        case _:
            yield (Styled("the project is not read yet", "dim"),)


def _drawn(line: str, state: State) -> Row:
    """A line of the graph with the state of its service."""
    match = re.match(r"([│├└─ ]*[├└]─ (?:\* )?)(\S+)(.*)", line)
    service = state.services.get(match[2]) if match else None
    if match is None or service is None:
        return (Styled(line, "dim"),)
    style = "good" if service.word in GOOD else "bad" if service.word in BAD else "warn"
    rest = re.sub(r"^ \((.+?)\)", r" (needed: \1)", match[3])
    return Styled(match[1], "dim"), Styled(match[2], "bold"), Styled(f" {service.word}", style), Styled(rest, "dim")


def _sync(sync: TimedSync, columns: int, now: float) -> Row:
    event = sync.event
    files = counted(event.files + event.deleted, "file")
    begin = f"{fit(ago(now - sync.at), 10)}  {fit(clean(event.service), 14)}  {fit(files, 9)}"
    begin += f"  {fit(took(event.ms), 7, right=True)}  "
    paths = ", ".join(map(clean, event.paths))
    more = event.files + event.deleted - len(event.paths)
    changed = f"{paths}{f' +{more}' if more > 0 else ''}{' (removed)' if not event.files else ''}"
    return row((Styled(begin, "dim"), Styled(changed)), columns)
