"""What the live view shows of services and no event tells, told as it changes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import anyio

from devenv.docker.containers import Usage
from devenv.errors import EngineError
from devenv.model import graph
from devenv.model.containers import Container
from devenv.model.live import Fact, ServiceGraph, ServiceStats
from devenv.run.active.project import ActiveProject
from devenv.run.desired import DesiredState
from devenv.run.urls import url

LOOK_EVERY = 1.0
MEASURE_EVERY = 5.0  # seconds between two measurements of all containers, at least,
SHARE = 0.003  # and of a core, what measuring may cost
RAREST = 60.0


def cast(stage: DesiredState) -> ServiceGraph:
    """The services that were chosen, as a graph."""
    drawn = graph.graph(stage.project, stage.loaded.model)
    nodes = (
        replace(node, needs=tuple(need for need in node.needs if need.service in stage.names))
        for node in drawn.nodes
        if node.name in stage.names
    )
    return ServiceGraph(replace(drawn, nodes=tuple(nodes)), frozenset(stage.built))


@dataclass
class StatsReader:
    """What is told of each service as it changes: addresses, restarts, what is pending, and what it uses."""

    learn: Callable[[Fact], object]
    running: Callable[[], ActiveProject | None]
    _stage: DesiredState | None = None
    _told: dict[str, ServiceStats] = field(default_factory=dict)
    _used: dict[str, Usage] = field(default_factory=dict)  # by container
    _load: dict[str, float] = field(default_factory=dict)  # as `_used`: percent of a CPU
    _lives: dict[str, Container] = field(default_factory=dict)  # by id: the last one seen
    _restarts: dict[str, int] = field(default_factory=dict)  # by service

    async def look(self) -> None:
        """Tells of all that costs nothing to know, once a second, where it has changed."""
        while True:
            if (running := self.running()) is not None:
                self._look(running)
            await anyio.sleep(LOOK_EVERY)

    def _look(self, running: ActiveProject) -> None:
        if running.stage is not self._stage:
            self._stage = running.stage
            self.learn(cast(running.stage))
        pending = running.sync_session.pending()
        there = running.observer.project_state.containers
        for container in there:
            self._count(container)
        self._lives = {container.id: container for container in there}
        for name in running.stage.names:
            containers = running.observer.project_state.of(name)
            alive = [c for c in containers if c.running]
            ids = [c.id for c in alive]
            ports = sorted((port, ip) for c in containers for ip, port, _ in c.ports)
            service_stats = ServiceStats(
                service=name,
                container=next(iter(ids), ""),
                urls=tuple(dict.fromkeys(url(ip, port, running.engine.endpoint.host) for port, ip in ports)),
                cpu=sum(loads) if (loads := [self._load[i] for i in ids if i in self._load]) else None,
                memory=sum(sizes) if (sizes := [self._used[i].memory for i in ids if i in self._used]) else None,
                restarts=self._restarts.get(name, 0),
                pending=pending.get(name, 0),
            )
            if self._told.get(name) != service_stats:
                self._told[name] = service_stats
                self.learn(service_stats)

    def _count(self, container: Container) -> None:
        """A new start of one container is a restart; one that takes its place is none."""
        before = self._lives.get(container.id)
        if before is not None and before.started_at and container.started_at != before.started_at:
            more = max(container.restarts - before.restarts, 1) if not before.started_at.startswith("0001") else 0
            self._restarts[container.service] = self._restarts.get(container.service, 0) + more

    async def measure(self) -> None:
        """Measures what the containers use: rarely, and the more there are, the more rarely."""
        while True:
            began, running = time.process_time(), self.running()
            alive = [] if running is None else [c for c in running.observer.project_state.containers if c.running]
            fresh = False
            for ident in self._used.keys() - {c.id for c in alive}:
                del self._used[ident]
                self._load.pop(ident, None)
            for container in alive:
                with contextlib.suppress(EngineError):
                    assert running is not None  # noqa: S101 - it has containers
                    used = await running.engine.containers.usage(container.id)
                    before = self._used.get(container.id)
                    fresh = fresh or before is None
                    self._used[container.id] = used
                    if before is not None:
                        self._load[container.id] = float(round(used.percent_since(before)))
            spent = time.process_time() - began
            await anyio.sleep(LOOK_EVERY if fresh or not alive else max(MEASURE_EVERY, min(spent / SHARE, RAREST)))
