"""The command lines of a page: what its `console` blocks tell people to type, and what they say comes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUANTITY = re.compile(r"\d+(?:\.\d+)?(?: ?(?:ms|s|min|h|[kMG]?B)\b)?")
INTERRUPT = "^C"


@dataclass(frozen=True)
class Typed:
    """One command, without its comment, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...] = ()

    def missing(self, said: str) -> list[str]:
        """Shown lines that are not part of a line of `said`; quantities may be others, and spaces more."""
        lines = [_plain(line) for line in said.splitlines()]
        return [line for line in self.shown if not any(_plain(line) in one for one in lines)]


def typed(page: str) -> list[Typed]:
    """Every command of a page, by its path from the root, in order; in a block without `$` each line is one."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[Typed] = []
    for block in re.findall(r"^ *```console\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        lines = [line.strip() if line.lstrip().startswith("$ ") else line for line in block.splitlines()]
        prompts = any(line.startswith("$ ") for line in lines)
        for line in filter(None, lines):
            if line.startswith("$ ") or line == INTERRUPT or not prompts:
                found.append(Typed(re.sub(r" +# .*", "", line.removeprefix("$ "))))
            else:
                found[-1] = Typed(found[-1].command, (*found[-1].shown, line))
    return found


def _plain(line: str) -> str:
    return QUANTITY.sub("N", " ".join(line.split()))
