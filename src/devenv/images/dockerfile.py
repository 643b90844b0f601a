"""What a Dockerfile takes from other images, found without a builder.

Source of the rules: the Dockerfile reference, sections "Format", "Parser directives", "FROM", "ARG",
"Here-Documents", and `--from` of COPY and RUN --mount.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+""")
HEREDOC = re.compile(r"""^\d*<<(-?)(["']?)([^<"'\s]+)\2$""")
VARIABLE = re.compile(r"\\\$|\$(?:(?P<bare>\w+)|\{(?P<name>\w+)(?:(?P<op>:?[-+])(?P<word>[^{}]*))?\})")
DIRECTIVE = re.compile(r"^#\s*([A-Za-z][\w-]*)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image that the text names, its line (from 1) and whether it is a "base" or the "frontend"."""

    name: str
    line: int
    kind: str = "base"
    platform: str | None = None


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its keyword in capitals, the rest as one line, and its first line (from 1)."""

    keyword: str
    rest: str
    line: int

    @property
    def words(self) -> list[str]:
        """The rest cut at blanks outside quotes; quotes are kept."""
        return WORD.findall(self.rest)


@dataclass(slots=True)
class Stage:
    """One FROM and what follows it; an empty name where it has none."""

    name: str
    base: Reference | None
    scope: dict[str, str] = field(default_factory=dict)
    sources: list[Reference] = field(default_factory=list)


def references(
    text: str,
    *,
    args: Mapping[str, str] | None = None,
    target: str | None = None,
    platform: str | None = None,
    contexts: Iterable[str] = (),
) -> list[Reference]:
    """The images that a build of `target` (default: the last stage) takes something from.

    Stages, `scratch` and named contexts are no images. A name that holds an unknown variable is left out.
    """
    directives = _directives(text)
    escape, _ = directives.get("escape", ("\\", 1))
    syntax, line = directives.get("syntax", ("", 1))
    given = {**_platform_args(platform), **(args or {})}
    syntax = given.get("BUILDKIT_SYNTAX") or syntax
    frontend = [Reference(syntax.split()[0], line, "frontend")] if syntax else []
    stages = _stages(instructions(text, escape), given)
    return frontend + _reachable(stages, target, {"scratch", *(name.lower() for name in contexts)})


def instructions(text: str, escape: str = "\\") -> Iterator[Instruction]:
    """The instructions in order: continued lines joined, comments and here-documents left out."""
    continued = re.compile(rf"(?:^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), start=1)
    for number, line in lines:
        if _blank(line):
            continue
        joined = line
        while continued.search(joined):
            joined = joined.rstrip()[: -len(escape)]
            joined += next((more for _, more in lines if not _blank(more)), "")
        keyword, *rest = joined.split(maxsplit=1)
        instruction = Instruction(keyword.upper(), "".join(rest).strip(), number)
        for dash, end in _heredocs(instruction):
            _skip(lines, end, strip_tabs=dash)
        yield instruction


def expand(text: str, scope: Mapping[str, str]) -> str | None:
    """The text with its variables replaced; None where one has no value."""
    try:
        done = VARIABLE.sub(lambda match: _value(match, scope), text)
    except KeyError:
        return None
    return None if "${" in done else done


def _value(match: re.Match[str], scope: Mapping[str, str]) -> str:
    name, op, word = match["bare"] or match["name"], match["op"] or "", match["word"]
    if name is None:
        return "$"
    there = bool(scope.get(name)) if op.startswith(":") else name in scope
    if op.endswith("+"):
        return word if there else ""
    return word if op and not there else scope[name]


def _blank(line: str) -> bool:
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def _heredocs(instruction: Instruction) -> list[tuple[bool, str]]:
    words = instruction.words
    keyword = words[0].upper() if instruction.keyword == "ONBUILD" and words else instruction.keyword
    if keyword not in ("RUN", "COPY", "ADD"):
        return []
    matches = (HEREDOC.match(word) for word in words)
    return [(bool(match[1]), match[3]) for match in matches if match]


def _skip(lines: Iterator[tuple[int, str]], end: str, *, strip_tabs: bool) -> None:
    for _, line in lines:
        if (line.lstrip("\t") if strip_tabs else line) == end:
            return


def _directives(text: str) -> dict[str, tuple[str, int]]:
    """The parser directives, comments of the form key=value before anything else: value and line."""
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        match = DIRECTIVE.match(line.strip())
        if not match or match[1].lower() in found:
            break
        found[match[1].lower()] = (match[2], number)
    return found


def _platform_args(platform: str | None) -> dict[str, str]:
    if not platform:
        return {}
    system, _, processor = platform.partition("/")
    return {"TARGETPLATFORM": platform, "TARGETOS": system, "TARGETARCH": processor.partition("/")[0]}


def _stages(found: Iterable[Instruction], args: Mapping[str, str]) -> list[Stage]:
    everywhere = {name: value for name, value in args.items() if name.startswith("TARGET")}
    stages: list[Stage] = []
    for instruction in found:
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, everywhere))
        elif instruction.keyword == "ARG":
            _declare(instruction, stages[-1].scope if stages else everywhere, everywhere, args)
        elif stages:
            stages[-1].sources.extend(_sources(instruction, stages[-1].scope))
    return stages


def _declare(
    instruction: Instruction, scope: dict[str, str], everywhere: Mapping[str, str], args: Mapping[str, str]
) -> None:
    for word in instruction.words:
        name, equals, default = word.partition("=")
        value = args.get(name)
        if value is None:
            value = expand(_unquoted(default), scope) if equals else everywhere.get(name)
        if value is not None:
            scope[name] = value


def _stage(instruction: Instruction, everywhere: Mapping[str, str]) -> Stage:
    flags, words = _flags(instruction)
    image = expand(_unquoted(words[0]), everywhere) if words else None
    platform = expand(flags.get("platform", ""), everywhere)
    name = words[2].lower() if [word.lower() for word in words[1:2]] == ["as"] and words[2:] else ""
    return Stage(name, Reference(image, instruction.line, platform=platform or None) if image else None)


def _sources(instruction: Instruction, scope: Mapping[str, str]) -> Iterator[Reference]:
    """What COPY --from, ADD --from and RUN --mount=from= name."""
    if instruction.keyword == "RUN":
        for word in instruction.words:
            if not word.startswith("--"):
                return
            if word.startswith("--mount="):
                options = dict(part.partition("=")[::2] for part in _unquoted(word[8:]).split(","))
                yield from _reference(options.get("from"), instruction.line, scope)
    elif instruction.keyword in ("COPY", "ADD"):
        yield from _reference(_flags(instruction)[0].get("from"), instruction.line, scope)


def _reference(text: str | None, line: int, scope: Mapping[str, str]) -> Iterator[Reference]:
    if text and (name := expand(_unquoted(text), scope)):
        yield Reference(name, line)


def _flags(instruction: Instruction) -> tuple[dict[str, str], list[str]]:
    flags: dict[str, str] = {}
    words = instruction.words
    while words and words[0].startswith("--"):
        name, _, value = words.pop(0)[2:].partition("=")
        flags[name] = _unquoted(value)
    return flags, words


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _reachable(stages: list[Stage], target: str | None, contexts: set[str]) -> list[Reference]:
    """What the target's stage names, and those that it is made of, except for `contexts`; in the order of stages."""
    waiting = [_stage_index(stages, target, len(stages)) if target else len(stages) - 1] if stages else []
    seen: set[int] = set()
    found: list[tuple[int, Reference]] = []
    while waiting:
        index = waiting.pop()
        if index is None or index in seen:
            continue
        seen.add(index)
        stage = stages[index]
        for source in (*([stage.base] if stage.base else []), *stage.sources):
            if source.name.lower() in contexts:
                continue
            earlier = _stage_index(stages, source.name, index, by_number=source is not stage.base)
            waiting.append(earlier)
            if earlier is None:
                found.append((index, source))
    return [source for _, source in sorted(found, key=lambda pair: pair[0])]


def _stage_index(stages: list[Stage], name: str, before: int, *, by_number: bool = True) -> int | None:
    """The last stage of that name before another one; COPY --from and targets may count from 0."""
    if name.isdigit():
        return int(name) if by_number and int(name) < before else None
    return next((index for index in reversed(range(before)) if stages[index].name == name.lower()), None)
