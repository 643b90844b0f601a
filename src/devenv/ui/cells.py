"""Text in the cells of a terminal: how wide it is, cut to fit, broken into rows. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ELLIPSIS = "…"


class Span(NamedTuple):
    """A piece of a row: its text, what it stands for (the terminal has a look for each), where a click goes."""

    text: str
    style: str = ""
    link: str = ""


Row = tuple[Span, ...]


def width(text: str) -> int:
    """The cells that cleaned text takes; combining characters take none."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def cut(text: str, cells: int) -> str:
    """As much of the text as fits, with an ellipsis where something is missing."""
    if width(text) <= cells:
        return text
    begin = text[: max(cells - 1, 0)] if text.isascii() else next(pieces(text, max(cells - 1, 1)))
    return f"{begin}{ELLIPSIS}" if width(begin) < cells else ELLIPSIS[:cells]


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """Exactly so many cells: the text cut, or padded on one side."""
    short = cut(text, cells)
    pad = " " * (cells - width(short))
    return f"{pad}{short}" if right else f"{short}{pad}"


def pieces(text: str, cells: int) -> Iterator[str]:
    """The text in pieces that fit into so many cells (at least one), between words where a late enough space is.

    One piece where it is empty.
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


def row(spans: Iterable[Span], cells: int) -> Row:
    """The spans that fit into so many cells, the last one cut."""
    found: list[Span] = []
    for span in spans:
        if cells <= 0:
            break
        text = cut(span.text, cells)
        if text:
            found.append(span._replace(text=text))
        cells -= width(text) if text == span.text else cells
    return tuple(found)


def beside(left: Iterable[Span], right: Iterable[Span], cells: int) -> Row:
    """One row of two ends; where there is no room for both, the right one goes."""
    start, end = tuple(left), tuple(right)
    room = cells - sum(width(span.text) for span in (*start, *end))
    return row((*start, Span(" " * room), *end) if room > 0 else start, cells)
