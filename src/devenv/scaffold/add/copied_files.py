"""What each stage of a Dockerfile copies from the build context, and to which path. Pure."""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from devenv.images import dockerfile
from devenv.images.dockerfile import WORD, Instruction, Stage, expand, flags, source_stage, stage_index


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY or ADD of files of the build context; a target that is a folder ends in `/`."""

    sources: tuple[str, ...]
    target: str
    line: int


@dataclass(slots=True)
class StageFiles:
    """A stage's copies; its working directory, its CMD and ENTRYPOINT, and its variables at the end."""

    folder: str = "/"
    command: str = ""
    scope: dict[str, str] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)


def copying_stages(
    text: str, args: Mapping[str, str] | None = None, target: str | None = None
) -> tuple[list[StageFiles], list[StageFiles]]:
    """The stages that the target is built on, the target last; and the stages that those take files from.

    `args` are the build's; without a target it is the last stage.
    """
    parsed = dockerfile.stages(text, args or {})
    stages: list[StageFiles] = []
    for stage in parsed:
        stages.append(_stage_files(stage, stages, args or {}))
    index = stage_index(parsed, target)
    below: list[int] = []
    others: list[int] = []
    while index is not None:
        below.insert(0, index)
        index = parsed[index].built_on
    for taken in (source_stage(parsed, source) for index in below for source in parsed[index].sources):
        if taken is not None and taken not in (*below, *others):
            others.append(taken)
    return [stages[index] for index in below], [stages[index] for index in others]


def _stage_files(stage: Stage, earlier: Sequence[StageFiles], args: Mapping[str, str]) -> StageFiles:
    files = StageFiles()
    if stage.built_on is not None:
        base = earlier[stage.built_on]
        files = StageFiles(base.folder, base.command, dict(base.scope))
    for instruction in stage.instructions:
        if instruction.keyword in ("ARG", "ENV"):
            _declare(files.scope, instruction, {**stage.arguments, **args})
        elif instruction.keyword == "WORKDIR":
            files.folder = posixpath.join(files.folder, _value(instruction.rest, files.scope))
        elif instruction.keyword in ("CMD", "ENTRYPOINT"):
            files.command += f" {instruction.rest}"
        elif instruction.keyword in ("COPY", "ADD"):
            _copy(files, instruction)
    return files


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
    """The text with its variables replaced and without quotes; with its `$` if a variable is not known here."""
    is_known = all(name in scope for name in re.findall(r"\$\{?(\w+)", text))
    return (expand(text, scope) if is_known else None) or text.strip("\"'")


def _copy(stage: StageFiles, instruction: Instruction) -> None:
    options, rest = flags(instruction.rest)
    if "from" in dict(options):
        return
    words = WORD.findall(rest)
    with contextlib.suppress(ValueError):
        words = [str(word) for word in json.loads(rest)]
    words = [_value(word, stage.scope) for word in words]
    target = posixpath.join(stage.folder, words[-1]) if words else ""
    if len(words) > 1 and not any("$" in word or "<<" in word or "://" in word for word in (*words, target)):
        into = len(words) > 2 or words[-1] in (".", "./") or target.endswith("/")  # noqa: PLR2004 - several sources
        place = posixpath.normpath(target) + ("/" if into else "")
        stage.copies.append(Copy(tuple(words[:-1]), place, instruction.line))
