"""src/devenv/cli/completion_table.py, made from the commands themselves: for write-pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from scripts.command_tree import command_tree

# What a parameter of this name stands for; what is not here is any text.
ARGUMENTS = {
    "archive": "file", "directory": "file", "file": "file", "image": "service", "name": "snapshot",
    "names": "snapshot", "other": "service", "paths": "file", "service": "service", "services": "service",
    "template": "template", "what": "addition", "words": "service",
}  # fmt: skip
OPTIONS = {"file": "file", "profile": "profile", "report": "file", "source": "file", "to": "service"}
HEAD = '''"""What can be typed after `devenv`, for completion, which has no time to import the commands.

Made by scripts/write-pages from the commands; of each its help, its options with what they take and their help, and
its arguments. `*` marks one that may be repeated; `|` stands between choices; flags take nothing.
"""

from __future__ import annotations

# ruff: noqa: E501 - made, not written
# fmt: off
WORDS: dict[str, tuple[str, dict[str, tuple[str, str]], tuple[str, ...]]] = {
'''


def pages() -> dict[str, str]:
    """Path from the root -> text of the file that is made here."""
    return {"src/devenv/cli/completion_table.py": f"{HEAD}{''.join(_entries())}}}\n# fmt: on\n"}


def _entries() -> Iterator[str]:
    group: Any = command_tree()
    yield from _entry("", group)
    for name, command in group.commands.items():
        yield from _entry(name, command)
        for part in getattr(command, "commands", {}):
            yield from _entry(f"{name} {part}", command.commands[part])


def _entry(name: str, command: Any) -> Iterator[str]:
    options, arguments = {}, []
    for one in command.params:
        if one.param_type_name == "argument":
            arguments.append(_taken(one, ARGUMENTS) + ("*" if one.nargs != 1 else ""))
            continue
        taken = "" if one.is_flag or one.count else _taken(one, OPTIONS)
        for spelling in (*one.opts, *one.secondary_opts):
            options[spelling] = (taken, one.help or "")
    yield f"    {_said(name)}: ({_said(_first(command.help))}, {{\n"
    for spelling, (taken, told) in options.items():
        yield f"        {_said(spelling)}: ({_said(taken)}, {_said(_first(told))}),\n"
    listed = ", ".join(map(_said, arguments))
    yield f"    }}, ({listed}{',' if len(arguments) == 1 else ''})),\n"


def _taken(parameter: Any, names: dict[str, str]) -> str:
    choices = getattr(parameter.type, "choices", None)
    return "|".join(choices) if choices else names.get(parameter.name, "text")


def _first(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def _said(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
