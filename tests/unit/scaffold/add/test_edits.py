"""Changes of a text, taken back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.scaffold.add.edits import Change, change, undone


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", Change(0, "", "")),
        ("ab", "aXb", Change(1, "", "X")),
        ("aa", "aaa", Change(2, "", "a")),
        ("aXb", "ab", Change(1, "X", "")),
        ("- a\n", "a: b\n", Change(0, "- a", "a: b")),
    ],
)
def test_a_change(before: str, after: str, expected: Change) -> None:
    """It holds what differs, and nothing of what stays."""
    assert change(before, after) == expected


@given(st.lists(st.text("ab\r\n ", max_size=8), min_size=1, max_size=5))
def test_changes_are_taken_back(texts: list[str]) -> None:
    """All of them, in whatever text they were made; in another one there is nothing to take back."""
    changes = [change(before, after) for before, after in pairwise(texts)]
    assert undone(texts[-1], changes) == texts[0]
    assert undone("", [Change(0, "", "x")]) is None
