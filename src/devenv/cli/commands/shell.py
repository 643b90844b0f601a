"""`devenv shell`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Name, Profiles
from devenv.errors import UsageError

with LazyImports():
    import anyio

    from devenv.docker import process
    from devenv.inspect import shell as workflow


def shell(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE] [-- COMMAND...]", help="The service, and a command to run instead of a shell."
        ),
    ] = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
) -> None:
    """Open a shell in a service's container, or run a command there."""
    given = list(words or ())
    cut = given.index("--") if "--" in given else len(given)
    services, command = given[:cut], given[cut + 1 :]
    if len(services) > 1:
        hint = f"devenv shell {services[0]} -- {' '.join(services[1:])}"
        raise UsageError("`shell` takes one service; a command comes after --", hint=hint)
    chosen = options.selection(file, project_name, profile)
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    service = services[0] if services else None
    argv = anyio.run(lambda: workflow.shell(chosen, service, command, _ask if asks else None, tty=tty))
    process.exec_replace(argv, {"DOCKER_CLI_HINTS": "false"})


def _ask(names: Sequence[str]) -> str:
    window = options.console()
    for number, name in enumerate(names, 1):
        window.aside(f"  {number}  {name}")
    while True:
        try:
            return workflow.answer(options.prompt("Which service").strip(), names)
        except UsageError as error:
            window.aside(f"{error.message}. {error.hint}")
        except typer.Abort:
            window.aside("")
            raise typer.Exit(130) from None
