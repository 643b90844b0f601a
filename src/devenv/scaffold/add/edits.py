"""Changes of a text that can be taken back, and edits that can be made again in another text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One place of a text that was edited: from character `at` on, `new` took the place of `old`."""

    at: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Step:
    """An edit that can be made again: `verb` is `insert` or `depend`, `text` its entry or name."""

    verb: str
    path: tuple[str | int, ...]
    text: str


def undone(text: str, changes: Sequence[Change]) -> str | None:
    """The text before the changes, which were made in this order; None if it does not have what they put in."""
    for change in reversed(changes):
        end = change.at + len(change.new)
        if text[change.at : end] != change.new:
            return None
        text = text[: change.at] + change.old + text[end:]
    return text


def change(before: str, after: str) -> Change:
    """Return the smallest change in one place that leads from one text to the other."""
    shorter = min(len(before), len(after))
    head = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    tail = next((n for n in range(shorter - head) if before[~n] != after[~n]), shorter - head)
    return Change(head, before[head : len(before) - tail], after[head : len(after) - tail])
