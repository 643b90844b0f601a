"""Read YAML 1.2 (core schema): the output of Compose, and files that people write.

PyYAML implements YAML 1.1: it fails on the plain `=` and `<<` that Compose prints, reads `22:22` as a number,
silently keeps the last of two equal keys, and expands an alias bomb until no memory is left. So only its scanner is
used, and its events are composed here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Any, cast

from devenv.errors import ConfigError, excerpt
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.lazy_patterns import LazyPatterns

with LazyImports():  # only errors need it
    from devenv.explain import table
with LazyPatterns():  # 6 ms, for its reader and resolver in Python, which are used if libyaml is missing
    import yaml

SIZE_LIMIT = 1024 * 1024
DEPTH_LIMIT = 100
WRITTEN_LIMIT = 50_000
ALIAS_LIMIT = 10_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_STR, _SEQ, _MAP, _NULL = _CORE + "str", _CORE + "seq", _CORE + "map", _CORE + "null"
_BINARY = _CORE + "binary"
_COMPOSE_TAGS = frozenset({"!", "!reset", "!override"})

_PLAIN: tuple[tuple[str, re.Pattern[str], Callable[[str], Any]], ...] = (
    (_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), lambda _: None),
    (_CORE + "bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), lambda text: text.lower() == "true"),
    (_CORE + "int", re.compile(r"[-+]?[0-9]+\Z"), int),
    (_CORE + "int", re.compile(r"(?:0o[0-7]+|0x[0-9a-fA-F]+)\Z"), lambda text: int(text, 0)),
    (_CORE + "float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), float),
    (
        _CORE + "float",
        re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"),
        lambda text: float(text.replace(".", "")),
    ),
)
_SPECIAL = frozenset(["", *"~nNtTfF.+-0123456789"])  # the first characters of texts that the patterns match
_CORE_TAGS = frozenset({_STR, _BINARY, _SEQ, _MAP, *(tag for tag, _, _ in _PLAIN)})
# Named by their own ranges: the complement of the allowed ones takes ten times as long to compile.
_UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


def construct(text: str, *, file: str) -> Any:
    """The value of `text`, with plain scalars of the YAML 1.2 core schema. Raises ConfigError as `check`."""
    return value(_Composer(file, text).compose(), file=file)


def check(text: bytes, *, file: str) -> yaml.Node:
    """The node tree of a file that a person wrote. Aliases are shared nodes, so never copy it.

    Raises ConfigError with the line for anything but plain, finite, unambiguous YAML in UTF-8.
    """
    return _Composer(file, decode(text, file=file), careful=True).compose()


def decode(text: bytes, *, file: str) -> str:
    """The text of a file without a byte order mark; the marks of `check` are positions in this text."""
    if len(text) > SIZE_LIMIT:
        raise ConfigError(f"larger than {SIZE_LIMIT // 1024} KiB: this is not a Compose file", file=file)
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError("the file is UTF-16", hint="Save it as UTF-8.", file=file, line=1)
    try:
        characters = text.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8 text", hint="Save it as UTF-8.", file=file, line=line) from None
    if odd := _UNPRINTABLE.search(characters):
        line = characters.count("\n", 0, odd.start()) + 1
        name = "a NUL byte" if odd[0] == "\0" else f"the control character U+{ord(odd[0]):04X}"
        column = odd.start() - characters.rfind("\n", 0, odd.start())
        raise ConfigError(f"{name} in the text", file=file, line=line, column=column)
    return characters


def line_of(node: yaml.Node, path: Sequence[str | int]) -> int | None:
    """The line, from 1, of the key or list item at `path`; None if it does not exist."""
    entry = pair(node, path)
    return entry[0].start_mark.line + 1 if entry else None


def at(node: yaml.Node, path: Sequence[str | int]) -> yaml.Node | None:
    """The node at `path`, or None; merge keys are followed."""
    entry = pair(node, path)
    return entry[1] if entry else None


def items(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """The key and value nodes of a mapping, own keys first, then merged ones; nothing for other nodes."""
    if isinstance(node, yaml.MappingNode):
        yield from (entry for entry in node.value if entry[0].value != "<<")
        for key, value in node.value:
            if key.value == "<<":
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from items(merged)


def entries(node: yaml.Node | None) -> list[yaml.Node]:
    """The items of a list; empty for anything else."""
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def strings(node: yaml.Node | None) -> list[yaml.ScalarNode]:
    """The scalar itself, or the scalars in a list; empty for anything else."""
    if isinstance(node, yaml.ScalarNode):
        return [node]
    return [item for item in entries(node) if isinstance(item, yaml.ScalarNode)]


def scalars_under(node: yaml.Node | None, keys: Sequence[str], *, inside: bool = False) -> Iterator[yaml.ScalarNode]:
    """All scalars below a key of `keys`, at any depth; `check` has bounded their number."""
    if isinstance(node, yaml.ScalarNode):
        if inside:
            yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from scalars_under(item, keys, inside=inside)
    else:
        for key, value in items(node):
            yield from scalars_under(value, keys, inside=inside or key.value in keys)


def pair(node: yaml.Node, path: Sequence[str | int]) -> tuple[yaml.Node, yaml.Node] | None:
    """The key node and the value node at `path`; for an item of a list, both are the item."""
    entry: tuple[yaml.Node, yaml.Node] | None = (node, node)
    for part in path:
        if isinstance(node, yaml.SequenceNode):
            listed = isinstance(part, int) and 0 <= part < len(node.value)
            entry = (node.value[part],) * 2 if listed else None
        else:
            entry = next((item for item in items(node) if item[0].value == str(part)), None)
        if entry is None:
            return None
        node = entry[1]
    return entry


@dataclass
class _Open:
    """A collection that has not ended yet."""

    node: yaml.CollectionNode
    anchor: str | None
    began: int
    key: yaml.Node | None = None
    keys: dict[str, int] = field(default_factory=dict)


class _Composer:
    """Composes events to nodes without recursion, with limits on depth and size."""

    def __init__(self, file: str, text: str, *, careful: bool = False) -> None:
        self.file = file
        self.text = text
        self.careful = careful
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[yaml.Node, int]] = {}
        self.written = 0
        self.aliased = 0
        self.root: yaml.Node | None = None

    def compose(self) -> yaml.Node:
        try:
            for event in yaml.parse(self.text, Loader=_LOADER):
                if isinstance(event, yaml.DocumentStartEvent):
                    self.anchors.clear()
                elif isinstance(event, yaml.NodeEvent):
                    self._node(event)
                elif isinstance(event, yaml.CollectionEndEvent):
                    ended = self.stack.pop()
                    if ended.anchor:
                        self.anchors[ended.anchor] = (ended.node, self.written + self.aliased - ended.began)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        mark = yaml.Mark(self.file, 0, 0, 0, "", 0)
        return self.root or yaml.ScalarNode(_NULL, "", mark, mark)

    def _node(self, event: yaml.NodeEvent) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._place(self._alias(event), event)
            return
        self.written += 1
        if self.careful and self.written > WRITTEN_LIMIT:
            raise self._error(f"more than {WRITTEN_LIMIT:,} nodes", event)
        if isinstance(event, yaml.ScalarEvent):
            node: yaml.Node = yaml.ScalarNode(self._scalar_tag(event), event.value, *_span(event), event.style)
            self._place(node, event)
            if event.anchor:
                self.anchors[event.anchor] = (node, 1)
            return
        assert isinstance(event, yaml.CollectionStartEvent)  # noqa: S101 - the last kind of node event
        kind = yaml.SequenceNode if isinstance(event, yaml.SequenceStartEvent) else yaml.MappingNode
        default = _SEQ if kind is yaml.SequenceNode else _MAP
        opened = kind(self._tag(event, default), [], *_span(event), event.flow_style)
        self._place(opened, event)
        if len(self.stack) >= DEPTH_LIMIT:
            raise self._error(f"nesting deeper than {DEPTH_LIMIT}", event)
        self.stack.append(_Open(opened, event.anchor, self.written + self.aliased - 1))

    def _alias(self, event: yaml.AliasEvent) -> yaml.Node:
        if any(opened.anchor == event.anchor for opened in self.stack):
            raise self._error(f"alias *{event.anchor} refers to itself", event)
        if event.anchor not in self.anchors:
            raise self._error(f"alias *{event.anchor} has no anchor &{event.anchor} above it", event)
        node, size = self.anchors[event.anchor]
        self.aliased += size
        if self.aliased > ALIAS_LIMIT:
            raise self._error(f"more than {ALIAS_LIMIT:,} nodes after aliases", event)
        return node

    def _place(self, node: yaml.Node, event: yaml.NodeEvent) -> None:
        if not self.stack:
            if self.root is None or self.root.tag == _NULL:
                self.root = node
            elif node.tag != _NULL:
                hint = "Put it into a separate file, and name both with -f."
                raise self._error("a second YAML document starts here", event, hint=hint)
            return
        parent = self.stack[-1]
        if isinstance(parent.node, yaml.SequenceNode):
            parent.node.value.append(node)
        elif parent.key is None:
            self._unique(parent, node, event)
            parent.key = node
        else:
            parent.node.value.append((parent.key, node))
            parent.key = None

    def _unique(self, parent: _Open, key: yaml.Node, event: yaml.NodeEvent) -> None:
        if not isinstance(key, yaml.ScalarNode):
            raise self._error("a key must be plain text, not a list or a mapping", event)
        line = _span(event)[0].line + 1
        first = parent.keys.setdefault(key.value, line)
        if len(parent.keys) == len(parent.node.value):
            raise self._error(f'duplicate key "{key.value}" (first on line {first})', event)

    def _scalar_tag(self, event: yaml.ScalarEvent) -> str:
        if event.tag or not event.implicit[0] or event.value[:1] not in _SPECIAL:
            return self._tag(event, _STR)
        return next((tag for tag, pattern, _ in _PLAIN if pattern.match(event.value)), _STR)

    def _tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, default: str) -> str:
        tag = event.tag or default
        if tag in _CORE_TAGS or tag in _COMPOSE_TAGS:
            return default if tag == "!" else tag
        hint = "Compose supports only the tags !reset and !override."
        raise self._error(f"unknown tag {tag.replace(_CORE, '!!')}", event, hint=hint)

    def _error(self, message: str, event: yaml.Event, *, hint: str | None = None) -> ConfigError:
        begin = _span(event)[0]
        return ConfigError(message, hint=hint, file=self.file, line=begin.line + 1, column=begin.column + 1)

    def _syntax(self, error: yaml.MarkedYAMLError) -> ConfigError:
        problem, mark = error.problem or "this is not YAML", self._mark(error)
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        written = "".join(self.text.splitlines()[line - 1 : line]) if line else ""
        if "\t" in written[: len(written) - len(written.lstrip())]:
            problem = r"character '\t'"
        explanation = table.explain(table.load("yaml"), problem)
        words, hint = (explanation.cause, explanation.hint or None) if explanation else (problem, None)
        located = ConfigError(words, hint=hint, file=self.file, line=line, column=column)
        located.excerpt = excerpt(self.text, line, column) if line and column else ()
        return located

    def _mark(self, error: yaml.MarkedYAMLError) -> yaml.Mark | None:
        """The place of the error; that of the opening mark if the text ends before something is closed."""
        last, mark = len(self.text.splitlines()), error.problem_mark
        if mark is None or mark.line >= last or "end of stream" in (error.problem or ""):
            mark = error.context_mark or mark
        return self.stack[-1].node.start_mark if mark and mark.line >= last and self.stack else mark


def _span(event: yaml.Event) -> tuple[yaml.Mark, yaml.Mark]:
    """The start and the end of an event; the type stubs allow None, but these events always have both."""
    return cast("tuple[yaml.Mark, yaml.Mark]", (event.start_mark, event.end_mark))


def value(node: yaml.Node, *, file: str) -> Any:
    """The value of a node. Raises ConfigError if its tag does not fit."""
    if isinstance(node, yaml.SequenceNode):
        return [value(item, file=file) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {value(key, file=file): value(item, file=file) for key, item in node.value}
    for tag, pattern, convert in _PLAIN:
        if node.tag == tag and pattern.match(node.value):
            return convert(node.value)
    if node.tag in (_STR, *_COMPOSE_TAGS):
        return node.value
    if node.tag == _BINARY:  # Compose prints values that are not UTF-8 in this way
        return base64.b64decode(node.value).decode(errors="surrogateescape")
    raise ConfigError(f"not a {node.tag.removeprefix(_CORE)}", file=file, line=node.start_mark.line + 1)
