"""Volume -> verified archive, and back, through a holder (see `holders`), a container that is never started.

The engine's archive requests mount the volumes of created containers. They do not carry extended attributes other
than file capabilities, holes in sparse files (they come back as zeros), times below a second, and sockets.
"""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import time
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Any

import anyio

from devenv import private_files
from devenv.compose.user_config import UserSettings, user_settings
from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.errors import ConfigError, EngineError, StateError
from devenv.events import Emit, Notice, Problem, Restored, Saved, Step
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.containers import (
    OWNER_LABEL,
    PROJECT_LABEL,
    VOLUME_LABEL,
    Container,
    Volume,
)
from devenv.model.snapshot import Snapshot, shown
from devenv.state.identity import Content, VolumeRecord
from devenv.state.run_dir import Run
from devenv.tasks import repeated
from devenv.volumes.holders import TARGET, Holders
from devenv.volumes.lineage import NOTHING, Lineage, LiveVolume, advanced, by_reference
from devenv.volumes.lineages import Lineages
from devenv.volumes.store import DAMAGED, Store

with LazyImports():  # many projects have no volume to save or to restore
    from devenv.state import gzip_members, verified_archive

REPORT_EVERY = 0.2  # seconds
LONGEST = 10.0  # seconds that saving a volume may take at the end of a run, at the measured rate
MEASURED_WITHIN = 2.0  # seconds for the sizes of volumes


@dataclass
class VolumeTransfer:
    """Saves and restores the volumes of one project on one engine. Volumes saved together share one id.

    `directory` is the project's folder. `limit` is the maximum size of a volume that is saved unasked, `total` that
    of the store (bytes).
    """

    engine: Engine
    emit: Emit
    run: Run
    project: str
    directory: str
    store: Store
    lineages: Lineages
    limit: float
    total: int
    _id: str = field(default="", init=False)
    _keys: set[str] = field(default_factory=set, init=False)

    @property
    def holders(self) -> Holders:
        """The containers that mount the volumes."""
        return Holders(self.engine, self.run, self.project)

    async def save(
        self,
        volume: Volume,
        users: Iterable[Container],
        *,
        settled: bool,
        lineage: str = "",
        automatic: bool = True,
        title: str = "",
    ) -> Snapshot:
        """Save the volume: on disk and verified; a `settled` state becomes the head of its lineage.

        `users` are the containers that use the volume, or used it. Raises DevenvError or OSError, with nothing
        stored.
        """
        line = self.lineages.get(lineage) if lineage else None
        # The container is created from the image of the database, if there is one, to read its os-release.
        began, users = time.monotonic(), sorted(users, key=lambda user: not user.database)
        key = volume.key or volume.name
        if key in self._keys or not self._id:  # a renamed volume has the key of the previous one
            self._id, self._keys = self.store.new_id(), set()
        self._keys.add(key)
        set_id = self._id
        with self.store.draft(set_id, key, limit=self.limit if automatic else math.inf) as (draft, path):

            def report() -> None:
                self.emit(Step("save", "detail", f"saving {key} ({shown(draft.size)})"))

            async with self.holders.hold([c.image for c in users], volume.name) as (holder, image):
                reader = await self.holders.reader_in(
                    holder, next((c.database for c in users if c.image == image), "")
                )
                streamed = time.monotonic()
                async with repeated(report, REPORT_EVERY):
                    await self.engine.archive.download(holder, TARGET, draft.write)
                digest = await anyio.to_thread.run_sync(draft.finish, path, abandon_on_cancel=True)
                self.store.note_rate(draft.size, time.monotonic() - streamed)
            snapshot = Snapshot(
                id=set_id,
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
                lineage=line.id if line else "",
                parent=line.live.parent[0] if line and line.live else "",
                libc=reader.libc,
                distribution=reader.distribution,
            )
            self.store.commit(snapshot, path)
        if line and settled:
            self.lineages.change(line.id, lambda now: advanced(now, snapshot))
        seconds = round(time.monotonic() - began, 2)
        self.emit(Saved(key, snapshot.id, snapshot.size, snapshot.stored, seconds))
        if self.engine.is_podman:
            self.emit(
                Notice(f"Podman does not pass on the owners of files: those in the snapshot of {key} are root's")
            )
        self._make_room()
        return snapshot

    def _make_room(self) -> None:
        """Remove snapshots that no lineage needs; none if a damaged lineage cannot say what it needs."""
        self.store.tidy()
        try:
            needed = self.lineages.needed()
        except StateError as error:  # maybe of another project; the snapshot just saved is not affected
            self.emit(Problem(error.message, error.hint or ""))
            return
        for old in self.store.make_room(self.total, needed):
            self.emit(Notice(f"gave up the snapshot {old.id} of {old.project}/{old.volume} ({shown(old.stored)})"))

    async def create(self, key: str, name: str, wish: Mapping[str, Any]) -> Volume:
        """Create the volume with that name and key, as Compose creates it from `wish`.

        Raises EngineError; StateError if the name exists, since the engine would return that volume as new.
        """
        if await self.engine.volumes.inspect(name) is not None:
            raise StateError(f"the volume {name} was created by somebody else just now", hint="devenv up")
        request = {
            "Name": name,
            "Driver": wish.get("driver", ""),
            "DriverOpts": wish.get("driver_opts") or {},
            "Labels": {
                **(wish.get("labels") or {}),
                PROJECT_LABEL: self.project,
                VOLUME_LABEL: key,
                OWNER_LABEL: self.run.made.owner,
            },
        }
        try:
            return await self.engine.volumes.create(request)
        except CallError as error:
            raise EngineError(f"could not create the volume `{key}`: {error.reason}") from error

    async def restore(self, snapshot: Snapshot, key: str, name: str, images: Iterable[str]) -> None:
        """Put the content of the snapshot into the new volume.

        Raises DevenvError; the volume may then contain a part of it. It is removed if the snapshot is damaged.
        """
        began = time.monotonic()
        self.emit(Step("restore", "detail", f"restoring {key} ({shown(snapshot.size)})"))
        try:
            async with self.holders.hold(images, name) as (holder, _):
                await self._put(holder, snapshot)
        except verified_archive.UNREADABLE as error:
            with contextlib.suppress(EngineError):  # nobody has used it: the next start must not take it for data
                await self.engine.volumes.remove(name)
            why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) and error.strerror else DAMAGED
            raise self.store.unusable(snapshot, why) from error
        except CallError as error:
            raise EngineError(
                f"the snapshot {snapshot.id} of {snapshot.volume} could not be restored: {error.reason}",
                hint="docker system df   (disk full?), or: devenv up --fresh   (starts empty, the snapshot stays)",
            ) from error
        seconds = round(time.monotonic() - began, 2)
        self.emit(Restored(key, snapshot.id, round(time.time() - snapshot.created, 1), snapshot.size, seconds))

    async def _put(self, holder: str, snapshot: Snapshot) -> None:
        """Put the content of the snapshot into the volume of the holder. Raises UNREADABLE if it is damaged.

        An engine on this machine gets it decompressed: its own decompression is several times slower.
        """
        with private_files.open_read(self.store.archive(snapshot)) as file:
            # Podman extracts below the mount at TARGET unless the request names the mount.
            path = TARGET if verified_archive.is_within_volume(file) else "/"
            if path != TARGET and self.engine.is_podman:
                message = f"Podman cannot restore the snapshot {snapshot.id}, which Docker saved"
                raise EngineError(message, hint="devenv up --fresh   (starts empty, the snapshot stays)")
            if self.engine.endpoint.has_files:
                hashed = verified_archive.Hashed(file)
                pieces = gzip_members.blocks(io.BufferedReader(hashed, verified_archive.CHUNK))
                await self.engine.archive.upload(holder, pieces, snapshot.size, path=path)
                if hashed.digest.hexdigest() != snapshot.digest:
                    raise EOFError("the digest differs")
            else:
                await anyio.to_thread.run_sync(self.store.check, snapshot)
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as archive:
                    await self.engine.archive.put(holder, archive, path=path)

    async def secure(self, volume: Volume, users: Iterable[Container], record: VolumeRecord) -> Snapshot | None:
        """Save what the volume's snapshots lack, before it is removed; None if they lack nothing.

        Raises DevenvError or OSError, with nothing stored.
        """
        if record.content is Content.RESTORING:
            return await self.rescue(volume, users, record)
        settled = record.content is Content.SETTLED
        return await self.save(volume, users, settled=settled, lineage=record.lineage)

    async def sizes(self, records: Iterable[VolumeRecord]) -> Mapping[str, int]:
        """The sizes of volumes by name, if one of these may be above the limit and the engine answers soon."""
        known = {(s.id, s.volume): s.size for s in self.store.all()}
        with contextlib.suppress(EngineError, StateError), anyio.move_on_after(MEASURED_WITHIN):
            lines = [self.lineages.get(record.lineage) for record in records]
            if any(line is None or known.get(line.head, math.inf) > self.limit / 2 for line in lines):
                return await self.engine.volumes.sizes()
        return {}

    async def rescue(self, volume: Volume, users: Iterable[Container], record: VolumeRecord) -> Snapshot | None:
        """Save a volume whose restore was cut off; None if all its content is part of what was being restored.

        Other content is kept in addition to the head, and the next `up` asks which state to begin with. Raises
        DevenvError or OSError, with nothing stored.
        """
        saved = await self.save(volume, users, settled=False, lineage=record.lineage)
        source = by_reference(self.store.all(), record.source)
        if await anyio.to_thread.run_sync(self._is_part, saved, source):
            self.store.remove(saved)
            return None
        if record.lineage:
            self.lineages.change(record.lineage, lambda now: replace(now, torn=(saved.id, saved.volume)))
        message = f"{saved.volume}: its restore was cut off, and other data is in it: saved as {saved.id}"
        self.emit(Problem(message, ""))
        return saved

    def _is_part(self, saved: Snapshot, whole: Snapshot | None) -> bool:
        """Whether the saved state is on disk already, or is empty. Damaged archives prove nothing."""
        with contextlib.suppress(StateError, *verified_archive.UNREADABLE):
            if verified_archive.is_empty(self.store.archive(saved)):
                return True
            if whole is not None:
                self.store.check(whole)
                return verified_archive.is_part(self.store.archive(saved), self.store.archive(whole))
        return False

    def begins(self, lineage: Lineage, live: LiveVolume | None) -> None:
        """Record which volume has the lineage's newest content from now on; None: no volume."""
        self.lineages.put(
            lineage,
            lambda now: replace(now, place=lineage.place, project=lineage.project, name=lineage.name, live=live),
        )

    def ended(self, lineage: str, *, dropped: bool = False) -> None:
        """Record that the volume of the lineage is removed; `dropped`: the next volume begins empty."""
        fields = {"live": None, "asked": NOTHING, "torn": NOTHING} if dropped else {"live": None}
        if lineage:
            self.lineages.change(lineage, lambda now: replace(now, **fields))


def volume_transfer(engine: Engine, emit: Emit, run: Run, project: str, directory: str) -> VolumeTransfer:
    """The transfer of a project's volumes, with the user's limits, or the defaults if the settings are invalid."""
    chosen = UserSettings()
    try:
        chosen = user_settings()
    except ConfigError as error:
        emit(Problem(f"{error.where}: {error.message}: the default limits of snapshots hold", error.hint))
    store = Store.at_home()
    limits = chosen.snapshot_limit or store.rate * LONGEST, chosen.snapshots_total
    return VolumeTransfer(engine, emit, run, project, directory, store, Lineages.at_home(), *limits)
