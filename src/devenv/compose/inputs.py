"""Every file that a project may be made of, also while one of them is broken or not there."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator

import yaml

from devenv.compose import yaml as yamlcore
from devenv.compose.files import OVERRIDES, find, load_source, logical
from devenv.errors import DevenvError

_PARAMETER = re.compile(r"\$\{.*\}|\$\w+")


def inputs(directory: str, files: tuple[str, ...] = ()) -> frozenset[str]:
    """Absolute paths of the compose files, of what they include, extend and read, and of overrides to come.

    What cannot be read or understood now counts with what else is known. Blocking.
    """
    found = {os.path.join(logical(directory), ".env")}
    try:
        paths = find(directory, files)
    except DevenvError:
        return frozenset(found)
    folder = os.path.dirname(paths[0])
    for path in paths:
        _collect(path, folder, found)
    found.update(os.path.join(folder, name) for name in OVERRIDES)
    return frozenset(found | {os.path.realpath(path) for path in found})


def _collect(path: str, folder: str, found: set[str]) -> None:
    if path in found:
        return
    found.update((path, os.path.join(folder, ".env")))
    try:
        node = load_source(path, base=folder).node
    except DevenvError:
        return
    for entry in _entries(yamlcore.at(node, ["include"])):
        own = entry if isinstance(entry, yaml.ScalarNode) else yamlcore.at(entry, ["path"])
        written = yamlcore.at(entry, ["project_directory"])
        included = list(_paths(own, folder))
        below = os.path.join(folder, str(written.value)) if written else os.path.dirname((included or [path])[0])
        found.update(_paths(yamlcore.at(entry, ["env_file"]), folder))
        for one in included:
            _collect(one, os.path.normpath(below), found)
    for _, service in yamlcore.items(yamlcore.at(node, ["services"])):
        for one in _paths(yamlcore.at(service, ["extends", "file"]), folder):
            _collect(one, os.path.dirname(one), found)
        for key in ("env_file", "label_file"):
            found.update(_paths(yamlcore.at(service, [key]), folder))


def _paths(node: yaml.Node | None, folder: str) -> Iterator[str]:
    """The files that a scalar or a list names; where a name has a parameter in it, all that it might mean."""
    for entry in _entries(node):
        name = entry if isinstance(entry, yaml.ScalarNode) else yamlcore.at(entry, ["path"])
        text = os.path.normpath(os.path.join(folder, str(name.value))) if name else ""
        if _PARAMETER.search(text):
            yield from glob.glob(_PARAMETER.sub("*", glob.escape(text)), include_hidden=True)
        elif text and "://" not in str(getattr(name, "value", "")):
            yield text


def _entries(node: yaml.Node | None) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return tuple(node.value)
    return () if node is None else (node,)
