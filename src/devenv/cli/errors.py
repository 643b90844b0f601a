"""What is wrong with a command line, in the words of all other errors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import typer
from typer import core, main
from typer._click import Command, Context, Parameter, exceptions

from devenv.cli import options
from devenv.errors import EngineError, UsageError, meant, nearest

HERE = "here"  # the command that is meant where none is named
# Of `docker compose`; a newer one is asked for what it has.
COMPOSE_VERBS = frozenset({
    "alpha", "attach", "bridge", "build", "commit", "config", "convert", "cp", "create", "down", "events", "exec",
    "export", "images", "kill", "logs", "ls", "pause", "port", "ps", "publish", "pull", "push", "restart", "rm",
    "run", "scale", "start", "stats", "stop", "top", "unpause", "up", "version", "viz", "volumes", "wait", "watch",
})  # fmt: skip


def invoke(app: typer.Typer, arguments: list[str]) -> int:
    """The exit code of one of our own commands. Raises UsageError where it does not take these arguments."""
    try:
        code = tree(app).main(arguments, prog_name="devenv", standalone_mode=False)
    except exceptions.UsageError as error:
        raise explained(error, "devenv" if arguments[0] == HERE else f"devenv {arguments[0]}") from None
    return code if isinstance(code, int) else 0


def tree(app: typer.Typer) -> Command:
    """All commands, each with `-v`."""
    root = main.get_command(app)
    for command in _leaves(root):
        command.params.append(_verbose(command))
    return root


def _leaves(command: Command) -> Iterator[Command]:
    """The commands that do something, in groups too."""
    inner: dict[str, Command] = getattr(command, "commands", {})
    for one in inner.values():
        yield from _leaves(one)
    if not inner:
        yield command


def _verbose(command: Command) -> core.TyperOption:
    """`-v` of every command; `down` has another one, and of this only the long name."""
    taken = any("-v" in param.opts for param in command.params)
    return core.TyperOption(
        param_decls=["--verbose", *([] if taken else ["-v"])],
        count=True,
        default=0,
        expose_value=False,
        is_eager=True,
        callback=lambda _context, _param, count: options.trace(count),
        help="Say what is run; twice: what the engine is asked, too.",
    )


def explained(error: exceptions.UsageError, begun: str) -> UsageError:
    """The error with a hint: what was meant, or how to ask for help. `begun`: what the command line begins with."""
    context = error.ctx
    command = context.command_path.removesuffix(f" {HERE}") if context else begun
    inner: Iterable[str] = getattr(context and context.command, "commands", ())
    message, hint = _quoted(error.message), None
    match error:
        case exceptions.NoSuchOption(option_name=name):
            message, hint = f"`{command}` has no option `{name}`", _mean(meant(name, _options(context)))
        case exceptions.MissingParameter(param=param) if param and context:
            message = f"`{command}` takes {_metavar(param, context)}, which is missing"
        case exceptions.BadParameter(param=param) if param and context:
            name = max(param.opts, key=len) if param.param_type_name == "option" else _metavar(param, context)
            message, hint = f"{name}: {message}", _choice(error.message, param)
        case exceptions.UsageError(message="Missing command."):
            message, hint = f"`{command}` takes a command", nearest("", inner)
    if extra := re.match(r"Got unexpected extra argument\S* \((.*)\)", error.message, re.DOTALL):
        message = f"`{command}` does not take `{extra[1]}`"
    if wrong := re.match(r"No such command '(.*?)'\.", error.message):
        return unknown_command(wrong[1], inner, command)
    return UsageError(message, hint=hint or f"{command} --help")


def unknown_command(word: str, known: Iterable[str], above: str = "devenv") -> UsageError:
    """The error for a command that there is not."""
    close = meant(word, known)
    return UsageError(f"no command `{word}`", hint=_mean(close and f"{above} {close}") or f"{above} --help")


def require_verb(verb: str, ours: Iterable[str]) -> None:
    """Returns where `docker compose` has the verb. Raises UsageError where it has not, with what may be meant."""
    if verb not in COMPOSE_VERBS and verb not in _verbs_of_compose():
        raise unknown_command(verb, sorted({*ours, *COMPOSE_VERBS}))


def require_options(before: Iterable[str], command: str = "devenv") -> None:
    """Returns where all that stands before a verb is a common option, or one's value. Raises UsageError."""
    with_value = options.WITH_VALUE | options.COMPOSE_WITH_VALUE
    names = {*with_value, *options.OURS_ALONE, *options.COMPOSE, "--verbose", "--help", "-h", "-v"}
    words = iter(before)
    for word in words:
        if word in with_value:
            next(words, None)
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if name.startswith("-") and name not in names:
            raise UsageError(
                f"`{command}` has no option `{name}`", hint=_mean(meant(name, names)) or f"{command} --help"
            )


def _verbs_of_compose() -> set[str]:
    import anyio  # noqa: PLC0415 - only for verbs that nobody knows

    from devenv.docker import process  # noqa: PLC0415 - as above

    try:
        shown = anyio.run(process.run, ["docker", "compose", "--help"])
    except EngineError:
        return set()
    return {*re.findall(r"^ +([a-z]+)\b", shown.text.partition("Commands:")[2], re.MULTILINE)}


def _options(context: Context | None) -> list[str]:
    command: Command | None = context.command if context else None
    params = command.params if command else ()
    return [
        name for param in params if param.param_type_name == "option" for name in (*param.opts, *param.secondary_opts)
    ]


def _mean(close: str | None) -> str | None:
    return f"Did you mean `{close}`?" if close else None


def _metavar(param: Parameter, context: Context) -> str:
    name = param.make_metavar(context)
    return name.upper() if name.islower() else name


def _quoted(message: str) -> str:
    """A sentence of the parser as one of ours."""
    said = re.sub(r"'([^']*)'", r"`\1`", message).rstrip(".")
    said = re.sub(r"a valid (?:float|integer)(?: range)?$", "a number", said)
    said = re.sub(r"is not in the range x>=(\S+)$", r"is less than \1", said)
    said = re.sub(r"^Option (\S+) requires an argument$", r"\1 takes a value, which is missing", said)
    return said[:1].lower() + said[1:]


def _choice(message: str, param: object) -> str | None:
    word = re.match(r"'(.*)' is not one of", message)
    choices = getattr(getattr(param, "type", None), "choices", ())
    return _mean(meant(word[1], [str(getattr(one, "value", one)) for one in choices])) if word else None
