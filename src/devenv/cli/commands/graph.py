"""`devenv graph`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from devenv.cli import options
from devenv.cli.options import Files, Name, Output, Profiles


def graph(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Annotated[
        Literal["text", "mermaid", "json"], typer.Option("--output", help="A tree, a Mermaid flow chart, or JSON.")
    ] = "text",
    timings: Annotated[
        bool, typer.Option("--timings", help="Mark what the last run's ready waited for, and say how long.")
    ] = False,
) -> None:
    """Show the services, what they wait for, and their networks, volumes and ports."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.inspect.graph import graph as workflow  # noqa: PLC0415 - as above
    from devenv.ui.graph import mermaid, tree  # noqa: PLC0415 - as above

    found = anyio.run(lambda: workflow(options.selection(file, project_name, profile), timings=timings))
    window = options.console(Output.JSON if output == "json" else Output.TEXT)
    window.answer(asdict(found), mermaid(found) if output == "mermaid" else tree(found))
