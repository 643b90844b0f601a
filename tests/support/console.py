"""The commands of a page: what its `sh` blocks tell people to run, and the output that its `text` blocks show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUANTITY = re.compile(r"\d+(?:\.\d+)?(?: ?(?:ms|s|min|h|[kMG]?B)\b)?")
FENCE = re.compile(r"^ *```(.*)\n((?:.*\n)*?) *```$", re.MULTILINE)
INTERRUPT = "^C"
FILES = frozenset({"toml", "yaml"})  # blocks that show the content of a file


@dataclass(frozen=True)
class Typed:
    """One command, and the lines of output that the page shows below it."""

    command: str
    shown: tuple[str, ...] = ()

    def missing(self, output: str) -> list[str]:
        """The lines shown that are not part of a line of the output; numbers and spaces may differ."""
        lines = [_plain(line) for line in output.splitlines()]
        return [line for line in self.shown if not any(_plain(line) in line_ for line_ in lines)]


def typed(page: str) -> list[Typed]:
    """All commands of a page, by its path from the root, in order."""
    return commands((ROOT / page).read_text(encoding="utf-8"))


def commands(text: str) -> list[Typed]:
    """Every line of the `sh` blocks of a Markdown text, in order, and `^C` in its `text` blocks.

    A `text` block is the output of the command before it.

    Raises:
        ValueError: A block that no test could run (another mark, or output without a command), or a line that cannot
            be pasted into every shell: with a prompt or, since zsh has no comments in a terminal, with a comment.

    """
    commands_: list[Typed] = []
    blocks = FENCE.findall(text)
    if 2 * len(blocks) != len(re.findall(r"^ *```", text, re.MULTILINE)):
        msg = "a block does not end"
        raise ValueError(msg)
    for mark, block in blocks:
        lines = [line.rstrip() for line in block.splitlines() if line.strip()]
        if mark == "sh":
            commands_ += [Typed(_pasted(line.strip())) for line in lines]
        elif mark == "text":
            _show(commands_, lines)
        elif mark not in FILES:
            msg = f"a block marked `{mark}` is never run: mark commands `sh` and their output `text`"
            raise ValueError(msg)
    return commands_


def _pasted(line: str) -> str:
    if line.startswith(("$", "#")) or " #" in line:
        msg = f"cannot be copied and pasted: {line}"
        raise ValueError(msg)
    return line


def _show(commands: list[Typed], lines: list[str]) -> None:
    for line in lines:
        if line == INTERRUPT:
            commands.append(Typed(INTERRUPT))
        elif commands:
            commands[-1] = Typed(commands[-1].command, (*commands[-1].shown, line))
        else:
            msg = f"output without a command: {line}"
            raise ValueError(msg)


def _plain(line: str) -> str:
    return QUANTITY.sub("N", " ".join(line.split()))
