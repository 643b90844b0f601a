"""The tables of causes, `tables/*.toml`: each entry has the patterns of an error, its cause, and a hint.

A header `[id]` starts an entry. Its keys:

- `patterns`: regular expressions, tried in order; `^` matches at each line. A list in it holds alternatives of one
  pattern. `(?&name)` stands for one of `[fragments]`.
- `examples`: for each pattern a text that it matches.
- `like`: instead of both, the id of the entry whose patterns are used.
- `cause`, `hint`: the message. `{name}` is a group of the pattern, or a word that the code adds.
- `text`: the name of the text to search, if the code has several. `exit_code`: the entry counts for this code only.
- `needs`: words that must not be empty.
- other keys are options for the code that reads the table.

`ignore_case = true` before the first header is for all patterns of the file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OUTPUT = "output"
RESERVED = frozenset({"patterns", "examples", "like", "cause", "hint", "text", "exit_code", "needs"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One cause of a table; see the module for the fields."""

    id: str
    patterns: tuple[str, ...]
    cause: str
    hint: str = ""
    text: str = OUTPUT
    exit_code: int | None = None
    needs: tuple[str, ...] = ()
    flags: int = re.MULTILINE
    options: Mapping[str, Any] = field(default_factory=dict)


@functools.cache
def load(name: str) -> tuple[Entry, ...]:
    """The entries of `tables/<name>.toml`, in the order of the file."""
    return parse(read(name))


def read(name: str) -> dict[str, Any]:
    """The content of `tables/<name>.toml`."""
    import tomllib  # noqa: PLC0415 - only an error needs a table
    from importlib import resources  # noqa: PLC0415 - only an error needs a table

    file = resources.files("devenv.explain").joinpath("tables", f"{name}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def parse(content: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The entries of a table's content, with the fragments filled in."""
    fragments = content.get("fragments", {})
    flags = re.MULTILINE | (re.IGNORECASE if content.get("ignore_case") else 0)
    tables = {key: value for key, value in content.items() if isinstance(value, dict) and key != "fragments"}
    return tuple(
        Entry(
            id=key,
            patterns=tuple(_filled(pattern, fragments) for pattern in tables[entry.get("like", key)]["patterns"]),
            cause=entry["cause"],
            hint=entry.get("hint", ""),
            text=entry.get("text", OUTPUT),
            exit_code=entry.get("exit_code"),
            needs=tuple(entry.get("needs", ())),
            flags=flags,
            options={name: value for name, value in entry.items() if name not in RESERVED},
        )
        for key, entry in tables.items()
    )


def _filled(pattern: str | list[str], fragments: Mapping[str, str]) -> str:
    text = pattern if isinstance(pattern, str) else "|".join(pattern)
    return re.sub(r"\(\?&(\w+)\)", lambda match: fragments[match[1]], text)
