"""All commands of devenv with their options, as typer builds them: for write-pages."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.main import get_command

from devenv.cli import overview, parser, registry


def shared(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False
) -> None:
    """Options of `devenv` itself."""


def command_tree() -> Any:
    """The group of all commands; `commands` of this group and of each group below maps names to commands."""
    app = parser.new_app()
    app.callback(help=overview.HELP)(shared)
    for name in registry.names():
        if group := registry.GROUPS.get(name):
            inner = parser.new_app()
            for member, command in registry.members(name).items():
                parser.add_command(inner, member, command)
            app.add_typer(inner, name=name, help=group.help)
        else:
            parser.add_command(app, name, registry.COMMANDS[name])
    return get_command(app)
