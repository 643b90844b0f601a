"""The source tree as last seen: events say where to look, and the results of looks are kept."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import anyio
from anyio.abc import TaskStatus

from devenv.paths import relative_to
from devenv.sync.host import link_loops, manifest, scan
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Manifest
from devenv.sync.host.watcher import Say, TreeWatcher, Watcher
from devenv.sync.queue import FEW
from devenv.sync.rules import rules
from devenv.sync.rules.rules import BoundRule

MISSING_ROOT_CHECK = 1.0  # seconds between two looks at a missing root
CATCH_UP = 0.002  # seconds between two looks at whether all events have arrived
GIT_PATIENCE = 30.0  # seconds; an older lock was left by a git process that died


class HostTree:
    """Everything at and below the roots of the rules: `now` maps paths to their last seen states, changed in place.

    `changed` is called with the paths of each change, `say` with a message and a hint. `directory` is the project's.
    """

    def __init__(
        self,
        directory: str,
        bound: Sequence[BoundRule],
        *,
        changed: Callable[[Collection[str]], object],
        say: Say,
        watcher: str = Watcher.AUTO,
    ) -> None:
        self.now = Manifest()
        self._directory = directory
        self._rules = tuple(bound)
        self._changed = changed
        self._say = say
        self._guarded = rules.roots(r for r in self._rules if r.copies)
        self._held: frozenset[str] = frozenset()
        self._unread: set[str] = set()  # reported by events, but not yet looked at
        self._arrived = anyio.Event()
        self._is_looking = True
        self._git_lock = scan.git_lock(directory)
        self._source = TreeWatcher(rules.roots(self._rules), self._prunes, say, self.now, watcher)

    def is_at_rest(self) -> bool:
        """Whether no look is pending, and no git command is changing the tree."""
        if not self._is_calm():
            return False
        with contextlib.suppress(OSError):
            return self._git_lock is None or time.time() - os.lstat(self._git_lock).st_mtime >= GIT_PATIENCE
        return True

    async def run(self, known: Callable[[], object], *, task_status: TaskStatus[None]) -> None:
        """Watch until cancelled; started once the tree is known, and `known`, called just before, has returned."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._source.watch, self._tell)
            # The watcher is active: from now on, no change is missed.
            self._arrived, self._unread = anyio.Event(), set()
            roots = rules.roots(self._rules)
            seen = await anyio.to_thread.run_sync(scan.scan, roots, self._prunes, self._source.enter)
            self.now.become(link_loops.mark_loops(seen))
            known()
            tasks.start_soon(self._check_missing_roots)
            task_status.started()
            while True:
                self._is_looking = False
                await self._arrived.wait()
                self._is_looking = True
                self._arrived = anyio.Event()
                paths, self._unread = self._unread, set()
                args = (paths, self.now, self._prunes, self._source.enter)
                self._take(await anyio.to_thread.run_sync(scan.look, *args))

    async def catch_up(self) -> None:
        """Return once every change that was made before the call is in `now`, and was passed to `changed`."""
        if self._source.is_behind() is None:
            self._unread.update(rules.roots(self._rules))
            self._arrived.set()
        while self._source.is_behind() or not self._is_calm():  # noqa: ASYNC110 - the kernel sets no event of ours
            await anyio.sleep(CATCH_UP)

    def _tell(self, paths: Collection[str]) -> None:
        if self._is_calm() and _is_quick(paths, self.now):
            self._take(scan.look(paths, self.now, self._prunes, self._source.enter))
        else:
            self._unread.update(paths)
            self._arrived.set()

    def _is_calm(self) -> bool:
        return not self._is_looking and not self._unread

    def _prunes(self, folder: str) -> bool:
        return rules.prune(self._rules, folder)

    async def _check_missing_roots(self) -> None:
        """Look at each missing root repeatedly; report those that remain missing."""
        reported: frozenset[str] = frozenset()
        while True:
            await anyio.sleep(MISSING_ROOT_CHECK)
            if self._held:
                self._unread |= self._held
                self._arrived.set()
            for root in sorted(self._held - reported):
                shown = relative_to(root, self._directory) or root
                self._say(f"{shown} is missing or replaced: nothing is deleted in containers until it is back", "")
            reported = self._held

    def _take(self, fresh: manifest.Fresh) -> None:
        fresh, self._held = manifest.suppress_root_loss(self.now, fresh, self._guarded, self._held)
        fresh = link_loops.with_loops(self.now, fresh)
        changes = manifest.diff(self.now, fresh)
        manifest.apply(self.now, changes)
        # A root that was replaced by an equal folder gets the identity of the new folder.
        self.now.update((root, state) for root in self._guarded if (state := fresh.get(root)))
        self._changed(dict.fromkeys(path for path, _ in (*changes.gone, *changes.present)))


def _is_quick(paths: Collection[str], known: Mapping[str, FileState]) -> bool:
    """Whether a look is faster than the switch to another thread: few paths, and no folder to walk."""
    return len(paths) <= FEW and not any(_is_folder(path, known) for path in paths)


def _is_folder(path: str, known: Mapping[str, FileState]) -> bool:
    before = known.get(path)
    with contextlib.suppress(OSError, ValueError):
        return (before is not None and before.kind is FileKind.DIR) or stat.S_ISDIR(os.lstat(path).st_mode)
    return False
