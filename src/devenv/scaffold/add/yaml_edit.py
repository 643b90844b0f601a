"""A compose file edited by position: every other byte stays, and the result means what was meant.

What goes in is told apart by its spelling from what was there, so that `cut` restores the bytes: a key that fills an
empty `key:` is quoted, one that fills `{}` comes after a space, and where a `depends_on` was a list, its new entry
is in braces.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from devenv.compose import yaml12
from devenv.errors import ConfigError
from devenv.scaffold.add.edits import Change, Step, change
from devenv.scaffold.add.yaml_places import BREAK, Part, after_bracket, line_begin, line_end, new_line, read, tail

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
class Draft:
    """A file's text while it is edited, beside the model that the edits are to lead to.

    `changes` are the edits made; `steps` are those of `insert` and `depend`, for `repeat`.
    """

    text: str
    file: str
    model: Any = None
    changes: list[Change] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = yaml12.construct(self.text, file=self.file)

    def insert(self, path: Path, entry: str) -> None:
        """`entry` at the end of the mapping or list at `path`; what of the path is not there is made.

        It is block YAML with two spaces a level. ConfigError where the place cannot be edited by itself.
        """
        self.steps.append(Step("insert", tuple(path), entry))
        self._insert(path, entry)

    def _insert(self, path: Path, entry: str) -> None:
        self._edit(_insert, path, entry)
        _add(self.model, path, yaml12.construct(entry, file=self.file))

    def cut(self, path: Path) -> None:
        """The entry at `path` gone, and the mapping around it if that was made for it. ConfigError as above."""
        self._edit(_cut, path)
        _drop(self.model, path, yaml12.construct(self.text, file=self.file))

    def depend(self, path: Path, name: str) -> None:
        """`name`, healthy, in the `depends_on` at `path`; a list of names becomes a mapping."""
        self.steps.append(Step("depend", tuple(path), name))
        listed = _at(self.model, path)
        if not isinstance(listed, list):
            self._insert(path, f"{name}:\n  condition: service_healthy")
            return
        self._edit(_conditions, path, name)
        healthy, started = {"condition": "service_healthy"}, {"condition": "service_started"}
        _at(self.model, path[:-1])[path[-1]] = {name: healthy, **{str(item): started for item in listed}}

    def independ(self, path: Path, name: str) -> None:
        """`depend` taken back."""
        self._edit(_names, path, name)
        now = yaml12.construct(self.text, file=self.file)
        _drop(self.model, (*path, name), now)
        left = _at(self.model, path)
        if isinstance(_at(now, path), list) and all(one == {"condition": "service_started"} for one in left.values()):
            _at(self.model, path[:-1])[path[-1]] = list(left)

    def repeat(self, steps: Sequence[Step]) -> None:
        """Make edits again that were made in another text. ConfigError as above."""
        for step in steps:
            if step.verb == "insert":
                self.insert(step.path, step.text)
            else:
                self.depend(step.path, step.text)

    def verified(self) -> str:
        """The text, which means exactly what the edits were to lead to; ConfigError where it does not."""
        if yaml12.construct(self.text, file=self.file) != self.model:
            message = "the edit would change more than it should; nothing was written"
            hint = "What is shared by anchors or written in an unusual way has to be edited by hand."
            raise ConfigError(message, hint=hint, file=self.file)
        return self.text

    def _edit(self, edit: Callable[..., str], path: Path, *more: str) -> None:
        try:
            after = edit(self.text, path, *more)
        except UnfitError as error:
            line = self.text.count("\n", 0, error.index) + 1
            place, new = ".".join(map(str, path)), next(iter(more), "")
            hint = (
                f"By hand, in {place}: {flow(yaml12.construct(new, file='-'))}" if new else f"Edit {place} by hand."
            )
            raise ConfigError(f"{error}; nothing was written", hint=hint, file=self.file, line=line) from None
        self.changes.append(change(self.text, after))
        self.text = after


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
    at = tail(text, node.end, node.column)
    kept = at == node.end and text[:at].endswith(("\n", "\r"))  # empty lines that are part of a block scalar
    gap = new_line(text) * (2 if _spaced(text, node) and not kept else 1)
    return text[:at] + gap + _block(text, entry, node.column, _step(text)) + text[at:]


def _put_flow(text: str, node: Part, entry: str) -> str:
    opening = after_bracket(text, node)
    quoted = bool(node.pairs) and node.kind == "map" and all(name.quoted for name, _ in node.pairs)
    new = flow(yaml12.construct(entry, file="-"), quoted=quoted)[1:-1]
    if not node.pairs:
        return f"{text[:opening]} {new}{text[opening:]}"
    name, value = node.pairs[-1]
    apart = line_begin(text, name.begin) > opening
    gap = f",{new_line(text)}{text[line_begin(text, name.begin) : name.begin]}" if apart else ", "
    if gap[1:].strip():
        gap = ", "
    return text[: value.end] + gap + new + text[value.end :]


def _fill(text: str, node: Part, name: Part, entry: str) -> str:
    at = tail(text, name.end, node.column + 1)
    quoted = re.sub(r"\A([^\s:\"]+):", r'"\1":', entry)
    column = node.column + _step(text)
    return text[:at] + new_line(text) + _block(text, quoted, column, _step(text)) + text[at:]


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
    return new_line(text).join(lines)


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
    return any(not line.strip() for line in BREAK.split(between)[1:-1])


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
    filled = text[after_bracket(text, node)] == " " if node.flow else name.quoted
    if len(node.pairs) == 1 and above is not None and not filled:
        return _cut(text, path[:-1])
    if node.flow:
        return _cut_flow(text, node, index)
    begin = max(_before(text, name.begin), node.pairs[index - 1][1].end if index else 0)
    return text[:begin] + text[tail(text, max(name.end, value.end), node.column + 1) :]


def _cut_flow(text: str, node: Part, index: int) -> str:
    name, value = node.pairs[index]
    if index:
        return text[: node.pairs[index - 1][1].end] + text[value.end :]
    if len(node.pairs) > 1:
        return text[: name.begin] + text[node.pairs[1][0].begin :]
    return text[: after_bracket(text, node)] + text[value.end :]


def _before(text: str, at: int) -> int:
    """The end of the last line above that of `at` that is not empty."""
    return line_end(text, len(text[: line_begin(text, at)].rstrip()))


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
    begin, end = after_bracket(text, node), node.end + len(started) * len(node.pairs)
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
    first = index == 0 and text[after_bracket(text, node) : key.begin] == " "
    if form is None or not (first if node.flow else others):
        return _cut(text, (*path, name))
    if node.flow:
        begin, end = value.end + (2 if others else 0), node.end
        for one, other in reversed(others):
            text, end = text[: one.end] + text[other.end :], end - (other.end - one.end)
        return f"{text[: after_bracket(text, node) - 1]}[{text[begin : end - 1]}]{text[end:]}"
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
