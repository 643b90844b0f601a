"""Edits of Compose files: in any style, only the intended part changes, and edits can be undone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devenv.scaffold.add.record import _meaning
from devenv.scaffold.add.yaml_edit import ComposeDraft, TextChange, text_change, undone
from support.compose_texts import files, readable

DB = "db:\n  image: postgres:17\n  volumes:\n    - db-data:/var/lib/data\n  healthcheck:\n    test: [CMD, pg_isready]"


def add(text: str, listed: bool) -> ComposeDraft:
    """The text with a database for `web`."""
    draft = ComposeDraft(text, "c")
    draft.insert(["services"], DB)
    entry = '- "URL=x://db"' if listed else "URL: x://db"
    draft.insert(["services", "web", "environment"], entry)
    draft.depend(["services", "web", "depends_on"], "db")
    draft.insert(["volumes"], "db-data:")
    return draft


def taken_back(draft: ComposeDraft) -> str | None:
    """The text that the changes of the draft were made in."""
    return undone(draft.verified(), draft.changes)


@settings(max_examples=80, deadline=None)
@given(files())
def test_what_is_added_can_be_removed_to_the_byte(file: tuple[str, bool]) -> None:
    """In every style the result is the intended model, no other byte changes, and removing restores the file."""
    text, listed = file
    if not readable(text):
        return
    draft = add(text, listed)
    after = draft.verified()
    assert taken_back(draft) == text
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
    assert taken_back(add(text, "A=b" in text)) == text


KEPT = "services:\n  web2: {image: x}\n\n  web:\n    environment:\n      A: |+\n        text\n\n\n"


@pytest.mark.parametrize("end", ["", "...\n", "# the end", "    # in web\n"])
def test_empty_lines_that_count_are_left_alone(end: str) -> None:
    """A block scalar with `+` keeps exactly its empty lines, also between spaced services."""
    assert taken_back(add(KEPT + end, listed=False)) == KEPT + end


def test_comments_stay_with_what_they_are_about() -> None:
    """Comments below the last service stay there, and the new service comes after them."""
    text = "services:\n  web:\n    image: a\n    # of web\n  # old:\n  #   image: r\n# the end\n"
    draft = ComposeDraft(text, "c")
    draft.insert(["services"], "db:\n  image: x")

    assert draft.verified() == text.replace("# the end", "  db:\n    image: x\n# the end")


@settings(max_examples=50, deadline=None)
@given(files())
def test_what_is_cut_is_gone_and_nothing_else(file: tuple[str, bool]) -> None:
    """In every style and without a record the rest is unchanged; between empty lines that count it may be refused."""
    text, listed = file
    if not readable(text) or "|+" in text:
        return
    draft = ComposeDraft(add(text, listed).verified(), "c")
    web = draft.model["services"]["web"]
    key = web["environment"].index("URL=x://db") if isinstance(web["environment"], list) else "URL"
    for path in (["volumes", "db-data"], ["services", "web", "environment", key], ["services", "db"]):
        draft.cut(path)
    draft.cut(["services", "web", "depends_on", "db"])
    draft.verified()
    assert _meaning(draft.model) == _meaning(ComposeDraft(text, "c").model)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", TextChange(0, "", "")),
        ("ab", "aXb", TextChange(1, "", "X")),
        ("aa", "aaa", TextChange(2, "", "a")),
        ("aXb", "ab", TextChange(1, "X", "")),
        ("- a\n", "a: b\n", TextChange(0, "- a", "a: b")),
    ],
)
def test_text_change_is_minimal(before: str, after: str, expected: TextChange) -> None:
    """It holds what differs, and nothing of what stays."""
    assert text_change(before, after) == expected


@given(st.lists(st.text("ab\r\n ", max_size=8), min_size=1, max_size=5))
def test_changes_are_taken_back(texts: list[str]) -> None:
    """All changes are removed, in any text that has them; in another text nothing is removed."""
    changes = [text_change(before, after) for before, after in pairwise(texts)]
    assert undone(texts[-1], changes) == texts[0]
    assert undone("", [TextChange(0, "", "x")]) is None


def test_a_change_elsewhere_does_not_keep_it_from_being_taken_back() -> None:
    """An insert is found by its text, unless the text occurs more than once."""
    assert undone("more aXb", [TextChange(1, "old", "X")]) == "more aoldb"
    assert undone("X more aXb", [TextChange(1, "old", "X")]) is None
