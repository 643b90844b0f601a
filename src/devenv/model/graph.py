"""A project as a graph, and other values exchanged between a run and the live view that are not events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from devenv.lazy_dataclass import dataclass
from devenv.model.project import Dependency, Mount, Port, Project, Resource, Service


@dataclass(frozen=True, slots=True)
class Node:
    """A service; `ports` as `HOST:CONTAINER`, `mounts` as `SOURCE:TARGET`, `volumes` and `networks` by key.

    From the last run, if known: `seconds` from the readiness of its last dependency until its own, whether the whole
    start waited for the service (`critical`), and the service that it waited for last (`after`).
    """

    name: str
    needs: tuple[Dependency, ...] = ()
    ports: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    seconds: float | None = None
    critical: bool = False
    after: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """All services; `seconds` until the last run was ready, or None."""

    project: str
    nodes: tuple[Node, ...]
    networks: tuple[Resource, ...] = ()
    volumes: tuple[Resource, ...] = ()
    seconds: float | None = None

    def node(self, name: str) -> Node:
        """The service of that name. Raises KeyError."""
        return {node.name: node for node in self.nodes}[name]

    @property
    def roots(self) -> tuple[Node, ...]:
        """The services that no other service depends on."""
        needed = {need.service for node in self.nodes for need in node.needs}
        return tuple(node for node in self.nodes if node.name not in needed)


def graph(project: Project, model: Mapping[str, Any], timings: Mapping[str, Any] | None = None) -> Graph:
    """The graph of the project; `model` is the resolved model, `timings` the `timings` event of the last run."""
    spans = timings["spans"] if timings else ()
    nodes = tuple(_timed(_node(service, project, model["services"]), spans) for service in project.services)
    return Graph(project.name, nodes, project.networks, project.volumes, timings["seconds"] if timings else None)


def _node(service: Service, project: Project, services: Mapping[str, Any]) -> Node:
    definition = services[service.name]
    mode = definition.get("network_mode")
    return Node(
        name=service.name,
        needs=tuple(need for need in service.depends_on if need.service in services),
        ports=tuple(map(_port, service.ports)),
        mounts=tuple(_mount(mount, project) for mount in service.volumes if mount.source),
        volumes=tuple(mount.source for mount in service.volumes if mount.type == "volume" and mount.source),
        networks=(f"{mode} (network_mode)",) if mode else tuple(definition.get("networks") or ()),
    )


def _timed(node: Node, spans: Iterable[Mapping[str, Any]]) -> Node:
    names = {f"{step} {node.name}" for step in ("start", "health", "run")}
    own = [span for span in spans if span["name"] in names]
    if not own:
        return node
    critical = [span["after"] for span in own if span["critical"]]
    seconds = round(sum(span["end"] - span["start"] for span in own), 3)
    return replace(node, seconds=seconds, critical=bool(critical), after=next(filter(None, critical), ""))


def _port(port: Port) -> str:
    address = f"{port.host_ip}:" if port.host_ip else ""
    host = f"{address}{port.published}:" if port.published else ""
    return f"{host}{port.target}{'' if port.protocol == 'tcp' else f'/{port.protocol}'}"


def _mount(mount: Mount, project: Project) -> str:
    return f"{project.written(mount)}{':ro' if mount.read_only else ''}"


@dataclass(frozen=True, slots=True)
class ServiceGraph:
    """The services of a run as a graph, and those with a build section; sent again when the files change."""

    graph: Graph
    built: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServiceStats:
    """Facts of a service that no event has. `cpu` is in percent of a core, `memory` in bytes; None until measured.

    `container` is the id of a running container, or empty; `urls` are the addresses of its published TCP ports,
    whatever the protocol; `pending` counts files that are saved and not yet in the container; `checked` is the path
    that its health check requests.
    """

    service: str
    container: str = ""
    urls: tuple[str, ...] = ()
    cpu: float | None = None
    memory: int | None = None
    restarts: int = 0
    pending: int = 0
    checked: str = ""


Fact = ServiceGraph | ServiceStats


@dataclass(frozen=True, slots=True)
class ViewCommand:
    """A command for a run: `restart`, `rebuild`, `start` or `stop` a service, or `detach`.

    For the terminal: `shell` (`service` is the id of a container), `open` (`service` is an address), `page`
    and `quit`.
    """

    verb: str
    service: str = ""
