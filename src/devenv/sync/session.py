"""The sync of a run: the host's tree is watched, and each service with rules gets its changes."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

import anyio
from anyio.abc import TaskGroup, TaskStatus

from devenv.events import Emit, Notice
from devenv.model.containers import Container
from devenv.model.project import Project
from devenv.state.kept import MARGIN
from devenv.sync.host.tree import HostTree
from devenv.sync.host.watcher import Watcher
from devenv.sync.rules.rules import BoundRule
from devenv.sync.service import ServiceSync
from devenv.sync.service_state import EngineOf, ServiceActions, SyncContext


class SyncSession:
    """Keeps the containers of a run equal to the source tree; `journals` is the folder of the journals."""

    def __init__(
        self, engine_of: EngineOf, *, emit: Emit, actions: ServiceActions, journals: str, watcher: str = Watcher.AUTO
    ) -> None:
        self.service_syncs: Mapping[str, ServiceSync] = {}
        self._engine_of = engine_of
        self._emit = emit
        self._actions = actions
        self._journals = journals
        self._watcher = watcher
        self._tree: HostTree | None = None
        self._work: tuple[anyio.CancelScope, anyio.Event] | None = None  # cancels it, and is set at its end

    async def follow(self, tasks: TaskGroup, project: Project, bound: Sequence[BoundRule]) -> None:
        """Apply these rules in place of the previous ones; returns once the tree is known.

        No container is served until it is adopted again, and nothing is carried out before `open`. Pending changes
        under the previous rules are kept.
        """
        before = self.service_syncs
        await self.end()
        if bound:
            await tasks.start(self._run, project, tuple(bound), before)

    async def _run(
        self,
        project: Project,
        bound: tuple[BoundRule, ...],
        before: Mapping[str, ServiceSync],
        *,
        task_status: TaskStatus[None],
    ) -> None:
        def known() -> None:
            for name, service_sync in service_syncs.items():
                service_sync.begin(before.get(name))

        def changed(paths: Collection[str]) -> None:
            for service_sync in service_syncs.values():
                service_sync.state.notice(paths)

        self._tree = tree = HostTree(
            project.directory,
            bound,
            changed=changed,
            say=lambda message, hint: self._emit(Notice(message, hint)),
            watcher=self._watcher,
        )
        context = SyncContext(
            self._engine_of, project, self._emit, self._actions, self._journals, tree.is_at_rest, tree.now
        )
        service_syncs = {
            name: ServiceSync(context, name, tuple(rule for rule in bound if rule.service == name))
            for name in dict.fromkeys(rule.service for rule in bound)
        }
        self.service_syncs = service_syncs
        scope, ended = self._work = anyio.CancelScope(), anyio.Event()
        try:
            with scope:
                async with anyio.create_task_group() as tasks:
                    await tasks.start(tree.run, known)
                    for service_sync in service_syncs.values():
                        tasks.start_soon(service_sync.serve, tasks)
                    task_status.started()
        finally:
            ended.set()

    async def end(self) -> None:
        """Remove all rules, and close every shell in every container."""
        service_syncs, self.service_syncs, self._tree = self.service_syncs, {}, None
        if self._work is not None:
            scope, ended = self._work
            scope.cancel()
            await ended.wait()
        for service_sync in service_syncs.values():
            await service_sync.close()

    async def adopt(self, container: Container) -> int:
        """Bring the container up to date and serve it from now on. Return the number of files that it lacked.

        Raises EngineError if the container no longer exists.
        """
        while (service_sync := self.service_syncs.get(container.service)) is not None:
            files = await service_sync.adoption.adopt(container)
            if service_sync is self.service_syncs.get(container.service):
                return files
            await service_sync.adoption.drop(container.id)  # the rules have changed in the meantime
        return 0

    async def drop(self, container_id: str) -> None:
        """Stop serving the container."""
        for service_sync in self.service_syncs.values():
            await service_sync.adoption.drop(container_id)

    def open(self) -> None:
        """Carry out changes from now on; until then they are only collected."""
        for service_sync in self.service_syncs.values():
            service_sync.open()

    async def catch_up(self) -> None:
        """Return once every change of the tree that was made before the call is known to each service."""
        if self._tree is not None:
            await self._tree.catch_up()

    def progress(self, service: str, running: Collection[Container]) -> tuple[str, bool]:
        """Why a path cannot be synced to the service, and whether changes are under way.

        They are, too, while one of its running containers is not served.
        """
        service_sync = self.service_syncs.get(service)
        if service_sync is None:
            return "", False
        served = {target.container.key for target in service_sync.state.targets.values()}
        problem, is_busy = service_sync.progress
        return problem, is_busy or not served.issuperset(container.key for container in running)

    def saved_since(self, since: float | None, *, rebuilds: bool) -> None:
        """Let files that were saved since then, if then is known, count as changed.

        They may have been synced without the restarts, commands and (with `rebuilds`) builds that follow.
        """
        if since is not None:
            for service_sync in self.service_syncs.values():
                service_sync.state.saved_since(since, rebuilds=rebuilds)

    def hasten(self) -> None:
        """Soon try again what has failed: the engine can be reached again."""
        for service_sync in self.service_syncs.values():
            service_sync.state.retries.hasten(anyio.current_time())
            service_sync.state.wake()

    def synced_until(self) -> float:
        """The time (Unix seconds) before which all saves have been synced, and have had their effects."""
        busy = [service_sync.state.busy_since for service_sync in self.service_syncs.values()]
        return min((since for since in busy if since is not None), default=time.time()) - MARGIN

    def pending(self) -> dict[str, int]:
        """Service -> number of saved paths that are not yet in its containers; without services that have none."""
        states = {name: service_sync.state for name, service_sync in self.service_syncs.items()}
        counts = {name: len(state.waiting) + len(state.retries.paths) for name, state in states.items()}
        return {name: count for name, count in counts.items() if count}
