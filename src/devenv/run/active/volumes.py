"""The volumes of an active project: creating them with their first content, and recording them in the ledger."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace

import anyio
from anyio.abc import TaskGroup

from devenv.errors import StateError
from devenv.events import Emit, Notice, Step
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.snapshot import Snapshot, unsaved
from devenv.model.status import GOOD, Phase
from devenv.paths import written
from devenv.run.active.compose_calls import CurrentState
from devenv.run.active.observe.observer import Observer
from devenv.run.bind_sources import create_folders
from devenv.run.desired import DesiredState
from devenv.run.restore import InitialVolumes, NewVolume
from devenv.state.identity import Content, VolumeRecord
from devenv.state.ledger import Ledger
from devenv.state.run_dir import address
from devenv.tasks import each
from devenv.volumes.copies import snapshots_of
from devenv.volumes.lineage import NOTHING, LiveVolume
from devenv.volumes.lineages import ProjectVolumes
from devenv.volumes.seeds import seeded
from devenv.volumes.transfer import VolumeTransfer

SETTLE_EVERY = 0.5  # seconds between two checks of volumes whose content may be incomplete
SETTLE_AFTER = 10.0
NOTABLE, PATIENCE = 1.0, 3.0  # seconds of a container's creation after which it is reported at its end, and before
PROVEN_AFTER = 1.5  # seconds after which no other volume can be created in the same second


def project_volumes(desired: DesiredState, volume_transfer: VolumeTransfer, ledger: Ledger) -> ProjectVolumes:
    """The volumes of the project, on the engine and for the folder that the ledger names."""
    at = address(volume_transfer.engine.endpoint)
    return ProjectVolumes(desired.project, volume_transfer, ledger.place, ledger.engine, at)


@dataclass
class RunVolumes:
    """The ledger of a run; only this class changes it while the run lasts."""

    volume_transfer: VolumeTransfer
    ledger: Ledger
    current: CurrentState
    observer: Observer
    tasks: TaskGroup
    _is_written: bool = False
    _whole: set[str] = field(default_factory=set)  # volumes that were restored from complete snapshots
    _decided: frozenset[str] = frozenset()  # volumes, by key, that `begin` leaves out: done beside the builds
    _is_settling: bool = False
    _well: dict[str, float] = field(default_factory=dict)  # service -> the time since which it is healthy
    _begun: set[str] = field(default_factory=set)  # ids of lineages whose volumes no service has used yet
    _created_at: float = field(default_factory=time.monotonic)

    @property
    def unsettled(self) -> list[VolumeRecord]:
        """The records of volumes whose content may be incomplete."""
        return [record for record in self.ledger.volumes if record.content is Content.UNSETTLED]

    async def begin(self, *, fresh: bool, source: str = "") -> None:
        """Create the new volumes of the desired state with their saved content, and missing folders.

        The ledger is written first. `source`: the snapshots, or the project, to begin with; without it, the first
        start begins with the seed, if there is one. Raises DevenvError if a volume cannot be created or restored;
        the teardown removes its parts.
        """
        asked = await self._asked(fresh=fresh, source=source)
        keys = {volume.key for volume in self.current.desired.project.volumes} - self._decided
        self._decided = frozenset()
        await self._begin(keys, asked, fresh=fresh)
        self._write(
            replace(r, content=Content.SETTLED if r.name in self._whole else Content.UNSETTLED)
            for r in self.ledger.volumes
            if r.content is Content.RESTORING
        )
        self._create_folders(self.current.desired.folders)
        if self.unsettled and not self._is_settling:
            self._is_settling = True
            self.tasks.start_soon(self._settle_all)

    async def begin_beside_builds(self, *, fresh: bool, source: str = "") -> None:
        """The part of `begin` that needs no image which is being built. Nothing if snapshots are asked for.

        The volumes count as being restored until `begin`: if the build fails, they are removed and not saved again.
        """
        if not (asked := await self._asked(fresh=fresh, source=source)):
            desired = self.current.desired
            built = {desired.image(name) for name in desired.built}
            users = desired.mounted.items()
            keys = frozenset(key for key, names in users if built.isdisjoint(map(desired.image, names)))
            await self._begin(keys, asked, fresh=fresh)
            self._decided = keys

    async def _asked(self, *, fresh: bool, source: str) -> Mapping[str, Snapshot]:
        """The snapshots of the command line, or of the seed at a first start, by volume key."""
        volumes, existing = self._project_volumes(), self.current.desired.existing.volumes
        if source:
            return await snapshots_of(volumes, source, existing)
        return {} if fresh else await seeded(volumes, existing)

    def _project_volumes(self) -> ProjectVolumes:
        return project_volumes(self.current.desired, self.volume_transfer, self.ledger)

    async def _begin(self, keys: Collection[str], asked: Mapping[str, Snapshot], *, fresh: bool) -> None:
        volumes = self._project_volumes()
        initial = InitialVolumes(self.current.desired, volumes)
        new = await initial.plan(self.ledger, keys, fresh=fresh, asked=asked)
        if new:
            await self._create(new)
        keeps = volumes.keeps
        self._write([replace(r, is_kept=r.name in keeps) for r in self.ledger.volumes])
        self._begun |= {record.lineage for record in self.ledger.volumes}  # also if an earlier run has restored them
        desired = self.current.desired
        existing = desired.existing.volumes | {volume.resource.name for volume in new}
        self.current.desired = replace(desired, existing=replace(desired.existing, volumes=existing))

    def _create_folders(self, paths: Sequence[str]) -> None:
        """Create the missing folders of bind mounts, and record them."""
        transfer = self.volume_transfer
        created, failed = create_folders(paths)
        self._enter(replace(self.ledger, folders=(*self.ledger.folders, *created)))
        directory = self.current.desired.project.directory
        if names := [written(place.path, directory) for place in created if place.path in {*paths} - {*failed}]:
            notice = f"{', '.join(names)} did not exist: created, and removed at the end if still empty"
            transfer.emit(Notice(notice))
        for path, why in failed.items():
            name = written(path, directory)
            message = f"{name} does not exist and cannot be created ({why}): the engine creates it as root"
            transfer.emit(Notice(message, f"sudo install -d -o $USER {shlex.quote(path)}"))

    async def _create(self, new: Sequence[NewVolume]) -> None:
        """Create and restore the volumes. Their records are on disk before that, their identities right after."""
        now = (await self.volume_transfer.engine.clock()).timestamp()
        records = {
            volume.resource.name: VolumeRecord(
                volume.resource.name,
                intended=now,
                content=Content.RESTORING if volume.snapshot else Content.UNSETTLED,
                lineage=volume.lineage.id,
                source=volume.parent,
            )
            for volume in new
        }
        self._write(records.values())

        async def create(new: NewVolume) -> VolumeRecord:
            volume = await self.volume_transfer.create(new.resource.key, new.resource.name, new.wish)
            self.volume_transfer.begins(new.lineage, LiveVolume(volume.name, volume.created, time.time(), new.parent))
            return replace(records[volume.name], driver=volume.driver, created=volume.created)

        self._write(await each(create, new))
        self._created_at = time.monotonic()
        await each(self._restore, [volume for volume in new if volume.snapshot])
        self._whole |= {v.resource.name for v in new if v.snapshot and v.snapshot.settled}

    async def _restore(self, new: NewVolume) -> None:
        if new.snapshot is not None:
            await self.volume_transfer.restore(new.snapshot, new.resource.key, new.resource.name, new.images)

    def note_started(self) -> None:
        """Forget the snapshots that the user asked for, once services have started with them."""
        for lineage in self._begun:
            with contextlib.suppress(OSError, StateError):  # a full disk: the next start restores them again
                lineages = self.volume_transfer.lineages
                known = lineages.get(lineage)
                if known is not None and (known.asked is not None or known.torn != NOTHING):
                    lineages.change(lineage, lambda line: replace(line, asked=None, torn=NOTHING))
        self._begun = set()

    async def _settle_all(self) -> None:
        while self.unsettled:
            await anyio.sleep(SETTLE_EVERY)
            self.settle()
        self._is_settling = False

    def settle(self) -> None:
        """Record which volumes have complete content now: those whose services are all healthy.

        A database without a health check may still be creating its first files: it has to run for a while.
        """
        now, desired, project_state = time.monotonic(), self.current.desired, self.observer.project_state
        sure = self._long_well(now)
        users = {v.name: desired.mounted.get(v.key, ()) for v in desired.project.volumes}
        settled = [record for record in self.unsettled if sure.issuperset(users.get(record.name, ()))]
        self._enter(self.ledger.with_records(replace(record, content=Content.SETTLED) for record in settled))
        if now - self._created_at >= PROVEN_AFTER:
            held = {name for c in self.ledger.containers(project_state) for name in c.volumes}
            proven = [replace(r, is_proven=True) for r in self.ledger.volumes if r.name in held and r.created]
            self._enter(self.ledger.with_records(proven))

    def end_with_process(self) -> None:
        """Record that the run ends with this process, also if that is killed. A full disk is no error."""
        self.ledger = replace(self.ledger, phase="up")
        with contextlib.suppress(StateError):
            self.volume_transfer.run.write(self.ledger)

    def _long_well(self, now: float) -> set[str]:
        """The services that are healthy; a database without a health check has to be up for a while."""
        well = {s.service: s.phase for s in self.observer.standings() if s.phase in GOOD}
        self._well = {name: self._well.get(name, now) for name in well}
        databases = {c.service for c in self.observer.project_state.containers if c.database}
        doubtful = {name for name, phase in well.items() if phase is Phase.STARTED and name in databases}
        return {n for n, since in self._well.items() if n not in doubtful or now - since >= SETTLE_AFTER}

    def report_unsaved(self) -> None:
        """Report databases whose data no snapshot will have, since it is in an anonymous volume."""
        containers = self.ledger.containers(self.observer.project_state)
        for service, point in {c.service: unsaved(c.database, c.anonymous) for c in containers}.items():
            if point:
                message = (
                    f"the data of {service} is in an anonymous volume at {point}: it is removed with the container"
                )
                hint = f'name a volume in {service}, `volumes: ["{service}-data:{point}"]`, and at the top level'
                self.volume_transfer.emit(Notice(message, f"{hint}, `volumes: {{{service}-data: }}`."))

    def note_anonymous(self, containers: Collection[Container]) -> None:
        """Record the volumes that these containers leave behind when they are replaced."""
        self._enter(self.ledger.noting(containers))

    def _enter(self, ledger: Ledger) -> None:
        """Replace the ledger, also on disk if possible: on a full disk, the teardown sees what exists anyway."""
        if ledger != self.ledger:
            with contextlib.suppress(StateError):
                self.volume_transfer.run.write(ledger)
            self.ledger = ledger

    def _write(self, records: Iterable[VolumeRecord]) -> None:
        """Add or replace records in the ledger, and write it to disk. Raises StateError."""
        changed = self.ledger.with_records(records)
        if changed != self.ledger or not self._is_written:
            self.volume_transfer.run.write(changed)
        self.ledger, self._is_written = changed, True


@dataclass
class VolumeFills:
    """Reports slow creations, during which the engine copies files of the image to anonymous volumes."""

    desired: DesiredState
    emit: Emit
    _began: dict[str, float] = field(default_factory=dict)  # name of the container -> when its creation began

    def made(self, kind: str, name: str) -> None:
        """Note that Compose has begun to create an object, or has created it."""
        service, targets = self._anonymous(name) if kind == "container" else ("", "")
        if targets and name not in self._began:
            self._began[name] = anyio.current_time()
        elif targets:
            took = anyio.current_time() - self._began.pop(name)
            if took >= NOTABLE:
                self.emit(Step("create", "detail", f"{service} fills {targets}", took))

    async def report(self) -> None:
        """Report each container whose creation takes more than some seconds."""
        reported: set[str] = set()
        while True:
            await anyio.sleep(NOTABLE)
            for name, began in self._began.items():
                if name not in reported and anyio.current_time() - began >= PATIENCE:
                    reported.add(name)
                    service, targets = self._anonymous(name)
                    copied = f"the engine copies {targets} from the image to an anonymous volume"
                    self.emit(Step("create", "detail", f"{service}: {copied}"))

    def _anonymous(self, container: str) -> tuple[str, str]:
        """The service of a container, and the targets of its anonymous volumes."""
        project = self.desired.project
        for service in project.services:
            fixed_name = self.desired.services.get(service.name, {}).get("container_name")
            if container == fixed_name or re.fullmatch(
                rf"{re.escape(f'{project.name}-{service.name}')}-\d+", container
            ):
                mounts = (mount for mount in service.volumes if mount.type == "volume" and not mount.source)
                return service.name, ", ".join(mount.target for mount in mounts)
        return "", ""
