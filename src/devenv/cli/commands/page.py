"""`devenv page`: show a run in the browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

from typer import Option

from devenv.cli import options
from devenv.errors import StateError, UsageError
from devenv.lazy_imports import LazyImports

with LazyImports():
    import webbrowser

    import anyio

    from devenv.compose import outline
    from devenv.docker import endpoint
    from devenv.run import page as pages
    from devenv.state import run_dir
    from devenv.web import ended, report


def page(
    only_print: Annotated[bool, Option("--print", help="Print the address only.")] = False,
    read_only: Annotated[bool, Option("--read-only", help="A page that cannot restart, rebuild or stop.")] = False,
    export: Annotated[
        str,
        Option("--export", metavar="FILE.html", help="Write a report of the run, or the last run, to a file."),
    ] = "",
) -> None:
    """Show the run in the browser: services, timeline, log.

    Prints its address, which contains the key to the page. The page is served on this machine alone, by the process
    that has the run, and ends with it.
    """
    if export and (only_print or read_only):
        raise UsageError("--export writes a file, and opens no page", hint="devenv page --export FILE.html")
    name = outline.sketched(options.selection()).name or ""
    console = options.console()
    if export:
        report.write(export, anyio.run(_report, name))
        console.answer({"project": name, "url": None, "opened": False, "file": os.path.abspath(export)}, [export])
        return
    url, once = anyio.run(_address, name, read_only)
    opened = not (only_print or console.is_json) and sys.stdout.isatty() and webbrowser.open(once)
    console.answer({"project": name, "url": url, "opened": opened, "file": None}, [url])


async def _address(name: str, read_only: bool) -> pages.PageAddress:
    return await pages.address(run_dir.Run.known(await endpoint.resolve(), name), name, is_read_only=read_only)


async def _report(name: str) -> Sequence[object]:
    """The messages of the run, or else of the last run that has ended. Raises StateError if there is none."""
    run = run_dir.Run.known(await endpoint.resolve(), name)
    try:
        return await pages.report(run, name)
    except StateError:
        if not (messages := await ended.report(run)):
            raise
        return messages
