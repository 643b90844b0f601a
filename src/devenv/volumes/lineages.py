"""The lineages on disk, one file each, which is always replaced as a whole; and those of a project's volumes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from devenv import private_files
from devenv.docker.endpoint import Endpoint
from devenv.errors import StateError, UsageError
from devenv.lazy_dataclass import dataclass
from devenv.model import snapshot as snapshots
from devenv.model.containers import ProjectState, Volume
from devenv.model.project import Project, Resource
from devenv.model.snapshot import Snapshot
from devenv.state.home import state_folder
from devenv.state.identity import Place, VolumeRecord
from devenv.state.ledger import Ledger
from devenv.state.run_dir import address
from devenv.volumes.lineage import NOTHING, Lineage, LiveVolume, Reference, WantedVolume, find, head_of_old, of_volume

if TYPE_CHECKING:
    from devenv.volumes.transfer import VolumeTransfer

VERSION = 1


@dataclass(frozen=True, slots=True)
class Lineages:
    """All lineages of this user, in one folder that is private to them."""

    path: str

    @classmethod
    def at_home(cls) -> Lineages:
        """The lineages in the state folder. Raises StateError if that cannot be used."""
        return cls(private_files.private_folder(os.path.join(state_folder(), "lineages")))

    def all(self) -> tuple[Lineage, ...]:
        """All lineages. Raises StateError if a file cannot be read: its head must not be ignored."""
        return tuple(self._read(name) for name in sorted(os.listdir(self.path)) if name.endswith(".json"))

    def get(self, lineage_id: str) -> Lineage | None:
        """The lineage with that id."""
        try:
            return self._read(f"{lineage_id}.json")
        except FileNotFoundError:
            return None

    def find(self, wanted: WantedVolume, snapshots: tuple[Snapshot, ...]) -> Lineage | None:
        """The volume's lineage: its own, that of a renamed folder, or one made of what devenv 0.1 saved."""
        everything = self.all()
        gone = frozenset(line.place.path for line in everything if not os.path.lexists(line.place.path))
        if known := find(everything, wanted, gone=gone):
            return known
        real = {s.directory: os.path.realpath(s.directory) for s in snapshots if not s.lineage}
        real |= {s.endpoint: address(Endpoint(s.endpoint)) for s in snapshots if not s.lineage}
        head = head_of_old(snapshots, wanted, real=real)
        return None if head is None else replace(fresh(wanted), head=(head.id, head.volume), saved=head.created)

    def needed(self) -> frozenset[tuple[str, str]]:
        """The snapshots that a next `up` may begin with, by id and volume; without those of removed folders."""
        lines = [line for line in self.all() if line.is_fixed or os.path.isdir(line.place.path)]
        return frozenset(ref for line in lines for ref in (line.head, line.torn, line.asked or NOTHING)) - {NOTHING}

    def write(self, lineage: Lineage) -> None:
        """Write the lineage to disk. Raises StateError, OSError."""
        private_files.replace(self._path(lineage.id), json.dumps({"v": VERSION, **asdict(lineage)}))

    def remove(self, lineage_id: str) -> None:
        """Remove a lineage that has no saved state any more."""
        with self.lock(), contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(lineage_id))

    def change(self, lineage_id: str, change: Callable[[Lineage], Lineage]) -> None:
        """Change the lineage, if it exists; one change at a time. Raises StateError, OSError."""
        with self.lock():
            if (now := self.get(lineage_id)) is not None:
                self.write(change(now))

    def put(self, lineage: Lineage, change: Callable[[Lineage], Lineage]) -> None:
        """Like `change`, but a missing lineage is created as given. Raises StateError, OSError."""
        with self.lock():
            self.write(change(self.get(lineage.id) or lineage))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock while files are changed."""
        descriptor = private_files.open_lock(os.path.join(self.path, "lock"))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> Lineage:
        path = os.path.join(self.path, name)
        try:
            content = private_files.read(path)
            if content is None:
                raise FileNotFoundError(path)
            return _decode(json.loads(content), name.removesuffix(".json"))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            hint = f"devenv snapshot list   (then: rm {path}, and devenv snapshot restore ID)"
            raise StateError(f"{path} is damaged: it says which saved state is the last one", hint=hint) from error

    def _path(self, lineage_id: str) -> str:
        return os.path.join(self.path, f"{lineage_id}.json")


@dataclass(frozen=True, slots=True)
class ProjectVolumes:
    """The volumes of a project in the folder `place`, on the engine with that key and address; their lineages."""

    project: Project
    volume_transfer: VolumeTransfer
    place: Place
    engine: str
    address: str

    @property
    def keeps(self) -> frozenset[str]:
        """Real names of the volumes in `x-devenv.keep`."""
        return frozenset(v.name for v in self.project.volumes if v.key in self.project.settings.keep)

    def wanted(self, volume: Resource) -> WantedVolume:
        """The volume in the form in which lineages are looked up."""
        project = self.project.name
        is_fixed = volume.name != f"{project}_{volume.key}"
        return WantedVolume(self.engine, self.address, self.place, project, volume.key, volume.name, is_fixed)

    def _lineage(self, volume: Resource) -> Lineage:
        wanted = self.wanted(volume)
        stored = self.volume_transfer.store.all()
        return self.volume_transfer.lineages.find(wanted, stored) or fresh(wanted)

    def asked(self, name: str) -> Mapping[str, Snapshot]:
        """The snapshots of the set with that id or name, by the keys of the project's volumes. Raises UsageError."""
        named = {s.volume: s for s in snapshots.named(self.volume_transfer.store.all(), name)}
        usable = {v.key: named[v.key] for v in self.project.volumes if v.key in named and not v.external}
        if not usable:
            message = f"{name} has no volume of this project" if named else f"there is no snapshot {name}"
            raise UsageError(message, hint="devenv snapshot list")
        return usable

    def adopt(self, ledger: Ledger, project_state: ProjectState) -> Ledger:
        """The ledger with a lineage for each existing volume that a run of devenv 0.1 created."""
        changed = list[VolumeRecord]()
        by_name = {v.name: v for v in self.project.volumes}
        for volume in project_state.volumes:
            record = ledger.record(volume.name)
            if volume.name in by_name and record is not None and not record.lineage:
                line = self._lineage(by_name[volume.name])
                self.volume_transfer.begins(line, LiveVolume(volume.name, volume.created, time.time(), line.head))
                changed.append(replace(record, lineage=line.id))
        return ledger.with_records(changed)

    def continued(self, volume: Volume) -> str:
        """The id of the lineage that a manual snapshot of the existing volume continues; created if needed."""
        if existing := of_volume(self.volume_transfer.lineages.all(), self.engine, volume):
            return existing.id
        for resource in self.project.volumes:
            if resource.name == volume.name:
                line = self._lineage(resource)
                self.volume_transfer.lineages.put(line, lambda now: now)
                return line.id
        return ""

    def ask(self, volume: Resource, snapshot: Snapshot) -> None:
        """Let the volume begin with the snapshot at its next start. Raises StateError, OSError."""
        asked = (snapshot.id, snapshot.volume)
        line = self._lineage(volume)
        self.volume_transfer.lineages.put(line, lambda now: replace(now, asked=asked, torn=NOTHING))


def fresh(wanted: WantedVolume) -> Lineage:
    """A new lineage."""
    place = Place("") if wanted.is_fixed else wanted.place
    return Lineage(secrets.token_hex(8), wanted.engine, place, wanted.project, wanted.key, wanted.name)


def _decode(data: dict[str, Any], lineage_id: str) -> Lineage:
    """The lineage with that id, as `write` has encoded it. Raises ValueError, TypeError, KeyError for other data."""
    if data.pop("v") != VERSION:
        raise ValueError("another version")
    asked, live = data.pop("asked"), data.pop("live")
    line = Lineage(
        place=Place(**data.pop("place")),
        head=_reference(data.pop("head")),
        torn=_reference(data.pop("torn")),
        asked=None if asked is None else _reference(asked),
        live=None if live is None else LiveVolume(**{**live, "parent": _reference(live["parent"])}),
        **data,
    )
    texts = [line.id, line.engine, line.project, line.key, line.name, line.place.path]
    numbers = [line.saved, line.place.device, line.place.inode]
    if line.live is not None:
        texts += [line.live.name, line.live.created]
        numbers += [line.live.since]
    is_typed = all(isinstance(text, str) for text in texts) and all(map(math.isfinite, numbers))
    if line.id != lineage_id or not is_typed:
        raise ValueError("a field of another kind")
    return line


def _reference(value: Any) -> Reference:
    if not isinstance(value, list) or [type(part) for part in value] != [str, str]:
        raise ValueError("no reference to a snapshot")
    return value[0], value[1]
