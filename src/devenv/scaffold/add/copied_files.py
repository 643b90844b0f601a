"""The files that a Dockerfile copies from this machine, their paths in the image, and the program that it runs."""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from devenv.images import dockerfile
from devenv.images.dockerfile import Stage, source_stage, stage_index
from devenv.images.dockerfile_parser import WORD, Instruction, expand, flags, json_words
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Build, Mount, Service
from devenv.paths import is_within, relative_to
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.programs import TABLE, Program, default_command, program, start_scripts
from devenv.sync.rules.rules import mount_over

MANIFESTS, COMPILED, INTERPRETED, _COMPILES = (
    re.compile("|".join(TABLE[name])) for name in ("manifests", "compiled", "interpreted", "compiles")
)
_LARGE = 1 << 18  # bytes


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY or ADD of files of the build context; a target that is a folder ends in `/`."""

    sources: tuple[str, ...]
    target: str
    line: int


@dataclass(slots=True)
class StageFiles:
    """The copies of a stage, its working directory, its CMD and ENTRYPOINT as words, and its final variables.

    `image` is its base image, through all stages; `compiles` has the lines of the RUN instructions that compile
    sources.
    """

    name: str = ""
    image: str = ""
    folder: str = "/"
    command: str = ""
    entrypoint: str = ""
    scope: dict[str, str] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    compiles: list[int] = field(default_factory=list)


def copying_stages(
    text: str, args: Mapping[str, str] | None = None, target: str | None = None
) -> tuple[list[StageFiles], list[StageFiles]]:
    """The stages that the target is built on, the target last; and the stages that these copy from, transitively.

    `args` are the build's; the default target is the last stage.
    """
    parsed = dockerfile.stages(text, args or {})
    stages: list[StageFiles] = []
    for stage in parsed:
        stages.append(_stage_files(stage, stages, args or {}))
    below = _below(parsed, stage_index(parsed, target))
    others: list[int] = []
    waiting = list(below)
    while waiting:
        for source in parsed[waiting.pop(0)].sources:
            more = [index for index in _below(parsed, source_stage(parsed, source)) if index not in (*below, *others)]
            others += more
            waiting += more
    return [stages[index] for index in below], [stages[index] for index in others]


def _below(parsed: Sequence[Stage], index: int | None) -> list[int]:
    """The stage and those that it is built on, the lowest first."""
    return [] if index is None else [*_below(parsed, parsed[index].built_on), index]


def _stage_files(stage: Stage, earlier: Sequence[StageFiles], args: Mapping[str, str]) -> StageFiles:
    files = StageFiles(stage.name, stage.base.name)
    if stage.built_on is not None:
        base = earlier[stage.built_on]
        files = StageFiles(stage.name, base.image, base.folder, base.command, base.entrypoint, dict(base.scope))
    if any(instruction.keyword == "ENTRYPOINT" for instruction in stage.instructions):
        files.command = ""  # the base's command belongs to the base's entrypoint
    for instruction in stage.instructions:
        if instruction.keyword in ("ARG", "ENV"):
            _declare(files.scope, instruction, {**stage.arguments, **args})
        elif instruction.keyword == "WORKDIR":
            files.folder = posixpath.join(files.folder, _value(instruction.rest, files.scope))
        elif instruction.keyword == "CMD":
            files.command = _words(instruction.rest)
        elif instruction.keyword == "ENTRYPOINT":
            files.entrypoint = _words(instruction.rest)
        elif instruction.keyword == "RUN" and _COMPILES.search(instruction.rest):
            files.compiles.append(instruction.line)
        elif instruction.keyword in ("COPY", "ADD"):
            _copy(files, instruction)
    return files


def _words(rest: str) -> str:
    """A command as it would be typed, from the JSON form or the shell form."""
    words = json_words(rest)
    return _typed(rest if words is None else words)


def _declare(scope: dict[str, str], instruction: Instruction, args: Mapping[str, str]) -> None:
    """Add the variables that an ARG or ENV sets to the scope."""
    pairs = [word.partition("=") for word in WORD.findall(instruction.rest)]
    if instruction.keyword == "ENV" and pairs and not pairs[0][1]:  # ENV NAME all the rest
        pairs = [(pairs[0][0], "=", instruction.rest.partition(" ")[2].strip())]
    for name, equals, value in pairs:
        if instruction.keyword == "ARG" and name in args:
            scope[name] = args[name]
        elif equals:
            scope[name] = _value(value, scope)


def _value(text: str, scope: Mapping[str, str]) -> str:
    """The text with its variables replaced and without quotes; unchanged if it has an unknown variable."""
    is_known = all(name in scope for name in re.findall(r"\$\{?(\w+)", text))
    return (expand(text, scope) if is_known else None) or text.strip("\"'")


def _copy(stage: StageFiles, instruction: Instruction) -> None:
    options, rest = flags(instruction.rest)
    if "from" in dict(options):
        return
    words = [_value(word, stage.scope) for word in json_words(rest) or WORD.findall(rest)]
    target = posixpath.join(stage.folder, words[-1]) if words else ""
    if len(words) > 1 and not any("$" in word or "<<" in word or "://" in word for word in (*words, target)):
        into = len(words) > 2 or words[-1] in (".", "./") or target.endswith("/")  # noqa: PLR2004 - several sources
        place = posixpath.normpath(target) + ("/" if into else "")
        stage.copies.append(Copy(tuple(words[:-1]), place, instruction.line))


@dataclass(frozen=True, slots=True)
class Built:
    """A service that is built: the stages that it is built on, those that they copy from, and its program.

    `scripts` are the shell scripts that its containers start with, as paths on the host.
    """

    service: Service
    build: Build
    below: Sequence[StageFiles]
    others: Sequence[StageFiles]
    program: Program | None
    scripts: Sequence[str]


def built_service(service: Service, model: Mapping[str, Any]) -> Built | None:
    """What the Dockerfile of a service copies and runs; None if the service is not built here."""
    build = service.build
    if build is None or not os.path.isdir(build.context):
        return None
    below, others = copying_stages(_dockerfile_text(build), dict(build.args), build.target)
    if not below:
        return None
    stage, own_entrypoint = below[-1], model.get("entrypoint")
    entrypoint = stage.entrypoint if own_entrypoint is None else own_entrypoint
    command = model.get("command") or (stage.command if own_entrypoint is None else "")
    words = f"{_typed(entrypoint)} {_typed(command)}"
    folder = str(model.get("working_dir") or stage.folder)
    variables = stage.scope | {key: str(value) for key, value in (model.get("environment") or {}).items()}

    def host_path(path: str) -> str | None:
        return _host_path(service, build, below, path)

    def read(path: str) -> str | None:
        return _read(host_path(path))

    scripts = filter(None, map(host_path, start_scripts(words, folder, read)))
    runs = program(words.strip() or default_command(stage.image), folder, variables, read)
    return Built(service, build, below, others, runs, list(scripts))


def _typed(command: str | Sequence[str]) -> str:
    """A command, as text or as words, as it would be typed."""
    return command if isinstance(command, str) else " ".join(map(str, command))


def _dockerfile_text(build: Build) -> str:
    return build.dockerfile_inline if build.dockerfile_inline is not None else _read(build.path) or ""


def _read(path: str | None) -> str | None:
    """The text of a file; None if it does not exist, or is too large to be written by hand."""
    if path is None or not os.path.isfile(path) or os.path.getsize(path) > _LARGE:
        return None
    return (proposals.read(path) or b"").decode(errors="replace")


def _host_path(service: Service, build: Build, stages: Sequence[StageFiles], path: str) -> str | None:
    """The host path of a file in the container: from a bind mount, or from the last copy; None if neither has it."""
    path = posixpath.normpath(path)
    if mount := bind_over(service, path):
        return os.path.normpath(f"{mount.source}/{relative_to(path, mount.target.rstrip('/') or '/')}")
    for copy in (copy for stage in reversed(stages) for copy in reversed(stage.copies)):
        for source, target in placed(build.context, copy):
            below = relative_to(path, target)
            if below is not None and os.path.isfile(file := os.path.join(source, below) if below else source):
                return file
    manifest = os.path.join(build.context, os.path.basename(path))  # a RUN may mount it
    return manifest if MANIFESTS.fullmatch(os.path.basename(path)) and os.path.isfile(manifest) else None


def bind_over(service: Service, target: str) -> Mount | None:
    """The bind mount that contains a path of the container."""
    mount = mount_over(service, target)
    return mount if mount is not None and mount.type == "bind" else None


def placed(context: str, copy: Copy) -> Iterator[tuple[str, str]]:
    """Yield what a COPY copies, as pairs of a path on the host and one in the container; a folder as a whole."""
    for source in copy.sources:
        pattern = os.path.normpath(os.path.join(glob.escape(context), source.lstrip("/")))
        for path in sorted(glob.glob(pattern)):
            if os.path.isdir(path):
                yield path, copy.target.rstrip("/") or "/"
            else:
                name = os.path.basename(path)
                yield path, posixpath.join(copy.target, name) if copy.target.endswith("/") else copy.target


def bind_sources(services: Iterable[Service], targets: str = "") -> list[str]:
    """The host paths that bind mounts bring into the services, to targets with that pattern."""
    mounts = (mount for service in services for mount in service.volumes)
    binds = (mount for mount in mounts if mount.type == "bind" and re.search(targets, mount.target))
    return [os.path.normpath(mount.source) for mount in binds if mount.source]


def source_mount(service: Service, path: str) -> Mount | None:
    """The bind mount that brings a host path into the container."""
    mounts = (mount for mount in service.volumes if mount.type == "bind" and mount.source)
    return next((mount for mount in mounts if is_within(path, os.path.normpath(str(mount.source)))), None)


def stage_program(built: Built, stage: StageFiles) -> Program | None:
    """The program that a container of another stage would run."""

    def read(path: str) -> str | None:
        return _read(_host_path(built.service, built.build, built.others, path))

    return program(f"{stage.entrypoint} {stage.command}", stage.folder, stage.scope, read)


def has_manifest(path: str, manifests: re.Pattern[str]) -> bool:
    """Whether the path, or its folder, contains one of the manifests, which show the language."""
    folders = (folder for folder in (path, os.path.dirname(path)) if os.path.isdir(folder))
    return any(manifests.fullmatch(name) for folder in folders for name in os.listdir(folder))
