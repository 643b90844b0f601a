"""`devenv sync --watch --stack`: keep the containers of a stack equal to the source tree, until a signal."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import field, replace
from functools import partial

import anyio
from anyio.abc import TaskGroup

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.docker import context, endpoint, swarm
from devenv.docker.client import Engine
from devenv.docker.swarm import STACK_LABEL, Node
from devenv.docker.transport import CallError
from devenv.errors import ConfigError, EngineError, RefusedError, unknown
from devenv.events import Emit, Notice, Problem
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.project import Action, Project
from devenv.remote.line import line
from devenv.signals import endable
from devenv.state.run_dir import open_run
from devenv.sync import once
from devenv.sync.container.journal import SyncJournal
from devenv.sync.rules import lint
from devenv.sync.rules.rules import BoundRule
from devenv.sync.session import SyncSession
from devenv.tasks import each, task_group

NOTED = ["create", "start", "die", "update", "remove"]  # actions in events
SOON, REST = 0.25, 2.0  # seconds between two looks at an engine, shortly after an event and at other times
BUSY = 10.0  # seconds after an event in which what follows from it is looked for
AGAIN = 1.0  # seconds until a lost engine is tried again
CLOSING = 2.0  # seconds for the shells in containers to close
JOURNALS = "tasks"  # in the folder of the run of a project with the name of the stack, which has journals of its own
MANAGER = "the manager"


async def sync(selection: Selection, stack: str, hosts: Mapping[str, str], emit: Emit) -> int:
    """Sync until a signal; return its exit code. Nothing is created, restarted or removed.

    `hosts` are docker contexts, or hosts to reach by ssh, by the names of nodes. Raises EngineError if the engine is
    not that of a manager, UsageError for an unknown stack or service, ConfigError if there is nothing to sync.
    """

    async def work() -> None:
        project = (await resolve.load(selection, faults=lint.faults)).project
        async with line(await endpoint.resolve(), emit) as (reached, _), Engine.connect(reached) as manager:
            own = await swarm.node_id(manager, is_manager=True)
            bound = await _rules(project, selection.services, stack, await swarm.stacks(manager), emit)
            journals = os.path.join((await open_run(manager, stack)).path, JOURNALS)
            await StackSync(stack, hosts, manager, own, emit, journals).run(project, bound)

    return await endable(work)


async def _rules(
    project: Project, services: Sequence[str], stack: str, stacks: Mapping[str, set[str]], emit: Emit
) -> Sequence[BoundRule]:
    """The rules that copy files, without their restarts, of services that both the project and the stack have."""
    if stack not in stacks:
        raise unknown("stack", stack, stacks)
    for name in services:
        if name not in stacks[stack]:
            raise unknown(f"service of the stack {stack}:", name, stacks[stack])
    for name in sorted(stacks[stack] - {service.name for service in project.services}):
        emit(Notice(f"{name} of the stack {stack} is not synced: the Compose file has no such service"))
    bound = [rule for rule in await once.copying(project, services) if rule.service in stacks[stack]]
    if not bound:
        raise ConfigError(f"no service of the stack {stack} has sync rules", hint="devenv add rules")
    for name in sorted({rule.service for rule in bound if rule.rule.action is Action.SYNC_RESTART}):
        emit(Notice(f"{name} is synced without restarts: Swarm would replace its container"))
    plain = {Action.SYNC_RESTART: Action.SYNC}
    return [replace(r, rule=replace(r.rule, action=plain.get(r.rule.action, r.rule.action))) for r in bound]


@contextlib.asynccontextmanager
async def _connected(node: Node, names: Sequence[str], emit: Emit) -> AsyncIterator[Engine]:
    """The engine of the node, by the first of the names (contexts, or hosts for ssh) that ssh can resolve.

    Raises EngineError, with `--node` as the hint if there is no such name, or if another engine answers.
    """
    hint = f"add --node {node.name}=HOST   (a docker context, or a host to reach by ssh)"
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            try:
                reached, _ = await stack.enter_async_context(line(endpoint.named(name), emit))
                break
            except EngineError as error:
                if "Could not resolve hostname" not in error.message:
                    raise
                if name == names[-1]:
                    raise EngineError(error.message, hint=hint) from error
        engine = await stack.enter_async_context(Engine.connect(reached))
        if await swarm.node_id(engine) != node.id:
            raise EngineError(f"the engine at {reached.shown} is not that of this node", hint=hint)
        yield engine


async def _follow(engine: Engine, kind: Mapping[str, Sequence[str]], look: Callable[[], Awaitable[None]]) -> None:
    """Call `look` now, after each event of this `kind` (filters of the API), often for a while then, and at times.

    Raises EngineError once the engine is lost, and what `look` raises.
    """
    woken, busy_until = anyio.Event(), anyio.current_time() + BUSY

    async def listen() -> None:
        async for _ in engine.stream_events({"filters": json.dumps({**kind, "event": NOTED})}):
            woken.set()
        raise EngineError(f"the engine at {engine.endpoint.shown} has closed the connection")

    async with task_group() as tasks:
        tasks.start_soon(listen)
        while True:
            await look()
            with anyio.move_on_after(SOON if anyio.current_time() < busy_until else REST):
                await woken.wait()
                woken, busy_until = anyio.Event(), anyio.current_time() + BUSY


@dataclass
class StackSync:
    """Keeps the containers of a stack in sync on each node; `own` is the id of the manager's node."""

    stack: str
    hosts: Mapping[str, str]
    manager: Engine
    own: str
    emit: Emit
    journals: str
    engines: dict[str, Engine] = field(default_factory=dict)  # of synced containers, by their ids
    served: dict[str, anyio.CancelScope] = field(default_factory=dict)  # by the ids of nodes
    lost: dict[str, float] = field(default_factory=dict)  # what is lost -> since when
    session: SyncSession = field(init=False)

    async def run(self, project: Project, bound: Sequence[BoundRule]) -> None:
        """Sync until cancelled."""
        self.session = SyncSession(self.engine_of, emit=self.emit, actions=self, journals=self.journals)
        try:
            async with task_group() as tasks:
                await self.session.follow(tasks, project, bound)
                self.session.open()
                look, kind = partial(self._look_for_nodes, tasks), {"type": ["service", "node"]}
                await self._again(MANAGER, lambda: _follow(self.manager, kind, look))
        finally:
            with anyio.move_on_after(CLOSING, shield=True):
                await self.session.end()

    def engine_of(self, container: Container) -> Engine:
        """The engine of the node that has the container. Raises EngineError if the node is lost."""
        if container.id not in self.engines:
            raise EngineError(f"the node of {container.name} is lost")
        return self.engines[container.id]

    async def rebuild(self, service: str, cause: str) -> None:
        """Refuse: only a deployment replaces containers of a stack."""
        hint = f"docker service update --force {self.stack}_{service}"
        raise RefusedError(f"{cause}: only a new container will have this change", hint=hint)

    recreate = rebuild

    def restarting(self, _: Sequence[Container]) -> contextlib.nullcontext[None]:
        """Do nothing: no rule restarts containers."""
        return contextlib.nullcontext()

    async def _look_for_nodes(self, tasks: TaskGroup) -> None:
        """Serve the nodes that run tasks of the stack, and no others."""
        places = await swarm.places(self.manager, self.stack)
        self._is_back(MANAGER)
        for node_id in self.served.keys() - places:
            self.served.pop(node_id).cancel()
        new = places - self.served.keys()
        for node in await swarm.nodes(self.manager) if new else ():
            if node.id in new:
                self.served[node.id] = anyio.CancelScope()
                tasks.start_soon(self._serve, node, self.served[node.id])

    async def _serve(self, node: Node, scope: anyio.CancelScope) -> None:
        """Sync the containers of the node until the scope is cancelled."""
        name = MANAGER if node.id == self.own else f"node {node.name}"
        kind = {"type": ["container"], "label": [f"{STACK_LABEL}={self.stack}"]}

        async def work() -> None:
            own = contextlib.nullcontext(self.manager) if node.id == self.own else None
            async with own or _connected(node, self._names(node), self.emit) as engine:
                try:
                    await _follow(engine, kind, partial(self._look, node, name, engine))
                finally:
                    await self._drop(engine)

        with scope:
            await self._again(name, work)

    def _names(self, node: Node) -> Sequence[str]:
        """The contexts or hosts to try; ssh logs in as the user in the address of the manager, if it has one."""
        if host := self.hosts.get(node.name) or (node.name if context.host(node.name) else ""):
            return [host]
        login = re.match(r"(?:ssh://([^@/:]+@))?", self.manager.endpoint.host)
        return [f"{login[1] or '' if login else ''}{host}" for host in (node.name, node.address) if host]

    async def _look(self, node: Node, name: str, engine: Engine) -> None:
        """Sync the containers that the node has now."""
        services = await swarm.containers(engine, self.stack)
        self._is_back(name)
        await self._drop(engine, services)

        async def adopt(container_id: str) -> None:
            with contextlib.suppress(CallError):  # the container is about to end; if not, the next look tries again
                if (found := await engine.containers.inspect(container_id)) is not None:
                    self.engines[container_id] = engine
                    files = await self.session.adopt(replace(found, service=services[container_id]))
                    self.emit(Notice(f"{services[container_id]} on {node.name} is in sync (files updated: {files})"))
                    return
            self.engines.pop(container_id, None)

        wanted = (key for key, service in services.items() if service in self.session.service_syncs)
        await each(adopt, [container_id for container_id in wanted if container_id not in self.engines])

    async def _drop(self, engine: Engine, existing: Collection[str] | None = None) -> None:
        """Stop syncing the containers of this engine, or those that have ended if the `existing` ones are known."""
        with anyio.move_on_after(CLOSING, shield=True):
            for container_id in [
                key for key, its in self.engines.items() if its is engine and key not in (existing or ())
            ]:
                del self.engines[container_id]
                await self.session.drop(container_id)
                if existing is not None:
                    SyncJournal.of(self.journals, container_id).forget()

    async def _again(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begin the work again each time an engine is lost, which is reported once."""
        while True:
            try:
                await work()
            except EngineError as error:
                if name not in self.lost:
                    self.emit(Problem(f"{name}: {error.message}; trying again", error.hint))
                self.lost.setdefault(name, anyio.current_time())
            await anyio.sleep(AGAIN)

    def _is_back(self, name: str) -> None:
        if since := self.lost.pop(name, 0.0):
            self.emit(Notice(f"{name} is back after {anyio.current_time() - since:.0f} s"))
