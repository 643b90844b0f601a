"""The places of all parts of a YAML file, and the format of new parts in the style of the file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Any

import yaml

from devenv.lazy_dataclass import dataclass

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w./-]*\Z", re.ASCII)
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(slots=True)
class Part:
    """A node as written: characters `begin` to `end`, where its content ends, and its column.

    `pairs` contains a mapping's keys and values, or each item of a list twice.
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
        """Whether the value is missing."""
        return self.kind == "scalar" and self.begin == self.end

    def find(self, key: str | int) -> int | None:
        """The index of an own key or an item in `pairs`."""
        if isinstance(key, int):
            return key if self.kind == "list" and key < len(self.pairs) else None
        indexes = (at for at, (name, _) in enumerate(self.pairs) if name.value == key)
        return next(indexes, None) if self.kind == "map" else None


def read(text: str) -> Part:
    """The file's mapping, with the places of all its parts."""
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
        part.end = closing.index if part.flow else max(node.end for pair in part.pairs for node in pair)
    return part


def _content_end(text: str, begin: int, end: int) -> int:
    """The end of a block scalar, before the last break; empty lines count only if its header keeps them."""
    header = text[begin : line_end(text, begin)].partition("#")[0]
    written = text[begin:end]
    if "+" not in header:
        return begin + len(written.rstrip())
    return end - len(match[0]) if (match := re.search("(?:\r\n|[\n\r])\\Z", written)) else end


def line_end(text: str, at: int) -> int:
    """The index of the end of the line at `at`, before its break."""
    match = BREAK.search(text, at)
    return match.start() if match else len(text)


def line_begin(text: str, at: int) -> int:
    """The index of the first character of the line at `at`."""
    return 1 + max(text.rfind(mark, 0, at) for mark in "\n\r\x85\u2028\u2029")


def tail(text: str, at: int, column: int) -> int:
    """The end of the line at `at`, or of the last comment below it that begins at `column` or further right."""
    end = line_end(text, at)
    position = end
    while match := BREAK.match(text, position):
        begin, position = match.end(), line_end(text, match.end())
        line = text[begin:position]
        if line.lstrip(" ").startswith("#") and len(line) - len(line.lstrip(" ")) >= column:
            end = position
        elif line.strip():
            break
    return end


def new_line(text: str) -> str:
    """The first line break of the text; a line feed if it has none."""
    match = BREAK.search(text)
    return match[0] if match else "\n"


def after_bracket(text: str, node: Part) -> int:
    """The index after the opening bracket of a mapping or list in flow style."""
    match = re.compile(r"[{\[]").search(text, node.begin)
    return match.end() if match else node.begin


# --- new parts ----------------------------------------------------------------------------------------------------


def flow(value: Any, *, quoted: bool = False) -> str:
    """A value on one line; `quoted`: as JSON."""
    if isinstance(value, dict):
        pairs = (f"{_key(key, quoted=quoted)}: {flow(item, quoted=quoted)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item, quoted=quoted) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def nested(path: Sequence[str | int], entry: str) -> str:
    """The entry below the keys of the path, in block YAML."""
    for key in reversed(path):
        entry = f"{key}:\n" + "\n".join(f"  {line}" if line else line for line in entry.split("\n"))
    return entry


def _key(key: str, *, quoted: bool) -> str:
    plain = not quoted and _PLAIN_KEY.match(key) and key.lower() not in _WORDS
    return key if plain else json.dumps(key)


def block(text: str, entry: str, column: int, step: int) -> str:
    """The lines of `entry` moved to `column`, each level `step` further in, with the file's line breaks."""
    levels, lines = [(0, column)], []
    for line in entry.split("\n"):
        inside = len(line) - len(line.lstrip(" "))
        while levels[-1][0] > inside:
            levels.pop()
        if levels[-1][0] < inside:
            levels.append((inside, levels[-1][1] + step))
        lines.append(" " * levels[-1][1] + line[inside:] if line else line)
        if line[inside:].startswith("- "):
            levels.append((inside + 2, levels[-1][1] + 2))
    return new_line(text).join(lines)


def indentation(text: str) -> int:
    """The most frequent number of spaces per level in the file."""
    waiting, steps = [read(text)], Counter[int]()
    for node in waiting:
        below = [value for _, value in node.pairs if value.pairs and not value.flow]
        steps.update(value.column - node.column for value in below if node.kind == value.kind == "map")
        waiting += below
    del steps[0]
    return steps.most_common(1)[0][0] if steps else 2


def is_spaced(text: str, node: Part) -> bool:
    """Whether an empty line separates the entries; at the top level also if there is only one entry."""
    if len(node.pairs) < 2:  # noqa: PLR2004 - a separator needs two entries
        return node.column == 0 and node.kind == "map"
    between = text[node.pairs[-2][1].end : node.pairs[-1][0].begin]
    return any(not line.strip() for line in BREAK.split(between)[1:-1])
