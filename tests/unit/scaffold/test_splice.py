"""Text surgery on compose files: whatever their style, only what is meant changes, and it can be taken back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devenv.config import yamlcore
from devenv.errors import ConfigError
from devenv.scaffold.splice import Draft

DB = "db:\n  image: postgres:17\n  volumes:\n    - db-data:/var/lib/data\n  healthcheck:\n    test: [CMD, pg_isready]"
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
]
LIST = [
    "environment:\n  - A=b",
    "environment:\n- A=b # c",
    "environment: [A=b]",
    "environment: [ 'A=b', ]",
    "environment: []",
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
    """The block with its two spaces a level made `step`, moved to `column`."""
    lines = (line.lstrip(" ") for line in text.split("\n"))
    depths = [(len(line) - len(line.lstrip(" "))) // 2 for line in text.split("\n")]
    return "\n".join(
        " " * (column + step * depth) + line if line.strip() else ""
        for depth, line in zip(depths, lines, strict=True)
    )


@st.composite
def files(draw: Any) -> tuple[str, bool]:
    """A compose file in some style, and whether the environment of `web` is a list."""
    step = draw(st.sampled_from([2, 4, 3, 1]))
    environment = draw(st.sampled_from(ENVIRONMENT + LIST))
    keys = [one for one in (draw(st.sampled_from(DEPENDS)), environment) if one]
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
    """Whether the generator made YAML, and nothing that only the missing end of its last line makes what it is."""
    try:
        yamlcore.check(text.encode(), file="c")
        return bool(yamlcore.construct(text, file="c") == yamlcore.construct(text + "\n", file="c"))
    except ConfigError:
        return False


def add(text: str, listed: bool) -> Draft:
    """The text with a database for `web`."""
    draft = Draft(text, "c")
    draft.insert(["services"], DB)
    entry = '- "URL=x://db"' if listed else "URL: x://db"
    draft.insert(["services", "web", "environment"], entry)
    draft.depend(["services", "web", "depends_on"], "db")
    draft.insert(["volumes"], "db-data:")
    return draft


def remove(text: str) -> Draft:
    """The text without it."""
    draft = Draft(text, "c")
    draft.cut(["volumes", "db-data"])
    environment = draft.model["services"]["web"]["environment"]
    at: Any = environment.index("URL=x://db") if isinstance(environment, list) else "URL"
    draft.cut(["services", "web", "environment", at])
    draft.independ(["services", "web", "depends_on"], "db")
    draft.cut(["services", "db"])
    return draft


@settings(max_examples=200, deadline=None)
@given(files())
def test_what_is_added_can_be_removed_to_the_byte(file: tuple[str, bool]) -> None:
    """In every style: the result means what was meant, no other byte changes, and removing gives the file back."""
    text, listed = file
    if not readable(text):
        return
    draft = add(text, listed)
    after = draft.verified()
    assert remove(after).verified() == text
    left = iter(after)
    if "depends_on: [" not in text and "- cache" not in text:
        assert all(char in left for char in text), "a byte of the user's went"


@pytest.mark.parametrize(
    "services",
    [
        '{"web": {"image": "a"}}',
        "{web: {}}",
        "{ web: { image: a, depends_on: [ ] } }",
        '{\n  "web": {\n    "image": "a",\n    "environment": [\n      "A=b"\n    ]\n  }\n}',
        "{web: {environment: { }, depends_on: {}}, }",
    ],
)
@pytest.mark.parametrize(
    "around",
    [
        "{services: %s}",
        '{"services": %s, "volumes": {}}\n',
        "{volumes: { }, services: %s}# end",
        "volumes: { }\nservices: %s",
    ],
)
def test_flow_style_stays_flow_style(services: str, around: str) -> None:
    """JSON too: the addition is in braces, and removing gives the file back."""
    text = around % services
    after = add(text, "A=b" in text).verified()

    assert remove(after).verified() == text


KEPT = "services:\n  web2: {image: x}\n\n  web:\n    environment:\n      A: |+\n        text\n\n\n"


@pytest.mark.parametrize("end", ["", "...\n", "# the end", "    # in web\n"])
def test_empty_lines_that_count_are_left_alone(end: str) -> None:
    """A block scalar with `+` keeps exactly the empty lines that it has, also between spaced services."""
    assert remove(add(KEPT + end, listed=False).verified()).verified() == KEPT + end


def test_comments_stay_with_what_they_are_about() -> None:
    """What is commented out below the last service stays there, and the new one comes after it."""
    text = "services:\n  web:\n    image: a\n    # of web\n  # old:\n  #   image: r\n# the end\n"
    draft = Draft(text, "c")
    draft.insert(["services"], "db:\n  image: x")

    assert draft.verified() == text.replace("# the end", "  db:\n    image: x\n# the end")
