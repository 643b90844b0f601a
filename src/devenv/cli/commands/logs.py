"""`devenv logs`."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.errors import UsageError

with LazyImports():
    import anyio

    from devenv import bounded_search, events
    from devenv.inspect import logs as workflow
    from devenv.model.containers import Line
    from devenv.ui import cells

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

    After a run, the last lines that its services printed.
    """
    window = options.console()
    matches = bounded_search.matcher(grep)
    if level not in _LEVELS:
        raise UsageError(f"--level takes error or warn, not {level}", hint="devenv logs --level error")

    def is_wanted(line: Line) -> bool:
        return line.level in _LEVELS[level] and (not grep or matches(cells.clean(line.text)))

    def say(line: Line) -> None:
        if window.is_json:
            window.emit(events.Log(line.service, line.text, line.stream, line.at or None, line.level))
        else:
            window.log(line.service, f"{line.at} {line.text}" if timestamps else line.text, line.level)
        if not window.is_heard:
            raise typer.Exit

    def tell(message: str) -> None:
        if window.is_json:
            window.emit(events.Notice(message))
        else:
            window.aside(message)

    query = workflow.LogQuery(
        options.selection(),
        tuple(services or ()),
        follow=follow,
        since=since,
        tail=_count(tail),
        wanted=is_wanted if grep or level else None,
        levels=bool(level) or window.is_json or window.colour,
    )
    anyio.run(workflow.logs, query, workflow.Listener(window.expect, say, tell, window.gathered))


def _count(tail: str) -> int | None:
    if tail == "all":
        return None
    if not tail.isascii() or not tail.isdigit():
        raise UsageError(f"--tail takes a number or all, not {tail}", hint="devenv logs --tail 100")
    return int(tail)
