"""Edits of the project's own files while it runs: noticed, and applied once they are valid."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import field

import anyio

from devenv.compose import resolve
from devenv.compose.files import inputs
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, Notice, Problem, Solved
from devenv.lazy_dataclass import dataclass
from devenv.sync.host import watcher
from devenv.sync.host.manifest import Manifest
from devenv.sync.rules import lint

LOOK_EVERY = 0.02  # seconds between two looks at whether the files are in force
QUIET = 0.1  # seconds without an event: editors replace files, and save several of them

# Takes the edited project and the changed files; returns whether anything had to be done.
Act = Callable[[Loaded, tuple[str, ...]], Awaitable[bool]]
UntilBack = Callable[[], Awaitable[bool]]  # see `Transport.until_back`


@dataclass
class Reload:
    """Watches the project's files; an invalid state is reported once and changes nothing."""

    selection: Selection
    loaded: Loaded
    emit: Emit
    act: Act
    until_back: UntilBack
    _files: frozenset[str] = frozenset()
    _seen: Mapping[str, bytes | None] = field(default_factory=dict)
    _reported: set[str] = field(default_factory=set)  # errors of the current, invalid state
    _rejected: Mapping[str, bytes | None] = field(default_factory=dict)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Until cancelled: check once, because the files were read some time ago, and then after every change."""
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

    async def in_force(self) -> str:
        """Wait until the files as they are now are in force, or are rejected; return the error then, else ""."""
        while True:
            now = await anyio.to_thread.run_sync(_contents, self._files)
            if now and now == self._rejected:
                return next(iter(self._reported), "")
            if now and now == self._seen:
                return ""
            await anyio.sleep(LOOK_EVERY)

    async def _find_files(self) -> None:
        """Add the files that the project now consists of; removed files stay, because they may come back."""
        files = await anyio.to_thread.run_sync(inputs, self.selection.directory, self.selection.files)
        builds = [service.build for service in self.loaded.project.services if service.build]
        self._files |= files | {os.path.normpath(path) for build in builds for path in build.dockerignores}

    async def _listen(self, files: Iterable[str]) -> None:
        # The sync session reports what cannot be watched.
        source = watcher.TreeWatcher(files, lambda _: True, lambda _, __: None, Manifest())
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
            is_applied = await self.act(loaded, self._shown(changed))
        except DevenvError as error:
            # The next event tries again: by then a port may be free, or an image present.
            if await self._have_changed(now):
                return
            if isinstance(error, EngineError) and await self.until_back():
                self._changed.set()
                return
            self._rejected = now
            if error.said not in self._reported:
                self._reported.add(error.said)
                self.emit(Problem(error.said, error.hint, path=self._main_file))
        else:
            self._seen, self._rejected = now, {}
            self._accept(loaded, is_applied=is_applied)

    async def _have_changed(self, before: Mapping[str, bytes | None]) -> bool:
        """Whether the files have changed since then. If so, half of an edit may have been read: look again."""
        if is_changed := before != await anyio.to_thread.run_sync(_contents, self._files):
            self._changed.set()
        return is_changed

    def _accept(self, loaded: Loaded, *, is_applied: bool) -> None:
        if self._reported:
            self.emit(Solved(self._main_file))
            if not is_applied:
                self.emit(Notice("the project's files are valid again, and nothing has to change"))
        self._reported.clear()
        for warning in [warning for warning in loaded.warnings if warning not in self.loaded.warnings]:
            self.emit(Notice(warning))
        self.loaded = loaded

    @property
    def _main_file(self) -> str:
        return self.loaded.project.files[0]

    def _shown(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The paths relative to the project, a link and its target once; the main file if there are no paths."""
        project = self.loaded.project
        by_target = {os.path.realpath(path): path for path in sorted(paths, key=os.path.islink)}
        return tuple(
            sorted(os.path.relpath(path, project.directory) for path in by_target.values() or project.files[:1])
        )


def _contents(files: Iterable[str]) -> dict[str, bytes | None]:
    """File -> digest of its content; None if it cannot be read."""
    digests: dict[str, bytes | None] = dict.fromkeys(files)
    for path in digests:
        if os.path.isfile(path):  # reading a pipe would block
            with contextlib.suppress(OSError), open(path, "rb") as file:
                digests[path] = hashlib.file_digest(file, "sha256").digest()
    return digests
