"""`devenv graph`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Name, Output, Profiles

with LazyImports():
    import anyio

    from devenv.inspect import graph as workflow
    from devenv.ui import graph as view


def graph(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Annotated[
        Literal["text", "mermaid", "json"],
        typer.Option("--output", help="Print a tree, a Mermaid flow chart, or JSON."),
    ] = "text",
    timings: Annotated[
        bool, typer.Option("--timings", help="Mark what the last start waited for, with times.")
    ] = False,
) -> None:
    """Show the services, their dependencies, networks and volumes."""
    graph_ = anyio.run(lambda: workflow.graph(options.selection(file, project_name, profile), timings=timings))
    window = options.console(Output.JSON if output == "json" else Output.TEXT)
    window.answer(asdict(graph_), view.mermaid(graph_) if output == "mermaid" else view.tree(graph_))
