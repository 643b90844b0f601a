"""Run a command line: a command of devenv, or a verb that is passed to docker compose."""

from __future__ import annotations

import contextlib
import os
import re
from typing import NoReturn

from devenv import __version__
from devenv.cli import options, parser, passthrough, registry
from devenv.errors import ConfigError, DevenvError, UsageError
from devenv.lazy_imports import LazyImports

with LazyImports():
    import shlex
    import traceback

    import anyio
    import typer

    from devenv import paths, private_files
    from devenv.compose import files
    from devenv.docker import process
    from devenv.run.cleanup import remains
    from devenv.state import all_runs, home, kept
    from devenv.ui import cells, writer

_ONE_OPTION = r"(?<!\S)(--port|--from|--timeout|--watcher|--project-name|-p) "
BUG = 70
INTERRUPTED = 130
CLEANERS = frozenset({"up", "down", "gc", "ls", None})  # these report the remains of earlier runs themselves


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code; errors are printed, with `--output json` as JSON too."""
    options.begin(arguments)
    try:
        return _run(arguments)
    except DevenvError as error:
        error.hint = with_typed_options(error.hint, arguments)
        options.console().error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # noqa: BLE001 - a bug must not print a traceback on the terminal
        is_help = {"help", "-h", "--help"} & {*arguments}  # typer prints it, and the console all else
        if is_help and isinstance(error, OSError) and error.errno in writer.FULL:
            options.console().error(writer.unwritten(error))
            return DevenvError.exit_code
        options.console().error(_crash(error))
        return BUG


def _run(arguments: list[str]) -> int:
    before, verb, after = options.split(passthrough.with_value(arguments))
    verbosity, before = options.verbosity(before)
    options.trace(verbosity)
    options.choose_engine(before)
    verb, after = _without_alias(verb, before, after)
    wants_help = bool({"-h", "--help"} & {*before, *after})
    if (verb is None or verb == "help") and "--version" in {*before, *after}:
        options.console().line(f"devenv {__version__}")
        return 0
    if verb == "help" or (verb is None and wants_help):
        return parser.print_help(after)
    if verb in registry.GROUPS:
        return _run_member(verb, before, after, wants_help=wants_help)
    before, after = passthrough.prepared(verb, before, after)
    if verb is None or passthrough.is_ours(verb, before, after):
        _report_earlier_runs(verb, is_wanted=verb not in CLEANERS and not wants_help)
        try:
            return parser.invoke(verb or "", [*before, *after])
        except parser.UnknownOptionError as error:
            if verb is None or not passthrough.is_of_compose(verb, error):
                raise
        parser.require_options(before)
    else:
        parser.require_options(before)
        parser.require_verb(verb)
        passthrough.require_project(verb, before, after)
        _report_earlier_runs(verb, is_wanted=not wants_help)
    return _pass_through(before, verb, after)


def _without_alias(verb: str | None, before: list[str], after: list[str]) -> tuple[str | None, list[str]]:
    """The command that the verb is another name of, or the verb, and its arguments. Raises UsageError for `watch`."""
    if verb == "help" and {*after[:1]} & {*registry.COMPOSE, *registry.OTHER_NAMES}:
        verb, after = after[0], [*after[1:], "--help"]
    if verb == "watch":
        raise UsageError("there is no command `watch`: `devenv up` watches and syncs saved files", hint="devenv up")
    if verb == "init":
        try:
            files.find(os.getcwd(), tuple(options.values(before, "-f", "--file")))
        except ConfigError:
            return "new", after
        return "add", ["rules", *after]
    return registry.ALIASES.get(verb or "", verb), after


def _run_member(group: str, before: list[str], after: list[str], *, wants_help: bool) -> int:
    """Run a command of a group, with the shared options before and after the group."""
    own, member, rest = options.split(after)
    if member is None and wants_help:
        return parser.print_help([group])
    default = registry.GROUPS[group].default
    if member is not None or default is None:
        parser.require_options(own, f"devenv {group}")
    member = member or default
    if member not in registry.members(group):
        raise parser.unknown_member(group, member)
    _report_earlier_runs(group, is_wanted=not wants_help)
    return parser.invoke(f"{group} {member}", [*own, *before, *rest])


def _report_earlier_runs(verb: str | None, *, is_wanted: bool) -> None:
    """Report what dead runs left, and that files in this folder are no longer synced; `ps` says that itself."""
    with contextlib.suppress(DevenvError, FileNotFoundError):  # commands that need either folder report it
        if is_wanted and (any(all_runs.dead_runs(remains.PHASES)) or any(remains.at_work())):
            for line in anyio.run(remains.everywhere):
                options.console().aside(line)
        for run, ledger in all_runs.every_runs() if is_wanted and verb != "ps" else ():
            if ledger.phase == "detached" and paths.is_within(os.path.realpath(os.curdir), ledger.directory):
                line, is_ended = kept.background(run)
                if is_ended:
                    options.console().aside(line)


def with_typed_options(hint: str | None, arguments: list[str]) -> str | None:
    """The hint, with the words of the typed `up` in its `devenv up --...`, except for options that the hint has."""
    before, verb, after = options.split(arguments)
    command = re.search(r"\bdevenv up(?= -)", hint or "")
    if hint is None or command is None or verb != "up" or "--help" in hint:
        return hint
    new = set(re.findall(r" (--[a-z-]+)", hint[command.end() :]))
    new |= {"--from", "--fresh"} if new & {"--from", "--fresh"} else set()
    new |= {"-p", "--project-name"} if " -p " in hint[command.end() :] else set()
    typed = re.sub(_ONE_OPTION, r"\1=", shlex.join([*before, *after]))
    words = [word for word in re.findall(r"(?:[^\s']|'[^']*')+", typed) if word.partition("=")[0] not in new]
    words = [re.sub(r"^-p=", "-p ", word) for word in words]
    return " ".join([hint[: command.end()], *words]) + hint[command.end() :]


def _crash(error: Exception) -> DevenvError:
    """The error for a bug of devenv; the traceback is in a file of the state folder if that can be written."""
    try:
        path = os.path.join(home.state_folder(), "crash.log")
        lines = cells.clean_lines("".join(traceback.format_exception(error)))  # `cat` prints control characters
        private_files.replace(path, f"{lines}\n", durable=False)
    except (DevenvError, OSError):
        return DevenvError(f"devenv itself failed ({type(error).__name__}: {error}); this is a bug")
    return DevenvError(f"devenv itself failed ({type(error).__name__}); this is a bug", hint=f"cat {path}")


def _pass_through(before: list[str], verb: str, after: list[str]) -> NoReturn:
    """Replace this process by `docker compose`, without the options that only devenv has."""
    options.shared.output = options.wanted_output(before)
    compose_options: list[str] = []
    rest = iter(before)
    for argument in rest:
        value = [next(rest, "")] if argument in options.WITH_VALUE else []
        if argument.partition("=")[0] not in options.DEVENV_ONLY:
            compose_options += [argument, *value]
    if name := options.own_name(before):
        compose_options += ["-p", name]
    passthrough.run_with_model(verb, before, after)
    process.exec_replace(["docker", "compose", *compose_options, verb, *after])
