"""`devenv images`."""

from __future__ import annotations

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles


def images(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
) -> None:
    """List every image that the project needs, who needs it, and where it would come from."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.images.survey import survey  # noqa: PLC0415 - as above

    options.console(output).table(anyio.run(survey, options.selection(file, project_name, profile)))
    raise typer.Exit(0)
