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
    from devenv.ui import text


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
    timestamps: Annotated[bool, Option("--timestamps", "-t", help="Show the time of each line.")] = False,
) -> None:
    """Show the services' logs, merged by time.

    After a run, the last lines that its services printed.
    """
    window = options.console()
    matches = bounded_search.matcher(grep)

    def say(line: Line) -> None:
        if window.is_json:
            window.emit(events.Log(line.service, line.text, line.stream, line.at or None))
        else:
            window.log(line.service, f"{line.at} {line.text}" if timestamps else line.text)
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
        wanted=(lambda line: matches(text.clean(line))) if grep else None,
    )
    anyio.run(workflow.logs, query, workflow.Listener(window.expect, say, tell, window.gathered))


def _count(tail: str) -> int | None:
    if tail == "all":
        return None
    if not tail.isascii() or not tail.isdigit():
        raise UsageError(f"--tail takes a number or all, not {tail}", hint="devenv logs --tail 100")
    return int(tail)
