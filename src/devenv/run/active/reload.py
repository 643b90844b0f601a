"""Notices edits of a project's own files while it runs, and passes them on once they are valid."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from devenv.compose import resolve
from devenv.compose.files import inputs
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.errors import DevenvError
from devenv.events import Emit, Notice, Problem
from devenv.model.project import Project
from devenv.sync.host import watcher
from devenv.sync.rules import lint

QUIET = 0.1  # seconds without an event: editors replace files, and save several of them

# Takes the project as the files say it now, and the files that changed; returns whether anything had to be done.
Act = Callable[[Loaded, tuple[str, ...]], Awaitable[bool]]


@dataclass
class Reload:
    """Follows the files from `run` until cancelled; an invalid state is reported once and changes nothing."""

    selection: Selection
    loaded: Loaded
    emit: Emit
    act: Act
    _files: frozenset[str] = frozenset()
    _seen: Mapping[str, bytes | None] = field(default_factory=dict)
    _reported: set[str] = field(default_factory=set)  # errors of the state that is invalid now
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Look once, because the files were read some time ago, and then after every change."""
        while True:
            await self._find_files()
            files = self._files
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, files)
                while self._files == files:
                    await self._until_quiet()
                    await self._look()
                    await self._find_files()
                tasks.cancel_scope.cancel()

    async def _find_files(self) -> None:
        """Add the files that the project is read from now; removed files stay, because they may come back."""
        files = await anyio.to_thread.run_sync(inputs, self.selection.directory, self.selection.files)
        self._files |= files | _dockerignores(self.loaded.project)

    async def _listen(self, files: Iterable[str]) -> None:
        # The sync session reports what cannot be watched.
        source = watcher.TreeWatcher(files, lambda _: True, lambda _, __: None, {})
        await source.watch(lambda _: self._changed.set())

    async def _until_quiet(self) -> None:
        await self._changed.wait()
        while self._changed.is_set():
            self._changed = anyio.Event()
            await anyio.sleep(QUIET)

    async def _look(self) -> None:
        now = await anyio.to_thread.run_sync(_contents, self._files)
        if now == self._seen and not self._reported:
            return
        changed = [path for path in now if path in self._seen and now[path] != self._seen[path]]
        try:
            loaded = await resolve.load(self.selection, faults=lint.faults)
            if await self._have_changed(now):
                return
            done = await self.act(loaded, self._shown(changed))
        except DevenvError as error:
            if not await self._have_changed(now):
                self._report(error)  # any event tries again: a port may be free, an image present by then
        else:
            self._seen = now
            self._accept(loaded, done=done)

    async def _have_changed(self, before: Mapping[str, bytes | None]) -> bool:
        """Whether the files have changed since then: what was read may be half of an edit, so look again."""
        if before != await anyio.to_thread.run_sync(_contents, self._files):
            self._changed.set()
            return True
        return False

    def _accept(self, loaded: Loaded, *, done: bool) -> None:
        if self._reported and not done:
            self.emit(Notice("the project's files are valid again, and nothing has to change"))
        self._reported.clear()
        for warning in loaded.warnings:
            if warning not in self.loaded.warnings:
                self.emit(Notice(warning))
        self.loaded = loaded

    def _report(self, error: DevenvError) -> None:
        if error.said not in self._reported:
            self._reported.add(error.said)
            self.emit(Problem(error.said, error.hint))

    def _shown(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The paths relative to the project, a link and its target once; the main file if there are none."""
        project = self.loaded.project
        known = {os.path.realpath(path): path for path in sorted(paths, key=os.path.islink)}
        return tuple(sorted(os.path.relpath(path, project.directory) for path in known.values() or project.files[:1]))


def _dockerignores(project: Project) -> frozenset[str]:
    """The files that may name what builds leave out (`scan.dockerignores` reads them)."""
    builds = [service.build for service in project.services if service.build]
    return frozenset(
        os.path.normpath(os.path.join(build.context, name))
        for build in builds
        for name in (f"{build.dockerfile}.dockerignore", ".dockerignore")
    )


def _contents(files: Iterable[str]) -> dict[str, bytes | None]:
    """File -> digest of its content; None if it cannot be read."""
    return {path: _digest(path) for path in files}


def _digest(path: str) -> bytes | None:
    try:
        if not os.path.isfile(path):  # the read of a pipe would wait
            return None
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
