"""`devenv images`."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles, Quiet, StandIns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from devenv.images.listing import Row
    from devenv.ui.console import Console

images = typer.Typer(rich_markup_mode=None, add_completion=False)
File = Annotated[str, typer.Argument(metavar="FILE")]
LABEL = 11  # columns for what a line is about


@images.command("list")
def list_(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
) -> None:
    """List every image that the project needs, who needs it, and where it would come from."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.images.listing import survey  # noqa: PLC0415 - as above

    window = options.console(output)
    rows = anyio.run(survey, options.selection(file, project_name, profile))
    window.answer({"images": [asdict(row) for row in rows]}, _lines(rows))


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    width = max(shutil.get_terminal_size().columns, 2 * LABEL + 20) - 1
    for row in rows:
        yield f"{row.image} ({row.platform})" if row.platform else row.image
        for label, said in ((row.source, row.detail), ("needed by", ", ".join(row.users))):
            begin = f"  {label:<{LABEL}}"
            indent = " " * len(begin)
            yield from textwrap.wrap(
                said, width, initial_indent=begin, subsequent_indent=indent, break_on_hyphens=False
            )


@images.command()
def pull(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    stand_ins: StandIns = False,
) -> None:
    """Bring every image that the project needs to the engine, from where it can be had."""
    from devenv.images.bundle import pull as workflow  # noqa: PLC0415 - `--help` must not pay for it

    chosen, window = options.selection(file, project_name, profile), options.console(output, quiet=quiet)
    _run(window, lambda: workflow(chosen, window.emit, stand_ins=stand_ins))


@images.command()
def save(
    archive: File,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    stand_ins: StandIns = False,
) -> None:
    """Write every image that the project needs into one file, for another machine or a day without a network."""
    from devenv.images.bundle import save as workflow  # noqa: PLC0415 - `--help` must not pay for it

    chosen, window = options.selection(file, project_name, profile), options.console(output, quiet=quiet)
    _run(window, lambda: workflow(chosen, archive, window.emit, stand_ins=stand_ins))


@images.command()
def load(archive: File, output: Format = Output.TEXT, quiet: Quiet = False) -> None:
    """Check a file that `save` wrote, whole, and bring its images to the engine, under names of their own."""
    from devenv.images.bundle import load as workflow  # noqa: PLC0415 - `--help` must not pay for it

    window = options.console(output, quiet=quiet)
    _run(window, lambda: workflow(archive, window.emit))


def _run(window: Console, work: Callable[[], Awaitable[None]]) -> None:
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.signals import endable  # noqa: PLC0415 - as above

    try:
        raise typer.Exit(anyio.run(endable, work))
    finally:
        window.close()
