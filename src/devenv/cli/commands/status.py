"""`devenv` without a command but with options."""

from __future__ import annotations

from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Format, Name, Output, Profiles, Quiet

with LazyImports():
    from devenv.cli import bare


def status(
    file: Files = None,
    project_name: Name = None,
    _profile: Profiles = None,
    output: Format = Output.TEXT,
    *,
    quiet: Quiet = False,
) -> None:
    """Show the status of the project in this folder."""
    bare.print_status(tuple(file or ()), project_name, as_json=output is Output.JSON, quiet=quiet)
