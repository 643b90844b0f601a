"""src/devenv/cli/completion_table.py, made from the commands themselves: for write-pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from scripts.command_tree import command_tree

from devenv.cli import registry

# What a parameter of this name takes; any other takes text.
ARGUMENTS = {
    "archive": "file", "directory": "file", "file": "file", "image": "service", "name": "snapshot",
    "names": "snapshot", "other": "service", "paths": "file", "service": "service", "services": "service",
    "template": "template", "what": "addition", "words": "service",
}  # fmt: skip
OPTIONS = {"file": "file", "profile": "profile", "report": "file", "source": "file", "to": "service"}
HEAD = '''"""The options and arguments of all commands, for completion, which has no time to import the commands.

Made by scripts/write-pages from the commands. `*` marks an argument that may be repeated, `|` separates choices, a
flag takes nothing. Of each command: its own options, the spellings of the shared ones, and its arguments.
"""

from __future__ import annotations

# ruff: noqa: E501 - made, not written
# fmt: off
Options = dict[str, tuple[str, str]]  # spellings -> what the option takes, its help
'''
Options = dict[str, tuple[str, str]]  # spellings -> what the option takes, its help


def pages() -> dict[str, str]:
    """Path from the root -> text of the file that is made here."""
    return {"src/devenv/cli/completion_table.py": HEAD + "\n".join(_lines()) + "\n# fmt: on\n"}


def _lines() -> Iterator[str]:
    tree = command_tree()
    commands = {"": tree}
    for name in registry.COMMANDS:
        group, _, member = name.partition(" ")
        commands[name] = tree.commands[group].commands[member] if member else tree.commands[name]
    options = {name: _options(command) for name, command in commands.items()}
    shared = {
        spelling: option for spelling, option in options["up"].items() if option == options["down"].get(spelling)
    }
    shared |= {"--verbose -v": options["up"]["--verbose -v"]}
    yield "SHARED: Options = {"
    yield from map(_option, shared.items())
    yield "}"
    yield "COMMANDS: dict[str, tuple[Options, str, tuple[str, ...]]] = {"
    for name, its in options.items():
        own = {spelling: option for spelling, option in its.items() if shared.get(spelling) != option}
        common = " ".join(spelling for spelling in its if shared.get(spelling) == its[spelling])
        arguments = [one for one in commands[name].params if one.param_type_name == "argument"]
        kinds = tuple(_kind(one, ARGUMENTS) + ("*" if one.nargs != 1 else "") for one in arguments)
        yield f"    {_quoted(name)}: ({{"
        yield from (f"    {_option(one)}" for one in own.items())
        yield f"    }}, {_quoted(common)}, {_tuple(kinds)}),"
    yield "}"


def _options(command: Any) -> Options:
    options = {}
    for one in command.params:
        if one.param_type_name == "option":
            takes = "" if one.is_flag or one.count else _kind(one, OPTIONS)
            options[" ".join((*one.opts, *one.secondary_opts))] = (takes, (one.help or "").strip().partition("\n")[0])
    return options


def _kind(parameter: Any, names: dict[str, str]) -> str:
    choices = getattr(parameter.type, "choices", None)
    return "|".join(choices) if choices else names.get(parameter.name, "text")


def _option(option: tuple[str, tuple[str, str]]) -> str:
    spellings, (takes, text) = option
    return f"    {_quoted(spellings)}: ({_quoted(takes)}, {_quoted(text)}),"


def _tuple(words: tuple[str, ...]) -> str:
    return f"({', '.join(map(_quoted, words))}{',' if len(words) == 1 else ''})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
