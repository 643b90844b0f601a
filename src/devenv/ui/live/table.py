"""The services of the live view as a table. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from devenv.ui.cells import Row, Styled, fit, row, width
from devenv.ui.live.state import BAD, GOOD, ServiceRow, State
from devenv.ui.text import MARKS, clean, counted, took

SAFE_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+/?\Z")
BLOCK = 104  # columns of a block; a wider screen has several blocks
WIDEST_NAME = 24
STOPPED = "■"
STYLES = {"good": GOOD, "bad": BAD, "dim": ("absent", "created", "stopped")}
HEADS = ("", "SERVICE", "STATE", "ADDRESS", "CPU", "MEM", "↻", "LAST SYNC")


def services_table(state: State, columns: int, most: int, now: float) -> Iterator[Row]:
    """A heading and the services; in several blocks side by side if there are many and the screen is wide."""
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
    """The number of blocks for so many services, and the rows of each."""
    blocks = max(min(columns // BLOCK, -(-count // (most - 1))), 1)
    return blocks, min(-(-count // blocks), most - 1)


def hidden(state: State, columns: int, rows: int) -> int:
    """The number of services that do not fit on a screen of so many rows."""
    blocks, tall = _blocks(len(state.services), columns, most(rows))
    return max(len(state.services) - blocks * tall, 0)


def most(rows: int) -> int:
    """The rows that a table may take."""
    return max(rows * 2 // 5, 3)


def _shape(services: Sequence[ServiceRow], cells: int, now: float) -> tuple[int, ...]:
    """The width of each column: what its cells need, or less for the least important if that is too wide."""
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
    address = ", ".join(dict.fromkeys(map(shortened, service_stats.urls)))
    cpu = "" if service_stats.cpu is None else f"{service_stats.cpu:.0f} %"
    memory = "" if service_stats.memory is None else _bytes(service_stats.memory)
    restarts = str(service_stats.restarts) if service_stats.restarts else ""
    return ("", clean(service.name), _word(service), address, cpu, memory, restarts, _synced(service, now))


def _word(service: ServiceRow) -> str:
    exited = f" {service.detail.removeprefix('exit ')}" if service.word == "exited" else ""
    return f"{service.word}{exited.partition(',')[0]}"


def _synced(service: ServiceRow, now: float) -> str:
    """The last sync: files, duration, age; and the number of files that wait."""
    pending = service.service_stats.pending
    waits = f"{pending} pending" if pending else ""
    if service.sync is None:
        return waits
    event, at = service.sync
    done = f"{counted(event.files + event.deleted, 'file')} {took(event.ms)} {ago(now - at)}"
    return f"{waits}; {done}" if waits else done


def ago(seconds: float) -> str:
    """An age in steps that change rarely."""
    for unit, size, step in (("s", 1, 10), ("min", 60, 1), ("h", 3600, 1)):
        count = int(seconds // size // step * step)
        if count < 60 or unit == "h":  # noqa: PLR2004 - seconds, minutes
            return f"{count} {unit} ago" if count else "just now"
    raise AssertionError  # pragma: no cover - hours have no end


def _bytes(size: int) -> str:
    mega = size / 2**20
    return f"{mega:.0f} M" if mega < 1000 else f"{mega / 1024:.1f} G"  # noqa: PLR2004 - four digits are many


def _service(service: ServiceRow, shape: Sequence[int], now: float, state: State, *, chosen: bool) -> list[Styled]:
    word = service.word
    style = next((style for style, words in STYLES.items() if word in words), "warn")
    mark = STOPPED if word == "stopped" else MARKS.get(word, MARKS["starting"] if style == "warn" else "○")
    cells = list(_cells((f"{'›' if chosen else ' '}{mark}", *_texts(service, now)[1:]), shape, ""))
    cells[0] = cells[0]._replace(style=style)
    cells[1] = cells[1]._replace(style="chosen" if chosen else "bold")
    cells[2] = cells[2]._replace(style=style)
    url = next(iter(service.service_stats.urls), "")
    if state.ready and url in state.ready.urls and SAFE_URL.match(url):
        cells[3] = cells[3]._replace(style="link", link=url)
    return cells


def _cells(texts: Sequence[str], shape: Sequence[int], style: str) -> list[Styled]:
    """A span a column, the numbers on the right; links and styles cover no padding."""
    row = []
    for index, (text, cells) in enumerate(zip(texts, shape, strict=True)):
        gap = "  " if index > 1 and cells else ""
        row.append(Styled(gap + (fit(text, cells, right=index in (4, 5, 6)) if cells else ""), style))
    return row


def shortened(url: str) -> str:
    """The address without `http://` and the slash at its end."""
    return clean(url).removeprefix("http://").rstrip("/")
