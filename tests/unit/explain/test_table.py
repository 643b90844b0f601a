"""The tables of causes: each file follows the schema, and each pattern matches its own example."""

from __future__ import annotations

import re
import string
from importlib import resources
from typing import Any

import pytest

from devenv.explain import table
from devenv.explain.table import RESERVED, Entry

TABLES = sorted(
    file.name.removesuffix(".toml") for file in resources.files("devenv.explain").joinpath("tables").iterdir()
)
# The options that the code of each table reads, and the groups of patterns that it uses besides those in messages.
OPTIONS: dict[str, dict[str, type]] = {
    "compose": {"at": str, "under": list, "words": str, "place": str},
    "pull": {"no_answer": bool, "passing": bool, "absent": bool},
    "service": {"keys": list, "sections": list, "outside": bool},
}
GROUPS = {
    "compose": {"service", "path", "file", "name", "key", "values", "line", "what", "text"},
    "dockerfile": {"line"},
    "service": {"thing", "path", "host"},
}
# The words that the code of each table adds to the groups of a pattern.
WORDS: dict[str, set[str]] = {
    "build_network": {"host", "proxy", "named"},
    "compose": {
        "path", "file", "text", "where", "is_service", "is_known", "guess", "value", "choices", "filled", "profile",
        "message",
    },
    "dockerfile": {"service"},
    "engine": {"login", "name", "port", "ssh"},
    "pull": {"host"},
    "service": {
        "service", "services", "user", "image", "engine", "foreign", "mount", "source", "thing", "peer", "self",
        "signal", "kind", "key",
    },
}  # fmt: skip
KINDS: dict[str, type] = {
    "patterns": list, "examples": list, "like": str, "cause": str, "hint": str, "text": str, "exit_code": int,
    "needs": list,
}  # fmt: skip
FLAGS = re.MULTILINE | re.IGNORECASE
ENTRIES = [(name, entry) for name in TABLES for entry in table.load(name)]


def written(name: str, entry: str) -> dict[str, Any]:
    """What the file says of an entry."""
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
def test_an_entry_follows_the_schema(name: str, entry: Entry) -> None:
    """It has an id in words, patterns of its own or those of an entry before it, and no key that nobody reads."""
    content = written(name, entry.id)
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", entry.id)
    assert content.keys() <= RESERVED | OPTIONS.get(name, {}).keys()
    kinds = KINDS | OPTIONS.get(name, {})
    assert [key for key, value in content.items() if not isinstance(value, kinds[key])] == []
    assert ("like" in content) != ("patterns" in content)
    assert ("patterns" in content) == ("examples" in content)
    assert entry.patterns
    assert entry.cause


@each
def test_a_pattern_matches_its_example(name: str, entry: Entry) -> None:
    """The examples are in the order of the patterns, one for each."""
    examples = written(name, written(name, entry.id).get("like", entry.id))["examples"]
    assert len(examples) == len(entry.patterns)
    for pattern, example in zip(entry.patterns, examples, strict=True):
        assert re.search(pattern, example, entry.flags), pattern


@each
def test_each_group_is_used(name: str, entry: Entry) -> None:
    """A group has a name, which is a word of a message, or is used by the code that reads the table."""
    alike = [other for other in table.load(name) if other.patterns == entry.patterns]
    messages = [text for other in alike for text in (other.cause, other.hint)]
    used = {word for text in messages for _, word, _, _ in string.Formatter().parse(text) if word}
    for pattern in map(re.compile, entry.patterns):
        assert pattern.groups == len(pattern.groupindex), pattern
        assert pattern.groupindex.keys() <= used | GROUPS.get(name, set()), pattern


@each
def test_each_word_of_a_message_is_known(name: str, entry: Entry) -> None:
    """It is a group of each pattern, or a word that the code adds."""
    words = {word for text in (entry.cause, entry.hint) for _, word, _, _ in string.Formatter().parse(text) if word}
    for pattern in map(re.compile, entry.patterns):
        assert words - pattern.groupindex.keys() <= WORDS.get(name, set()), pattern


def test_each_fragment_is_used() -> None:
    """In the table that defines it."""
    for name in TABLES:
        content = table.read(name)
        patterns = str([entry.get("patterns") for entry in content.values() if isinstance(entry, dict)])
        assert [fragment for fragment in content.get("fragments", {}) if f"(?&{fragment})" not in patterns] == []


def test_parse_fills_in_fragments_alternatives_and_patterns_of_other_entries() -> None:
    """Whatever is not a field of an entry is an option for the code that reads the table."""
    content = {
        "ignore_case": True,
        "fragments": {"name": r"(?P<name>\w+)"},
        "first": {"patterns": [["no (?&name)", "lost (?&name)"], "gone"], "examples": [], "cause": "a", "deep": True},
        "second": {"like": "first", "cause": "b", "hint": "c", "needs": ["name"], "exit_code": 3, "text": "check"},
    }
    first, second = table.parse(content)
    assert first == Entry(
        "first",
        (r"no (?P<name>\w+)|lost (?P<name>\w+)", "gone"),
        "a",
        flags=re.MULTILINE | re.IGNORECASE,
        options={"deep": True},
    )
    assert second == Entry("second", first.patterns, "b", "c", "check", 3, ("name",), first.flags)
