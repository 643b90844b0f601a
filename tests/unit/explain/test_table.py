"""The tables of causes: each file follows the schema, and each pattern matches its own example."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pytest

from devenv.explain import table
from devenv.explain.table import RESERVED, TableEntry, explain

TABLES = sorted(
    file.name.removesuffix(".toml") for file in resources.files("devenv.explain").joinpath("tables").iterdir()
)
# The options that the code of each table reads, and the groups of patterns that it uses besides those in messages.
OPTIONS: dict[str, dict[str, type]] = {
    "compose": {"at": str, "under": list, "special": str},
    "pull": {"no_answer": bool, "passing": bool, "absent": bool, "of_file": bool},
    "service": {"keys": list, "sections": list, "outside": bool, "exits": int},
}
GROUPS = {
    "compose": {"service", "path", "file", "name", "key", "values", "line", "what", "text"},
    "dockerfile": {"line", "context", "stage"},
    "service": {"thing", "path", "host", "program"},
}
# The words that the code of each table adds to the groups of a pattern.
WORDS: dict[str, set[str]] = {
    "build_network": {"host", "proxy", "named"},
    "compose": {
        "path", "file", "text", "where", "is_service", "is_known", "needed", "installed", "guess", "value",
        "choices", "profile", "message", "env_file", "example",
    },
    "build_step": {"stand_in"},
    "dockerfile": {"service", "stage", "ignored", "close"},
    "engine": {"login", "name", "port", "ssh"},
    "pull": {"host"},
    "service": {
        "service", "services", "user", "image", "engine", "foreign", "mount", "source", "thing", "peer", "self",
        "signal", "kind", "key", "tmpfs", "every_tmpfs", "variable", "file", "script", "crlf", "shebang",
    },
}  # fmt: skip
KINDS: dict[str, type] = {
    "patterns": list, "examples": list, "like": str, "cause": str, "hint": str, "text": str, "exit_code": int,
    "needs": list,
}  # fmt: skip
FLAGS = re.MULTILINE | re.IGNORECASE
ENTRIES = [(name, entry) for name in TABLES for entry in table.load(name)]
LOST = TableEntry("lost", (r"lost (?P<what>\w+)(?: of (?P<owner>\w+))?",), "{what} of {owner} is lost", "find {what}")
ANY = TableEntry("any", ("lost", "gone"), "something is missing")


def written(name: str, entry: str) -> dict[str, Any]:
    """Return an entry as the file has it."""
    content: dict[str, Any] = table.read(name)[entry]
    return content


def each(function: Any) -> Any:
    """Run a test for each entry of each table."""
    return pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=[f"{name}-{entry.id}" for name, entry in ENTRIES])(
        function
    )


def test_the_tables_are_read() -> None:
    """Each file has entries."""
    assert "service" in TABLES
    assert all(table.load(name) for name in TABLES)


@each
def test_an_entry_follows_the_schema(name: str, entry: TableEntry) -> None:
    """An entry has an id in words, its own patterns or those of an earlier entry, and no unused key."""
    content = written(name, entry.id)
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", entry.id)
    assert content.keys() <= RESERVED | OPTIONS.get(name, {}).keys()
    kinds = KINDS | OPTIONS.get(name, {})
    assert [key for key, value in content.items() if not isinstance(value, kinds[key])] == []
    assert ("like" in content) != ("patterns" in content)
    assert ("patterns" in content) == ("examples" in content)
    assert entry.patterns
    assert entry.cause or entry.hint


@each
def test_a_pattern_matches_its_example(name: str, entry: TableEntry) -> None:
    """The examples are in the order of the patterns, one per pattern."""
    examples = written(name, written(name, entry.id).get("like", entry.id))["examples"]
    assert len(examples) == len(entry.patterns)
    for pattern, example in zip(entry.patterns, examples, strict=True):
        assert re.search(pattern, example, entry.flags), pattern


@each
def test_each_group_is_used(name: str, entry: TableEntry) -> None:
    """A group has a name, which is a word of a message, or is used by the code that reads the table."""
    alike = [other for other in table.load(name) if other.patterns == entry.patterns]
    messages = [text for other in alike for text in (other.cause, other.hint)]
    used = {word for text in messages for _, word, _, _ in string.Formatter().parse(text) if word}
    for pattern in map(re.compile, entry.patterns):
        assert pattern.groups == len(pattern.groupindex), pattern
        assert pattern.groupindex.keys() <= used | GROUPS.get(name, set()), pattern


@each
def test_each_word_of_a_message_is_known(name: str, entry: TableEntry) -> None:
    """It is a group of each pattern, or a word that the code adds."""
    words = {word for text in (entry.cause, entry.hint) for _, word, _, _ in string.Formatter().parse(text) if word}
    for pattern in map(re.compile, entry.patterns):
        assert words - pattern.groupindex.keys() <= WORDS.get(name, set()), pattern


def test_each_fragment_is_used() -> None:
    """Each is used in the table that defines it."""
    for name in TABLES:
        content = table.read(name)
        patterns = str([entry.get("patterns") for entry in content.values() if isinstance(entry, dict)])
        assert [fragment for fragment in content.get("fragments", {}) if f"(?&{fragment})" not in patterns] == []


def test_parse_fills_in_fragments_alternatives_and_patterns_of_other_entries() -> None:
    """A key that is not a field of an entry becomes an option for the code that reads the table."""
    content = {
        "ignore_case": True,
        "fragments": {"name": r"(?P<name>\w+)"},
        "first": {"patterns": [["no (?&name)", "lost (?&name)"], "gone"], "examples": [], "cause": "a", "deep": True},
        "second": {"like": "first", "cause": "b", "hint": "c", "needs": ["name"], "exit_code": 3, "text": "check"},
    }
    first, second = table.parse(content)
    assert first == TableEntry(
        "first",
        (r"no (?P<name>\w+)|lost (?P<name>\w+)", "gone"),
        "a",
        flags=re.MULTILINE | re.IGNORECASE,
        options={"deep": True},
    )
    assert second == TableEntry("second", first.patterns, "b", "c", "check", 3, ("name",), first.flags)


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
    checked = TableEntry("checked", ("lost",), "in the check", text="check")
    coded = TableEntry("coded", ("lost",), "with 3", exit_code=3)
    texts = {"output": "lost", "check": ""}
    assert explain((checked,), texts) is None
    assert explain((checked,), {"output": "", "check": "lost"}) is not None
    assert explain((coded,), texts, exit_code=1) is None
    assert explain((coded,), texts, exit_code=3) is not None


def test_the_caller_adds_words_and_excludes_entries() -> None:
    """An entry is skipped if its words are missing or excluded, and the next one is tried."""
    calls = []

    def words(entry: TableEntry, groups: Mapping[str, str], line: int) -> Mapping[str, str] | None:
        calls.append((entry.id, dict(groups), line))
        return None if entry.id == "excluded" else {**groups, "host": "far" if line else ""}

    excluded = TableEntry("excluded", ("lost",), "never")
    needy = TableEntry("needy", ("lost", "gone"), "not by {host}", needs=("host",))
    explanation = explain((excluded, needy), "lost\ngone", words)
    assert explanation is not None
    assert (explanation.cause, explanation.line) == ("not by far", 1)
    assert calls == [("excluded", {}, 0), ("needy", {}, 0), ("needy", {}, 1)]
    assert explain((needy,), "lost", words) is None


def test_flags_are_those_of_the_entry() -> None:
    """By default `^` matches at each line, and case matters."""
    assert explain((TableEntry("a", ("^b",), "c"),), "a\nb") is not None
    assert explain((TableEntry("a", ("^b",), "c"),), "a\nB") is None
    assert explain((TableEntry("a", ("^b",), "c", flags=re.MULTILINE | re.IGNORECASE),), "a\nB") is not None
