"""A Compose file edited by position: every other byte stays, and the result means what was intended.

Edits are recorded, so that they can be undone, and repeated in another text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

from devenv.compose import yaml12
from devenv.errors import ConfigError
from devenv.lazy_dataclass import dataclass
from devenv.scaffold.add.yaml_places import (
    Part,
    after_bracket,
    block,
    flow,
    indentation,
    is_spaced,
    line_begin,
    line_end,
    nested,
    new_line,
    read,
    tail,
)

HEALTHY, STARTED = {"condition": "service_healthy"}, {"condition": "service_started"}
Path = Sequence[str | int]


class UnfitError(Exception):
    """A place that cannot be edited separately, at the character `index`; the message says why."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class TextChange:
    """An edit of a text in one place: from character `at` on, `new` replaced `old`."""

    at: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class EditStep:
    """An edit that can be repeated: `verb` is `insert` or `depend`, `text` its entry or name."""

    verb: str
    path: tuple[str | int, ...]
    text: str


def text_change(before: str, after: str) -> TextChange:
    """The smallest change in one place that leads from one text to the other."""
    shorter = min(len(before), len(after))
    head = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    tail = next((n for n in range(shorter - head) if before[~n] != after[~n]), shorter - head)
    return TextChange(head, before[head : len(before) - tail], after[head : len(after) - tail])


def undone(text: str, changes: Sequence[TextChange]) -> str | None:
    """The text without the changes, which were made in this order.

    The text of a change may have moved. None if it is not found, or found more than once.
    """
    for change in reversed(changes):
        at = change.at
        if not text.startswith(change.new, at):
            at = text.find(change.new)
            if at < 0 or text.count(change.new) > 1:
                return None
        text = text[:at] + change.old + text[at + len(change.new) :]
    return text


@dataclass(slots=True)
class ComposeDraft:
    """A Compose file's text while it is edited, and the model that the edits must produce.

    `changes` are the edits made; `steps` are those of `insert` and `depend`, for `repeat`.
    """

    text: str
    file: str
    model: Any = None
    changes: list[TextChange] = field(default_factory=list)
    steps: list[EditStep] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = yaml12.construct(self.text, file=self.file)

    def insert(self, path: Path, entry: str) -> None:
        """Add `entry`, block YAML with two spaces a level, at the end of the mapping or list at `path`.

        Missing parts of the path are created. Raises ConfigError if the place cannot be edited separately.
        """
        self.steps.append(EditStep("insert", tuple(path), entry))
        self._insert(path, entry)

    def _insert(self, path: Path, entry: str) -> None:
        self._edit(_insert, path, entry)
        _add(self.model, path, yaml12.construct(entry, file=self.file))

    def cut(self, path: Path) -> None:
        """Remove the entry at `path`, and parents that contain only it. Raises ConfigError like `insert`."""
        self._edit(_cut, path)
        while True:
            *above, key = path
            del _at(self.model, above)[key]
            if not above or _at(self.model, above):
                break
            path = above

    def depend(self, path: Path, name: str) -> None:
        """Add `name` with `service_healthy` to the `depends_on` at `path`; a list of names becomes a mapping."""
        self.steps.append(EditStep("depend", tuple(path), name))
        listed = _at(self.model, path)
        if not isinstance(listed, list):
            self._insert(path, f"{name}:\n  condition: service_healthy")
            return
        self._edit(_conditions, path, name)
        _at(self.model, path[:-1])[path[-1]] = {name: HEALTHY, **{str(item): STARTED for item in listed}}

    def repeat(self, steps: Sequence[EditStep]) -> None:
        """Repeat edits that were made in another text. Raises ConfigError like `insert`."""
        for step in steps:
            (self.insert if step.verb == "insert" else self.depend)(step.path, step.text)

    def verified(self) -> str:
        """The text. Raises ConfigError if its meaning is not exactly what the edits should produce."""
        meaning = None
        with contextlib.suppress(ConfigError):  # an anchor that is used elsewhere was cut
            meaning = yaml12.construct(self.text, file=self.file)
        if meaning != self.model:
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
        self.changes.append(text_change(self.text, after))
        self.text = after


# --- insert -------------------------------------------------------------------------------------------------------


def _insert(text: str, path: Path, entry: str) -> str:
    node = read(text)
    for depth, key in enumerate(path):
        if (at := node.find(key)) is None:
            return _put(text, node, nested(path[depth:], entry))
        name, value = node.pairs[at]
        if value.empty and not node.flow and value.begin >= name.end:
            return _fill(text, node, name, nested(path[depth + 1 :], entry))
        if value.kind not in ("map", "list"):
            reason = "an alias, which others share" if value.kind == "alias" else "not a mapping that can be added to"
            raise UnfitError(f"`{key}` is {reason}", name.begin)
        node = value
    return _put(text, node, entry)


def _put(text: str, node: Part, entry: str) -> str:
    if (node.kind == "list") != entry.startswith("- "):
        raise UnfitError("a list is written where a mapping is needed, or the other way round", node.begin)
    if node.flow:
        return _put_flow(text, node, entry)
    at = tail(text, node.end, node.column)
    is_kept = at == node.end and text[:at].endswith(("\n", "\r"))  # empty lines belong to a block scalar
    gap = new_line(text) * (2 if is_spaced(text, node) and not is_kept else 1)
    return text[:at] + gap + block(text, entry, node.column, indentation(text)) + text[at:]


def _put_flow(text: str, node: Part, entry: str) -> str:
    opening = after_bracket(text, node)
    new = flow(yaml12.construct(entry, file="-"), quoted=_is_json(node))[1:-1]
    if not node.pairs:
        return text[:opening] + new + text[opening:]
    name, value = node.pairs[-1]
    apart = line_begin(text, name.begin) > opening
    gap = f",{new_line(text)}{text[line_begin(text, name.begin) : name.begin]}" if apart else ", "
    if gap[1:].strip():
        gap = ", "
    return text[: value.end] + gap + new + text[value.end :]


def _is_json(node: Part) -> bool:
    return node.flow and bool(node.pairs) and all(name.quoted for name, _ in node.pairs)


def _fill(text: str, node: Part, name: Part, entry: str) -> str:
    at, step = tail(text, name.end, node.column + 1), indentation(text)
    return text[:at] + new_line(text) + block(text, entry, node.column + step, step) + text[at:]


# --- cut ----------------------------------------------------------------------------------------------------------


def _nodes(text: str, path: Path) -> list[Part]:
    """The file's mapping, and the node at each key of the path."""
    nodes = [read(text)]
    for key in path:
        if (at := nodes[-1].find(key)) is None:
            raise UnfitError(f"`{key}` is not a mapping or list of its own", nodes[-1].begin)
        nodes.append(nodes[-1].pairs[at][1])
    return nodes


def _cut(text: str, path: Path) -> str:
    *_, node = _nodes(text, path[:-1])
    if (index := node.find(path[-1])) is None:
        raise UnfitError(f"`{path[-1]}` is not written here", node.begin)
    if len(node.pairs) == 1 and len(path) > 1:
        return _cut(text, path[:-1])
    name, value = node.pairs[index]
    if not node.flow:
        above, rest = (
            text[: line_begin(text, name.begin)].rstrip(),
            tail(text, max(name.end, value.end), node.column + 1),
        )
        if not above:
            return text[rest:].removeprefix(new_line(text))
        begin = max(line_end(text, len(above)), node.pairs[index - 1][1].end if index else 0)
        return text[:begin] + (text[rest:] or new_line(text))  # a block scalar above needs its last line break
    if index:
        return text[: node.pairs[index - 1][1].end] + text[value.end :]
    if len(node.pairs) > 1:
        return text[: name.begin] + text[node.pairs[1][0].begin :]
    return text[: after_bracket(text, node)] + text[value.end :]


# --- depends_on ---------------------------------------------------------------------------------------------------


def _conditions(text: str, path: Path, name: str) -> str:
    """The list of names as a mapping: each item loses its dash and is followed by its condition.

    If the dashes are directly below the key, the names are indented by two.
    """
    *_, parent, node = _nodes(text, path)
    if node.kind != "list":
        raise UnfitError("`depends_on` is an alias, which others share", node.begin)
    is_json = _is_json(node)
    healthy = flow({name: HEALTHY}, quoted=True)[1:-1] if is_json else f"{name}: {{condition: service_healthy}}"
    started = f": {flow(STARTED, quoted=True)}" if is_json else ": {condition: service_started}"
    indent = "  " if not node.flow and node.column == parent.column else ""
    for item, _ in reversed(node.pairs):
        if item.kind != "scalar" or not (node.flow or text[item.begin - 2 : item.begin] == "- "):
            raise UnfitError("`depends_on` is a list that is written in an unusual way", item.begin)
        text = f"{text[: item.end]}{started}{text[item.end :]}"
        if not node.flow:
            text = text[: item.begin - 2] + indent + text[item.begin :]
    if not node.flow:
        return _insert(text, path, healthy)
    begin, end = after_bracket(text, node), node.end + len(started) * len(node.pairs)
    comma = ", " if node.pairs else ""
    return f"{text[: begin - 1]}{{ {healthy}{comma}{text[begin : end - 1]}}}{text[end:]}"


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
