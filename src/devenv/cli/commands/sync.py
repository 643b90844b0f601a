"""`devenv sync`."""

from __future__ import annotations

from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Format, Name, Output, Profiles, Quiet

with LazyImports():
    import anyio

    from devenv.sync import once


def sync(
    services: Annotated[list[str] | None, typer.Argument(help="Only these services.")] = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the containers with the source tree and print differences.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done and do nothing.")] = False,
) -> None:
    """Sync the source tree to the running containers once."""
    selection = options.selection(file, project_name, profile, services)
    chosen = once.SyncRequest(selection, tuple(services or ()), verify=verify, dry_run=dry_run)
    raise typer.Exit(anyio.run(once.sync, chosen, options.console(output, quiet=quiet).emit))
