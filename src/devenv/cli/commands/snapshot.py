"""`devenv snapshot`."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles, Quiet

if TYPE_CHECKING:
    from devenv.model.snapshot import Snapshot

snapshot = typer.Typer(rich_markup_mode=None, add_completion=False)
Volumes = Annotated[list[str] | None, typer.Argument(help="Only these volumes, by their keys in the file.")]
Set = Annotated[str, typer.Argument(metavar="NAME", help="Its id, or the name it was given.")]
Other = Annotated[str, typer.Option("--from", metavar="PROJECT", help="One of another project or worktree.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="`-` for the standard stream.")]


@snapshot.command("list")
def list_(
    projects: Annotated[list[str] | None, typer.Argument(metavar="[PROJECT]...")] = None,
    output: Format = Output.TEXT,
) -> None:
    """List what is saved, of all projects or of these, the newest first."""
    from devenv.ui.text import columns  # noqa: PLC0415 - as above
    from devenv.volumes.commands import damaged, listed  # noqa: PLC0415 - `--help` must not pay for it

    window, found = options.console(output), listed(projects or ())
    window.answer({"snapshots": [asdict(one) for one in found]}, columns([_row(one) for one in found]))
    if output is Output.TEXT and not found:
        window.aside("nothing is saved")
    for said in damaged():
        window.aside(said)


def _row(snapshot: Snapshot) -> dict[str, str]:
    from devenv.model.snapshot import shown  # noqa: PLC0415 - as above
    from devenv.ui.text import clean  # noqa: PLC0415 - as above

    note = "" if snapshot.automatic else "by hand"
    return {
        "id": snapshot.id,
        "name": clean(snapshot.title),
        "project": clean(snapshot.project),
        "volume": clean(snapshot.volume),
        "saved": f"{dt.datetime.fromtimestamp(snapshot.created).astimezone():%Y-%m-%d %H:%M}",
        "size": shown(snapshot.size),
        "stored": shown(snapshot.stored),
        "database": clean(snapshot.database),
        "note": note if snapshot.settled else "never healthy",
    }


@snapshot.command()
def save(
    volumes: Volumes = None,
    name: Annotated[str, typer.Option("--name", "-n", help="A name to find it by.")] = "",
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
) -> None:
    """Save the project's volumes now; containers that use them are paused meanwhile."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.volumes.commands import save as workflow  # noqa: PLC0415 - as above

    chosen = options.selection(file, project_name, profile)
    window = options.console(output, quiet=quiet)
    raise typer.Exit(anyio.run(workflow, chosen, volumes or (), name, window.emit))


@snapshot.command()
def restore(
    name: Annotated[str, typer.Argument(help="Its id or name; without one, the newest.")] = "",
    volumes: Volumes = None,
    other: Other = "",
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
) -> None:
    """Let the next `devenv up` begin with what was saved."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.volumes.commands import restore as workflow  # noqa: PLC0415 - as above

    chosen = options.selection(file, project_name, profile)
    window = options.console(output, quiet=quiet)
    raise typer.Exit(anyio.run(workflow, chosen, name, volumes or (), other, window.emit))


@snapshot.command()
def rm(names: Annotated[list[str], typer.Argument(metavar="NAME...")], output: Format = Output.TEXT) -> None:
    """Remove saved sets of volumes."""
    from devenv.volumes.commands import remove  # noqa: PLC0415 - `--help` must not pay for it

    raise typer.Exit(remove(names, options.console(output).emit))


@snapshot.command()
def export(name: Set, file: File, output: Format = Output.TEXT) -> None:
    """Write a saved set to a file, for another machine."""
    from devenv.volumes.commands import export as workflow  # noqa: PLC0415 - `--help` must not pay for it

    raise typer.Exit(workflow(name, file, options.console(output).emit))


@snapshot.command("import")
def import_(file: File, output: Format = Output.TEXT) -> None:
    """Take in what `export` wrote."""
    from devenv.volumes.commands import take_in  # noqa: PLC0415 - `--help` must not pay for it

    raise typer.Exit(take_in(file, options.console(output).emit))
