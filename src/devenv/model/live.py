"""Values between a run and the live view besides events: facts from the run, commands from the view."""

from __future__ import annotations

from dataclasses import dataclass

from devenv.model.graph import Graph


@dataclass(frozen=True, slots=True)
class ServiceGraph:
    """The services of a run as a graph, and those with a build section; sent again when the files change."""

    graph: Graph
    built: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServiceStats:
    """Facts of a service that no event has. `cpu` in percent of one core and `memory` in bytes, None until measured.

    `container` is the id of a running container, or empty; `urls` are the addresses of its published TCP ports,
    whatever the protocol; `pending` counts files that are saved and not in the container yet.
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
    """A command to a run: `restart`, `rebuild` or `stop` a service, or `detach`.

    To the terminal: `shell` (`service` is the id of a container), `open` (`service` is an address) and `quit`.
    """

    verb: str
    service: str = ""
