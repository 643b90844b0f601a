"""Files that tools generate in a folder, by the table `generated.toml`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from devenv.explain import table

TABLE = table.data("sync/rules/generated.toml")


def made_in(path: str) -> Iterator[str]:
    """Patterns for files that tools generate in a folder, now or later."""
    present, files = TABLE["present"], set[str]()
    for _, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in present and not name.startswith(".")]
        files.update(names)
    patterns_made = [
        pattern
        for kind, patterns in TABLE["made"]
        if any(re.fullmatch(kind, name) for name in files)
        for pattern in patterns
    ]
    yield from patterns_made
    existing = os.listdir(path)
    yield from (f"{name}/" for name in present if name in existing and f"**/{name}/" not in patterns_made)
