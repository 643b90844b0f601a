"""A compose file edited by position: every other byte stays, and the result means what was meant.

What goes in is told apart by its spelling from what was there, so that `cut` restores the bytes: a key that fills an
empty `key:` is quoted, one that fills `{}` comes after a space, and where a `depends_on` was a list, its new entry
is in braces.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from devenv.config import yamlcore
from devenv.errors import ConfigError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w./-]*\Z", re.ASCII)
_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
# How the entries of a list of names are written once it is a mapping: the new one, and the others. `flush` is for
# dashes below the key itself, `json` for names in quotes.
FORMS = {
    "plain": ("%s: {condition: service_healthy}", ": {condition: service_started}"),
    "flush": ("%s: { condition: service_healthy }", ": {condition: service_started}"),
    "json": ('"%s": {"condition": "service_healthy"}', ': {"condition": "service_started"}'),
}
Path = Sequence[str | int]


class UnfitError(Exception):
    """A place that cannot be edited without touching more; the message says why, `index` where (in characters)."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


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


@dataclass(slots=True)
class Draft:
    """A file's text while it is edited, beside the model that the edits are to lead to."""

    text: str
    file: str
    model: Any = None

    def __post_init__(self) -> None:
        self.model = yamlcore.construct(self.text, file=self.file)

    def insert(self, path: Path, entry: str) -> None:
        """`entry` at the end of the mapping or list at `path`; what of the path is not there is made.

        It is block YAML with two spaces a level. ConfigError where the place cannot be edited by itself.
        """
        self.text = self._edited(_insert, path, entry)
        _add(self.model, path, yamlcore.construct(entry, file=self.file))

    def cut(self, path: Path) -> None:
        """The entry at `path` gone, and the mapping around it if that was made for it. ConfigError as above."""
        self.text = self._edited(_cut, path)
        _drop(self.model, path, yamlcore.construct(self.text, file=self.file))

    def depend(self, path: Path, name: str) -> None:
        """`name`, healthy, in the `depends_on` at `path`; a list of names becomes a mapping."""
        listed = _at(self.model, path)
        if not isinstance(listed, list):
            self.insert(path, f"{name}:\n  condition: service_healthy")
            return
        self.text = self._edited(_conditions, path, name)
        healthy, started = {"condition": "service_healthy"}, {"condition": "service_started"}
        _at(self.model, path[:-1])[path[-1]] = {name: healthy, **{str(item): started for item in listed}}

    def independ(self, path: Path, name: str) -> None:
        """`depend` taken back."""
        self.text = self._edited(_names, path, name)
        now = yamlcore.construct(self.text, file=self.file)
        _drop(self.model, (*path, name), now)
        left = _at(self.model, path)
        if isinstance(_at(now, path), list) and all(one == {"condition": "service_started"} for one in left.values()):
            _at(self.model, path[:-1])[path[-1]] = list(left)

    def verified(self) -> str:
        """The text, which means exactly what the edits were to lead to; ConfigError where it does not."""
        if yamlcore.construct(self.text, file=self.file) != self.model:
            message = "the edit would change more than it should; nothing was written"
            hint = "What is shared by anchors or written in an unusual way has to be edited by hand."
            raise ConfigError(message, hint=hint, file=self.file)
        return self.text

    def _edited(self, edit: Callable[..., str], path: Path, *more: str) -> str:
        try:
            return edit(self.text, path, *more)
        except UnfitError as error:
            line = self.text.count("\n", 0, error.index) + 1
            place, new = ".".join(map(str, path)), next(iter(more), "")
            hint = (
                f"By hand, in {place}: {flow(yamlcore.construct(new, file='-'))}" if new else f"Edit {place} by hand."
            )
            raise ConfigError(f"{error}; nothing was written", hint=hint, file=self.file, line=line) from None


def flow(value: Any, *, quoted: bool = False) -> str:
    """A value on one line; `quoted` as JSON has it."""
    if isinstance(value, dict):
        pairs = (f"{_key(key, quoted=quoted)}: {flow(item, quoted=quoted)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item, quoted=quoted) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def nested(path: Path, entry: str) -> str:
    """The entry below the keys of the path, in block YAML."""
    for key in reversed(path):
        entry = f"{key}:\n" + "\n".join(f"  {line}" if line else line for line in entry.split("\n"))
    return entry


def _key(key: str, *, quoted: bool) -> str:
    plain = not quoted and _PLAIN_KEY.match(key) and key.lower() not in _WORDS
    return key if plain else json.dumps(key)


# --- reading ------------------------------------------------------------------------------------------------------


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
                part.column = dash - _line_begin(text, dash)
        closing: Any = event.end_mark
        part.end = closing.index if part.flow else max(one.end for pair in part.pairs for one in pair)
    return part


def _content_end(text: str, begin: int, end: int) -> int:
    """Where a block scalar ends, before the last break; empty lines count only where its header keeps them."""
    header = text[begin : _line_end(text, begin)].partition("#")[0]
    written = text[begin:end]
    if "+" not in header:
        return begin + len(written.rstrip())
    return end - len(match[0]) if (match := re.search("(?:\r\n|[\n\r])\\Z", written)) else end


def _line_end(text: str, at: int) -> int:
    found = _BREAK.search(text, at)
    return found.start() if found else len(text)


def _line_begin(text: str, at: int) -> int:
    return 1 + max(text.rfind(mark, 0, at) for mark in "\n\r\x85\u2028\u2029")


def _tail(text: str, at: int, column: int) -> int:
    """The end of the line at `at`, or of the last comment below it that stands at `column` or further right."""
    end = _line_end(text, at)
    position = end
    while found := _BREAK.match(text, position):
        begin, position = found.end(), _line_end(text, found.end())
        line = text[begin:position]
        if line.lstrip(" ").startswith("#") and len(line) - len(line.lstrip(" ")) >= column:
            end = position
        elif line.strip():
            break
    return end


# --- putting in ---------------------------------------------------------------------------------------------------


def _insert(text: str, path: Path, entry: str) -> str:
    node = read(text)
    for depth, key in enumerate(path):
        if (at := node.find(key)) is None:
            return _put(text, node, nested(path[depth:], entry))
        name, value = node.pairs[at]
        if value.empty and not node.flow and value.begin >= name.end:
            return _fill(text, node, name, nested(path[depth + 1 :], entry))
        if value.kind not in ("map", "list"):
            what = "an alias, which others share" if value.kind == "alias" else "no mapping that can be added to"
            raise UnfitError(f"`{key}` is {what}", name.begin)
        node = value
    return _put(text, node, entry)


def _put(text: str, node: Part, entry: str) -> str:
    if (node.kind == "list") != entry.startswith("- "):
        raise UnfitError("a list stands where a mapping is needed, or the other way round", node.begin)
    if node.flow:
        return _put_flow(text, node, entry)
    at = _tail(text, node.end, node.column)
    kept = at == node.end and text[:at].endswith(("\n", "\r"))  # empty lines that are part of a block scalar
    gap = _new_line(text) * (2 if _spaced(text, node) and not kept else 1)
    return text[:at] + gap + _block(text, entry, node.column, _step(text)) + text[at:]


def _put_flow(text: str, node: Part, entry: str) -> str:
    opening = _opening(text, node)
    quoted = bool(node.pairs) and node.kind == "map" and all(name.quoted for name, _ in node.pairs)
    new = flow(yamlcore.construct(entry, file="-"), quoted=quoted)[1:-1]
    if not node.pairs:
        return f"{text[:opening]} {new}{text[opening:]}"
    name, value = node.pairs[-1]
    apart = _line_begin(text, name.begin) > opening
    gap = f",{_new_line(text)}{text[_line_begin(text, name.begin) : name.begin]}" if apart else ", "
    if gap[1:].strip():
        gap = ", "
    return text[: value.end] + gap + new + text[value.end :]


def _fill(text: str, node: Part, name: Part, entry: str) -> str:
    at = _tail(text, name.end, node.column + 1)
    quoted = re.sub(r"\A([^\s:\"]+):", r'"\1":', entry)
    column = node.column + _step(text)
    return text[:at] + _new_line(text) + _block(text, quoted, column, _step(text)) + text[at:]


def _block(text: str, entry: str, column: int, step: int) -> str:
    """The lines of `entry` moved to `column`, each level `step` further in, with the file's own line ends."""
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
    return _new_line(text).join(lines)


def _step(text: str) -> int:
    """How far in a level is, for most of the file."""
    waiting, steps = [read(text)], Counter[int]()
    for one in waiting:
        below = [value for _, value in one.pairs if value.pairs and not value.flow]
        steps.update(value.column - one.column for value in below if one.kind == value.kind == "map")
        waiting += below
    del steps[0]
    return steps.most_common(1)[0][0] if steps else 2


def _spaced(text: str, node: Part) -> bool:
    """Whether an empty line stands between entries; at the top level also where there is but one."""
    if len(node.pairs) < 2:  # noqa: PLR2004 - nothing is between fewer
        return node.column == 0 and node.kind == "map"
    between = text[node.pairs[-2][1].end : node.pairs[-1][0].begin]
    return any(not line.strip() for line in _BREAK.split(between)[1:-1])


def _new_line(text: str) -> str:
    found = _BREAK.search(text)
    return found[0] if found else "\n"


def _opening(text: str, node: Part) -> int:
    found = re.compile(r"[{\[]").search(text, node.begin)
    return found.end() if found else node.begin


# --- taking out ---------------------------------------------------------------------------------------------------


def _cut(text: str, path: Path) -> str:
    above, node = None, read(text)
    for key in path[:-1]:
        if (at := node.find(key)) is None:
            raise UnfitError(f"`{key}` is not a mapping or list of its own", node.begin)
        above, node = node, node.pairs[at][1]
    if (index := node.find(path[-1])) is None:
        raise UnfitError(f"`{path[-1]}` is not written here", node.begin)
    name, value = node.pairs[index]
    filled = text[_opening(text, node)] == " " if node.flow else name.quoted
    if len(node.pairs) == 1 and above is not None and not filled:
        return _cut(text, path[:-1])
    if node.flow:
        return _cut_flow(text, node, index)
    begin = max(_before(text, name.begin), node.pairs[index - 1][1].end if index else 0)
    return text[:begin] + text[_tail(text, max(name.end, value.end), node.column + 1) :]


def _cut_flow(text: str, node: Part, index: int) -> str:
    name, value = node.pairs[index]
    if index:
        return text[: node.pairs[index - 1][1].end] + text[value.end :]
    if len(node.pairs) > 1:
        return text[: name.begin] + text[node.pairs[1][0].begin :]
    return text[: _opening(text, node)] + text[value.end :]


def _before(text: str, at: int) -> int:
    """The end of the last line above that of `at` that is not empty."""
    return _line_end(text, len(text[: _line_begin(text, at)].rstrip()))


# --- depends_on ---------------------------------------------------------------------------------------------------


def _depends(text: str, path: Path) -> Part:
    node = read(text)
    for key in path:
        at = node.find(key)
        if at is None:
            raise UnfitError(f"`{key}` is not a mapping of its own", node.begin)
        node = node.pairs[at][1]
    return node


def _conditions(text: str, path: Path, name: str) -> str:
    """The list of names as a mapping: each item loses its dash, and gets its condition behind it.

    Where the dashes stand below the key itself, the names move in by two.
    """
    node = _depends(text, path)
    if node.kind != "list":
        raise UnfitError("`depends_on` is an alias, which others share", node.begin)
    form = "flush" if not node.flow and node.column == _depends(text, path[:-1]).column else "plain"
    form = "json" if node.flow and node.pairs and all(item.quoted for item, _ in node.pairs) else form
    healthy, started = FORMS[form]
    for item, _ in reversed(node.pairs):
        if item.kind != "scalar" or not (node.flow or text[item.begin - 2 : item.begin] == "- "):
            raise UnfitError("`depends_on` is a list that is written in an unusual way", item.begin)
        text = f"{text[: item.end]}{started}{text[item.end :]}"
        if not node.flow:
            text = text[: item.begin - 2] + "  " * (form == "flush") + text[item.begin :]
    if not node.flow:
        return _insert(text, path, healthy % name)
    begin, end = _opening(text, node), node.end + len(started) * len(node.pairs)
    comma = ", " if node.pairs else ""
    return f"{text[: begin - 1]}{{ {healthy % name}{comma}{text[begin : end - 1]}}}{text[end:]}"


def _names(text: str, path: Path, name: str) -> str:
    """The entry gone, and the list of names again where `_conditions` made a mapping of it."""
    node = _depends(text, path)
    index = node.find(name)
    if index is None:
        raise UnfitError(f"`{name}` is no entry of its own in `depends_on`", node.begin)
    key, value = node.pairs[index]
    others = [pair for pair in node.pairs if pair[0] is not key]
    said, rest = text[key.begin : value.end], {text[one.end : other.end] for one, other in others}
    form = next((form for form, (new, old) in FORMS.items() if said == new % name and rest <= {old}), None)
    first = index == 0 and text[_opening(text, node) : key.begin] == " "
    if form is None or not (first if node.flow else others):
        return _cut(text, (*path, name))
    if node.flow:
        begin, end = value.end + (2 if others else 0), node.end
        for one, other in reversed(others):
            text, end = text[: one.end] + text[other.end :], end - (other.end - one.end)
        return f"{text[: _opening(text, node) - 1]}[{text[begin : end - 1]}]{text[end:]}"
    text = _cut(text, (*path, name))
    for one, other in reversed(_depends(text, path).pairs):
        text = f"{text[: one.begin - 2 * (form == 'flush')]}- {text[one.begin : one.end]}{text[other.end :]}"
    return text


# --- models -------------------------------------------------------------------------------------------------------


def _at(model: Any, path: Path) -> Any:
    for key in path:
        inside = key in model if isinstance(model, dict) else isinstance(model, list) and isinstance(key, int)
        model = model[key] if inside else None
    return model


def _add(model: Any, path: Path, value: Any) -> None:
    for depth, key in enumerate(path):
        if model.get(key) is None:
            for more in reversed(path[depth + 1 :]):
                value = {more: value}
            model[key] = value
            return
        model = model[key]
    if isinstance(model, list):
        model.extend(value)
    else:
        model.update(value)


def _drop(model: Any, path: Path, now: Any) -> None:
    """The entry gone from the model; of a mapping that it leaves empty there is left what the text has `now`."""
    above = _at(model, path[:-1])
    del above[path[-1]]
    if not above and len(path) > 1:
        if path[-2] in (_at(now, path[:-2]) or {}):
            _at(model, path[:-2])[path[-2]] = type(above)() if _at(now, path[:-1]) is not None else None
        else:
            _drop(model, path[:-1], now)
