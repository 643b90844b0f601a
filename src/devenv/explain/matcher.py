"""Find the cause of an error: the first entry of a table that matches the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from devenv.explain.table import OUTPUT, Entry

# The entry, the groups of its pattern (empty if they match nothing), and the index of the line -> the words for cause
# and hint; None if the entry does not apply.
FindWords = Callable[[Entry, Mapping[str, str], int], Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The entry that matches, the words for its messages, and the index of the line of the text that shows it."""

    entry: Entry
    words: Mapping[str, str]
    line: int

    @property
    def cause(self) -> str:
        """Why it failed, with the words filled in. Raises KeyError for a word that nobody knows."""
        return self.entry.cause.format_map(self.words)

    @property
    def hint(self) -> str:
        """What to do, with the words filled in; empty if there is no hint."""
        return self.entry.hint.format_map(self.words)


def explain(
    table: Iterable[Entry],
    texts: str | Mapping[str, str],
    find_words: FindWords = lambda _entry, groups, _line: groups,
    *,
    exit_code: int | None = None,
) -> Explanation | None:
    """The explanation by the first entry that matches; None if no entry does.

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
