"""The stages of a Dockerfile, and the images that they use, found without a builder.

The rules are those of BuildKit's stage graph; `tests/engine/test_dockerfile.py` compares with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from devenv.images.dockerfile_parser import WORD, Instruction, escape_character, expand, flags, frontend, instructions
from devenv.lazy_dataclass import dataclass

FROM, COPY, MOUNT, SYNTAX = "FROM", "COPY --from", "RUN --mount", "# syntax="  # ways to use an image


@dataclass(frozen=True, slots=True)
class Reference:
    """An image named in the text, its line (from 1), how it is used, and the platform of its FROM."""

    name: str
    line: int
    how: str = FROM
    platform: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and the instructions after it; the name may be empty.

    `built_on` is the index of the earlier stage that FROM names. `arguments` are the values of ARG before the first
    FROM, for this FROM.
    """

    name: str
    base: Reference
    built_on: int | None
    arguments: Mapping[str, str]
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def sources(self) -> list[Reference]:
        """The stages and images from which COPY --from and RUN --mount=from= take files."""
        return [source for instruction in self.instructions for source in _sources(instruction)]


def references(
    text: str,
    *,
    args: Mapping[str, str] | None = None,
    target: str | None = None,
    platform: str | None = None,
    builder: str | None = None,
    contexts: Iterable[str] = (),
) -> list[Reference]:
    """The images that a build of `target` (default: the last stage) for `platform` uses.

    `builder` is the engine's own platform. Stages, `scratch` and named contexts are not images. A name whose
    variables cannot be replaced is returned as written, which is not a valid image name.
    """
    build_args = args or {}
    syntax, line = build_args.get("BUILDKIT_SYNTAX", "").strip(), 1
    if not syntax:
        syntax, line = frontend(text)
    frontends = [Reference(syntax.split()[0], line, SYNTAX)] if syntax else []
    automatic = {**_automatic(platform or builder, builder), "TARGETSTAGE": target or "default"}
    return frontends + _reachable(stages(text, build_args, automatic), target, {"scratch", *map(str.lower, contexts)})


def base_image(text: str, *, args: Mapping[str, str] | None = None, target: str | None = None) -> str | None:
    """The image that the target stage is built on, through all stages, as written; None for `scratch`."""
    parsed = stages(text, args or {})
    index = stage_index(parsed, target)
    name = None
    while index is not None:
        name, index = parsed[index].base.name, parsed[index].built_on
    return None if name == "scratch" else name


def _automatic(target: str | None, builder: str | None) -> dict[str, str]:
    """The arguments that a builder sets itself."""
    values: dict[str, str] = {}
    for prefix, platform in (("TARGET", target), ("BUILD", builder)):
        if platform:
            parts = [*platform.split("/"), "", ""][:3]
            values |= {f"{prefix}PLATFORM": platform}
            values |= {f"{prefix}{name}": part for name, part in zip(("OS", "ARCH", "VARIANT"), parts, strict=True)}
    return values


def stages(text: str, args: Mapping[str, str], automatic: Mapping[str, str] | None = None) -> list[Stage]:
    """The stages in order; `args` are the build's, `automatic` those that the builder sets itself."""
    escape = escape_character(text)
    scope = dict(automatic or {})
    parsed: list[Stage] = []
    for instruction in instructions(text, escape):
        if instruction.keyword == "FROM":
            parsed.append(_stage(instruction, parsed, scope, escape))
        elif parsed:
            parsed[-1].instructions.append(instruction)
        elif instruction.keyword == "ARG":
            scope |= _declared(instruction, args, scope, escape)
    return parsed


def _declared(
    instruction: Instruction, args: Mapping[str, str], scope: Mapping[str, str], escape: str
) -> dict[str, str]:
    """The values of the arguments that an ARG before the first FROM declares."""
    values: dict[str, str] = {}
    for word in WORD.findall(instruction.rest):
        name, equals, default = word.partition("=")
        if name in args or equals:
            values[name] = args[name] if name in args else expand(default, {**scope, **values}, escape) or ""
    return values


def _stage(instruction: Instruction, earlier: list[Stage], scope: Mapping[str, str], escape: str) -> Stage:
    options, rest = flags(instruction.rest)
    image, *named = rest.split() or [""]
    name = named[1].lower() if len(named) == 2 and named[0].lower() == "as" else ""  # noqa: PLR2004 - AS and a name
    platform = expand(dict(options).get("platform", ""), scope, escape)
    base = Reference(expand(image, scope, escape) or image, instruction.line, platform=platform or None)
    return Stage(name, base, _last(earlier, base.name), dict(scope))


def stage_index(stages: list[Stage], target: str | None) -> int | None:
    """The index of the target stage, or of the last stage without a target; None if there is no such stage."""
    return _last(stages, target.lower()) if target else len(stages) - 1 if stages else None


def _sources(instruction: Instruction) -> Iterator[Reference]:
    """The references in COPY --from and RUN --mount=from=; variables are not replaced in either."""
    for flag, value in flags(instruction.rest)[0]:
        if (instruction.keyword, flag) == ("COPY", "from") and value:
            yield Reference(value, instruction.line, COPY)
        if (instruction.keyword, flag) == ("RUN", "mount"):
            options = {key.lower(): rest for part in value.split(",") for key, _, rest in [part.partition("=")]}
            if options.get("from"):
                yield Reference(options["from"], instruction.line, MOUNT)


def _reachable(stages: list[Stage], target: str | None, contexts: set[str]) -> list[Reference]:
    """The images that the target and the stages below it use, except for `contexts`; in the order of stages."""
    waiting = [stage_index(stages, target)]
    seen: set[int] = set()
    images: list[tuple[int, Reference]] = []
    while waiting:
        index = waiting.pop()
        if index is None or index in seen:
            continue
        seen.add(index)
        stage = stages[index]
        below = None if stage.base.name in contexts else stage.built_on
        for source in (stage.base, *stage.sources):
            if source.name.lower() in contexts:
                continue
            other = below if source is stage.base else source_stage(stages, source)
            waiting.append(other)
            if other is None:
                images.append((index, source))
    return [source for _, source in sorted(images, key=lambda pair: pair[0])]


def source_stage(stages: list[Stage], source: Reference) -> int | None:
    """The index of the stage that a source names, earlier or later; COPY --from may use an index from 0."""
    if source.how == COPY and re.fullmatch(r"[+-]?\d+", source.name):
        return int(source.name) if int(source.name) in range(len(stages)) else None
    return _last(stages, source.name.lower())


def _last(stages: list[Stage], name: str) -> int | None:
    """The index of the last stage with that name."""
    return next((index for index in reversed(range(len(stages))) if name and stages[index].name == name), None)
