"""The first entry of a table that matches a text, and the words for its messages."""

from __future__ import annotations

import re
from collections.abc import Mapping

from devenv.explain.matcher import explain
from devenv.explain.table import Entry

LOST = Entry("lost", (r"lost (?P<what>\w+)(?: of (?P<owner>\w+))?",), "{what} of {owner} is lost", "find {what}")
ANY = Entry("any", ("lost", "gone"), "something is missing")


def test_the_first_entry_that_matches_explains() -> None:
    """Its messages hold the groups of the pattern; a group that matched nothing is left empty."""
    explanation = explain((LOST, ANY), "one\nlost keys of ann")
    assert explanation is not None
    assert (explanation.entry, explanation.line) == (LOST, 1)
    assert (explanation.cause, explanation.hint) == ("keys of ann is lost", "find keys")
    assert [e.cause for e in (explain((LOST,), "lost keys"), explain((ANY, LOST), "lost keys")) if e] == [
        "keys of  is lost",
        "something is missing",
    ]
    assert explain((LOST, ANY), "found keys") is None


def test_an_entry_is_for_one_text_and_one_exit_code() -> None:
    """As it says; by default for the output, and for any code."""
    checked = Entry("checked", ("lost",), "in the check", text="check")
    coded = Entry("coded", ("lost",), "with 3", exit_code=3)
    texts = {"output": "lost", "check": ""}
    assert explain((checked,), texts) is None
    assert explain((checked,), {"output": "", "check": "lost"}) is not None
    assert explain((coded,), texts, exit_code=1) is None
    assert explain((coded,), texts, exit_code=3) is not None


def test_the_caller_adds_words_and_excludes_entries() -> None:
    """An entry whose words are missing, or for which there are none, leaves the text to the next one."""
    calls = []

    def words(entry: Entry, groups: Mapping[str, str], line: int) -> Mapping[str, str] | None:
        calls.append((entry.id, dict(groups), line))
        return None if entry.id == "excluded" else {**groups, "host": "far" if line else ""}

    excluded = Entry("excluded", ("lost",), "never")
    needy = Entry("needy", ("lost", "gone"), "not by {host}", needs=("host",))
    explanation = explain((excluded, needy), "lost\ngone", words)
    assert explanation is not None
    assert (explanation.cause, explanation.line) == ("not by far", 1)
    assert calls == [("excluded", {}, 0), ("needy", {}, 0), ("needy", {}, 1)]
    assert explain((needy,), "lost", words) is None


def test_flags_are_those_of_the_entry() -> None:
    """By default `^` matches at each line, and case counts."""
    assert explain((Entry("a", ("^b",), "c"),), "a\nb") is not None
    assert explain((Entry("a", ("^b",), "c"),), "a\nB") is None
    assert explain((Entry("a", ("^b",), "c", flags=re.MULTILINE | re.IGNORECASE),), "a\nB") is not None
