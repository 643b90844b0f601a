"""Where everything in a YAML file is written: its mappings, lists and scalars with their places in the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(slots=True)
class Part:
    """A node as it is written: characters `begin` to `end`, its column, and what is in it.

    `pairs` holds a mapping's keys and values, and a list's items as both. The end is that of the last content.
    """

    kind: str
    begin: int
    end: int
    column: int
    value: str = ""
    flow: bool = False
    quoted: bool = False
    pairs: list[tuple[Part, Part]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing at all is written."""
        return self.kind == "scalar" and self.begin == self.end

    def find(self, key: str | int) -> int | None:
        """The place of an own key or an item among `pairs`."""
        if isinstance(key, int):
            return key if self.kind == "list" and key < len(self.pairs) else None
        named = (at for at, (name, _) in enumerate(self.pairs) if name.value == key)
        return next(named, None) if self.kind == "map" else None


def read(text: str) -> Part:
    """The file's mapping, with the places of everything that is written in it."""
    events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            return _part(text, event, events)
    return Part("scalar", 0, 0, 0)


def _part(text: str, event: Any, events: Iterator[Any]) -> Part:
    begin, end = event.start_mark.index, event.end_mark.index
    part = Part("scalar", begin, end, event.start_mark.column)
    if isinstance(event, yaml.AliasEvent):
        part.kind = "alias"
    elif isinstance(event, yaml.ScalarEvent):
        part.value, part.quoted = event.value, event.style in ("'", '"')
        part.end = _content_end(text, begin, end) if event.style in ("|", ">") else end
    else:
        part.kind, part.flow = "map" if isinstance(event, yaml.MappingStartEvent) else "list", bool(event.flow_style)
        while not isinstance(event := next(events), yaml.CollectionEndEvent):
            name = _part(text, event, events)
            part.pairs.append((name, _part(text, next(events), events) if part.kind == "map" else name))
        if not part.flow and part.pairs:
            part.column = part.pairs[0][0].column
            if part.kind == "list":
                dash = text.rindex("-", 0, part.pairs[0][0].begin + 1)
                part.column = dash - line_begin(text, dash)
        closing: Any = event.end_mark
        part.end = closing.index if part.flow else max(one.end for pair in part.pairs for one in pair)
    return part


def _content_end(text: str, begin: int, end: int) -> int:
    """Where a block scalar ends, before the last break; empty lines count only where its header keeps them."""
    header = text[begin : line_end(text, begin)].partition("#")[0]
    written = text[begin:end]
    if "+" not in header:
        return begin + len(written.rstrip())
    return end - len(match[0]) if (match := re.search("(?:\r\n|[\n\r])\\Z", written)) else end


def line_end(text: str, at: int) -> int:
    """The index of the end of the line at `at`, before its break."""
    found = BREAK.search(text, at)
    return found.start() if found else len(text)


def line_begin(text: str, at: int) -> int:
    """The index of the first character of the line at `at`."""
    return 1 + max(text.rfind(mark, 0, at) for mark in "\n\r\x85\u2028\u2029")


def tail(text: str, at: int, column: int) -> int:
    """The end of the line at `at`, or of the last comment below it that stands at `column` or further right."""
    end = line_end(text, at)
    position = end
    while found := BREAK.match(text, position):
        begin, position = found.end(), line_end(text, found.end())
        line = text[begin:position]
        if line.lstrip(" ").startswith("#") and len(line) - len(line.lstrip(" ")) >= column:
            end = position
        elif line.strip():
            break
    return end


def new_line(text: str) -> str:
    """The line break that the text uses first; a line feed if it has none."""
    found = BREAK.search(text)
    return found[0] if found else "\n"


def after_bracket(text: str, node: Part) -> int:
    """The index behind the opening bracket of a mapping or list in flow style."""
    found = re.compile(r"[{\[]").search(text, node.begin)
    return found.end() if found else node.begin
