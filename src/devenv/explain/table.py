"""Find the cause of an error in a table, `tables/*.toml`: the first entry that matches the text counts.

A header `[id]` starts an entry. Its keys:

- `patterns`: regular expressions, tried in order; `^` matches at each line. A nested list holds alternatives of one
  pattern. `(?&name)` stands for one of `[fragments]`.
- `examples`: for each pattern a text that it matches.
- `like`: instead of both, the id of the entry whose patterns are used.
- `cause`, `hint`: the message. `{name}` is a group of the pattern, or a word that the code adds.
- `text`: the name of the text to search, if the code has several. `exit_code`: the entry counts for this code only.
- `needs`: words that must not be empty.
- other keys are options for the code that reads the table, and so are the tables `[keys]` and `[versions]`.

`ignore_case = true` before the first header applies to all patterns of the file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from devenv import package_text
from devenv.lazy_dataclass import dataclass

OUTPUT = "output"
DATA = ("fragments", "keys", "versions")  # tables of a file that are not entries
RESERVED = frozenset({"patterns", "examples", "like", "cause", "hint", "text", "exit_code", "needs"})


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One cause in a table; the module's docstring explains the fields."""

    id: str
    patterns: tuple[str, ...]
    cause: str = ""
    hint: str = ""
    text: str = OUTPUT
    exit_code: int | None = None
    needs: tuple[str, ...] = ()
    flags: int = re.MULTILINE
    options: Mapping[str, Any] = field(default_factory=dict)


# The entry, the groups of its pattern (empty if they match nothing), and the index of the line -> the words for cause
# and hint; None if the entry does not apply.
FindWords = Callable[[TableEntry, Mapping[str, str], int], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The matching entry, the words for its messages, and the index of the text's line that matched."""

    entry: TableEntry
    words: Mapping[str, str]
    line: int

    @property
    def cause(self) -> str:
        """The cause, with the words filled in. Raises KeyError for an unknown word."""
        return self.entry.cause.format_map(self.words)

    @property
    def hint(self) -> str:
        """The hint, with the words filled in; empty if there is no hint."""
        return self.entry.hint.format_map(self.words)


def explain(
    table: Iterable[TableEntry],
    texts: str | Mapping[str, str],
    find_words: FindWords = lambda _entry, groups, _line: groups,
    *,
    exit_code: int | None = None,
) -> Explanation | None:
    """The explanation by the first matching entry; None if no entry matches.

    Each pattern of an entry is searched in the text that the entry names, and counts at its first match only.
    """
    by_name = {OUTPUT: texts} if isinstance(texts, str) else texts
    for entry in table:
        if entry.exit_code not in (None, exit_code):
            continue
        text = by_name[entry.text]
        for match in filter(None, (re.search(pattern, text, entry.flags) for pattern in entry.patterns)):
            line = text.count("\n", 0, match.start())
            words = find_words(entry, match.groupdict(""), line)
            if words is not None and all(words.get(name) for name in entry.needs):
                return Explanation(entry, words, line)
    return None


@functools.cache
def load(name: str) -> tuple[TableEntry, ...]:
    """The entries of `tables/<name>.toml`, in the order of the file."""
    return parse(read(name))


def read(name: str) -> dict[str, Any]:
    """The content of `tables/<name>.toml`."""
    return data(f"explain/tables/{name}.toml")


def data(path: str) -> dict[str, Any]:
    """The content of a TOML file of the package, by its path in the package."""
    import tomllib  # noqa: PLC0415 - only an error needs a table

    return tomllib.loads(package_text(path))


def parse(content: Mapping[str, Any]) -> tuple[TableEntry, ...]:
    """The entries of a table's content, with the fragments filled in."""
    fragments = content.get("fragments", {})
    flags = re.MULTILINE | (re.IGNORECASE if content.get("ignore_case") else 0)
    tables = {key: value for key, value in content.items() if isinstance(value, dict) and key not in DATA}
    return tuple(
        TableEntry(
            id=key,
            patterns=tuple(filled(pattern, fragments) for pattern in tables[entry.get("like", key)]["patterns"]),
            cause=entry.get("cause", ""),
            hint=entry.get("hint", ""),
            text=entry.get("text", OUTPUT),
            exit_code=entry.get("exit_code"),
            needs=tuple(entry.get("needs", ())),
            flags=flags,
            options={name: value for name, value in entry.items() if name not in RESERVED},
        )
        for key, entry in tables.items()
    )


def filled(pattern: str | list[str], fragments: Mapping[str, str]) -> str:
    """A pattern, or alternatives as one pattern, with the fragments filled in."""
    text = pattern if isinstance(pattern, str) else "|".join(pattern)
    return re.sub(r"\(\?&(\w+)\)", lambda match: fragments[match[1]], text)
