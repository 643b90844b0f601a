"""Adapt the text of a Compose file for an older Compose, only where it is needed.

An older Compose refuses the newer keys of `develop.watch`, but passes on keys that start with `x-`. The rest of the
text stays the same, byte for byte: its comments, anchors, tags and line numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile

NEWER_KEYS = {"include": "2.34.0", "initial_sync": "2.39.4"}
KNOWS_ALL = NEWER_KEYS["initial_sync"]  # the newest of these versions


class Splice(NamedTuple):
    """Characters `begin` to `end` of the text become `text`."""

    begin: int
    end: int
    text: str


def sanitised(source: ComposeFile, copies: Mapping[str, str] | None = None) -> str:
    """The file's text for an older Compose; `copies` maps paths of included files to paths of their copies."""
    splices = {*_watch_splices(source), *_include_splices(source, copies or {})}
    text = source.text
    for splice in sorted(splices, reverse=True):
        text = text[: splice.begin] + splice.text + text[splice.end :]
    return text


def newer_keys(source: ComposeFile) -> list[tuple[str, int]]:
    """The newer keys that the file's watch rules use, with their lines."""
    return [
        (key.value, key.start_mark.line + 1)
        for rule in _rules(source)
        for key, _ in yaml12.items(rule)
        if key.value in NEWER_KEYS
    ]


def restore(model: Mapping[str, Any], known: Callable[[str], bool]) -> None:
    """Restore the newer keys that this Compose supports (`known`) in the model that it printed.

    Watch rules are part of a service's hash: so the hash is the same as that of plain Compose.
    """
    for service in (model.get("services") or {}).values():
        for rule in (service.get("develop") or {}).get("watch") or ():
            for key, needed in NEWER_KEYS.items():
                if f"x-{key}" in rule and known(needed):
                    rule[key] = _typed(key, rule.pop(f"x-{key}"))


def _typed(key: str, value: object) -> object:
    """The value of the key in the type that Compose gives it: a list, or true or false."""
    if not isinstance(value, str):
        return value
    return [value] if key == "include" else {"true": True, "false": False}.get(value, value)


def _rules(source: ComposeFile) -> Iterator[yaml.Node]:
    for _, service in source.services:
        yield from yaml12.entries(yaml12.at(service, ["develop", "watch"]))


def _watch_splices(source: ComposeFile) -> Iterator[Splice]:
    for rule in _rules(source):
        for key, value in yaml12.items(rule):
            if key.value in NEWER_KEYS:
                yield Splice(key.start_mark.index, key.end_mark.index, json.dumps(f"x-{key.value}"))
            elif key.value == "ignore" and isinstance(value, yaml.ScalarNode) and value.value:
                yield _as_list(source.text, key, value)


def _as_list(text: str, key: yaml.Node, value: yaml.ScalarNode) -> Splice:
    # an alias is the same node as its anchor: then the marks are those of the anchor, and `*name` follows the key
    alias = re.compile(r"\s*:\s+(\*[^\s,\[\]{}]+)").match(text, key.end_mark.index)
    if alias:
        return Splice(alias.start(1), alias.end(1), _quoted([value.value]))
    begin, end = value.start_mark.index, value.end_mark.index
    written = text[begin:end]
    anchor = re.match(r"(?:&\S+\s+)?", written)
    listed = f"[{anchor[0] if anchor else ''}{_quoted(value.value)}]"
    return Splice(begin, end, listed + ("\n" if written.endswith("\n") else ""))


def _include_splices(source: ComposeFile, copies: Mapping[str, str]) -> Iterator[Splice]:
    """Changes that let an entry name the copy, with the original folder for its relative paths."""
    for name, entry, included in source.includes:
        if included.path not in copies:
            continue
        copy = _quoted(_doubled(copies[included.path]))
        folder = f'"project_directory": {_quoted(_doubled(included.folder))}'
        begin, end = name.start_mark.index, name.end_mark.index
        if entry is name:
            yield Splice(begin, end, f'{{"path": {copy}, {folder}}}')
            continue
        yield Splice(begin, end, copy)
        if isinstance(entry, yaml.MappingNode) and yaml12.at(entry, ["project_directory"]) is None:
            first = entry.value[0][0].start_mark
            yield Splice(first.index, first.index, folder + (", " if entry.flow_style else "\n" + " " * first.column))


def _doubled(path: str) -> str:
    return path.replace("$", "$$")


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
