"""Run `docker compose config` on the files of a project, adapted for an older Compose if needed.

An older Compose refuses the newer keys of `develop.watch`, but passes on keys that start with `x-`: these keys are
renamed. The rest of the text stays the same, byte for byte: its comments, anchors, tags and line numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

import anyio
import yaml

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, everything, load_source, logical, service_profiles, setting
from devenv.compose.outline import Selection
from devenv.docker import context, process
from devenv.docker.compose_failures import missing_compose
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.tasks import each

with LazyImports():  # rarely needed
    import tempfile

    from devenv.compose import complaints

NEWER_KEYS = {"include": "2.34.0", "initial_sync": "2.39.4"}
KNOWS_ALL = NEWER_KEYS["initial_sync"]  # the newest of these versions
Splice = tuple[int, int, str]  # begin and end of a part of a text, and its replacement
_ENVIRONMENT = {"COMPOSE_ANSI": "never", "COMPOSE_MENU": "0"}


@dataclass(slots=True)
class ComposeConfig:
    """A run of `docker compose config`, and of `docker compose version` at the same time if the version matters."""

    selection: Selection
    sources: tuple[ComposeFile, ...]
    version: str = ""
    version_known: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> tuple[str, tuple[str, ...]]:
        """Return the model as Compose prints it, and its warnings.

        Afterwards `version` is set if a file has a key that depends on it.
        """
        matters = any(key in source.text for source in everything(self.sources) for key in NEWER_KEYS)
        try:
            *_, done = await each(lambda work: work(), [*([self._version] if matters else []), self._config])
            if done.returncode and not self.version:
                await self._version()
        except EngineError as error:
            install = "Debian: apt install docker.io docker-cli docker-compose. Elsewhere: Docker Desktop or Engine."
            raise EngineError(error.message, hint=error.hint or install) from None
        if not done.returncode and not done.error_text:
            return done.text, ()
        if done.returncode:
            sources = (*(base for _, base in bases(self.selection, self.sources)), *self.sources)
            failure = self._known_failure(done.error_text)
            raise failure or complaints.explain(done.error_text, sources, self.version)
        return done.text, complaints.warnings(done.error_text, self.sources)

    def knows(self, needed: str) -> bool:
        """Whether the installed Compose has at least the version."""
        return version_tuple(self.version) >= version_tuple(needed)

    async def _version(self) -> process.Completed:
        done = await process.run([*context.offline_compose(), "version", "--short"])
        self.version = done.text.strip().removeprefix("v")
        self.version_known.set()
        return done

    async def _config(self) -> process.Completed:
        async with self._arguments() as (files, stdin):
            chosen = self.selection
            name = [] if chosen.project_name is None else ["-p", chosen.project_name]
            profiles = profiles_on(self.sources, chosen.services, chosen.profiles)
            options = [part for profile in profiles for part in ("--profile", profile)]
            options += [part for file in files for part in ("-f", file)]
            argv = ["--project-directory", self.sources[0].folder, *name, *options, "config"]
            argv = [*context.offline_compose(), *argv]
            return await process.run(argv, stdin=stdin, env=_ENVIRONMENT, cwd=logical(chosen.directory))

    @contextlib.asynccontextmanager
    async def _arguments(self) -> AsyncIterator[tuple[list[str], bytes | None]]:
        """The values of `-f`, and standard input.

        A single file is passed on standard input, always adapted, so the version of Compose need not be known.
        Several files are passed by their paths, or as adapted copies if this Compose refuses a key in them.
        """
        newer = [source for source in everything(self.sources) if sanitised(source) != source.text]
        if len(self.sources) == 1 and set(newer) <= {self.sources[0]}:
            yield ["-"], sanitised(self.sources[0]).encode()
            return
        if newer:
            await self.version_known.wait()
        if not newer or self.knows(KNOWS_ALL):
            yield [source.path for source in self.sources], None
            return
        with tempfile.TemporaryDirectory(prefix="devenv-") as folder:
            copies: dict[str, str] = {}
            for source in everything(self.sources):  # an included file comes before the file that includes it
                _copy(source, copies, folder)
            yield [copies.get(source.path, source.path) for source in self.sources], None

    def _known_failure(self, output: str) -> DevenvError | None:
        """The error for a missing Compose, or for a newer key in an extended file, which Compose reads unchanged."""
        if (error := missing_compose(output)) or "develop.watch" not in output:
            return error
        for source, base in bases(self.selection, self.sources):
            for key, line in newer_keys(base):
                if not self.knows(needed := NEWER_KEYS[key]):
                    message = f"`{key}` in a file that is named by `extends` needs Compose {needed}"
                    hint = f"Compose {self.version} is installed. Update it, or move the rule into {source.shown}."
                    return ConfigError(message, hint=hint, file=base.shown, line=line)
        return None


def version_tuple(text: str) -> tuple[int, ...]:
    """The numbers at the start of a version: `2.26.1-4` -> (2, 26, 1)."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _copy(source: ComposeFile, copies: dict[str, str], folder: str) -> None:
    """Write an adapted copy of the file into the folder, if its text has to change."""
    text = sanitised(source, copies)
    if text != source.text and source.path not in copies:
        copies[source.path] = os.path.join(folder, f"{len(copies)}.yml")
        with open(copies[source.path], "x", encoding="utf-8") as file:
            file.write(text)


def bases(selection: Selection, sources: Sequence[ComposeFile]) -> list[tuple[ComposeFile, ComposeFile]]:
    """Each file with an `extends` that names another file, and the other file."""
    named = [(source, path) for source in everything(sources) for path in source.extended]
    return [(source, load_source(path, base=selection.directory)) for source, path in named]


def sanitised(source: ComposeFile, copies: Mapping[str, str] | None = None) -> str:
    """The file's text for an older Compose; `copies` maps paths of included files to paths of their copies."""
    splices = {*_watch_splices(source), *_include_splices(source, copies or {})}
    text = source.text
    for begin, end, new in sorted(splices, reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def newer_keys(source: ComposeFile) -> list[tuple[str, int]]:
    """The newer keys that the file's watch rules use, with their lines."""
    keys = [key for rule in _rules(source) for key, _ in yaml12.items(rule)]
    return [(key.value, key.start_mark.line + 1) for key in keys if key.value in NEWER_KEYS]


def restore(model: Mapping[str, Any], known: Callable[[str], bool]) -> None:
    """Restore the newer keys that this Compose supports (`known`) in the model that it printed.

    Watch rules are part of a service's hash, which must equal that of plain Compose.
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
                yield (key.start_mark.index, key.end_mark.index, json.dumps(f"x-{key.value}"))
            elif key.value == "ignore" and isinstance(value, yaml.ScalarNode) and value.value:
                yield _as_list(source.text, key, value)


def _as_list(text: str, key: yaml.Node, value: yaml.ScalarNode) -> Splice:
    # an alias is the same node as its anchor, with the anchor's marks; in the text, `*name` follows the key
    alias = re.compile(r"\s*:\s+(\*[^\s,\[\]{}]+)").match(text, key.end_mark.index)
    if alias:
        return (alias.start(1), alias.end(1), _quoted([value.value]))
    begin, end = value.start_mark.index, value.end_mark.index
    written = text[begin:end]
    anchor = re.match(r"(?:&\S+\s+)?", written)
    listed = f"[{anchor[0] if anchor else ''}{_quoted(value.value)}]"
    return (begin, end, listed + ("\n" if written.endswith("\n") else ""))


def _include_splices(source: ComposeFile, copies: Mapping[str, str]) -> Iterator[Splice]:
    """The splices that make `include` entries name the copies, with the original folders for relative paths."""
    for name, entry, included in source.includes:
        if included.path not in copies:
            continue
        copy = _quoted(_doubled(copies[included.path]))
        folder = f'"project_directory": {_quoted(_doubled(included.folder))}'
        begin, end = name.start_mark.index, name.end_mark.index
        if entry is name:
            yield (begin, end, f'{{"path": {copy}, {folder}}}')
            continue
        yield (begin, end, copy)
        if isinstance(entry, yaml.MappingNode) and yaml12.at(entry, ["project_directory"]) is None:
            first = entry.value[0][0].start_mark
            yield (first.index, first.index, folder + (", " if entry.flow_style else "\n" + " " * first.column))


def _doubled(path: str) -> str:
    return path.replace("$", "$$")


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def profiles_on(sources: Sequence[ComposeFile], wanted: Sequence[str], given: tuple[str, ...]) -> tuple[str, ...]:
    """`given`, with the profiles of `wanted` services that need one: as `docker compose up SERVICE` activates them.

    Profiles of dependencies are not activated. If `given` is empty, the profiles of COMPOSE_PROFILES are used too.
    """
    default = setting(sources[0].folder, "COMPOSE_PROFILES") or ""
    before = given or tuple(name.strip() for name in default.split(","))
    on: tuple[str, ...] = ()
    profiles = service_profiles(sources) if wanted else {}
    for name in wanted:
        own = profiles.get(name, [])
        if own and not {*own, "*"} & {*before, *on}:
            on += tuple(own)
    return (*filter(None, before), *on) if on else given
