"""The options that commands share, before or after their names; their console; questions on the terminal."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

from devenv.cli import registry
from devenv.errors import DevenvError
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports

with LazyImports():
    import inspect

    import typer

    from devenv import events
    from devenv.compose import files as compose_files
    from devenv.compose import outline, worktrees
    from devenv.docker import context
    from devenv.docker import trace as tracing
    from devenv.state import elsewhere
    from devenv.ui import cells, hints
    from devenv.ui import console as consoles


class Output(StrEnum):
    """The output format: text for people, or NDJSON."""

    TEXT = "text"
    JSON = "json"


# Options that commands share, by the names of their parameters: type, default, spellings, help.
SHARED: dict[str, tuple[Any, Any, tuple[str, ...], str]] = {
    "file": (list[str] | None, None, ("--file", "-f"), "Compose file; may be repeated."),
    "project_name": (str | None, None, ("--project-name", "-p"), "Project name."),
    "isolated": (
        str | None,
        None,
        ("--isolated",),
        "Project, resources and ports of its own; the name gets =NAME. Default in git worktrees.",
    ),
    "on": (str | None, None, ("--on",), "Engine: a docker context, or else a host to reach by ssh."),
    "profile": (list[str] | None, None, ("--profile",), "Profile to enable; may be repeated."),
    "output": (Output, Output.TEXT, ("--output",), "Print text, or one JSON object per line."),
    "quiet": (bool, False, ("--quiet", "-q"), "Print results and problems only."),
    "verbose": (int, 0, ("--verbose", "-v"), "Show the commands that are run; twice: the engine's API calls too."),
}

ISOLATED = "--isolated"  # its value is optional, and only after `=`
ON = "--on"
WITH_VALUE = frozenset({"-f", "--file", "-p", "--project-name", "--profile", "--output", ON})
DEVENV_ONLY = frozenset({ISOLATED, "--output", "-q", "--quiet", ON})
# Options of `docker compose` before a verb.
COMPOSE = frozenset({"--all-resources", "--compatibility", "--dry-run", "--no-ansi"})
COMPOSE_WITH_VALUE = frozenset(
    {"--ansi", "--env-file", "--parallel", "--progress", "--project-directory", "--workdir"}
)


@dataclass
class SharedOptions:
    """The values of the shared options of this command line."""

    output: Output = Output.TEXT
    verbosity: int = 0
    quiet: bool = False
    files: tuple[str, ...] = ()
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    isolated: bool = False
    typed_name: str | None = None  # as typed: `project_name` may be derived from `--isolated`
    typed_isolated: str | None = None

    @property
    def selected(self) -> hints.ProjectOptions:
        """The options that select the project, for hints."""
        verbs = {
            name.partition(" ")[0] for name, command in registry.COMMANDS.items() if ISOLATED[2:] in command.shared
        }
        return hints.ProjectOptions(
            self.files, self.typed_name, self.typed_isolated, self.profiles, verbs | registry.COMPOSE.keys()
        )


shared = SharedOptions()


def with_shared(command: Callable[..., int | None], names: Iterable[str]) -> Callable[..., int | None]:
    """The function of a command, with shared options added to its own.

    If an own option has the spelling of a shared option, such as `-v` of `down`, the own option gets it.
    """
    names = (*names, "verbose")
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    infos = [info for parameter in own for info in getattr(parameter.annotation, "__metadata__", ())]
    taken = {spelling for info in infos for spelling in getattr(info, "param_decls", None) or ()}
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    for name in names:
        kind, default, spellings, text_ = SHARED[name]
        free = (spelling for spelling in spellings if spelling not in taken)
        metavar = "[=NAME]" if name == "isolated" else None
        is_count, shows = name == "verbose", name == "output"
        option = typer.Option(default, *free, count=is_count, show_default=shows, help=text_, metavar=metavar)
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind))

    def run(**arguments: Any) -> int | None:
        set_shared(**{name: arguments.pop(name) for name in names})
        return command(**arguments)

    run.__doc__ = command.__doc__
    vars(run)["__signature__"] = inspect.Signature(parameters)  # which typer reads
    return run


def set_shared(
    file: Iterable[str] | None = None,
    project_name: str | None = None,
    profile: Iterable[str] | None = None,
    output: Output | None = None,
    quiet: bool = False,
    verbose: int = 0,
    isolated: str | None = None,
    on: str | None = None,
) -> None:
    """Set the shared options of this command line. Raises ConfigError as `isolated_name`."""
    if on is not None:
        context.select(on)
    shared.files, shared.profiles = tuple(file or ()), tuple(profile or ())
    shared.project_name, shared.isolated = project_name, isolated is not None
    shared.typed_name, shared.typed_isolated = project_name, isolated
    if isolated is not None and project_name is None:
        shared.project_name = isolated_name(shared.files, isolated)
    shared.output, shared.quiet = output or shared.output, quiet
    trace(verbose)


def split(arguments: list[str]) -> tuple[list[str], str | None, list[str]]:
    """The options before the command, the command, and the words after it."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in WITH_VALUE | COMPOSE_WITH_VALUE else 1
    verb = arguments[index] if index < len(arguments) else None
    return arguments[:index], verb, arguments[index + 1 :]


def verbosity(before: list[str]) -> tuple[int, list[str]]:
    """The number of `-v` before the command, and the other options; `down` has another `-v`."""
    counts = [1 if word == "--verbose" else len(word) - 1 if re.fullmatch("-v+", word) else 0 for word in before]
    return sum(counts), [word for word, count in zip(before, counts, strict=True) if not count]


def values(arguments: list[str], *names: str) -> list[str]:
    """The values of an option with these names: `-f X`, `-fX`, `--file X` and `--file=X` alike."""
    result = [value for name, value in itertools.pairwise(arguments) if name in names]
    for argument in arguments:
        for name in names:
            prefix = f"{name}=" if name.startswith("--") else name
            if argument.startswith(prefix) and argument != name:
                result.append(argument.removeprefix(prefix).removeprefix("="))
    return result


def are_shared(arguments: list[str]) -> bool:
    """Whether all arguments are options of devenv's `config`; with any other, Compose's `config` runs."""
    rest = iter(arguments)
    for argument in rest:
        name, sign, value = argument.partition("=")
        if name in WITH_VALUE:
            value = value if sign else next(rest, "")
        elif name not in ("-h", "--help", "--validate", "--schema", ISOLATED):
            return False
        if name == "--output" and value not in tuple(Output):
            return False  # Compose's own --output names a file
    return True


def wanted_output(arguments: list[str]) -> Output:
    """The format that a command line asks for, even if the command line has errors."""
    is_json = "--output=json" in arguments or ("--output", "json") in itertools.pairwise(arguments)
    return Output.JSON if is_json else Output.TEXT


def choose_engine(before: list[str]) -> None:
    """Use the engine of `--on` before the command, or else that of `follow_run`."""
    if chosen := values(before, ON):
        context.select(chosen[-1])
    else:
        elsewhere.follow_run()


def isolated_name(files: tuple[str, ...], given: str) -> str:
    """The project's name with `--isolated=GIVEN`. Raises ConfigError if there is no project, or its file is wrong."""
    here = os.getcwd()
    return outline.isolated_name(compose_files.read(compose_files.find(here, files), base=here), given)


def own_name(before: list[str]) -> str | None:
    """The name for `-p` if the project is isolated, by `--isolated` or its worktree; None if options name a project.

    Also None if a Compose file is wrong: Compose reports the error.
    """
    if values(before, "-p", "--project-name", "--project-directory"):
        return None
    files = tuple(values(before, "-f", "--file"))
    with contextlib.suppress(DevenvError):
        if isolated := values(before, ISOLATED):
            return isolated_name(files, isolated[-1])
        paths = compose_files.find(os.getcwd(), files)
        if worktrees.git_worktree(os.path.dirname(paths[0])):
            return outline.project_name(compose_files.read(paths, base=os.getcwd()))
    return None


def selection(services: Iterable[str] | None = None) -> outline.Selection:
    """The project that the command line selects, with these services."""
    return outline.Selection(
        os.getcwd(),
        shared.files,
        shared.project_name,
        shared.profiles,
        tuple(services or ()),
        isolated=shared.isolated,
    )


def begin(arguments: list[str]) -> None:
    """Begin a command line: set the output format, and stop tracing."""
    global shared  # noqa: PLW0603 - one process, one command line
    if shared.verbosity:
        tracing.listen(None)
    shared = SharedOptions(wanted_output(arguments))


def trace(levels: int) -> None:
    """Raise the verbosity, which shows the commands that are run (1) and the engine's API calls too (2)."""
    shared.verbosity += levels
    if levels:
        console()


def console() -> consoles.Console:
    """The console of this command; with `-v`, it also shows commands and API calls."""
    is_json, is_verbose = shared.output is Output.JSON, shared.verbosity > 0
    new = consoles.Console(as_json=is_json, quiet=shared.quiet, verbose=is_verbose, selected=shared.selected)
    trace_to(new.emit)
    return new


def trace_to(emit: events.Emit) -> None:
    """With `-v`, send commands and API calls to `emit` from now on."""
    if shared.verbosity:
        tracing.listen(emit, calls=shared.verbosity > 1)


def confirm(words: str, *, default: bool = False) -> bool:
    """Ask a yes-or-no question on stderr. Raises typer.Abort at the end of the input and on Ctrl-C."""
    return typer.confirm(cells.clean(words), default=default, err=True)


def prompt(words: str, default: str | None = None) -> str:
    """Ask for a text; an empty line means the default. Raises typer.Abort as `confirm`.

    Control characters in question and default, which may be from a template, are removed.
    """
    shown = f" [{cells.clean(default)}]" if default else ""
    answer: str = typer.prompt(f"{cells.clean(words)}{shown}", default=default, show_default=False, err=True)
    return answer
