"""Command lines in Compose's style, and verbs passed to `docker compose`: options, services, one-off containers."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from devenv.cli import options, parser, registry
from devenv.errors import ConfigError, UsageError, unknown
from devenv.lazy_imports import LazyImports

if TYPE_CHECKING:
    from devenv.inspect.one_off import ComposeCall

with LazyImports():
    import anyio

    from devenv.compose import files
    from devenv.inspect import one_off

# Options of Compose's `ps` and `logs`; newer options are recognized because no option of devenv is similar.
COMPOSE = {
    "-a", "--all", "--filter", "--format", "--no-trunc", "--orphans", "-q", "--quiet", "--services", "--status",
    "--index", "--no-color", "--no-log-prefix", "--until",
}  # fmt: skip
# Flags of verbs that take one service, or several: the next word is a service, not a value.
SINGLE_SERVICE_FLAGS = frozenset({
    "-T", "-d", "-i", "-it", "-t", "-ti", "--build", "--detach", "--interactive", "--no-TTY", "--no-deps",
    "--no-stdin", "--privileged", "--rm", "--service-ports", "--tty",
})  # fmt: skip
SEVERAL_SERVICES_FLAGS = frozenset({"-f", "--force", "--down-project", "--no-deps", "--wait"})
ONE_OFF = frozenset({"run", "scale"})  # verbs that create containers next to the containers of a run
EXISTING = frozenset({"start", "restart", "attach", "wait"})  # verbs that need existing containers
DEFINING = frozenset({"config", "create"})  # verbs whose result has the names in the files


def with_value(arguments: list[str]) -> list[str]:
    """The arguments with `--isolated` written as an option with an empty value; the words for a container stay.

    Options may follow the commands of devenv, but only precede a verb of Compose.
    """
    before, verb, after = options.split(arguments)
    is_ours = verb in (*registry.names(), *registry.OTHER_NAMES)
    own = [*before, *([verb] if verb else []), *(itertools.takewhile("--".__ne__, after) if is_ours else ())]
    return [f"{word}=" if word == options.ISOLATED else word for word in own] + arguments[len(own) :]


def prepared(verb: str | None, before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after the verb, rewritten for typer.

    `-f` before `logs` is `--file`, and `--follow` after it. typer removes the first `--`, `shell` needs a second.
    """
    if verb == "logs":
        before = [_long(word) for word in before]
    if verb == "shell" and "--" in after:
        at = after.index("--")
        after = [*after[:at], "--", *after[at:]]
    return before, after


def is_of_compose(verb: str | None, error: parser.UnknownOptionError) -> bool:
    """Whether the option is for Compose's command: `ps`, `ls`, `logs` and `version` exist in both programs."""
    return verb in ("ps", "ls", "logs", "version") and (error.option in COMPOSE or error.close is None)


def is_ours(verb: str, before: list[str], after: list[str]) -> bool:
    """Whether devenv runs the verb. Compose runs `config` with its own options, and `attach` with a service."""
    if verb == "attach":
        return not any(_services(verb, after))
    return verb in registry.COMMANDS and (verb != "config" or options.are_shared([*before, *after]))


def _long(option: str) -> str:
    if option == "-f":
        return "--file"
    return f"--file={option[2:].removeprefix('=')}" if option.startswith("-f") else option


def require_project(verb: str, before: list[str], after: Sequence[str]) -> None:
    """Check that there is a project and that its services are known, unless only Compose can tell.

    Raises ConfigError if a project is not found or its file cannot be read, UsageError for an unknown service.
    """
    if verb not in registry.COMPOSE or not _is_plain(before, after):
        return
    services = [*_services(verb, after)]
    if verb == "wait" and not services:
        message = "`devenv wait` waits until the containers of services have stopped, and takes their names"
        raise UsageError(message, hint="devenv wait SERVICE   (until all services are healthy: devenv up --detach)")
    folder = os.getcwd()
    try:
        paths = files.find(folder, tuple(options.values(before, "-f", "--file")))
    except ConfigError:
        if options.values(before, "-p", "--project-name") or os.environ.get("COMPOSE_PROJECT_NAME"):
            return  # Compose finds the containers by the project name
        raise
    sources = files.read(paths, base=folder)
    known = sorted(files.service_names(sources))
    if not any(source.has_unread for source in files.everything(sources)):
        for service in services:
            if service not in known:
                raise unknown("service", service, known)


def _services(verb: str, after: Sequence[str]) -> Iterator[str]:
    """The words that can only be services: no options, and no values of options."""
    kinds = registry.COMPOSE.get(verb, ())
    if not kinds or not kinds[0].startswith("service"):
        return
    takes_one = kinds[0] == "service"  # the words after the service are its command
    for previous, word in itertools.pairwise(("", *after)):
        if word.startswith("-"):
            continue
        is_flag = previous in (SINGLE_SERVICE_FLAGS if takes_one else SEVERAL_SERVICES_FLAGS)
        if is_flag or not previous.startswith("-") or "=" in previous:
            yield word.partition("=")[0] if verb == "scale" else word
            if takes_one:
                return


def _is_plain(before: list[str], after: Sequence[str]) -> bool:
    """Whether devenv understands all options before the verb, and no help is asked for."""
    return options.are_shared(before) and not {"-h", "--help"} & {*before, *after}


def run_with_model(verb: str, before: list[str], after: list[str]) -> None:
    """Replace this process by `docker compose` with the run model if the verb needs the model; otherwise return.

    Raises DevenvError if the project cannot be read, an image cannot be acquired, or a service has no container.
    """
    is_isolated = verb in DEFINING and options.own_name(before)
    if not (verb in ONE_OFF | EXISTING or is_isolated) or not _is_plain(before, after):
        return
    options.set_shared(
        options.values(before, "-f", "--file"),
        next(reversed(options.values(before, "-p", "--project-name")), None),
        options.values(before, "--profile"),
        quiet=True,
        isolated=next(reversed(options.values(before, options.ISOLATED)), None),
    )
    console = options.console()
    call: ComposeCall | None
    try:
        if is_isolated:
            call = anyio.run(one_off.isolated, options.selection())
        elif verb in EXISTING:
            call = anyio.run(one_off.existing, options.selection(_services(verb, after)), verb)
        else:
            workflow = one_off.one_off if verb == "run" else one_off.scaled
            call = anyio.run(workflow, options.selection(), after, console.remark)
    finally:
        console.close()
    if call is not None:
        call.exec_replace(verb, *after)
