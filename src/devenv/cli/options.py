"""The options that every command takes, before or after its name."""

from __future__ import annotations

import contextlib
import itertools
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from devenv.errors import DevenvError

if TYPE_CHECKING:
    from devenv.config.load import Selection
    from devenv.ui.console import Console


class Output(StrEnum):
    """How to speak: to people, or as NDJSON."""

    TEXT = "text"
    JSON = "json"


Files = Annotated[list[str] | None, typer.Option("--file", "-f", help="Compose file; may be repeated.")]
Name = Annotated[str | None, typer.Option("--project-name", "-p", help="Name of the project.")]
Profiles = Annotated[list[str] | None, typer.Option("--profile", help="Profile to enable; may be repeated.")]
Format = Annotated[Output, typer.Option("--output", help="Text for people, or JSON events, one a line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only what matters.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also what the image builds print.")]

StandIns = Annotated[
    bool, typer.Option("--stand-ins", help="Where no registry answers, make stand-in images from packages.")
]
HostSettings = Annotated[
    bool,
    typer.Option(
        "--host-settings", help="Give builds and containers this machine's package registries, proxies and CA."
    ),
]

WITH_VALUE = frozenset({"-f", "--file", "-p", "--project-name", "--profile", "--output"})
OURS_ALONE = frozenset({"--output", "-q", "--quiet", "-v", "--verbose"})


def split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Options before the command, the command, what comes after it."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in WITH_VALUE else 1
    verb = arguments[index] if index < len(arguments) else None
    return arguments[:index], verb, arguments[index + 1 :]


def values(arguments: list[str], *names: str) -> list[str]:
    """What a command line says for an option of these names: `-f X`, `-fX`, `--file X` and `--file=X` alike."""
    found = [value for name, value in itertools.pairwise(arguments) if name in names]
    for argument in arguments:
        for name in names:
            begins = f"{name}=" if name.startswith("--") else name
            if argument.startswith(begins) and argument != name:
                found.append(argument.removeprefix(begins).removeprefix("="))
    return found


def are_shared(arguments: list[str]) -> bool:
    """Whether these are but options of our `config`: with any other, it is Compose's own."""
    rest = iter(arguments)
    for argument in rest:
        name, sign, value = argument.partition("=")
        if name in WITH_VALUE:
            value = value if sign else next(rest, "")
        elif name not in ("-h", "--help", "--validate", "--schema"):
            return False
        if name == "--output" and value not in tuple(Output):
            return False  # Compose's own --output names a file
    return True


def wanted_output(arguments: list[str]) -> Output:
    """The format that a command line asks for, also where it was not understood as a whole."""
    pairs = itertools.pairwise(arguments)
    asked = "--output=json" in arguments or ("--output", "json") in pairs
    return Output.JSON if asked else Output.TEXT


def worktree_name(before: list[str]) -> str | None:
    """The name that a project has by the git worktree that it lies in, where these options do not name one.

    What is wrong with its files, Compose is to say.
    """
    from devenv.config.sources import find, read  # noqa: PLC0415 - only for verbs that are not ours
    from devenv.config.worktree import project_name, worktree  # noqa: PLC0415 - as above

    if values(before, "-p", "--project-name", "--project-directory"):
        return None
    with contextlib.suppress(DevenvError):
        paths = find(os.getcwd(), tuple(values(before, "-f", "--file")))
        if worktree(os.path.dirname(paths[0])):
            return project_name(read(paths, base=os.getcwd()))
    return None


def selection(
    files: list[str] | None, name: str | None, profiles: list[str] | None, services: list[str] | None = None
) -> Selection:
    """Which project the command line means."""
    from devenv.config.load import Selection  # noqa: PLC0415 - `--help` must not pay for it

    return Selection(os.getcwd(), tuple(files or ()), name, tuple(profiles or ()), tuple(services or ()))


def console(output: Output = Output.TEXT, *, quiet: bool = False, verbose: bool = False) -> Console:
    """The window that this command speaks through."""
    from devenv.ui.console import Console  # noqa: PLC0415 - as above

    return Console(as_json=output is Output.JSON, quiet=quiet, verbose=verbose)
