"""`devenv graph`: the project's graph, with the times of its last run on request."""

from __future__ import annotations

from devenv.compose.outline import Selection
from devenv.compose.resolve import load
from devenv.docker.endpoint import resolve
from devenv.errors import UsageError
from devenv.model import graph as graphs
from devenv.model.graph import Graph
from devenv.state.run_dir import Run


async def graph(selection: Selection, *, timings: bool) -> Graph:
    """The project's graph, from its files alone. Raises as `load` does, and UsageError if no run is remembered."""
    loaded = await load(selection)
    last = Run.known(await resolve(), loaded.project.name).last() if timings else {}
    if timings and not last:
        raise UsageError(f"no run of {loaded.project.name} is remembered", hint="devenv up")
    return graphs.graph(loaded.project, loaded.model, last.get("timings"))
