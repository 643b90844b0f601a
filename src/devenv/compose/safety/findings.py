"""The dangers of a loaded project, each with its file and line."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import yaml

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, file_names, included, load_source, setting
from devenv.compose.parse import undoubled
from devenv.compose.positions import entry_place, rule_place, shown
from devenv.compose.safety.facts import gather
from devenv.compose.safety.table import Danger, Use, dangers, uses
from devenv.errors import ConfigError
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Project

_DEPTH = 100  # of `extends` and `include`
_UNKNOWN = "its `env_file`s are unknown"
_WATCH = ("develop", "watch")
_PARAMETER = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<braced>\w+)(?P<default>:?[-+?])?(?P<text>[^{}]*)\})")


def find_dangers(model: Mapping[str, Any], project: Project, sources: Sequence[ComposeFile]) -> tuple[Danger, ...]:
    """The parts of the resolved model that reach beyond its containers. Blocking: reads the paths on the host."""
    plain = undoubled(model)
    files = tuple(env_files(sources))
    host = gather({use.source for use in (*uses(plain), *files) if use.source}, project.directory)
    totals = {service.name: len(service.watch) for service in project.services}
    return tuple(_placed(danger, sources, totals) for danger in dangers(plain, host, project, files))


def _placed(danger: Danger, sources: Sequence[ComposeFile], totals: Mapping[str, int]) -> Danger:
    if danger.where:
        return danger
    if danger.path[2:] == _WATCH:
        place = rule_place(sources, danger.service, int(danger.entry), totals[danger.service])
    else:
        place = entry_place(sources, danger.path, danger.entry)
    return replace(danger, where=shown(place))


def env_files(sources: Sequence[ComposeFile]) -> Iterator[Use]:
    """The files whose values services get in their environment; the resolved model does not name them.

    The env files of an `include` count for the whole project, since their values reach all included files. So does a
    file that only Compose can read, since its `env_file`s are unknown.
    """
    reader = _EnvFiles(sources[0].folder)
    for source in sources:
        yield from reader.of_source(source, _DEPTH)


@dataclass(frozen=True, slots=True)
class _EnvFiles:
    """The env files of the project in `folder`. Each file is read once, and visited once for each folder."""

    folder: str
    read: dict[str, ComposeFile | None] = field(default_factory=dict)
    done: set[tuple[str, str]] = field(default_factory=set)

    def of_source(self, source: ComposeFile, depth: int) -> Iterator[Use]:
        if (source.path, source.folder) in self.done:
            return
        self.done.add((source.path, source.folder))
        for name, service in source.services:
            yield from self.of_service(name, source, service, _DEPTH)
        for entry, names in included(source.node):
            for where, path in self.paths(source, yaml12.at(entry, ["env_file"])):
                yield Use("", "an included file gets the values in", path, ("include",), where=where)
            yield from self._of_include(source, entry, names, depth)

    def _of_include(
        self, source: ComposeFile, entry: yaml.Node, names: Sequence[yaml.ScalarNode], depth: int
    ) -> Iterator[Use]:
        written = yaml12.at(entry, ["project_directory"]) if isinstance(entry, yaml.MappingNode) else None
        folder = None if written is None else os.path.join(source.folder, self._expanded(str(written.value), source))
        known = {name: file for name, _, file in source.includes}
        for name in names:
            file = known.get(name) or self._other(source, name.value)
            if file is None or not depth:
                message = f"{_shown(name.value)} is included, but devenv cannot read it: {_UNKNOWN}"
                where = shown(source.place(name))
                yield Use("", "", "", ("include",), where=where, always=message)
            else:
                file = file if folder is None else replace(file, folder=os.path.normpath(folder))
                yield from self.of_source(file, depth - 1)

    def of_service(self, name: str, source: ComposeFile, service: yaml.Node, depth: int) -> Iterator[Use]:
        for where, path in self.paths(source, yaml12.at(service, ["env_file"])):
            yield Use(name, "gets the values in", path, ("services", name, "env_file"), where=where)
        extends = yaml12.at(service, ["extends"])
        is_long = isinstance(extends, yaml.MappingNode)
        base_name = yaml12.at(extends, ["service"]) if is_long and extends else extends
        base_file = yaml12.at(extends, ["file"]) if is_long and extends else None
        if extends is None or not isinstance(base_name, yaml.ScalarNode) or not depth:
            return
        file = source if base_file is None else self._other(source, str(base_file.value))
        base = None if file is None else yaml12.at(file.node, ["services", str(base_name.value)])
        if file is None:
            shown_file = _shown(str(base_file and base_file.value))
            message = f"extends a service of {shown_file}, but devenv cannot read it: {_UNKNOWN}"
            where = shown(source.place(extends))
            yield Use(name, "", "", ("services", name, "extends"), where=where, always=message)
        elif base is not None:
            yield from self.of_service(name, file, base, depth - 1)

    def paths(self, source: ComposeFile, node: yaml.Node | None) -> Iterator[tuple[str, str]]:
        """FILE:LINE and the absolute path of each file that the node names."""
        for name in file_names(node):
            path = os.path.join(source.folder, self._expanded(name.value, source))
            yield shown(source.place(name)), os.path.normpath(path)

    def _other(self, source: ComposeFile, written: str) -> ComposeFile | None:
        """The file that the source names as `written`; None if only Compose can read it."""
        path = os.path.normpath(os.path.join(source.folder, self._expanded(written, source)))
        if path not in self.read:
            self.read[path] = None
            with contextlib.suppress(ConfigError):
                self.read[path] = load_source(path, base=self.folder)
        return self.read[path]

    def _expanded(self, text: str, source: ComposeFile) -> str:
        """The text with `~` and variables filled in from the environment and .env files, as Compose does."""

        def value(match: re.Match[str]) -> str:
            name = match["plain"] or match["braced"]
            known = setting(self.folder, name) or setting(source.folder, name)
            operator, other = match["default"] or "", match["text"]
            if "+" in operator:
                return other if known else ""
            return known or (other if "-" in operator else "")

        text = text.replace("$$", "\0")
        for _ in range(_DEPTH):  # from the innermost braces outwards
            text, count = _PARAMETER.subn(value, text)
            if not count:
                break
        return os.path.expanduser(text).replace("\0", "$")


def _shown(address: str) -> str:
    """The name of a file as messages show it; if it is an address, without the login before its `@`."""
    return re.sub(r"//[^/]*@", "//***@", address)
