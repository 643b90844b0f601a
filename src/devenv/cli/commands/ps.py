"""`devenv ps`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles

if TYPE_CHECKING:
    from devenv.model.standing import Stands


def ps(
    services: Annotated[list[str] | None, typer.Argument(help="Only these services.")] = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again whenever something changes.")] = False,
) -> None:
    """Show the project's services: state, health, addresses, age, restarts, and who made them."""
    import shutil  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.inspect.ps import ps as workflow  # noqa: PLC0415 - as above
    from devenv.ui.standing import screen, table  # noqa: PLC0415 - as above

    window = options.console(output)
    shown: list[str] = []

    def show(found: Stands) -> None:
        if watch and not window.is_read:
            raise typer.Exit
        lines = list(table(found))
        if lines == shown:
            return
        shown[:] = lines
        if watch and window.is_live:
            size = shutil.get_terminal_size()
            window.redraw(screen(lines, size.columns, size.lines))
        else:
            window.answer(asdict(found), [*lines, ""] if watch else lines)

    chosen = options.selection(file, project_name, profile)
    is_quick = not watch and not options.asked.verbosity  # who wants to see the calls gets them made as ever
    if is_quick and workflow(chosen, services or (), show):
        return
    import anyio  # noqa: PLC0415 - longer than all else

    from devenv.inspect.ps_watch import watching  # noqa: PLC0415 - as above

    anyio.run(lambda: watching(chosen, services or (), show, watch=watch))
