"""`devenv graph`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from typer import Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.errors import UsageError

with LazyImports():
    import anyio

    from devenv.compose import outline as outlines
    from devenv.compose import resolve
    from devenv.docker import endpoint
    from devenv.model import graph as model
    from devenv.state import run_dir
    from devenv.ui import drawing


def graph(
    output: Annotated[
        Literal["text", "mermaid", "json"], Option("--output", help="Print a tree, a Mermaid flow chart, or JSON.")
    ] = "text",
    timings: Annotated[bool, Option("--timings", help="Mark what the last start waited for, with times.")] = False,
) -> None:
    """Show the services, their dependencies, networks and volumes."""
    chosen = anyio.run(_graph, options.selection(), timings)
    options.asked.output = options.Output.JSON if output == "json" else options.Output.TEXT
    options.console().answer(asdict(chosen), drawing.mermaid(chosen) if output == "mermaid" else drawing.tree(chosen))


async def _graph(selection: outlines.Selection, timings: bool) -> model.Graph:
    """The project's graph, from its files alone; with `timings`, those of its last run."""
    loaded = await resolve.load(selection)
    last = run_dir.Run.known(await endpoint.resolve(), loaded.project.name).last() if timings else {}
    if timings and not last:
        raise UsageError(f"no run of {loaded.project.name} is remembered", hint="devenv up")
    return model.graph(loaded.project, loaded.model, last.get("timings"))
