"""Text in the cells of a terminal: remove control characters, measure, cut, pad and wrap. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from devenv.model.containers import ESCAPES, bare

ELLIPSIS = "…"
IN_ASCII = str.maketrans("●◐○◌✓✗■□█░›─│├└…↻▶▏↑↓→·", "*~.:vx#.#->-||`~@>_^v>-")
MARKS = {
    "healthy": "●", "started": "●", "completed": "✓", "unhealthy": "✗", "exited": "✗", "removed": "✗", "stopped": "■",
    "starting": "◐", "restarting": "◐",
}  # fmt: skip
SGR = re.compile(r"\x1b\[([0-9;]*)m")
LONGEST_SGR = 32  # bytes
ATTRIBUTES = {1: "bold", 2: "faint", 3: "italic", 4: "underlined"}  # by the numbers of SGR sequences
ATTRIBUTES |= dict.fromkeys((*range(30, 38), *range(90, 98)), "fore")
ATTRIBUTES |= dict.fromkeys((*range(40, 48), *range(100, 108)), "back")
ENDS = {22: ("bold", "faint"), 23: ("italic",), 24: ("underlined",), 39: ("fore",), 49: ("back",)}


class Styled(NamedTuple):
    """A piece of a row: its text, its style (the terminal maps the name to SGR numbers), and its link.

    `codes`: numbers of the SGR sequences in a container's line, used if there are colours.
    """

    text: str
    style: str = ""
    link: str = ""
    codes: tuple[str, ...] = ()


Row = tuple[Styled, ...]


def forwarded(machine: str) -> str:
    """The text after an address of a port that ssh forwards from this machine; empty for another port."""
    return f" (forwarded from {clean(machine)})" if machine else ""


def columns(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """The rows as lines in aligned columns below the names of their keys; no line if there is no row."""
    heads = list(rows[0]) if rows else []
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    for cells in ([h.upper() for h in heads], *([row[h] for h in heads] for row in rows)) if rows else ():
        yield "  ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)).rstrip()


def clean(line: str) -> str:
    """The line without escape sequences, control characters, and characters that change the direction."""
    if line.isprintable():  # most lines are, and a log may have a million
        return line
    text = bare(line).replace("\t", "    ")
    if text.isprintable():
        return text
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or c == "\u200d")


def coloured(line: str) -> list[Styled]:
    """The cleaned line in pieces, each with its own colours and weights; their texts joined are `clean(line)`."""
    if "\x1b" not in line:
        return [Styled(clean(line))]
    pieces: list[Styled] = []
    codes: dict[str, str] = {}
    begin = 0
    for escape in ESCAPES.finditer(line):
        pieces.append(Styled(clean(line[begin : escape.start()]), codes=tuple(codes.values())))
        begin = escape.end()
        if len(escape[0]) <= LONGEST_SGR and (sgr := SGR.fullmatch(escape[0])):
            _apply(codes, iter([int(number or 0) for number in sgr[1].split(";")]))
    pieces.append(Styled(clean(line[begin:]), codes=tuple(codes.values())))
    return [piece for piece in pieces if piece.text]


def _apply(codes: dict[str, str], numbers: Iterator[int]) -> None:
    """Apply the numbers of an SGR sequence to `codes`: attribute -> the number that set it."""
    for number in numbers:
        if number == 0:
            codes.clear()
        elif number in ENDS:
            for attribute in ENDS[number]:
                codes.pop(attribute, None)
        elif attribute := ATTRIBUTES.get(number, ""):
            codes[attribute] = str(number)
        elif number in (38, 48):
            mode = next(numbers, 0)
            values = [next(numbers, 256) for _ in range({5: 1, 2: 3}.get(mode, 0))]
            if not values or max(values) > 255:  # noqa: PLR2004 - a byte
                return
            codes["fore" if number == 38 else "back"] = ";".join(map(str, (number, mode, *values)))  # noqa: PLR2004


def clean_lines(text: str) -> str:
    """The text with each line cleaned."""
    if text.isprintable():
        return text
    return "\n".join(clean(line) for line in text.splitlines())


def lacks_shapes(encoding: str) -> bool:
    """Whether an encoding lacks the characters that IN_ASCII replaces."""
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
    """The text, cut with an ellipsis if it is wider than `cells`."""
    if width(text) <= cells:
        return text
    begin = text[: _end(text, 0, max(cells - 1, 0))]
    return f"{begin}{ELLIPSIS}" if width(begin) < cells else ELLIPSIS[:cells]


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """The text cut or padded to exactly `cells`."""
    short = cut(text, cells)
    pad = " " * (cells - width(short))
    return f"{pad}{short}" if right else f"{short}{pad}"


def pieces(text: str, cells: int) -> Iterator[str]:
    """The text in pieces of at most `cells`, broken after the last space except for one in the first third.

    The space may be beyond the last cell. An empty text is one piece.
    """
    begin = 0
    while (end := _end(text, begin, max(cells, 1))) < len(text):
        end = text.rfind(" ", begin + (end - begin) // 3, end + 1) + 1 or end
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _end(text: str, begin: int, cells: int) -> int:
    """The end of the part that begins at `begin` and fits into `cells`, or of a character that is wider."""
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
    """The spans, with the style for the characters at these places."""
    spans, done = tuple(spans), 0
    for begin, end in sorted(places):
        yield from part(spans, done, begin)
        yield from (span._replace(style=style) for span in part(spans, max(begin, done), end))
        done = max(done, end)
    yield from part(spans, done, sum(len(span.text) for span in spans))


def row(spans: Iterable[Styled], cells: int) -> Row:
    """The spans that fit into `cells`; the last span is cut."""
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
    """A row with spans at its left and right ends; without the right ones if there is no room."""
    start, end = tuple(left), tuple(right)
    room = cells - sum(width(span.text) for span in (*start, *end))
    return row((*start, Styled(" " * room), *end) if room > 0 else start, cells)
