"""Text in the cells of a terminal: without what a terminal acts on, its width, cut to fit, wrapped. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from devenv.model.containers import ESCAPES, bare

ELLIPSIS = "…"
IN_ASCII = str.maketrans("●◐○◌✓✗■□█░›─│├└…↻▶▏↑↓→·", "*~.:vx#.#->-||`~@>_^v>-")
SGR = re.compile(r"\x1b\[([0-9;]*)m")
LONGEST_SGR = 32  # bytes
THINGS = {1: "bold", 2: "faint", 3: "italic", 4: "underlined"}  # that the numbers of a sequence ask for
THINGS |= dict.fromkeys((*range(30, 38), *range(90, 98)), "fore")
THINGS |= dict.fromkeys((*range(40, 48), *range(100, 108)), "back")
ENDS = {22: ("bold", "faint"), 23: ("italic",), 24: ("underlined",), 39: ("fore",), 49: ("back",)}


class Styled(NamedTuple):
    """A piece of a row: its text, its style (a name that the terminal maps to a look), and its link.

    `codes`: numbers of SGR sequences that a container's line asks for, if there are colours.
    """

    text: str
    style: str = ""
    link: str = ""
    codes: tuple[str, ...] = ()


Row = tuple[Styled, ...]


def clean(line: str) -> str:
    """The line without escape sequences, control and direction-changing characters."""
    if line.isprintable():  # most lines are, and a log may have a million
        return line
    text = bare(line).replace("\t", "    ")
    if text.isprintable():
        return text
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or c == "\u200d")


def coloured(line: str) -> list[Styled]:
    """The cleaned line in pieces with the colours and weights that it asks for; together they are `clean(line)`."""
    if "\x1b" not in line:
        return [Styled(clean(line))]
    pieces: list[Styled] = []
    asked: dict[str, str] = {}
    begin = 0
    for escape in ESCAPES.finditer(line):
        pieces.append(Styled(clean(line[begin : escape.start()]), codes=tuple(asked.values())))
        begin = escape.end()
        if len(escape[0]) <= LONGEST_SGR and (sgr := SGR.fullmatch(escape[0])):
            _ask(asked, iter([int(number or 0) for number in sgr[1].split(";")]))
    pieces.append(Styled(clean(line[begin:]), codes=tuple(asked.values())))
    return [piece for piece in pieces if piece.text]


def _ask(asked: dict[str, str], numbers: Iterator[int]) -> None:
    """Take in the numbers of a sequence: what is asked for by now, each thing with its number."""
    for number in numbers:
        if number == 0:
            asked.clear()
        elif number in ENDS:
            for ended in ENDS[number]:
                asked.pop(ended, None)
        elif thing := THINGS.get(number):
            asked[thing] = str(number)
        elif number in (38, 48):
            mode = next(numbers, 0)
            values = [next(numbers, 256) for _ in range({5: 1, 2: 3}.get(mode, 0))]
            if not values or max(values) > 255:  # noqa: PLR2004 - a byte
                return
            asked["fore" if number == 38 else "back"] = ";".join(map(str, (number, mode, *values)))  # noqa: PLR2004


def clean_lines(text: str) -> str:
    """The text with each line cleaned."""
    if text.isprintable():
        return text
    return "\n".join(clean(line) for line in text.splitlines())


def lacks_shapes(encoding: str) -> bool:
    """Whether an encoding lacks the shapes that IN_ASCII replaces."""
    try:
        "●✗│→".encode(encoding)
    except UnicodeEncodeError:
        return True
    return False


def width(text: str) -> int:
    """The number of cells that cleaned text takes; combining characters take none."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, cells: int) -> str:
    """The text, or the part of it that fits with an ellipsis."""
    if width(text) <= cells:
        return text
    begin = text[: _end(text, 0, max(cells - 1, 0))]
    return f"{begin}{ELLIPSIS}" if width(begin) < cells else ELLIPSIS[:cells]


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """The text cut or padded to exactly so many cells."""
    short = cut(text, cells)
    pad = " " * (cells - width(short))
    return f"{pad}{short}" if right else f"{short}{pad}"


def pieces(text: str, cells: int) -> Iterator[str]:
    """The text in pieces of at most so many cells, broken after the last space if that is not in the first third.

    The space may be one more. One piece if the text is empty.
    """
    begin = 0
    while (end := _end(text, begin, max(cells, 1))) < len(text):
        end = text.rfind(" ", begin + (end - begin) // 3, end + 1) + 1 or end
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _end(text: str, begin: int, cells: int) -> int:
    """Where the part that begins there and takes so many cells ends; at least a character, if there is a cell."""
    if text.isascii():
        return min(begin + cells, len(text))
    taken = 0
    for index in range(begin, len(text)):
        taken += _cells(text[index])
        if taken > cells:
            return max(index, begin + (cells > 0))
    return len(text)


def part(spans: Iterable[Styled], begin: int, end: int) -> Iterator[Styled]:
    """The characters of the spans from `begin` to `end`."""
    for span in spans:
        if text := span.text[max(begin, 0) : max(end, 0)]:
            yield span._replace(text=text)
        begin, end = begin - len(span.text), end - len(span.text)


def marked(spans: Iterable[Styled], places: Iterable[tuple[int, int]], style: str) -> Iterator[Styled]:
    """The spans with the style for the characters at these places."""
    spans, done = tuple(spans), 0
    for begin, end in sorted(places):
        yield from part(spans, done, begin)
        yield from (span._replace(style=style) for span in part(spans, max(begin, done), end))
        done = max(done, end)
    yield from part(spans, done, sum(len(span.text) for span in spans))


def row(spans: Iterable[Styled], cells: int) -> Row:
    """The spans that fit into so many cells, the last one cut."""
    fitting: list[Styled] = []
    for span in spans:
        if cells <= 0:
            break
        text = cut(span.text, cells)
        if text:
            fitting.append(span._replace(text=text))
        cells -= width(text) if text == span.text else cells
    return tuple(fitting)


def beside(left: Iterable[Styled], right: Iterable[Styled], cells: int) -> Row:
    """A row with both at its ends; without the right one if there is no room for it."""
    start, end = tuple(left), tuple(right)
    room = cells - sum(width(span.text) for span in (*start, *end))
    return row((*start, Styled(" " * room), *end) if room > 0 else start, cells)
