"""A volume -> a verified archive, and back, through a container that mounts it and is never started.

The engine's archive requests mount the volumes of created containers. What they do not carry: extended attributes
other than file capabilities, holes in sparse files (they come back as zeros), times below a second, sockets.
"""

from __future__ import annotations

import contextlib
import mmap
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from devenv.config.user import UserSettings, user_settings
from devenv.engine.api import CallError, Engine
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.lifecycle.store import Store
from devenv.model.events import Emit, Notice, Problem, Restored, Saved, Step
from devenv.model.observed import (
    HOLDS_LABEL,
    ONE_OFF_LABEL,
    OUR_LABEL,
    PROJECT_LABEL,
    VOLUME_LABEL,
    Container,
    Scene,
    Volume,
)
from devenv.model.snapshot import Snapshot, shown

TARGET = "/.devenv-volume"
TOLD_EVERY = 0.2


@dataclass
class Vault:
    """The volumes of one project on one engine, saved and restored. What is saved together has one id.

    `limit` is what a single volume may hold, `total` what the whole store may (bytes).
    """

    engine: Engine
    emit: Emit
    project: str
    directory: str
    store: Store
    limit: int
    total: int
    _id: str = field(default="", init=False)

    async def save(
        self, volume: Volume, users: Iterable[Container], *, settled: bool, automatic: bool = True, title: str = ""
    ) -> Snapshot:
        """The snapshot, on disk and verified. `users` are the containers that use the volume, or used it.

        Raises DevenvError or OSError, with nothing stored, where that is not possible.
        """
        began, users = time.monotonic(), tuple(users)
        self._id = self._id or self.store.new_id()
        key = volume.key or volume.name
        with self.store.draft(self._id, key, limit=self.limit) as (draft, path):
            async with self._holder(volume.name, [c.image for c in users]) as holder:
                await self.engine.save(holder, TARGET, _Told(draft, key, self.emit), total=None)
            digest = await anyio.to_thread.run_sync(draft.finish, path, abandon_on_cancel=True)
            snapshot = Snapshot(
                id=self._id,
                volume=key,
                name=volume.name,
                project=self.project,
                directory=self.directory,
                endpoint=self.engine.endpoint.host,
                created=self.store.now(),
                size=draft.size,
                stored=draft.stored,
                digest=digest,
                automatic=automatic,
                settled=settled,
                database=next((c.database for c in users if c.database), ""),
                title=title,
            )
            self.store.commit(snapshot, path)
        seconds = round(time.monotonic() - began, 2)
        self.emit(Saved(key, snapshot.id, snapshot.size, snapshot.stored, seconds))
        self.store.tidy()
        for gone in self.store.make_room(self.total):
            self.emit(
                Notice(f"gave up the snapshot {gone.id} of {gone.project}/{gone.volume} ({shown(gone.stored)})")
            )
        return snapshot

    async def restore(
        self, snapshot: Snapshot, key: str, name: str, wish: Mapping[str, Any], images: Iterable[str]
    ) -> None:
        """A new volume of that name and key, made as Compose makes it from `wish`, with what the snapshot holds.

        Raises DevenvError; the volume, if there is one by then, holds no more than a part.
        """
        began = time.monotonic()
        await anyio.to_thread.run_sync(self.store.check, snapshot)
        await self.engine.create_volume(self._volume(key, name, wish))
        self.emit(Step("restore", "detail", f"restoring {key} ({shown(snapshot.size)})"))
        try:
            async with self._holder(name, images) as holder:
                with _mapped(self.store.archive(snapshot)) as archive:
                    await self.engine.put(holder, archive)
        except CallError as error:
            raise EngineError(
                f"the snapshot {snapshot.id} of {snapshot.volume} could not be restored: {error.reason}",
                hint="docker system df   (disk full?), or: devenv up --fresh   (starts empty, the snapshot stays)",
            ) from error
        seconds = round(time.monotonic() - began, 2)
        self.emit(Restored(key, snapshot.id, round(time.time() - snapshot.created, 1), snapshot.size, seconds))

    async def mend(self, scene: Scene, restoring: Iterable[str]) -> bool:
        """Holders that died work left are gone, and volumes that it was filling; whether there were any.

        What it had paused to read a volume goes on.
        """
        holders = [c for c in scene.containers if c.holds]
        parts = [v.name for v in scene.volumes if v.name in restoring]
        held = {holder.holds for holder in holders}
        for container in scene.containers:
            if container.state == "paused" and held & {*container.volumes}:
                await self.engine.pause(container.id, on=False)
        for holder in holders:
            await self.engine.remove_container(holder.id)
        for name in parts:
            await self.engine.remove_volume(name)
        return bool(holders or parts)

    def _volume(self, key: str, name: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        labels = {**(wish.get("labels") or {}), PROJECT_LABEL: self.project, VOLUME_LABEL: key}
        return {
            "Name": name,
            "Driver": wish.get("driver", ""),
            "DriverOpts": wish.get("driver_opts") or {},
            "Labels": labels,
        }

    @contextlib.asynccontextmanager
    async def _holder(self, volume: str, images: Iterable[str]) -> AsyncIterator[str]:
        """A container that mounts the volume: of the first image that lends itself, whichever it is."""
        mount = {"Type": "volume", "Source": volume, "Target": TARGET, "VolumeOptions": {"NoCopy": True}}
        wish = {
            "Entrypoint": [],
            "Cmd": ["-"],
            "Labels": {
                PROJECT_LABEL: self.project,
                OUR_LABEL: self.project,
                HOLDS_LABEL: volume,
                ONE_OFF_LABEL: "True",
            },
            "HostConfig": {"NetworkMode": "none", "Mounts": [mount]},
        }
        with anyio.CancelScope(shield=True):  # given up halfway, it would be there and nobody would know its id
            holder = await self._created(wish, images)
        try:
            yield holder
        finally:
            with anyio.CancelScope(shield=True), contextlib.suppress(EngineError):
                await self.engine.remove_container(holder)

    async def _created(self, wish: Mapping[str, Any], images: Iterable[str]) -> str:
        why: DevenvError = DevenvError("there is no image on the engine to make a container of")
        for image in dict.fromkeys((*images, *await self.engine.images())):
            try:
                return await self.engine.create_container({**wish, "Image": image})
            except CallError as error:
                why = error
        raise why


@contextlib.contextmanager
def _mapped(path: str) -> Iterator[mmap.mmap]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        yield content


def vault(engine: Engine, emit: Emit, project: str, directory: str) -> Vault:
    """The vault of a project, with the limits that the user has set; settings that are wrong hold nothing up."""
    chosen = UserSettings()
    try:
        chosen = user_settings()
    except ConfigError as error:
        emit(Problem(f"{error.where}: {error.message}: the default limits of snapshots hold", error.hint))
    limits = chosen.snapshot_limit, chosen.snapshots_total
    return Vault(engine, emit, project, directory, Store.at_home(), *limits)


class _Told:
    """Hands on what is written, and tells now and then how much it was."""

    def __init__(self, file: Any, key: str, emit: Emit) -> None:
        self._file = file
        self._key = key
        self._emit = emit
        self._next = time.monotonic() + TOLD_EVERY

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + TOLD_EVERY
            self._emit(Step("save", "detail", f"saving {self._key} ({shown(self._file.size)})"))
