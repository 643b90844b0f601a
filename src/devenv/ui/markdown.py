"""A page of the documentation, in Markdown, as lines that fit into a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devenv.ui import cells

LONGEST = 100  # cells of a line that is easy to read
FENCE = re.compile(r" *```")
ITEM = re.compile(r" *(?:[-*]|\d+\.) +")
PICTURE = re.compile(r" *!\[.*?\]\(\S+\)$")
VERBATIM = re.compile(r" *$|[#|<]")  # an empty line, a heading, a row of a table, HTML
WIDE, STOP = "[\u2e80-\u9fff\uff00-\uffef]", "[\u3000-\u303f\uff00-\uffef]"  # STOP: punctuation


def wrapped(markdown: str, columns: int) -> str:
    """The page with its paragraphs and items of lists wrapped to `columns`, or to LONGEST; without pictures.

    Code, tables and headings stay as they are.
    """
    text = "\n".join(_lines(markdown, min(columns, LONGEST)))
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _lines(markdown: str, columns: int) -> Iterator[str]:
    paragraph, is_code = "", False
    for line in [*markdown.splitlines(), ""]:
        is_fence = bool(FENCE.match(line))
        is_verbatim = is_code or is_fence or bool(VERBATIM.match(line))
        if paragraph and (is_verbatim or ITEM.match(line)):
            yield from _wrapped(paragraph, columns)
            paragraph = ""
        is_code ^= is_fence
        if is_verbatim:
            yield line
        elif not PICTURE.match(line):
            paragraph = _joined(paragraph, line) if paragraph else line


def _joined(text: str, line: str) -> str:
    """A paragraph and its next line; Chinese has no spaces between words."""
    is_chinese = (re.search(f"{WIDE}$", text) and re.match(f" *{WIDE}", line)) or re.search(f"{STOP}$", text)
    space = "" if is_chinese else " "
    return f"{text}{space}{line.lstrip()}"


def _wrapped(text: str, columns: int) -> Iterator[str]:
    item = ITEM.match(text)
    begin = item.end() if item else len(text) - len(text.lstrip())
    for number, line in enumerate(cells.pieces(text[begin:], columns - begin)):
        yield f"{' ' * begin if number else text[:begin]}{line.rstrip()}"
