"""The volumes of a project on an engine, and the lineages that they continue."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from devenv.errors import UsageError
from devenv.model import snapshot as snapshots
from devenv.model.containers import ProjectState, Volume
from devenv.model.project import Project, Resource
from devenv.model.snapshot import Snapshot
from devenv.state.identity import Place, VolumeRecord
from devenv.state.ledger import Ledger
from devenv.volumes import lineage as lineages
from devenv.volumes.lineage import NOTHING, LiveVolume, WantedVolume
from devenv.volumes.lineages import fresh as fresh_lineage
from devenv.volumes.transfer import VolumeTransfer


@dataclass(frozen=True, slots=True)
class ProjectVolumes:
    """The volumes of a project in the folder `place`, on the engine with that key and address."""

    project: Project
    volume_transfer: VolumeTransfer
    place: Place
    engine: str
    address: str

    @property
    def keeps(self) -> frozenset[str]:
        """Real names of the volumes that `x-devenv.keep` names."""
        return frozenset(v.name for v in self.project.volumes if v.key in self.project.settings.keep)

    def wanted(self, volume: Resource) -> WantedVolume:
        """The volume as lineages are looked up."""
        project = self.project.name
        is_fixed = volume.name != f"{project}_{volume.key}"
        return WantedVolume(self.engine, self.address, self.place, project, volume.key, volume.name, is_fixed)

    def asked(self, name: str) -> Mapping[str, Snapshot]:
        """The snapshots of the set with that id or name, by the keys of the project's volumes. Raises UsageError."""
        found = {s.volume: s for s in snapshots.named(self.volume_transfer.store.all(), name)}
        mine = {v.key: found[v.key] for v in self.project.volumes if v.key in found and not v.external}
        if not mine:
            what = f"{name} has no volume of this project" if found else f"there is no snapshot {name}"
            raise UsageError(what, hint="devenv snapshot list")
        return mine

    def adopt(self, ledger: Ledger, project_state: ProjectState) -> Ledger:
        """The ledger with a lineage for each existing volume that a run of devenv 0.1 created."""
        stored, changed = self.volume_transfer.store.all(), list[VolumeRecord]()
        by_name = {v.name: v for v in self.project.volumes}
        for volume in project_state.volumes:
            resource, record = by_name.get(volume.name), ledger.record(volume.name)
            if resource is None or record is None or record.lineage:
                continue
            wanted = self.wanted(resource)
            line = self.volume_transfer.lineages.find(wanted, stored) or fresh_lineage(wanted)
            self.volume_transfer.begins(line, LiveVolume(volume.name, volume.created, time.time(), line.head))
            changed.append(replace(record, lineage=line.id))
        return ledger.with_records(changed)

    def continued(self, volume: Volume) -> str:
        """The id of the lineage that a snapshot of the existing volume, taken by hand, continues; it exists then."""
        everything = self.volume_transfer.lineages.all()
        if found := lineages.of_volume(everything, self.engine, volume):
            return found.id
        resource = next((v for v in self.project.volumes if v.name == volume.name), None)
        if resource is None:
            return ""
        wanted = self.wanted(resource)
        line = self.volume_transfer.lineages.find(wanted, self.volume_transfer.store.all()) or fresh_lineage(wanted)
        self.volume_transfer.lineages.put(line, lambda now: now)
        return line.id

    def ask(self, volume: Resource, snapshot: Snapshot) -> None:
        """The volume is to begin with the snapshot when it is started next. Raises StateError, OSError."""
        wanted = self.wanted(volume)
        line = self.volume_transfer.lineages.find(wanted, self.volume_transfer.store.all()) or fresh_lineage(wanted)
        self.volume_transfer.lineages.put(
            line, lambda now: replace(now, asked=(snapshot.id, snapshot.volume), torn=NOTHING)
        )
