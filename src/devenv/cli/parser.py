"""Options and help of commands, by typer; its messages and unknown commands become UsageErrors."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from devenv.cli import options, overview, registry
from devenv.cli.registry import Command
from devenv.errors import EngineError, UsageError, closest, did_you_mean
from devenv.lazy_imports import LazyImports

with LazyImports():
    import codecs
    import pydoc
    import shutil

    import anyio
    import typer

    from devenv.docker import process
    from devenv.ui import markdown

_FLAG = re.compile(r"Annotated\[bool, typer\.Option\(((?:'--?[\w-]+'(?:, )?)+)")


def invoke(name: str, arguments: list[str]) -> int:
    """Run a command of the registry, or `devenv` without a command (""), and return its exit code.

    Raises UsageError for wrong arguments.
    """
    command = registry.COMMANDS[name] if name else registry.STATUS
    body = _body(command)
    defaults = _defaults(body)
    flags = _flags(body, defaults) if arguments else {}
    words, output = _without_output(arguments) if "output" in command.shared else (arguments, None)
    if len(defaults) == body.__code__.co_argcount and flags.keys() >= {*words}:
        return _without_typer(body, {flags[word]: True for word in words}, output)
    app = new_app()
    add_command(app, name, command)
    return _run(app, f"devenv {name}".rstrip(), arguments)


def print_help(words: list[str]) -> int:
    """Print the help of a command, of a group, or of devenv (no words), or a page of the documentation.

    Raises UsageError for an unknown command or page.
    """
    first, *rest = [word for word in words if word not in ("-h", "--help")] or [""]
    if first.startswith("-"):
        raise UsageError(f"`devenv help` has no option `{first}`", hint="devenv help")
    member, *more = (rest if first in registry.GROUPS else []) or [""]
    name = f"{first} {member}".rstrip()
    if name in registry.COMMANDS:
        return invoke(name, [*(more if member else rest), "--help"])
    if member:
        raise unknown_member(first, member)
    console = options.console()
    if not name or name in registry.GROUPS:
        for line in overview.lines(name):
            console.line(line)
    elif sys.stdout.isatty():
        if codecs.lookup(sys.stdout.encoding).name == "utf-8":  # less does not see it if LANG is not installed
            os.environ.setdefault("LESSCHARSET", "utf-8")
        pydoc.pager(markdown.wrapped(overview.page(first), shutil.get_terminal_size().columns))
    else:
        console.line(overview.page(first))
    return 0


def unknown_member(group: str, word: str | None) -> UsageError:
    """The error for a group whose command is missing (None) or unknown."""
    known = registry.members(group)
    if word is None:
        return UsageError(f"`devenv {group}` takes a command", hint=did_you_mean("", known))
    return unknown_command(word, known, f"devenv {group}")


def new_app() -> typer.Typer:
    """A typer app without commands."""
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def add_command(app: typer.Typer, name: str, command: Command) -> None:
    """Import the module of a command and add the command to the app."""
    app.command(name.rpartition(" ")[2])(options.with_shared(_body(command), command.shared))


def _body(command: Command) -> FunctionType:
    module, _, function = command.function.partition(":")
    body: FunctionType = getattr(importlib.import_module(f"devenv.cli.commands.{module}"), function)
    return body


def _defaults(body: FunctionType) -> dict[str, Any]:
    """The parameters that have a default."""
    code, defaults = body.__code__, body.__defaults__ or ()
    return dict(zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True))


def _flags(body: FunctionType, defaults: Mapping[str, Any]) -> dict[str, str]:
    """By spelling, the parameters of options that take no value and are off by default.

    The annotations are read as text: to evaluate them, typer would be imported.
    """
    found = {name: _FLAG.match(text) for name, text in body.__annotations__.items() if defaults.get(name) is False}
    return {spelling: name for name, match in found.items() if match for spelling in match[1].split("'")[1::2]}


def _without_output(arguments: list[str]) -> tuple[list[str], options.Output | None]:
    """The arguments without `--output FORMAT`, and the format; unchanged if the option is not written like this."""
    for format_ in options.Output:
        for index in range(len(arguments) - 1):
            if arguments[index : index + 2] == ["--output", format_]:
                return [*arguments[:index], *arguments[index + 2 :]], format_
    return arguments, None


def _without_typer(body: FunctionType, arguments: Mapping[str, bool], output: options.Output | None) -> int:
    """Run a command with these flags and no other arguments: typer takes 40 ms to import."""
    options.set_shared(output=output)
    try:
        return body(**arguments) or 0
    except typer.Exit as end:
        return end.exit_code


def _run(app: typer.Typer, program: str, arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name=program, standalone_mode=False)
    except typer.TyperException as error:
        raise _explained(error, program) from None
    return code if isinstance(code, int) else 0


class UnknownOptionError(UsageError):
    """An option that the command does not have; `close` is the most similar option, if any."""

    def __init__(self, command: str, option: str, known: Iterable[str]) -> None:
        self.option, self.close = option, closest(option, known)
        hint = _did_you_mean(self.close) or f"{command} --help"
        super().__init__(f"`{command}` has no option `{option}`", hint=hint)


def _explained(error: Any, command: str) -> UsageError:
    """The UsageError for a `typer.TyperException`, with a suggestion or the command for help as its hint.

    typer exports no classes for the kinds of wrong usage: the names of the classes tell them apart.
    """
    context, message, hint = error.ctx, _quoted(error.message), None
    match type(error).__name__:
        case "NoSuchOption":
            return UnknownOptionError(command, error.option_name, _options(context))
        case "MissingParameter":
            message = f"`{command}` takes {_metavar(error.param, context)}, which is missing"
        case "BadParameter":
            is_option = error.param.param_type_name == "option"
            name = max(error.param.opts, key=len) if is_option else _metavar(error.param, context)
            message, hint = f"{name}: {message}", _choice(error.message, error.param)
    if extra := re.match(r"Got unexpected extra argument\S* \((.*)\)", error.message, re.DOTALL):
        message = f"`{command}` does not take `{extra[1]}`"
    return UsageError(message, hint=hint or f"{command} --help")


def unknown_command(word: str, known: Iterable[str], above: str = "devenv") -> UsageError:
    """The error for an unknown command."""
    close = closest(word, known)
    return UsageError(f"no command `{word}`", hint=_did_you_mean(close and f"{above} {close}") or f"{above} --help")


def require_verb(verb: str) -> None:
    """Check that devenv or `docker compose` has the verb; runs `docker compose --help` for rare verbs.

    Raises UsageError with a suggestion.
    """
    own_verbs = {*registry.names(), *registry.COMPOSE, *registry.OTHER_NAMES, "help"}
    if verb not in own_verbs and verb not in (known := _verbs_of_compose()):
        raise unknown_command(verb, sorted({*own_verbs, *known}))


def require_options(before: Iterable[str], command: str = "devenv") -> None:
    """Check that all words before the verb are shared options and their values. Raises UsageError."""
    with_value = options.WITH_VALUE | options.COMPOSE_WITH_VALUE
    names = {*with_value, *options.DEVENV_ONLY, *options.COMPOSE, "--verbose", "--help", "-h", "-v"}
    words = iter(before)
    for word in words:
        if word in with_value:
            next(words, None)
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if name.startswith("-") and name not in names:
            raise UnknownOptionError(command, name, names)


def _verbs_of_compose() -> set[str]:
    try:
        done = anyio.run(process.run, ["docker", "compose", "--help"])
    except EngineError:
        return set()
    return {*re.findall(r"^ +([a-z]+)\b", done.text.partition("Commands:")[2], re.MULTILINE)}


def _options(context: Any) -> list[str]:
    own = (param for param in context.command.params if param.param_type_name == "option")
    return [name for param in own for name in (*param.opts, *param.secondary_opts)]


def _did_you_mean(close: str | None) -> str | None:
    return f"Did you mean `{close}`?" if close else None


def _metavar(param: Any, context: Any) -> str:
    name: str = param.make_metavar(context)
    return name.upper() if name.islower() else name


def _quoted(message: str) -> str:
    """A message of typer in devenv's style."""
    text = re.sub(r"'([^']*)'", r"`\1`", message).rstrip(".")
    text = re.sub(r"a valid (?:float|integer)(?: range)?$", "a number", text)
    text = re.sub(r"is not in the range x>=(\S+)$", r"is less than \1", text)
    text = re.sub(r"^Option (\S+) requires an argument$", r"\1 takes a value, which is missing", text)
    return text[:1].lower() + text[1:]


def _choice(message: str, param: Any) -> str | None:
    word = re.match(r"'(.*)' is not one of", message)
    choices = [str(getattr(choice, "value", choice)) for choice in getattr(param.type, "choices", ())]
    return _did_you_mean(closest(word[1], choices)) if word else None
