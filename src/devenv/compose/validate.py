"""`devenv config --validate`: find all mistakes in the `x-devenv` and `develop` parts of a project's files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, everything, find, load_source, readable, service_names, text_of
from devenv.compose.outline import Selection
from devenv.compose.parse import undoubled
from devenv.compose.resolve import Faults, NoServicesError, load
from devenv.compose.schema import DEVELOP, LATER, RULE, X_DEVENV, Names, Path, Shape, ShapeError, mistakes
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError
from devenv.lazy_dataclass import dataclass
from devenv.model.answers import Mistake
from devenv.model.project import Action, Build, Hook, Project, RuleFault, Service, WatchRule

_VARIABLE = re.compile(r"(?<!\$)(?:\$\$)*\$(?!\$)")
_ADDRESS = re.compile(r"[^\s'\"/,\[{]+(?=@)")
_CHARACTER = re.compile(r"[^\W_]")
_HIDDEN = ("environment", "args")  # keys that may hold secrets


async def validate(selection: Selection, faults: Faults) -> tuple[Mistake, ...]:
    """All errors and warnings, by file and line; the error of Compose only if there is no other. Needs no engine.

    Raises ConfigError if there is no project.
    """
    reported = in_files(selection, faults)
    if any(mistake.level == "error" for mistake in reported):
        return reported
    try:
        await load(selection, faults=faults)
    except (ConfigError, RefusedError) as error:
        sources, _ = readable(find(selection.directory, selection.files), base=selection.directory)
        level = "warning" if isinstance(error, NoServicesError) else "error"  # as `docker compose config -q` does
        reported += (_Quotes(selection.directory, everything(sources)).error(error, level),)
    except EngineError:
        pass  # Compose is not installed
    return reported


def in_files(selection: Selection, faults: Faults) -> tuple[Mistake, ...]:
    """The mistakes that the files show without Compose. Raises as `validate`."""
    paths = find(selection.directory, selection.files)
    sources, failed = readable(paths, base=selection.directory)
    files = everything(sources)
    others = _others(files, selection.directory, failed)
    quotes = _Quotes(selection.directory, (*files, *others))
    names = {} if failed or any(source.has_unread for source in files) else _names(files)
    reported = [quotes.error(error) for error in failed.values()]
    for source in files:
        reported += quotes.block(source, ("x-devenv",), X_DEVENV, names)
    for source in quotes.sources:
        for name, _ in source.services:
            reported += quotes.block(source, ("services", name, "develop"), DEVELOP, names)
        project = _project(source, os.path.dirname(paths[0]), quotes.sources)
        reported += (quotes.fault(source, fault) for fault in faults(project, os.path.expanduser("~")))
    unique = {(m.file, m.line, m.column, m.message.rpartition(": ")[2]): m for m in reversed(reported)}
    return tuple(sorted(unique.values(), key=lambda m: (m.file or "", m.line or 0, m.column or 0)))


def _names(files: Sequence[ComposeFile]) -> Names:
    volumes = (key.value for source in files for key, _ in yaml12.items(yaml12.at(source.node, ["volumes"])))
    return {"service": service_names(files), "volume": frozenset(map(str, volumes))}


def _others(files: Sequence[ComposeFile], base: str, failed: dict[str, ConfigError]) -> list[ComposeFile]:
    """The files that `extends` keys of the project's files name; their errors are added to `failed`."""
    others = []
    for path in dict.fromkeys(path for source in files for path in source.extended):
        try:
            others.append(load_source(path, base=base))
        except ConfigError as error:
            failed[error.said] = error
    return [source for source in others if source.path not in {file.path for file in files}]


@dataclass(frozen=True, slots=True)
class _Quotes:
    """Makes mistakes of errors, each with the line of the file that it quotes."""

    folder: str
    sources: Sequence[ComposeFile]

    def block(self, source: ComposeFile, path: Path, shape: Shape, names: Names) -> Iterator[Mistake]:
        """The mistakes in the part of the file at `path`."""
        node = yaml12.at(source.node, path)
        for error in mistakes(_plain(node), shape, path, names) if node else ():
            yield self.at(source, error)

    def at(self, source: ComposeFile, error: ShapeError, level: str = "error") -> Mistake:
        """The mistake at its path in the file, or at the part of the path that the file has."""
        length = len(error.path)
        while not (pair := yaml12.pair(source.node, error.path[:length])):
            length -= 1
        node = pair[0] if error.key or length < len(error.path) else pair[1]
        begin, end = node.start_mark, node.end_mark
        width = end.column - begin.column if begin.line == end.line else 1
        return self.quoted(error, level, source.shown, begin.line + 1, begin.column + 1, width)

    def fault(self, source: ComposeFile, fault: RuleFault) -> Mistake:
        """The mistake for a fault of a watch rule, at the key that its message names."""
        named = re.search(r"`(target|ignore|include)`", fault.message)
        key = named[1] if named else "path" if fault.level != "error" else "action"
        path = ("services", fault.service, "develop", "watch", fault.index, key)
        error = ShapeError((), fault.message, hint=fault.hint or None)
        error.path = path
        return self.at(source, error, "warning" if fault.level == "warning" else "error")

    def error(self, error: DevenvError, level: str = "error") -> Mistake:
        """The mistake for an error; it marks the whole line if the column is not known."""
        lines = text_of(error.file, self.folder) if error.file and error.line else []
        line = "".join(lines[error.line - 1 : error.line]) if error.line else ""
        bare = line.strip()
        column = error.column or len(line) - len(line.lstrip()) + 1
        return self.quoted(error, level, error.file, error.line, column, 1 if error.column else len(bare))

    def quoted(
        self, error: DevenvError, level: str, file: str | None, line: int | None, column: int, width: int
    ) -> Mistake:
        text = self._text(file, line) if file and line else ""
        return Mistake(
            error.message, error.hint, level, file, line, line and column, text, max(width, 1) if text else 0
        )

    def _text(self, file: str, number: int) -> str:
        """The line, with stars for possible secrets; for each value if the file is not YAML that can be read."""
        line = "".join(text_of(file, self.folder)[number - 1 : number])
        source = next((source for source in self.sources if source.shown == file), None)
        if source is None:
            key, sign, value = re.fullmatch(r"([^:=]*)([:=]?)(.*)", line).groups()  # type: ignore[union-attr]
            return key + sign + _CHARACTER.sub("*", value)
        for node in yaml12.scalars_under(source.node, _HIDDEN):
            begin, end = node.start_mark, node.end_mark
            if begin.line < number <= end.line + 1:
                first = begin.column if begin.line == number - 1 else 0
                last = end.column if end.line == number - 1 else len(line)
                line = line[:first] + "*" * (min(last, len(line)) - first) + line[last:]
        return _ADDRESS.sub(lambda match: "*" * len(match[0]), line)


def _plain(node: yaml.Node) -> Any:
    """The value in the file, merged; LATER if Compose fills it in later, None if Compose removes it (!reset)."""
    if node.tag == "!reset":
        return None
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in [*yaml12.items(node)][::-1]}
    if _VARIABLE.search(node.value):
        return LATER
    try:
        return undoubled(yaml12.value(node, file=""))
    except ConfigError:
        return LATER  # a tag that does not fit: Compose reports it


def _project(source: ComposeFile, directory: str, sources: Iterable[ComposeFile]) -> Project:
    """A project with the rules of one file, as far as they can be read without Compose."""
    services = []
    for name, service in source.services:
        nodes = [
            yaml12.at(other.node, ["services", name, part]) for other in sources for part in ("build", "extends")
        ]
        entries = yaml12.entries(yaml12.at(service, ["develop", "watch"]))
        rules = tuple(_rule(_plain(entry), source.folder, directory) for entry in entries)
        services.append(Service(name=name, build=Build(source.folder) if any(nodes) else None, watch=rules))
    return Project(name="", directory=directory, files=(), services=tuple(services))


def _rule(entry: Any, folder: str, directory: str) -> WatchRule:
    """The watch rule of an entry; a rule without faults if the entry was reported already or has variables."""
    unknown = WatchRule(directory, Action.RESTART)
    is_wrong = any(mistakes(entry, RULE, (), {}))
    if is_wrong or entry is None or LATER in (entry.get(key) for key in ("path", "action", "target")):
        return unknown
    texts = {key: entry.get(key) or () for key in ("ignore", "include")}
    lines = {key: (value,) if isinstance(value, str) else value for key, value in texts.items() if value is not LATER}
    ignore, include = (tuple(line for line in lines.get(key, ()) if isinstance(line, str)) for key in texts)
    path = os.path.normpath(os.path.join(folder, os.path.expanduser(entry["path"])))
    command = Hook(("x",)) if entry.get("exec") else None  # its command was checked above
    return WatchRule(path, Action(entry["action"]), entry.get("target"), ignore, include, exec=command)
