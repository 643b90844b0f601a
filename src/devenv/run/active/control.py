"""Connection between a run and its live view: carries out the view's commands, and sends facts that no event has."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from devenv.docker import process
from devenv.errors import DevenvError, EngineError, StateError
from devenv.events import Emit, Problem
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model import graph
from devenv.model.graph import Fact, ServiceGraph, ServiceStats, ViewCommand

with LazyImports():
    from devenv.run import page

if TYPE_CHECKING:
    from devenv.docker.client import Engine
    from devenv.docker.containers import Usage
    from devenv.model.containers import Container
    from devenv.run.active.project import ActiveProject
    from devenv.run.desired import DesiredState

ActiveProjects = Callable[[], "ActiveProject | None"]
Verbs = Mapping[str, Callable[[str], Awaitable[None]]]
AT_ONCE = 1.0  # seconds until the page has to answer a key
LOOK_EVERY = 1.0
MEASURE_EVERY = 5.0  # minimum seconds between two measurements of all containers
SHARE = 0.003  # of a core, that measuring may use
RAREST = 60.0


class RunController:
    """Carries out the commands of a view."""

    def __init__(
        self,
        learn: Callable[[Fact], object],
        settled: Callable[
            [str, str], object
        ],  # takes the service, and why its command was not carried out ("" if it was)
        ended: Callable[[], object],  # called when a signal ends the run
    ) -> None:
        self.learn = learn
        self.ended = ended
        self.detached = anyio.Event()
        self._active_project: ActiveProjects = lambda: None
        self._settled = settled
        self._commands: deque[ViewCommand] = deque()
        self._arrived = anyio.Event()

    def ask(self, command: ViewCommand) -> None:
        """Carry the command out, concurrently with all others."""
        if command.verb == "detach":
            self.detached.set()
        else:
            self._commands.append(command)
            self._arrived.set()

    async def shell(self, container_id: str) -> None:
        """Run the best shell of a container in the terminal. Raises DevenvError if the container has none."""
        project = self._active_project()
        container = None if project is None else await project.engine.containers.inspect(container_id)
        if project is None or container is None:
            raise DevenvError("the container no longer exists")
        await open_shell(project.engine, container)

    async def page(self) -> page.PageAddress:
        """The address of the page that shows this run. Raises DevenvError as long as it starts."""
        project = self._active_project()
        try:
            if project is not None:
                return await page.address(project.compose.run, project.desired.project.name, patience=AT_ONCE)
        except StateError:
            pass
        raise DevenvError("the page opens once the start has ended")

    async def serve(self, active_project: ActiveProjects, emit: Emit) -> None:
        """Carry out commands and send facts, until cancelled."""
        async with anyio.create_task_group() as tasks:
            self._active_project = active_project
            reader = StatsReader(self.learn, active_project)
            tasks.start_soon(reader.look)
            tasks.start_soon(reader.measure)
            while True:
                while self._commands:
                    tasks.start_soon(self._carry_out, self._commands.popleft(), active_project(), emit)
                self._arrived = anyio.Event()
                await self._arrived.wait()

    async def _carry_out(self, command: ViewCommand, project: ActiveProject | None, emit: Emit) -> None:
        if project is None:
            self._settled(command.service, "not yet: its containers are still to be made")
            return
        actions, rebuild = project.actions, partial(project.actions.rebuild, cause="")
        restart = actions.restart  # starts what has ended, too
        verbs: Verbs = {"restart": restart, "start": restart, "stop": actions.stop, "rebuild": rebuild}
        if command.verb not in verbs or command.service not in project.desired.names:
            self._settled(command.service, f"{command.service} is no longer a service of this run")
            return
        try:
            await verbs[command.verb](command.service)
        except DevenvError as error:
            emit(Problem(error.said, error.hint, command.service))
        self._settled(command.service, "")


async def open_shell(engine: Engine, container: Container) -> None:
    """Run the best shell of a container in the terminal. Raises DevenvError if the container has none."""
    best_shell = await engine.exec.best_shell(container.id)
    if best_shell is None:
        raise DevenvError(f"the image of `{container.service}` has no shell")
    await process.foreground(engine.endpoint.docker_command("exec", "-it", container.id, best_shell))


def service_graph(desired: DesiredState) -> ServiceGraph:
    """The chosen services as a graph."""
    whole = graph.graph(desired.project, desired.loaded.model)
    nodes = (
        replace(node, needs=tuple(need for need in node.needs if need.service in desired.names))
        for node in whole.nodes
        if node.name in desired.names
    )
    return ServiceGraph(replace(whole, nodes=tuple(nodes)), frozenset(desired.built))


@dataclass
class UsageMeter:
    """The memory and CPU time that containers use."""

    _used: dict[str, Usage] = field(default_factory=dict)  # by container id, as last measured
    _load: dict[str, float] = field(default_factory=dict)  # by container id: percent of a core

    def cpu(self, containers: Sequence[Container]) -> float | None:
        """Percent of a core that these containers use together; None before the second measurement."""
        loads = [self._load[c.id] for c in containers if c.id in self._load]
        return sum(loads) if loads else None

    def memory(self, containers: Sequence[Container]) -> int | None:
        """Bytes that these containers use together; None before the first measurement."""
        sizes = [self._used[c.id].memory for c in containers if c.id in self._used]
        return sum(sizes) if sizes else None

    async def measure(self, engine: Engine, containers: Sequence[Container]) -> bool:
        """Measure these containers and forget all others. Return whether one was measured for the first time."""
        is_new = False
        for container_id in self._used.keys() - {c.id for c in containers}:
            del self._used[container_id]
            self._load.pop(container_id, None)
        for container in containers:
            with contextlib.suppress(EngineError):
                usage = await engine.containers.usage(container.id)
                before = self._used.get(container.id)
                is_new = is_new or before is None
                self._used[container.id] = usage
                if before is not None:
                    self._load[container.id] = float(round(usage.percent_since(before)))
        return is_new


@dataclass
class StatsReader:
    """Sends the graph of services and the stats of each service to `learn` as they change."""

    learn: Callable[[Fact], object]
    active_project: ActiveProjects
    _desired: DesiredState | None = None
    _sent: dict[str, ServiceStats] = field(default_factory=dict)  # by service
    _meter: UsageMeter = field(default_factory=UsageMeter)

    async def look(self) -> None:
        """Once a second, send what is known without measuring, if it has changed."""
        while True:
            if (project := self.active_project()) is not None:
                self._look(project)
            await anyio.sleep(LOOK_EVERY)

    async def measure(self) -> None:
        """Measure the containers' usage, at intervals that grow with the number of containers."""
        while True:
            began, pause = time.process_time(), LOOK_EVERY
            if (project := self.active_project()) is not None:
                containers = [c for c in project.observer.project_state.containers if c.running]
                is_new = await self._meter.measure(project.engine, containers)
                if containers and not is_new:
                    pause = max(MEASURE_EVERY, min((time.process_time() - began) / SHARE, RAREST))
            await anyio.sleep(pause)

    def _look(self, project: ActiveProject) -> None:
        if project.desired is not self._desired:
            self._desired = project.desired
            self.learn(service_graph(project.desired))
        pending = project.sync_session.pending()
        for name in project.desired.names:
            stats = self._stats(project, name, pending.get(name, 0))
            if self._sent.get(name) != stats:
                self._sent[name] = stats
                self.learn(stats)

    def _stats(self, project: ActiveProject, name: str, pending: int) -> ServiceStats:
        containers = project.observer.project_state.of(name)
        running = [c for c in containers if c.running]
        return ServiceStats(
            service=name,
            container=running[0].id if running else "",
            urls=project.urls(name),
            checked=next((c.checked for c in containers if c.checked), ""),
            cpu=self._meter.cpu(running),
            memory=self._meter.memory(running),
            restarts=sum(container.restarts for container in containers),
            pending=pending,
        )
