"""A recording of a terminal as an animated SVG: each different row of the screen once, and a group for each frame."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

import pyte
from pyte.screens import Char

COLUMNS, ROWS = 100, 28
CELL, LINE, SIZE = 8.4, 19, 14  # pixels: width of a character, height of a line, size of the font
PAD, BAR = 14, 34  # around the text; the bar with the title
GRID = 0.2  # seconds of the recording: changes within this time are one frame
ALTERNATE = re.compile(rb"(\x1b\[\?1049[hl])")  # the alternate screen, which pyte does not know
TEXT, BACKGROUND = "#d6dcdb", "#1c2124"
COLOURS = {
    "black": "#464e52", "red": "#e87461", "green": "#7ec88c", "brown": "#e2be6e", "yellow": "#e2be6e",
    "blue": "#6eaaeb", "magenta": "#c896dc", "cyan": "#69c8cd", "white": "#d6dcdb", "brightblack": "#8b979c",
    "brightred": "#e87461", "brightgreen": "#7ec88c", "brightbrown": "#e2be6e", "brightyellow": "#e2be6e",
    "brightblue": "#6eaaeb", "brightmagenta": "#c896dc", "brightcyan": "#69c8cd", "brightwhite": "#ffffff",
}  # fmt: skip
Row = tuple[tuple[str, str, str], ...]  # style, colour of the background, text
Writes = Sequence[tuple[float, bytes]]  # when something was written, in seconds, and what


@dataclass(frozen=True)
class Frame:
    """What the screen shows, for how many seconds, and a caption below."""

    rows: tuple[Row, ...]
    seconds: float
    caption: str


def frames(writes: Writes, command: str, captions: Sequence[tuple[float, str]]) -> list[Frame]:
    """The different contents of the screen; first the command as it is typed. A caption lasts until the next.

    Captions have the time of the recording since which they are shown.
    """
    typed = [command[:end] for end in range(len(command) + 1)]
    prompt = ("fill:#7ec88c;font-weight:bold", "", "$ ")
    shown = [Frame(((prompt, ("", "", f"{text}█")), *((),) * (ROWS - 1)), 0.1, "") for text in typed]
    shown[-1] = replace(shown[-1], seconds=0.6)
    screens = {mark: Screen() for mark in (b"l", b"h")}
    screen = screens[b"l"]
    screen.feed(f"\x1b[1;32m$\x1b[0m {command}\r\n".encode())
    for at, seconds, written in _in_steps(writes):
        for piece in ALTERNATE.split(written):
            screen = screens[piece[-1:]] if ALTERNATE.fullmatch(piece) else screen
            screen.feed(piece)
        caption = [text for since, text in captions if since <= at + GRID][-1]
        frame = Frame(screen.rows(), seconds, caption)
        if replace(shown[-1], seconds=seconds) == frame:
            frame = replace(frame, seconds=shown.pop().seconds + seconds)
        shown.append(frame)
    return shown


def svg(frames: Sequence[Frame], title: str, still: str) -> str:
    """The frames in a window, again and again.

    A reader who wants no motion sees only the last frame whose caption begins with `still`.
    """
    alone = max(number for number, frame in enumerate(frames) if frame.caption.startswith(still))
    numbers = {row: number for number, row in enumerate(dict.fromkeys(row for frame in frames for row in frame.rows))}
    total = sum(frame.seconds for frame in frames)
    width, height = COLUMNS * CELL + 2 * PAD, ROWS * LINE + 2 * BAR + PAD
    font = f"{SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    style = [
        f"text{{font:{font};fill:{TEXT};white-space:pre}}",
        ".c{font:600 15px system-ui,sans-serif;fill:#e2be6e}",
        f".f{{visibility:hidden;animation:{total:.1f}s step-end infinite}}",
    ]
    body = []
    at = 0.0
    for number, frame in enumerate(frames):
        begin, at = at, at + frame.seconds
        percents = {0.0: "hidden", 100 * begin / total: "visible", 100 * at / total: "hidden"}
        keys = "".join(f"{percent:.4g}%{{visibility:{value}}}" for percent, value in percents.items())
        style.append(f"@keyframes k{number}{{{keys}}}#f{number}{{animation-name:k{number}}}")
        uses = (f'<use href="#r{numbers[row]}" y="{line * LINE}"/>' for line, row in enumerate(frame.rows) if row)
        caption = (
            f'<text class="c" y="{ROWS * LINE + PAD + 20}">{escape(frame.caption)}</text>' if frame.caption else ""
        )
        body.append(f'<g id="f{number}" class="f">{"".join(uses)}{caption}</g>')
    style.append(f"@media(prefers-reduced-motion:reduce){{.f{{animation:none}}#f{alone}{{visibility:visible}}}}")
    rows = "".join(f'<g id="r{number}">{_drawn(row)}</g>' for row, number in numbers.items() if row)
    lights = "".join(
        f'<circle cx="{20 + 20 * place}" cy="17" r="6" fill="{colour}"/>'
        for place, colour in enumerate(("#e87461", "#e2be6e", "#7ec88c"))
    )
    return (
        f'<svg viewBox="0 0 {width:.0f} {height}" xmlns="http://www.w3.org/2000/svg"><style>{"".join(style)}</style>'
        f'<defs>{rows}</defs><rect width="100%" height="100%" rx="8" fill="#2a3136"/>'
        f'<rect y="{BAR - 4}" width="100%" height="{ROWS * LINE + PAD}" fill="{BACKGROUND}"/>{lights}'
        f'<text x="{width / 2:.0f}" y="22" text-anchor="middle">{escape(title)}</text>'
        f'<g transform="translate({PAD} {BAR})">{"".join(body)}</g></svg>\n'
    )


class Screen:
    """A terminal of pyte, which knows no faint text: a colour marks it."""

    def __init__(self) -> None:
        self._display = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._display)

    def feed(self, written: bytes) -> None:
        """Show what was written."""
        self._stream.feed(written.replace(b"\x1b[2m", b"\x1b[90m"))

    def rows(self) -> tuple[Row, ...]:
        """The content, row by row."""
        buffer = self._display.buffer
        return tuple(_row([buffer[row][column] for column in range(COLUMNS)]) for row in range(ROWS))


def _row(cells: Sequence[Char]) -> Row:
    runs = itertools.groupby(cells, _style)
    parts = [(style, background, "".join(cell.data for cell in run)) for (style, background), run in runs]
    while parts and not parts[-1][1] and not parts[-1][2].strip():
        parts.pop()
    return tuple(parts)


def _style(cell: Char) -> tuple[str, str]:
    colour, background = (COLOURS.get(name, "" if name == "default" else f"#{name}") for name in (cell.fg, cell.bg))
    if cell.reverse:
        colour, background = background or BACKGROUND, colour or TEXT
    styles = (f"fill:{colour}" if colour else "", "font-weight:bold" if cell.bold else "",
              "text-decoration:underline" if cell.underscore else "")  # fmt: skip
    return ";".join(filter(None, styles)), background


def _drawn(row: Row) -> str:
    """A row as SVG, whose first line is at 0. The text of a run has the width of its cells in every font."""
    return "".join(_run(style, background, text, column) for (style, background, text), column in _columns(row))


def _columns(row: Row) -> Iterator[tuple[tuple[str, str, str], int]]:
    column = 0
    for part in row:
        yield part, column
        column += len(part[2])


def _run(style: str, background: str, text: str, column: int) -> str:
    box = ""
    if background:
        box = f'<rect x="{column * CELL:.1f}" width="{len(text) * CELL:.1f}" height="{LINE}" fill="{background}"/>'
    indent = len(text) - len(text.lstrip())
    words = text.strip()
    if not words:
        return box
    own = f' style="{style}"' if style else ""
    return (
        f'{box}<text x="{(column + indent) * CELL:.1f}" y="14"{own} textLength="{len(words) * CELL:.1f}"'
        f' lengthAdjust="spacingAndGlyphs">{escape(words, quote=False)}</text>'
    )


def _in_steps(writes: Writes) -> Iterator[tuple[float, float, bytes]]:
    """The begin of each step of the grid in which something is written, the seconds until the next, and the bytes."""
    start = writes[0][0]
    by_step = itertools.groupby(writes, lambda write: int((write[0] - start) / GRID))
    steps = [(step, b"".join(written for _, written in group)) for step, group in by_step]
    ends = [step for step, _ in steps[1:]] + [steps[-1][0] + 1]
    for (step, written), end in zip(steps, ends, strict=True):
        yield start + step * GRID, (end - step) * GRID, written
