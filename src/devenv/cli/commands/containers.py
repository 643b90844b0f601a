"""`devenv logs` and `devenv shell`: the output of containers, and commands in containers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.errors import DevenvError, UsageError, unknown
from devenv.lazy_imports import LazyImports

with LazyImports():
    import anyio

    from devenv import bounded_search, events
    from devenv.compose import outline as outlines
    from devenv.docker import client, process
    from devenv.inspect import logs as workflow
    from devenv.model import containers as model
    from devenv.ui import cells

Ask = Callable[[Sequence[str]], str]
_LEVELS = {"": ("", "warn", "error"), "warn": ("warn", "error"), "error": ("error",)}


def logs(
    services: Annotated[list[str] | None, Argument(help="Only the logs of these services.")] = None,
    follow: Annotated[bool, Option("--follow", "-f", help="Follow the logs until Ctrl-C.")] = False,
    since: Annotated[
        str | None,
        Option("--since", metavar="TIME", help="Only lines since 10m, 1h30m, or a time such as 2026-01-31T12:00."),
    ] = None,
    tail: Annotated[
        str, Option("--tail", "-n", metavar="N|all", help="Only the last N lines of each container.")
    ] = "all",
    grep: Annotated[
        str | None, Option("--grep", metavar="TEXT|/REGEX/", help="Only lines that match; plain text in any case.")
    ] = None,
    level: Annotated[
        str, Option("--level", metavar="error|warn", help="Only errors (with their tracebacks), or warnings too.")
    ] = "",
    timestamps: Annotated[bool, Option("--timestamps", "-t", help="Show the time of each line.")] = False,
) -> None:
    """Show the services' logs, merged by time.

    After a run, shows the last lines of its services.
    """
    console = options.console()
    matches = bounded_search.matcher(grep)
    if level not in _LEVELS:
        raise UsageError(f"--level takes error or warn, not {level}", hint="devenv logs --level error")

    def is_wanted(line: model.Line) -> bool:
        return line.level in _LEVELS[level] and (not grep or matches(cells.clean(line.text)))

    def show(lines: Sequence[model.Line]) -> None:
        console.logs(lines, timestamps=timestamps)
        if not console.is_heard:
            raise typer.Exit

    def notify(message: str) -> None:
        if console.is_json:
            console.emit(events.Notice(message))
        else:
            console.aside(message)

    query = workflow.LogQuery(
        options.selection(),
        tuple(services or ()),
        follow=follow,
        since=since,
        tail=_count(tail),
        wanted=is_wanted if grep or level else None,
        levels=bool(level) or console.is_json or console.colour,
    )
    anyio.run(workflow.logs, query, workflow.Listener(console.expect, show, notify))


def _count(tail: str) -> int | None:
    if tail == "all":
        return None
    if not tail.isascii() or not tail.isdigit():
        raise UsageError(f"--tail takes a number or all, not {tail}", hint="devenv logs --tail 100")
    return int(tail)


def shell(
    words: Annotated[
        list[str] | None,
        Argument(metavar="[SERVICE] [-- COMMAND...]", help="The service, and a command to run instead of a shell."),
    ] = None,
) -> None:
    """Open a shell or run a command in a container."""
    words = words or []
    dashes = words.index("--") if "--" in words else len(words)
    services, command = words[:dashes], words[dashes + 1 :]
    if len(services) > 1:
        hint = f"devenv shell {services[0]} -- {' '.join(services[1:])}"
        raise UsageError("`shell` takes one service; a command comes after --", hint=hint)
    tty = sys.stdin.isatty() and sys.stdout.isatty()
    ask = _ask if sys.stdin.isatty() and sys.stderr.isatty() else None
    service = services[0] if services else None
    argv = anyio.run(lambda: _argv(options.selection(), service, command, ask, tty=tty))
    process.exec_replace(argv, {"DOCKER_CLI_HINTS": "false"})


def _ask(names: Sequence[str]) -> str:
    console = options.console()
    for number, name in enumerate(names, 1):
        console.aside(f"  {number}  {name}")
    while True:
        try:
            return _answer(options.prompt("Which service").strip(), names)
        except UsageError as error:
            console.aside(f"{error.message}. {error.hint}")
        except typer.Abort:
            console.aside("")
            raise typer.Exit(130) from None


async def _argv(
    selection: outlines.Selection, service: str | None, command: Sequence[str], ask: Ask | None, *, tty: bool
) -> list[str]:
    """The `docker exec` with the command, or with the best shell that the container of the service has.

    A command of one word with spaces runs in that shell. Without `service`, it is the only running service, or the
    result of `ask`. Raises UsageError if several services run and `ask` is None, DevenvError if the service is not
    running or has no shell.
    """
    name, project = await outlines.outline(selection)
    async with client.Engine.connect() as engine:
        containers = await engine.containers.list(name)
        container = _chosen(project, containers, service, ask)
        words = list(command)
        if not words or (len(words) == 1 and " " in words[0].strip()):
            best = await engine.exec.best_shell(container.id)
            if best is None:
                hint = f"devenv shell {container.service} -- PROGRAM   (runs a program that its image has)"
                raise DevenvError(f"the image of `{container.service}` has no shell", hint=hint)
            words = [best, "-c", *words] if words else [best]
        elif await engine.exec.lacks(container.id, words[0]):
            missing = DevenvError(
                f"{container.service} has no program `{words[0]}`", hint=f"devenv shell {container.service}"
            )
            missing.exit_code = 127  # as shells and `docker exec` do
            raise missing
        return engine.endpoint.docker_command("exec", "-it" if tty else "-i", container.id, *words)


def _chosen(
    project: outlines.Outline, containers: Sequence[model.Container], service: str | None, ask: Ask | None
) -> model.Container:
    running = {c.service: c for c in reversed(containers) if c.running}
    names = sorted(running)
    if service is None and not names:
        raise DevenvError("nothing of this project is running", hint="devenv up")
    if service is None and len(names) > 1:
        if ask is None:
            raise UsageError(f"several services run: {', '.join(names)}", hint=f"devenv shell {names[0]}")
        service = ask(names)
    service = service or names[0]
    outlines.require_known([service], (*project.services, *project.dormant, *(c.service for c in containers)))
    if service not in running:
        states = {c.state for c in containers if c.service == service}
        message = f"{service} is not running{f' ({min(states)})' if states else ''}"
        raise DevenvError(message, hint=f"devenv logs {service}" if states else "devenv up")
    return running[service]


def _answer(typed: str, names: Sequence[str]) -> str:
    """The service that was typed, by name or number. Raises UsageError for anything else."""
    if typed in names:
        return typed
    if typed.isascii() and typed.isdigit() and 0 < int(typed) <= len(names):
        return names[int(typed) - 1]
    raise unknown("service", typed, names)
