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
    """One FROM and what follows it."""

    name: str
    base: Reference | None
    scope: dict[str, str]
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
    given = {**_platform_args(platform), **(args or {})}
    stages = _stages(instructions(text, directives.get("escape", "\\")), given)
    found = list(_reachable(stages, target, {name.lower() for name in contexts}))
    syntax = (args or {}).get("BUILDKIT_SYNTAX") or directives.get("syntax")
    if syntax:
        found.insert(0, Reference(syntax.split()[0], _syntax_line(text), "frontend"))
    return found


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
    unknown = False

    def value(match: re.Match[str]) -> str:
        nonlocal unknown
        name, op, word = match["bare"] or match["name"], match["op"], match["word"]
        if name is None:
            return "$"
        known = scope.get(name)
        there = bool(known) if op and op.startswith(":") else known is not None
        if op and op.endswith("+"):
            return word if there else ""
        if there:
            return known or ""
        if op is None:
            unknown = True
            return ""
        return word

    done = VARIABLE.sub(value, text)
    return None if unknown or re.search(r"\$\{", done) else done


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


def _directives(text: str) -> dict[str, str]:
    """The parser directives: comments of the form key=value before anything else."""
    found: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").splitlines():
        match = DIRECTIVE.match(line.strip())
        if not match or match[1].lower() in found:
            break
        found[match[1].lower()] = match[2]
    return found


def _syntax_line(text: str) -> int:
    for number, line in enumerate(text.splitlines(), start=1):
        if (match := DIRECTIVE.match(line.strip().removeprefix("\ufeff"))) and match[1].lower() == "syntax":
            return number
    return 1


def _platform_args(platform: str | None) -> dict[str, str]:
    if not platform:
        return {}
    system, _, processor = platform.partition("/")
    return {"TARGETPLATFORM": platform, "TARGETOS": system, "TARGETARCH": processor.partition("/")[0]}


def _stages(found: Iterable[Instruction], args: Mapping[str, str]) -> list[Stage]:
    everywhere = dict(_platform_only(args))
    stages: list[Stage] = []
    for instruction in found:
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, everywhere, len(stages)))
        elif instruction.keyword == "ARG":
            _declare(instruction, stages[-1].scope if stages else everywhere, everywhere, args)
        elif stages:
            stages[-1].sources.extend(_sources(instruction, stages[-1].scope))
    return stages


def _platform_only(args: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in args.items() if name.startswith("TARGET"))


def _declare(
    instruction: Instruction, scope: dict[str, str], everywhere: Mapping[str, str], args: Mapping[str, str]
) -> None:
    for word in instruction.words:
        name, equals, default = word.partition("=")
        value = args.get(name)
        if value is None and equals:
            value = expand(_unquoted(default), scope)
        elif value is None:
            value = everywhere.get(name)
        if value is not None:
            scope[name] = value


def _stage(instruction: Instruction, everywhere: Mapping[str, str], index: int) -> Stage:
    flags, words = _flags(instruction)
    name = words[2].lower() if len(words) > 2 and words[1].lower() == "as" else str(index)  # noqa: PLR2004 - FROM x AS y
    image = expand(_unquoted(words[0]), everywhere) if words else None
    platform = expand(flags.get("platform", ""), everywhere)
    base = Reference(image, instruction.line, "base", platform or None) if image else None
    return Stage(name, base, {})


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


def _reachable(stages: list[Stage], target: str | None, contexts: set[str]) -> Iterator[Reference]:
    if not stages:
        return
    waiting = [_stage_index(stages, target, len(stages)) if target else len(stages) - 1]
    seen: set[int | None] = set()
    found: dict[int, list[Reference]] = {}
    while waiting:
        index = waiting.pop()
        if index is None or index in seen:
            continue
        seen.add(index)
        stage = stages[index]
        for source in (*([stage.base] if stage.base else []), *stage.sources):
            name = source.name.lower()
            if name in contexts or name == "scratch":
                continue
            earlier = _stage_index(stages, name, index, by_number=source is not stage.base)
            if earlier is None:
                found.setdefault(index, []).append(source)
            else:
                waiting.append(earlier)
    for index in sorted(found):
        yield from found[index]


def _stage_index(stages: list[Stage], name: str, before: int, *, by_number: bool = True) -> int | None:
    """The last stage of that name before another one; COPY --from and targets may count from 0."""
    for index in range(before - 1, -1, -1):
        if stages[index].name == name.lower():
            return index if by_number or not name.isdigit() else None
    if by_number and name.isdigit() and int(name) < before:
        return int(name)
    return None
