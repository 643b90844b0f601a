"""`devenv ps`."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Format, Name, Output, Profiles

with LazyImports():
    import anyio

    from devenv.inspect import ps as workflow
    from devenv.inspect import ps_watch
    from devenv.model import status
    from devenv.ui import standing as view


def ps(
    services: Annotated[list[str] | None, typer.Argument(help="Only these services.")] = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show the list again at each change.")] = False,
) -> None:
    """List the services: state, health, addresses, age, restarts."""
    window = options.console(output)
    shown: list[str] = []

    def show(states: status.Stands) -> None:
        if watch and not window.is_read:
            raise typer.Exit
        lines = list(view.table(states))
        if lines == shown:
            return
        shown[:] = lines
        if watch and window.is_live:
            size = shutil.get_terminal_size()
            window.redraw(view.screen(lines, size.columns, size.lines))
        else:
            window.answer(asdict(states), [*lines, ""] if watch else lines)

    chosen = options.selection(file, project_name, profile)
    is_quick = not watch and not options.asked.verbosity  # `-v` shows calls, which the quick way does not make
    if is_quick and workflow.ps(chosen, services or (), show):
        return
    anyio.run(lambda: ps_watch.watching(chosen, services or (), show, watch=watch))
