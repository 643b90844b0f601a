"""Compose files in many styles, for tests that edit files."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from devenv.compose import yaml12
from devenv.errors import ConfigError

DEPENDS = [
    None,
    "depends_on:",
    "depends_on: [cache]",
    "depends_on: [ cache, 'web2' ]",
    "depends_on: []",
    "depends_on: {}",
    "depends_on: { cache: {condition: service_started} }",
    "depends_on:\n- cache # why\n- web2",
    "depends_on:\n  - cache # why\n  - web2",
    "depends_on:\n  # first\n  - cache\n  # last",
    "depends_on:\n  cache: {condition: service_started}",
    "depends_on:\n  cache:\n    condition: service_healthy",
]
ENVIRONMENT = [
    None,
    "environment:",
    "environment: # nothing yet\n  # FOO: 1",
    "environment: {}",
    "environment: {A: b,}",
    "environment: {\n  A: b,\n  C: d # end\n}",
    "environment:\n  A: |\n    text\n     \n    more",
    "environment:\n  A: |+\n    text\n\n",
    "environment:\n  A: >-\n    text\n\n  # B: c",
    "environment: &env\n  A: 'x'\t# a tab",
    "environment:\n  DATABASE_URL: postgresql://postgres:pw@elsewhere.example:5432/postgres # mine\n  REDIS_URL: redis://redis-cache/0",
    "environment:\n  REDIS_URL: redis://redis:6379/0\n  DATABASE_URL: 'postgresql://app:x@postgres/app'",
]
LIST = [
    "environment:\n  - A=b",
    "environment:\n- A=b # c",
    "environment: [A=b]",
    "environment: [ 'A=b', ]",
    "environment: []",
    "environment:\n  - 'REDIS_URL=redis://cache:6379/0'\n  - \"DATABASE_URL=mysql://mysql:pw@db/mysql\"",
    "environment:\n  # REDIS_URL: redis://redis:6379/0\n  - A",
]
VOLUMES = [
    None,
    "volumes:",
    "volumes: {}",
    "volumes: {a: }",
    "volumes:\n  a:",
    "volumes:\n  a: {}\n\n  b:\n    driver: local",
]
ENDS = ["", "\n", "\n\n", "\n# the end", "\n  # the end\n", "\n...\n", "\n\n# a\n\n#b\n\n\n", "   "]
BEGINS = ["", "---\n", "# comment\n\n", "%YAML 1.1\n---\n", "x-a: &a {b: c}\n", "name: demo # x\n\n\n"]


def indented(text: str, column: int, step: int) -> str:
    """The block moved to `column`, with `step` spaces for each level."""
    lines = (line.lstrip(" ") for line in text.split("\n"))
    depths = [(len(line) - len(line.lstrip(" "))) // 2 for line in text.split("\n")]
    return "\n".join(
        " " * (column + step * depth) + line if line.strip() else ""
        for depth, line in zip(depths, lines, strict=True)
    )


@st.composite
def files(draw: Any) -> tuple[str, bool]:
    """A Compose file in some style, and whether the environment of `web` is a list."""
    step = draw(st.sampled_from([2, 4, 3, 1]))
    environment = draw(st.sampled_from(ENVIRONMENT + LIST))
    keys = [key for key in (draw(st.sampled_from(DEPENDS)), environment) if key]
    keys = draw(st.permutations([*keys, draw(st.sampled_from(["image: a", "image: 'a' # trailing", "build: .   "]))]))
    web = "web:\n" + "\n".join(indented(key, 2, 2) for key in keys)
    others = draw(st.permutations([web, 'cache: {image: "redis"}', "web2:\n  image: x\n  # of web2"]))
    gap = draw(st.sampled_from(["\n", "\n\n", "\n# between\n", "\n\n  # deep\n\n"]))
    services = "services:\n" + indented(gap.join(others).replace("\n# b", "\n  # b"), step, step).replace(
        " " * step + "  # deep", "  # deep"
    )
    volumes = draw(st.sampled_from(VOLUMES))
    parts = draw(st.permutations([services, *([indented(volumes, 0, step)] if volumes else [])]))
    text = (
        draw(st.sampled_from(BEGINS))
        + draw(st.sampled_from(["\n", "\n\n"])).join(parts)
        + draw(st.sampled_from(ENDS))
    )
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return text, environment in LIST


def readable(text: str) -> bool:
    """Whether the text is YAML, also if a line end is added."""
    try:
        yaml12.check(text.encode(), file="c")
        return bool(yaml12.construct(text, file="c") == yaml12.construct(text + "\n", file="c"))
    except ConfigError:
        return False
