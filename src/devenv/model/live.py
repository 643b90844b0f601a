"""What passes between a run and the live view beside the events: facts one way, wishes the other."""

from __future__ import annotations

from dataclasses import dataclass

from devenv.model.graph import Graph


@dataclass(frozen=True, slots=True)
class ServiceGraph:
    """The services that run, as a graph, and those of them that have a build section; anew when the files change."""

    graph: Graph
    built: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServiceStats:
    """How one service is: what no event tells. `cpu` in percent of one core and `memory` in bytes, once measured.

    `container` is the id of one that runs, empty where none does; `urls` are where its TCP ports are published,
    whatever they speak; `pending` counts the files that are saved and not there yet.
    """

    service: str
    container: str = ""
    urls: tuple[str, ...] = ()
    cpu: float | None = None
    memory: int | None = None
    restarts: int = 0
    pending: int = 0


Fact = ServiceGraph | ServiceStats


@dataclass(frozen=True, slots=True)
class ViewCommand:
    """What is asked of a run: `restart`, `rebuild` or `stop` of a service, or `detach`.

    Of the terminal: `shell` (in place of a service, a container's id), `open` (an address) and `quit`.
    """

    verb: str
    service: str = ""
