"""Errors in a command line: typer's messages and unknown commands as UsageError."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from devenv.cli import options, registry
from devenv.cli.lazy import LazyImports
from devenv.errors import EngineError, UsageError, closest

with LazyImports():
    import anyio

    from devenv.docker import process


class UnknownOptionError(UsageError):
    """An option that the command does not have; `close` is the one that may be meant."""

    def __init__(self, command: str, option: str, known: Iterable[str]) -> None:
        self.option, self.close = option, closest(option, known)
        hint = _did_you_mean(self.close) or f"{command} --help"
        super().__init__(f"`{command}` has no option `{option}`", hint=hint)


def explained(error: Any, command: str) -> UsageError:
    """The UsageError for a `typer.TyperException`, with a hint: what was meant, or how to ask for help.

    typer has no public names for the kinds of wrong usage, so these are recognized by the names of their classes.
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
    """Return if `docker compose` has the verb; asks it about rare verbs. Raises UsageError with a suggestion."""
    ours = {*registry.names(), *registry.COMPOSE}
    if verb not in ours and verb not in (known := _verbs_of_compose()):
        raise unknown_command(verb, sorted({*ours, *known}))


def require_options(before: Iterable[str], command: str = "devenv") -> None:
    """Return if all words before the verb are common options and their values. Raises UsageError if not."""
    with_value = options.WITH_VALUE | options.COMPOSE_WITH_VALUE
    names = {*with_value, *options.OURS_ALONE, *options.COMPOSE, "--verbose", "--help", "-h", "-v"}
    words = iter(before)
    for word in words:
        if word in with_value:
            next(words, None)
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if name.startswith("-") and name not in names:
            raise UnknownOptionError(command, name, names)


def _verbs_of_compose() -> set[str]:
    try:
        shown = anyio.run(process.run, ["docker", "compose", "--help"])
    except EngineError:
        return set()
    return {*re.findall(r"^ +([a-z]+)\b", shown.text.partition("Commands:")[2], re.MULTILINE)}


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
