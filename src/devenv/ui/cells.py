"""Text in the cells of a terminal: its width, cut to fit, wrapped. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ELLIPSIS = "…"


class Styled(NamedTuple):
    """A piece of a row: its text, its style (a name that the terminal maps to a look), and its link."""

    text: str
    style: str = ""
    link: str = ""


Row = tuple[Styled, ...]


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
    begin = text[: max(cells - 1, 0)] if text.isascii() else next(pieces(text, max(cells - 1, 1)))
    return f"{begin}{ELLIPSIS}" if width(begin) < cells else ELLIPSIS[:cells]


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """The text cut or padded to exactly so many cells."""
    short = cut(text, cells)
    pad = " " * (cells - width(short))
    return f"{pad}{short}" if right else f"{short}{pad}"


def pieces(text: str, cells: int) -> Iterator[str]:
    """The text in pieces of at most so many cells, broken at a space if one is in the last third.

    One piece if it is empty.
    """
    if text.isascii():
        begin = 0
        while len(text) - begin > cells:
            end = begin + cells
            end = text.rfind(" ", begin + cells * 2 // 3, end) + 1 or end
            yield text[begin:end]
            begin = end
        yield text[begin:]
        return
    begin = taken = 0
    for index, character in enumerate(text):
        more = _cells(character)
        if taken + more > cells and index > begin:
            yield text[begin:index]
            begin, taken = index, 0
        taken += more
    yield text[begin:]


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
