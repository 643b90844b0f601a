"""Edits of a project's own files noticed while it runs, and handed on once they are valid."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from devenv.compose import resolve
from devenv.compose.files import inputs
from devenv.compose.resolve import Loaded, Selection
from devenv.errors import DevenvError
from devenv.events import Emit, Notice, Problem
from devenv.model.project import Project
from devenv.sync.host import watcher
from devenv.sync.rules import lint

QUIET = 0.1  # seconds without an event: editors replace files, and save several of them

# What the files say now, and which of them changed: whether anything was done about it.
Act = Callable[[Loaded, tuple[str, ...]], Awaitable[bool]]


@dataclass
class Reload:
    """Follows the files from `run` until cancelled; a state that is invalid is told once and changes nothing."""

    selection: Selection
    loaded: Loaded
    emit: Emit
    act: Act
    _files: frozenset[str] = frozenset()
    _seen: Mapping[str, bytes | None] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _stirred: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Look once, since the files were read some time ago, and then after every change."""
        while True:
            await self._learn()
            files = self._files
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, files)
                while self._files == files:
                    await self._until_quiet()
                    await self._look()
                    await self._learn()
                tasks.cancel_scope.cancel()

    async def _learn(self) -> None:
        """Files that have gone are still ours: they may come back."""
        known = await anyio.to_thread.run_sync(inputs, self.selection.directory, self.selection.files)
        self._files |= known | _dockerignores(self.loaded.project)

    async def _listen(self, files: Iterable[str]) -> None:
        # What cannot be watched is the corridor's to say.
        files_alone = watcher.Source(files, lambda _: True, lambda _, __: None, {})
        await files_alone.watch(lambda _: self._stirred.set())

    async def _until_quiet(self) -> None:
        await self._stirred.wait()
        while self._stirred.is_set():
            self._stirred = anyio.Event()
            await anyio.sleep(QUIET)

    async def _look(self) -> None:
        now = await anyio.to_thread.run_sync(_contents, self._files)
        if now == self._seen and not self._told:
            return
        changed = [path for path in now if path in self._seen and now[path] != self._seen[path]]
        try:
            loaded = await resolve.load(self.selection, faults=lint.faults)
            if await self._moved_on(now):
                return
            done = await self.act(loaded, self._shown(changed))
        except DevenvError as error:
            if not await self._moved_on(now):
                self._tell(error)  # any event tries again: a port may be free, an image there by then
        else:
            self._seen = now
            self._accept(loaded, done=done)

    async def _moved_on(self, before: Mapping[str, bytes | None]) -> bool:
        """Whether the files say something else already: what was read may be half of it, and is looked at again."""
        if before != await anyio.to_thread.run_sync(_contents, self._files):
            self._stirred.set()
            return True
        return False

    def _accept(self, loaded: Loaded, *, done: bool) -> None:
        if self._told and not done:
            self.emit(Notice("the project's files are valid again, and nothing has to change"))
        self._told.clear()
        for warning in loaded.warnings:
            if warning not in self.loaded.warnings:
                self.emit(Notice(warning))
        self.loaded = loaded

    def _tell(self, error: DevenvError) -> None:
        if error.said not in self._told:
            self._told.add(error.said)
            self.emit(Problem(error.said, error.hint))

    def _shown(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Relative to the project, a link and what it points to once; the main file where nobody knows."""
        project = self.loaded.project
        known = {os.path.realpath(path): path for path in sorted(paths, key=os.path.islink)}
        return tuple(sorted(os.path.relpath(path, project.directory) for path in known.values() or project.files[:1]))


def _dockerignores(project: Project) -> frozenset[str]:
    """The files that may say what a build leaves out (`scan.dockerignores` reads them)."""
    builds = [service.build for service in project.services if service.build]
    return frozenset(
        os.path.normpath(os.path.join(build.context, name))
        for build in builds
        for name in (f"{build.dockerfile}.dockerignore", ".dockerignore")
    )


def _contents(files: Iterable[str]) -> dict[str, bytes | None]:
    """File -> digest of what it holds; None where it cannot be read."""
    return {path: _digest(path) for path in files}


def _digest(path: str) -> bytes | None:
    try:
        if not os.path.isfile(path):  # a pipe would hold us
            return None
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
