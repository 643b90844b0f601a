"""docs/commands.md and a page for each command, from the command line: for write-pages.

The part of a page below the line `<!-- end -->` is written by hand, and kept.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scripts import schemas
from scripts.command_tree import command_tree

from devenv import errors
from devenv.cli import registry
from devenv.cli.overview import HELP

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- Made by scripts/write-pages from the command line, down to the next such line: edit there. -->"
END = "<!-- end -->"
SHARED = ("file", "on", "project_name", "isolated", "profile", "output", "quiet", "verbose")
# What exit code 1 means, where it means more than a failure of the command.
FAILURES = {
    "up": "a service, a build or a hook failed, or something is left after the run",
    "down": "something of the run is left",
    "sync": "a path could not be synced, or differs",
    "settle": "a save is not in effect, or a service does not work",
    "gc": "something is left",
    "shell": "the service does not run; otherwise, the code is that of the program in the container",
    "doctor": "a finding is an error",
}


def pages() -> dict[str, str]:
    """Path from the root -> text of the index and of the page of every command."""
    group: Any = command_tree()
    shown = {name: command for name, command in group.commands.items() if not command.hidden}
    heads = {f"docs/commands/{name}.md": _command(name, command) for name, command in shown.items()}
    heads["docs/commands.md"] = _index(group)
    return {path: "\n".join(lines) + f"\n\n{END}\n" + _by_hand(ROOT / path) for path, lines in heads.items()}


def _by_hand(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition(f"{END}\n")[2] if path.exists() else "\n## Examples\n"


def _index(group: Any) -> Iterator[str]:
    yield from ("# Commands", "", MADE, "", HELP.strip())
    for name, text in registry.names().items():
        if name in registry.SECTIONS:
            yield from ("", f"## {registry.SECTIONS[name]}", "", "| command | |", "|---|---|")
        yield f"| [`devenv {name}`](commands/{name}.md) | {text} |"
    yield from ("", "## Common options", "", "Before or after the command; `--version` stands alone.", "")
    of_devenv = [parameter for parameter in group.params if not parameter.hidden and parameter.name != "help"]
    of_commands = [parameter for parameter in group.commands["up"].params if parameter.name in SHARED]
    yield from _options([*of_commands, *of_devenv])
    yield from ("", "`--isolated` is explained in [Several checkouts at once](reference/isolation.md).")
    yield from ("", "## Exit codes", "", "| code | |", "|---|---|", "| 0 | Done. |")
    below = (kind for kind in errors.DevenvError.__subclasses__() if kind.__module__ == errors.__name__)
    kinds: list[type[errors.DevenvError]] = [errors.DevenvError, *below]
    for kind in kinds:
        meaning = "Failed." if kind is errors.DevenvError else (inspect.getdoc(kind) or "").partition("\n")[0]
        yield f"| {kind.exit_code} | {meaning} |"
    yield "| 70 | A bug of devenv; the message names the file with the traceback. |"
    yield "| 130, 143, 129 | Ended by INT, TERM or HUP, and cleaned up. |"


def _command(name: str, command: Any) -> Iterator[str]:
    yield from (f"# devenv {name}", "", MADE)
    yield from _usage(f"devenv {name}", command)
    below = {key: member for key, member in getattr(command, "commands", {}).items() if not member.hidden}
    for key, member in below.items():
        yield from ("", f"## devenv {name} {key}")
        yield from _usage(f"devenv {name} {key}", member)
    yield from ("", "## Output and exit codes", "")
    for key in [f"{name} {key}" for key in below] or [name]:
        yield f"- {_output(key)}"
    failure = f"1: {FAILURES[name]}. " if name in FAILURES else ""
    yield f"- Exit codes: {failure}[All codes](../commands.md#exit-codes)."


def _output(name: str) -> str:
    if "output" not in registry.COMMANDS[name].shared and name != "graph":
        return "It prints no JSON."
    first, _, second = name.partition(" ")
    group = registry.GROUPS.get(first)
    document = first if group and second == group.default else name
    with_json = f"With `--output json`, {f'`devenv {name}`' if group else 'it'} prints"
    if document in schemas.DOCUMENTS:
        anchor = f"devenv-{document}".replace(" ", "-")
        return f"{with_json} [one document](../json.md#{anchor}) ([schema](../schemas/documents.json))."
    return f"{with_json} [events](../json.md#events) ([schema](../schemas/events.json))."


def _usage(name: str, command: Any) -> Iterator[str]:
    """Description, synopsis, arguments and options."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    words = ["COMMAND"] if getattr(command, "commands", None) else [_argument(argument) for argument in arguments]
    yield from ("", inspect.cleandoc(command.help or ""), "")
    yield f"```text\n{' '.join([name, '[OPTIONS]', *words])}\n```"
    if described := [argument for argument in arguments if argument.help]:
        yield from ("", "| argument | |", "|---|---|")
        yield from (f"| `{cell(_argument(argument))}` | {cell(argument.help)} |" for argument in described)
    if own := [parameter for parameter in command.params if _is_own(parameter)]:
        yield ""
        yield from _options(own)
    if any(parameter.name == "file" for parameter in command.params):
        yield from ("", "It also takes the [common options](../commands.md#common-options).")


def _is_own(parameter: Any) -> bool:
    shared = parameter.name in SHARED and (
        parameter.name != "output" or [*parameter.type.choices] == ["text", "json"]
    )
    return parameter.param_type_name == "option" and not parameter.hidden and not shared and parameter.name != "help"


def _argument(argument: Any) -> str:
    text = argument.metavar or str(argument.name).upper().strip("_")
    text = text if argument.nargs == 1 or "..." in text else f"{text}..."
    return text if argument.required or text.startswith("[") else f"[{text}]"


def _options(options: Iterable[Any]) -> Iterator[str]:
    yield from ("| option | |", "|---|---|")
    for option in options:
        spellings = ", ".join(f"`{name}`" for name in [*sorted(option.opts, key=len), *option.secondary_opts])
        more = ["May be repeated." if option.multiple and "may be repeated" not in (option.help or "") else ""]
        takes_value = not option.is_flag and not option.count
        if takes_value and option.default and isinstance(option.default, str | int | float):
            more.append(f"Default: {f'{option.default:g}' if isinstance(option.default, float) else option.default}.")
        value = f" `{_value(option)}`" if takes_value else ""
        yield f"| {spellings}{value} | {cell(' '.join(filter(None, (option.help or '', *more))))} |"


def _value(option: Any) -> str:
    choices = getattr(option.type, "choices", None)
    text = option.metavar or ("|".join(map(str, choices)) if choices else str(option.name).upper())
    return str(text).replace("|", "\\|")


def cell(text: str) -> str:
    """The text as one cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()
