"""`devenv snapshot`."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Format, Name, Output, Profiles, Quiet

with LazyImports():
    import anyio

    from devenv.model import snapshot as model
    from devenv.ui import text
    from devenv.volumes import commands as workflow

Volumes = Annotated[list[str] | None, typer.Argument(help="Only these volumes, by their keys in the file.")]
Set = Annotated[str, typer.Argument(metavar="NAME", help="Its id, or the name it was given.")]
Other = Annotated[str, typer.Option("--from", metavar="PROJECT", help="One of another project or worktree.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="`-` for the standard stream.")]


def list_(
    projects: Annotated[list[str] | None, typer.Argument(metavar="[PROJECT]...")] = None,
    output: Format = Output.TEXT,
) -> None:
    """List what is saved, of all projects or of these, the newest first."""
    window, found = options.console(output), workflow.listed(projects or ())
    window.answer({"snapshots": [asdict(one) for one in found]}, text.columns([_row(one) for one in found]))
    if output is Output.TEXT and not found:
        window.aside("nothing is saved")
    for said in workflow.damaged():
        window.aside(said)


def _row(snapshot: model.Snapshot) -> dict[str, str]:
    note = "" if snapshot.automatic else "by hand"
    return {
        "id": snapshot.id,
        "name": text.clean(snapshot.title),
        "project": text.clean(snapshot.project),
        "volume": text.clean(snapshot.volume),
        "saved": f"{dt.datetime.fromtimestamp(snapshot.created).astimezone():%Y-%m-%d %H:%M}",
        "size": model.shown(snapshot.size),
        "stored": model.shown(snapshot.stored),
        "database": text.clean(snapshot.database),
        "note": note if snapshot.settled else "never healthy",
    }


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
    chosen = options.selection(file, project_name, profile)
    window = options.console(output, quiet=quiet)
    raise typer.Exit(anyio.run(workflow.save, chosen, volumes or (), name, window.emit))


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
    chosen = options.selection(file, project_name, profile)
    window = options.console(output, quiet=quiet)
    raise typer.Exit(anyio.run(workflow.restore, chosen, name, volumes or (), other, window.emit))


def rm(names: Annotated[list[str], typer.Argument(metavar="NAME...")], output: Format = Output.TEXT) -> None:
    """Remove saved sets of volumes."""
    raise typer.Exit(workflow.remove(names, options.console(output).emit))


def export(name: Set, file: File, output: Format = Output.TEXT) -> None:
    """Write a saved set to a file, for another machine."""
    raise typer.Exit(workflow.export(name, file, options.console(output).emit))


def import_(file: File, output: Format = Output.TEXT) -> None:
    """Take in what `export` wrote."""
    raise typer.Exit(workflow.take_in(file, options.console(output).emit))
