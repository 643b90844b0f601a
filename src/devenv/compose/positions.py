"""Find the file and line in which a part of the model is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import yaml

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, Path, Place, everything, file_names, text_of
from devenv.lazy_dataclass import dataclass
from devenv.paths import is_below


def place(sources: Sequence[ComposeFile], path: Path) -> Place:
    """The file and line of the deepest part of `path` in any file; the first file if there is no part of it."""
    candidates = everything(sources)[::-1]
    for length in range(len(path), 0, -1):
        for source in candidates:
            if line := yaml12.line_of(source.node, path[:length]):
                return source.shown, line
    return (sources[0].shown, None) if sources else (None, None)


def rule_place(sources: Sequence[ComposeFile], service: str, index: int, total: int) -> Place:
    """The place of a service's watch rule, counted in the merged model of `total` rules.

    Compose appends the lists of all files. Rules that are in no file come from `extends`, and come first.
    """
    own = entries(sources, ("services", service, "develop", "watch"))
    number = index - (total - len(own))
    return own[number] if 0 <= number < len(own) else place(sources, ("services", service, "extends"))


def entries(sources: Sequence[ComposeFile], path: Path) -> list[Place]:
    """The places of all entries of the lists at `path` in the files; a value that is no list is a single entry."""
    nodes = [(source, node) for source in everything(sources) if (node := yaml12.at(source.node, path))]
    return [
        source.place(entry)
        for source, node in nodes
        for entry in (node.value if isinstance(node, yaml.SequenceNode) else [node])
    ]


def entry_place(sources: Sequence[ComposeFile], path: Path, text: str) -> Place:
    """The place of the entry of the list at `path` that has the text, whole or between colons; else of the list."""
    entry = _entry(sources, path, text)
    return entry[0].place(entry[1]) if entry else place(sources, path)


def is_folder_mount(sources: Sequence[ComposeFile], path: Path, target: str) -> bool:
    """Whether the entry of `volumes` with the target marks its source as a folder, which may be created.

    The mark is `create_host_path: true`, or a path that ends with a slash.
    """
    _, entry = _entry(sources, path, target) or (None, None)
    asked = yaml12.at(entry, ["bind", "create_host_path"]) if entry else None
    return (asked is not None and asked.value == "true") or any(
        re.search(r"/(?::|\Z)", str(value.value)) for value in _texts(entry)
    )


def _entry(sources: Sequence[ComposeFile], path: Path, text: str) -> tuple[ComposeFile, yaml.Node] | None:
    for source in everything(sources)[::-1]:
        for entry in yaml12.entries(yaml12.at(source.node, path)):
            values = (str(value.value) for value in _texts(entry))
            if any(text in (part, part.rstrip("/")) for value in values for part in (value, *value.split(":"))):
                return source, entry
    return None


def _texts(entry: yaml.Node | None) -> list[yaml.Node]:
    return [*yaml12.strings(entry), *(value for _, value in yaml12.items(entry))]


def variable_place(sources: Sequence[ComposeFile], path: Path, name: str) -> Place:
    """The place of a variable in the mapping or the list at `path` of a service, else in an env file of the service.

    The place of the service if the variable is in none of them.
    """
    for source in everything(sources)[::-1]:
        node = yaml12.at(source.node, path)
        keys = [key for key, _ in yaml12.items(node)] + yaml12.strings(node)
        if named := [key for key in keys if str(key.value).partition("=")[0] == name]:
            return source.place(named[0])
        for file in file_names(yaml12.at(source.node, (*path[:2], "env_file"))):
            written = os.path.normpath(os.path.join(source.folder, file.value))
            for number, text in enumerate(text_of(written, source.folder), 1):
                if re.match(rf"\s*(?:export\s+)?{re.escape(name)}\s*=", text):
                    return Model(sources).shown(written), number
    return place(sources, path[:2])


def port_place(sources: Sequence[ComposeFile], service: str, published: int, target: int) -> Place:
    """The place of the last entry of a service's `ports` that has both numbers, or else one of them."""
    path: Path = ("services", service, "ports")
    most, best = 1, place(sources, path)
    for source in everything(sources):
        for entry in yaml12.entries(yaml12.at(source.node, path)):
            values = [entry] if isinstance(entry, yaml.ScalarNode) else [value for _, value in yaml12.items(entry)]
            text = " ".join(str(value.value) for value in values)
            count = sum(re.search(rf"\b{number}\b", text) is not None for number in (published, target))
            if count >= most:
                most, best = count, source.place(entry)
    return best


def shown(where: Place) -> str:
    """A place as messages name it: FILE:LINE."""
    return ":".join(str(part) for part in where if part is not None)


@dataclass(frozen=True)
class Model:
    """The merged model of the files, with the nodes in which its parts are written."""

    sources: Sequence[ComposeFile]

    @property
    def files(self) -> list[ComposeFile]:
        """All files, those that override others first."""
        return everything(self.sources)[::-1]

    def only(self, file: str) -> Model:
        """The model of the file with this path; the whole model if there is no such file (`-` is standard input)."""
        return Model([source for source in self.files if source.path == file] or self.sources)

    def place(self, path: Path) -> Place:
        """The place of a path; of an empty path the file, if there is only one."""
        only = self.sources[0].shown if len(self.sources) == 1 else None
        return place(self.sources, path) if path else (only, None)

    def path(self, text: str) -> tuple[str | int, ...]:
        """The parts of a path in a message of Compose; the name of a service may contain dots."""
        text = re.sub(r"\[([^\]\d][^\]]*)\]", r".\1", text).replace("(root)", "").strip(".")
        parts: list[str | int] = []
        for name in sorted({name for _, name, _ in self.services()}, key=len, reverse=True):
            if re.match(rf"services\.{re.escape(name)}(?![^.\[])", text):
                parts = ["services", name]
                text = text[len(f"services.{name}") :]
                break
        parts += (int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", text))
        return tuple(parts)

    def naming(self, path: Path, name: str) -> Path:
        """The path with the entry that names `name`: a key, a list item, or a text that begins with it."""
        for node in (yaml12.at(source.node, path) for source in self.files):
            if isinstance(node, yaml.MappingNode) and yaml12.at(node, [name]):
                return (*path, name)
            for index, item in enumerate(yaml12.entries(node)):
                entry = yaml12.at(item, ["source"]) or item
                if isinstance(entry, yaml.ScalarNode) and re.match(rf"{re.escape(name)}(?::|\Z)", entry.value):
                    return (*path, index)
            if isinstance(node, yaml.ScalarNode) and name in node.value.split(":"):
                return (*path, name)
        return path

    def texts(self, path: Path) -> list[str]:
        """The text at the path, or the texts of the list there, of all files."""
        nodes = (yaml12.at(source.node, path) for source in self.files)
        return [scalar.value for node in nodes for scalar in yaml12.strings(node)]

    def services(self, *path: str) -> Iterator[tuple[ComposeFile, str, yaml.Node]]:
        """The file, name, and node at `path` of each service that has the path."""
        for source in self.files:
            for name, service in source.services:
                if node := yaml12.at(service, path):
                    yield source, name, node

    def files_under(self, keys: Sequence[str]) -> Iterator[tuple[str, Place]]:
        """The paths that are written anywhere under one of the keys, with their places."""
        for source in self.files:
            for scalar in yaml12.scalars_under(source.node, keys):
                yield os.path.normpath(os.path.join(source.folder, scalar.value)), source.place(scalar)

    def shown(self, file: str) -> str:
        """The name of a file in messages: below the project's folder, relative to it."""
        for source in self.sources:
            if is_below(file, source.folder):
                return file.removeprefix(source.path.removesuffix(source.shown))
        return file
