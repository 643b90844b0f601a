"""The corridor's wiring: source -> looks at the host -> lanes."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import anyio
from anyio.abc import TaskStatus

from devenv.docker.client import Engine
from devenv.events import Emit, Notice
from devenv.model.containers import Container
from devenv.model.project import Project
from devenv.sync.host import links, manifest, root_guard, scan
from devenv.sync.host.manifest import FileState, Kind
from devenv.sync.host.watcher import Source, Watcher
from devenv.sync.queue import FEW
from devenv.sync.rules import rules
from devenv.sync.rules.rules import BoundRule
from devenv.sync.service import Ending, Rebuild, ServiceSync, SyncContext

HELD_LOOK = 1.0  # seconds
GIT_PATIENCE = 30.0  # seconds: a lock that is older was left by a git that died


class SyncSession:
    """Keeps the containers of a project equal to its source tree, from `run` until it is cancelled.

    `before` is the corridor whose rules held until now: what it had not done yet is not forgotten. The other
    arguments are those of `lane.Site`.
    """

    def __init__(
        self,
        engine: Engine,
        project: Project,
        bound: Sequence[BoundRule],
        *,
        emit: Emit,
        rebuild: Rebuild,
        recreate: Rebuild | None = None,
        ending: Ending,
        mark: str,
        puts: str,
        watcher: str = Watcher.AUTO,
        before: SyncSession | None = None,
    ) -> None:
        self._site = SyncContext(
            engine, project, emit, rebuild, recreate or rebuild, ending, mark, puts, self._is_at_rest
        )
        self._rules = tuple(bound)
        self._before: dict[str, ServiceSync] = dict(before.service_syncs) if before is not None else {}
        self._guarded = rules.roots(r for r in self._rules if r.copies)
        self._held: frozenset[str] = frozenset()
        self._raw: set[str] = set()  # told, and not looked at yet
        self._arrived = anyio.Event()
        self._is_looking = True
        self._git_lock = scan.git_lock(project.directory)
        self._source = Source(rules.roots(self._rules), self._prunes, self._say, self._site.now, watcher)
        services = dict.fromkeys(r.service for r in self._rules)
        self.service_syncs: dict[str, ServiceSync] = {
            name: ServiceSync(self._site, name, tuple(r for r in self._rules if r.service == name))
            for name in services
        }

    # --- from the host to the lanes ----------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled; started once the whole tree is known and the watcher stands."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen)
            for service_sync in self.service_syncs.values():
                tasks.start_soon(service_sync.serve, tasks)
            tasks.start_soon(self._look_at_held)
            task_status.started()

    async def _listen(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        def tell(paths: Collection[str]) -> None:
            if self._is_calm() and _is_quick(paths, self._site.now):
                self._take(scan.look(paths, self._site.now, self._prunes, self._source.enter))
            else:
                self._raw.update(paths)
                self._arrived.set()

        async with anyio.create_task_group() as tasks:
            await tasks.start(self._source.watch, tell)
            # The watcher stands: what is looked at from now on misses nothing.
            self._arrived, self._raw = anyio.Event(), set()
            roots = rules.roots(self._rules)
            seen = await anyio.to_thread.run_sync(scan.scan, roots, self._prunes, self._source.enter)
            self._site.now.update(links.settled_all(seen))
            for service_sync in self.service_syncs.values():
                service_sync.begin(self._before.pop(service_sync.service, None))
            task_status.started()
            while True:
                self._is_looking = False
                await self._arrived.wait()
                self._is_looking = True
                self._arrived = anyio.Event()
                paths, self._raw = self._raw, set()
                await self._look(paths)

    def _is_calm(self) -> bool:
        return not self._is_looking and not self._raw

    def _is_at_rest(self) -> bool:
        return self._is_calm() and not self._is_git_at_work()

    def _is_git_at_work(self) -> bool:
        if self._git_lock is None:
            return False
        try:
            return time.time() - os.lstat(self._git_lock).st_mtime < GIT_PATIENCE
        except OSError:
            return False

    def _prunes(self, folder: str) -> bool:
        return rules.prune(self._rules, folder)

    def _say(self, message: str, hint: str) -> None:
        self._site.emit(Notice(message, hint))

    async def _look(self, paths: Iterable[str]) -> None:
        fresh = await anyio.to_thread.run_sync(scan.look, paths, self._site.now, self._prunes, self._source.enter)
        self._take(fresh)

    async def _look_at_held(self) -> None:
        """A root that is held is looked at again and again; one that stays away is told of."""
        told: frozenset[str] = frozenset()
        while True:
            await anyio.sleep(HELD_LOOK)
            if self._held:
                self._raw |= self._held
                self._arrived.set()
            for root in sorted(self._held - told):
                shown = rules.relative_to(root, self._site.project.directory) or root
                self._say(f"{shown} is not there as it was: nothing is deleted in containers until it is back", "")
            told = self._held

    def _take(self, fresh: root_guard.Fresh) -> None:
        """Looks at the host made known to every lane that they concern."""
        now = self._site.now
        fresh, self._held = root_guard.hold(now, fresh, self._guarded, self._held)
        fresh = links.settled(now, fresh)
        found = manifest.diff(now, fresh)
        manifest.apply(now, found)
        now.update((root, state) for root in self._guarded if (state := fresh.get(root)))  # which folder it is by now
        touched = dict.fromkeys(path for path, _ in (*found.gone, *found.present))
        for service_sync in self.service_syncs.values():
            service_sync.notice(touched)

    # --- containers come and go --------------------------------------------------------------------------------

    async def adopt(self, container: Container) -> int:
        """The container brought up to date and served from now on; the number of files it lacked.

        Raises EngineError where it has gone meanwhile.
        """
        service_sync = self.service_syncs.get(container.service)
        return 0 if service_sync is None else await service_sync.adopt(container)

    def open(self) -> None:
        """From now on changes are carried out; until then they were only gathered."""
        for service_sync in self.service_syncs.values():
            service_sync.open()

    def pending(self) -> dict[str, int]:
        """Service -> how many paths are saved and not in its containers yet; those of none are left out."""
        counts = {
            name: len(service_sync.waiting) + len(service_sync.failed)
            for name, service_sync in self.service_syncs.items()
        }
        return {name: count for name, count in counts.items() if count}

    async def drop(self, container_id: str) -> None:
        """The container is not served any more."""
        for service_sync in self.service_syncs.values():
            await service_sync.drop(container_id)

    async def close(self) -> None:
        """Every shell in every container ended."""
        for service_sync in self.service_syncs.values():
            for container_id in tuple(service_sync.targets):
                await service_sync.drop(container_id)


def _is_quick(paths: Collection[str], known: Mapping[str, FileState]) -> bool:
    """Whether a look takes no longer than a way to another thread: few paths, and no folder to walk."""
    return len(paths) <= FEW and not any(_is_folder(path, known) for path in paths)


def _is_folder(path: str, known: Mapping[str, FileState]) -> bool:
    before = known.get(path)
    if before is not None and before.kind is Kind.DIR:
        return True
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False
