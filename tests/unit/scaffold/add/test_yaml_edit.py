"""Text surgery on compose files: whatever their style, only what is meant changes, and it can be taken back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from devenv.scaffold.add.yaml_edit import Draft
from support.compose_texts import files, readable

DB = "db:\n  image: postgres:17\n  volumes:\n    - db-data:/var/lib/data\n  healthcheck:\n    test: [CMD, pg_isready]"


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
