"""`devenv snapshot`."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Annotated

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.lazy_imports import LazyImports

with LazyImports():
    import anyio

    from devenv import events
    from devenv.model import snapshot as model
    from devenv.run import live_restore
    from devenv.ui import cells
    from devenv.volumes import commands as workflow

Volumes = Annotated[list[str] | None, Argument(help="Only these volumes, by their keys in the Compose file.")]
Name = Annotated[str, Argument(metavar="NAME", help="Id or name of the snapshot.")]
Other = Annotated[str, Option("--from", metavar="PROJECT", help="A snapshot of another project or worktree.")]
File = Annotated[str, Argument(metavar="FILE", help="`-` for standard input or output.")]


def list_(projects: Annotated[list[str] | None, Argument(metavar="[PROJECT]...")] = None) -> None:
    """List snapshots, the newest first."""
    console, snapshots = options.console(), workflow.listed(projects or ())
    console.answer(
        {"snapshots": [{**asdict(saved), "created_at": events.iso(saved.created)} for saved in snapshots]},
        cells.columns([_row(snapshot) for snapshot in snapshots]),
    )
    if not console.is_json and not snapshots:
        console.aside("no snapshot is saved")
    for message in workflow.damaged():
        console.aside(message)


def _row(snapshot: model.Snapshot) -> dict[str, str]:
    note = "" if snapshot.automatic else "by hand"
    return {
        "id": snapshot.id,
        "name": cells.clean(snapshot.title),
        "project": cells.clean(snapshot.project),
        "volume": cells.clean(snapshot.volume),
        "saved": f"{dt.datetime.fromtimestamp(snapshot.created).astimezone():%Y-%m-%d %H:%M}",
        "size": model.shown(snapshot.size),
        "stored": model.shown(snapshot.stored),
        "database": cells.clean(snapshot.database),
        "note": note if snapshot.settled else "never healthy",
    }


def save(
    volumes: Volumes = None, name: Annotated[str, Option("--name", "-n", help="Name of the snapshot.")] = ""
) -> None:
    """Save the project's volumes now.

    Containers that use them are paused meanwhile.
    """
    selection = options.selection()
    console = options.console()
    raise typer.Exit(anyio.run(workflow.save, selection, volumes or (), name, console.emit))


def restore(
    name: Annotated[str, Argument(help="Id or name of the snapshot; by default the newest.")] = "",
    volumes: Volumes = None,
    other: Other = "",
) -> None:
    """Restore a snapshot, also while the project runs.

    The services that use the volumes are stopped meanwhile; the previous content is saved first.
    """
    selection = options.selection()
    console = options.console()
    raise typer.Exit(anyio.run(live_restore.restore, selection, name, volumes or (), other, console.emit))


def rm(names: Annotated[list[str], Argument(metavar="NAME...")]) -> None:
    """Remove snapshots."""
    raise typer.Exit(workflow.remove(names, options.console().emit))


def export(name: Name, file: File) -> None:
    """Write a snapshot to a file, for another machine."""
    raise typer.Exit(workflow.export(name, file, options.console().emit))


def import_(file: File) -> None:
    """Import a snapshot from a file written by `export`."""
    raise typer.Exit(workflow.take_in(file, options.console().emit))
