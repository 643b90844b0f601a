"""Holders: containers that mount a volume, have a file of an image or a folder of this machine, and never start."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import anyio

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import HOLDS_LABEL, ONE_OFF_LABEL, OWNER_LABEL, PROJECT_LABEL, ProjectState
from devenv.model.snapshot import Reader, database, system
from devenv.state import unfinished
from devenv.state.run_dir import Run

TARGET = "/.devenv-volume"
NO_SOURCE = "bind source path does not exist"  # the engine's message
OS_RELEASE = ("/usr/lib/os-release", "/etc/os-release")  # the second may be a link to the first


@dataclass(frozen=True, slots=True)
class Holders:
    """Creates holders for a run of the project on the engine, and reads from them."""

    engine: Engine
    run: Run
    project: str

    async def mend(self, project_state: ProjectState) -> bool:
        """Remove the helper containers that a dead process left. Return whether it left anything.

        Containers that it had paused to read a volume are unpaused.
        """
        paused = unfinished.left_paused(self.run, project_state.containers)
        holders = [c for c in project_state.containers if c.holds and c.ours]
        held = {holder.holds for holder in holders}
        for container in project_state.containers:
            if container in paused or (container.state == "paused" and held & {*container.volumes}):
                await self.engine.containers.pause(container.id, on=False)
        if paused:
            unfinished.forget_paused(self.run)
        for holder in holders:
            await self.engine.containers.remove(holder.id)
        return bool(holders or paused)

    async def reader(self, image: str, *, with_system: bool) -> Reader:
        """The database in the image, if there is one; `with_system`: with the system, read from a container."""
        name = database(await self.engine.images.variables(image), image)
        if name and with_system:
            with contextlib.suppress(CallError):
                async with self.hold([image]) as (holder, _):
                    return await self.reader_in(holder, name)
        return Reader(name)

    async def modes(self, image: str, paths: Iterable[str]) -> dict[str, int]:
        """The modes of these paths in an image, if they exist and the engine has the image."""
        modes: dict[str, int] = {}
        with contextlib.suppress(DevenvError):
            async with self.hold([image]) as (holder, _):
                for path in paths:
                    with contextlib.suppress(CallError):
                        modes[path] = await self.engine.archive.mode(holder, path)
        return modes

    async def sees(self, path: str) -> bool | None:
        """Whether the engine sees this file as this process does; None if that cannot be found out."""
        folder, name = os.path.split(os.path.realpath(path))
        mount = {"Type": "bind", "Source": folder, "Target": TARGET, "ReadOnly": True}
        try:
            own = os.stat(os.path.join(folder, name))
            async with self.hold((await self.engine.images.ids())[:1], bind=mount) as (holder, _):
                status = await self.engine.archive.stat(holder, f"{TARGET}/{name}")
        except CallError as error:
            return False if error.absent or NO_SOURCE in error.reason else None
        except (DevenvError, OSError):
            return None
        changed = dt.datetime.fromisoformat(re.sub(r"\.\d+", "", status["mtime"])).timestamp()
        return (status["size"], int(changed)) == (own.st_size, int(own.st_mtime))

    async def reader_in(self, holder: str, name: str) -> Reader:
        """The database of that name, with the system of the image of the holder; none is read without a name."""
        for path in OS_RELEASE if name else ():
            with contextlib.suppress(EngineError):
                archive = await self.engine.archive.get(holder, path) or b""
                libc, distribution = system(archive.decode(errors="replace"))
                if libc:
                    return Reader(name, libc, distribution)
        return Reader(name)

    @contextlib.asynccontextmanager
    async def hold(
        self, images: Iterable[str], volume: str = "", *, bind: Mapping[str, Any] | None = None
    ) -> AsyncIterator[tuple[str, str]]:
        """A container of the first image that works, and that image. It mounts the volume, or else `bind`.

        To mount a volume, any image on the engine will do.
        """
        mount: Mapping[str, Any] = {
            "Type": "volume", "Source": volume, "Target": TARGET, "VolumeOptions": {"NoCopy": True}
        }  # fmt: skip
        wish = {
            "Entrypoint": [],
            "Cmd": ["-"],
            "Labels": {
                PROJECT_LABEL: self.project,
                OWNER_LABEL: self.run.made.owner,
                HOLDS_LABEL: volume or "-",
                ONE_OFF_LABEL: "True",
            },
            "HostConfig": {"NetworkMode": "none", "Mounts": [bind or mount] if volume or bind else []},
        }
        with anyio.CancelScope(shield=True):  # if cancelled halfway, the container would exist without a recorded id
            others = await self.engine.images.ids() if volume else ()
            holder, image = await self._created(wish, (*images, *others))
        try:
            yield holder, image
        finally:
            with anyio.CancelScope(shield=True), contextlib.suppress(EngineError):
                await self.engine.containers.remove(holder)

    async def _created(self, wish: Mapping[str, Any], images: Iterable[str]) -> tuple[str, str]:
        why: DevenvError = DevenvError("there is no image on the engine to create a container from")
        self.run.made.intend(name := f"devenv-{secrets.token_hex(8)}")
        for image in dict.fromkeys(images):
            try:
                holder = await self.engine.containers.create({**wish, "Image": image}, name)
            except CallError as error:
                why = error
            else:
                self.run.made.add(holder)
                return holder, image
        raise why
