"""The files of `configs` and `secrets` in the containers of a run whose engine does not have them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import field

import anyio

from devenv.compose.remote_files import MountedFile
from devenv.docker.client import Engine
from devenv.errors import DevenvError
from devenv.events import Emit, Notice, Problem
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.run.active.compose_calls import CurrentState
from devenv.run.active.observe.observer import Observer
from devenv.sync.container import mounted_files

LOOK_EVERY = 1.0  # seconds

Signature = tuple[int, int, int, int]


@dataclass
class MountedFiles:
    """Copies the files into each container of ours, and again when they change, as a bind mount would show it."""

    engine: Engine
    emit: Emit
    current: CurrentState
    observer: Observer
    _filled: set[str] = field(default_factory=set)  # ids of containers

    def _of(self, service: str) -> tuple[MountedFile, ...]:
        remote = self.current.desired.loaded.remote
        if remote is None or service not in self.current.desired.own:
            return ()
        return tuple(file for file in remote.files if file.service == service)

    async def put(self, container: Container) -> None:
        """Copy the files of its service into the container, unless that was done. Raises EngineError."""
        files = self._of(container.service)
        if files and container.id not in self._filled:
            await mounted_files.put(self.engine.archive, container.id, files, self.current.desired.project.directory)
            self._filled.add(container.id)

    async def run(self) -> None:
        """Copy files again that have changed, until cancelled."""
        before: Mapping[str, Signature] = {}
        while True:
            now = await anyio.to_thread.run_sync(self._signatures)
            changed = {path for path, signature in now.items() if before.get(path, signature) != signature}
            before = {**before, **now}
            for service in sorted(self.current.desired.own) if changed else ():
                if files := [file for file in self._of(service) if file.source in changed]:
                    await self._put_again(service, files)
            await anyio.sleep(LOOK_EVERY)

    async def _put_again(self, service: str, files: list[MountedFile]) -> None:
        try:
            for container in self.observer.project_state.of(service):
                await mounted_files.put(
                    self.engine.archive, container.id, files, self.current.desired.project.directory
                )
        except DevenvError as error:
            if await self.engine.until_back():
                await self._put_again(service, files)
                return
            self.emit(Problem(error.message, error.hint or ""))
        else:
            names = ", ".join(dict.fromkeys(f"{file.kind[:-1]} `{file.name}`" for file in files))
            self.emit(Notice(f"the changed {names} is copied into {service} again"))

    def _signatures(self) -> dict[str, Signature]:
        """What changes with the files that exist. Blocking."""
        remote = self.current.desired.loaded.remote
        signatures = dict[str, Signature]()
        for path in {file.source for file in (remote.files if remote else ()) if file.is_on_disk}:
            with contextlib.suppress(OSError):
                status = os.stat(path)
                signatures[path] = status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
        return signatures
