"""The options that every command takes, before or after its name."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from devenv.cli.lazy import LazyImports
from devenv.errors import DevenvError

with LazyImports():
    from devenv import events
    from devenv.compose import files as compose_files
    from devenv.compose import identity
    from devenv.compose import selection as selections
    from devenv.docker import trace as tracing
    from devenv.ui import console as consoles


class Output(StrEnum):
    """How to speak: to people, or as NDJSON."""

    TEXT = "text"
    JSON = "json"


Files = Annotated[list[str] | None, typer.Option("--file", "-f", help="Compose file; may be repeated.")]
Name = Annotated[str | None, typer.Option("--project-name", "-p", help="Project name.")]
Profiles = Annotated[list[str] | None, typer.Option("--profile", help="Profile to enable; may be repeated.")]
Format = Annotated[Output, typer.Option("--output", help="Print text, or one JSON object per line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and problems only.")]

StandIns = Annotated[
    bool, typer.Option("--stand-ins", help="If no registry answers, build stand-in images from packages.")
]
HostSettings = Annotated[
    bool,
    typer.Option(
        "--host-settings", help="Pass this machine's package registries, proxies and CA to builds and containers."
    ),
]

WITH_VALUE = frozenset({"-f", "--file", "-p", "--project-name", "--profile", "--output"})
OURS_ALONE = frozenset({"--output", "-q", "--quiet"})
# Of `docker compose`, before a verb of its own.
COMPOSE = frozenset({"--all-resources", "--compatibility", "--dry-run", "--no-ansi"})
COMPOSE_WITH_VALUE = frozenset(
    {"--ansi", "--env-file", "--parallel", "--progress", "--project-directory", "--workdir"}
)


@dataclass
class Asked:
    """How the command line that is being run wants to be answered."""

    output: Output = Output.TEXT
    verbosity: int = 0


asked = Asked()


def split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Options before the command, the command, what comes after it."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in WITH_VALUE | COMPOSE_WITH_VALUE else 1
    verb = arguments[index] if index < len(arguments) else None
    return arguments[:index], verb, arguments[index + 1 :]


def verbosity(before: list[str]) -> tuple[int, list[str]]:
    """How often `-v` stands before the command, and the other options: `down` has a `-v` of its own."""
    counts = [1 if word == "--verbose" else len(word) - 1 if re.fullmatch("-v+", word) else 0 for word in before]
    return sum(counts), [word for word, count in zip(before, counts, strict=True) if not count]


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
    if values(before, "-p", "--project-name", "--project-directory"):
        return None
    with contextlib.suppress(DevenvError):
        paths = compose_files.find(os.getcwd(), tuple(values(before, "-f", "--file")))
        if identity.worktree(os.path.dirname(paths[0])):
            return identity.project_name(compose_files.read(paths, base=os.getcwd()))
    return None


def selection(
    files: list[str] | None, name: str | None, profiles: list[str] | None, services: list[str] | None = None
) -> selections.Selection:
    """Which project the command line means."""
    return selections.Selection(os.getcwd(), tuple(files or ()), name, tuple(profiles or ()), tuple(services or ()))


def begin(arguments: list[str]) -> None:
    """A command line begins: how it wants to be answered, and nothing is said of what is run so far."""
    global asked  # noqa: PLW0603 - one process, one command line
    if asked.verbosity:
        tracing.listen(None)
    asked = Asked(wanted_output(arguments))


def trace(more: int) -> None:
    """From now on what is run is said, and with two, what the engine is asked."""
    asked.verbosity += more
    if more:
        console()


def console(output: Output | None = None, *, quiet: bool = False) -> consoles.Console:
    """The window that this command speaks through, also of what it runs where that was asked for."""
    as_json = (asked.output if output is None else output) is Output.JSON
    window = consoles.Console(as_json=as_json, quiet=quiet, verbose=asked.verbosity > 0)
    tell(window.emit)
    return window


def tell(emit: events.Emit) -> None:
    """From now on this is told of what is run, where that was asked for."""
    if asked.verbosity:
        tracing.listen(emit, calls=asked.verbosity > 1)
