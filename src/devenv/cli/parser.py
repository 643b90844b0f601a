"""typer reads the options of a command and prints help."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer
from typer import Option

from devenv.cli import options, registry
from devenv.cli.errors import explained, unknown_command
from devenv.cli.registry import Command
from devenv.errors import UsageError, did_you_mean

HELP = """Run Docker Compose projects while you develop: start, sync, save the data, clean up.

Any other command (exec, run, stop, ...) is passed to `docker compose` with this project's files and name.
"""


def invoke(name: str, arguments: list[str]) -> int:
    """Run a command of the registry, or `devenv` without one (""), and return its exit code.

    Raises UsageError for arguments that it does not take.
    """
    app = new_app()
    add_command(app, name, registry.COMMANDS[name] if name else registry.STATUS)
    return _run(app, f"devenv {name}".rstrip(), arguments)


def print_help(words: list[str]) -> int:
    """Print the help of a command, of a group, or of devenv (no words). Raises UsageError for an unknown command."""
    first, *rest = [word for word in words if word not in ("-h", "--help")] or [""]
    if first.startswith("-"):
        raise UsageError(f"`devenv help` has no option `{first}`", hint="devenv help")
    member, *more = (rest if first in registry.GROUPS else []) or [""]
    name = f"{first} {member}".rstrip()
    if name in registry.COMMANDS:
        return invoke(name, [*(more if member else rest), "--help"])
    if not name:
        return _run(_overview(), "devenv", ["--help"])
    if name in registry.GROUPS:
        return _run(_overview(name), f"devenv {name}", ["--help"])
    raise unknown_member(first, member) if member else unknown_command(first, registry.names())


def unknown_member(group: str, word: str | None) -> UsageError:
    """The error for a group whose command is missing (None) or unknown."""
    known = registry.members(group)
    if word is None:
        return UsageError(f"`devenv {group}` takes a command", hint=did_you_mean("", known))
    return unknown_command(word, known, f"devenv {group}")


def new_app() -> typer.Typer:
    """An app without a command."""
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def add_command(app: typer.Typer, name: str, command: Command) -> None:
    """Import a command's module and add its function to the app."""
    module, _, function = command.function.partition(":")
    body = getattr(importlib.import_module(f"devenv.cli.commands.{module}"), function)
    app.command(name.rpartition(" ")[2])(options.with_shared(body, command.shared))


def shared(*, version: Annotated[bool, Option("--version", help="Print the version and exit.")] = False) -> None:
    """Options of `devenv` itself."""


def _overview(group: str = "") -> typer.Typer:
    """The names of all commands with their help, or of those of a group; none of their modules is imported."""
    app = new_app()
    if group:
        app.callback(help=registry.GROUPS[group].help)(lambda: None)
        shown = {name: command.help for name, command in registry.members(group).items()}
    else:
        app.callback(help=HELP)(shared)
        shown = registry.names()
    for name, text in shown.items():
        app.command(name, help=text)(lambda: None)
    return app


def _run(app: typer.Typer, program: str, arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name=program, standalone_mode=False)
    except typer.TyperException as error:
        raise explained(error, program) from None
    return code if isinstance(code, int) else 0
