"""The corridor of a run, and the next one when the rules change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup, TaskStatus

from devenv.docker.client import Engine
from devenv.events import Emit
from devenv.model.containers import Container
from devenv.model.project import Project
from devenv.sync.rules.rules import BoundRule
from devenv.sync.service import Ending, Rebuild
from devenv.sync.session import SyncSession


@dataclass
class Keeper:
    """Keeps containers equal to the tree by the rules that hold now; without rules it does nothing."""

    engine: Engine
    emit: Emit
    rebuild: Rebuild
    recreate: Rebuild
    ending: Ending
    mark: str
    puts: str
    watcher: str = "auto"
    _sync_session: SyncSession | None = None
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _over: anyio.Event | None = None

    async def begin(self, tasks: TaskGroup, project: Project, bound: Sequence[BoundRule]) -> None:
        """From now on these rules hold; returns when the tree is known. Containers have to be adopted anew."""
        before = self._sync_session
        await self.end()
        if not bound:
            return
        self._sync_session = SyncSession(
            self.engine,
            project,
            bound,
            emit=self.emit,
            rebuild=self.rebuild,
            recreate=self.recreate,
            ending=self.ending,
            mark=self.mark,
            puts=self.puts,
            watcher=self.watcher,
            before=before,
        )
        self._scope = anyio.CancelScope()
        await tasks.start(self._run, self._sync_session)

    async def _run(self, sync_session: SyncSession, *, task_status: TaskStatus[None]) -> None:
        over = self._over = anyio.Event()
        try:
            with self._scope:
                await sync_session.run(task_status=task_status)
        finally:
            over.set()

    async def end(self) -> None:
        """No rules hold any more."""
        sync_session, self._sync_session = self._sync_session, None
        if sync_session is not None:
            self._scope.cancel()
            if self._over is not None:
                await self._over.wait()
            await sync_session.close()

    async def adopt(self, container: Container) -> None:
        """The container brought up to date and kept so. Raises EngineError where it has gone meanwhile."""
        sync_session = self._sync_session
        if sync_session is None:
            return
        await sync_session.adopt(container)
        if sync_session is not self._sync_session:  # the rules changed meanwhile
            await sync_session.drop(container.id)
            await self.adopt(container)

    async def drop(self, container_id: str) -> None:
        """The container is not kept any more."""
        if self._sync_session is not None:
            await self._sync_session.drop(container_id)

    def pending(self) -> dict[str, int]:
        """Service -> how many saved files are on their way to it."""
        return {} if self._sync_session is None else self._sync_session.pending()

    def open(self) -> None:
        """From now on saves are carried out; until then they only gather."""
        if self._sync_session is not None:
            self._sync_session.open()
