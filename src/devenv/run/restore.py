"""Choose what each new volume begins with: the head of its lineage, the snapshot asked for, or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from devenv.compose.parse import undoubled
from devenv.errors import StateError
from devenv.events import Emit, Notice
from devenv.model import snapshot as snapshots
from devenv.model.project import Resource
from devenv.model.snapshot import Snapshot, database
from devenv.run.desired import DesiredState
from devenv.run.volume_choice import VolumeChoice, age, date
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.volumes import lineage as lineages
from devenv.volumes.lineage import NOTHING, Lineage, WantedVolume
from devenv.volumes.lineages import fresh as fresh_lineage
from devenv.volumes.project_volumes import ProjectVolumes


@dataclass(frozen=True, slots=True)
class NewVolume:
    """A volume to create: its definition in the model, the images that mount it, its lineage and its content.

    `wish` is the definition as Compose would use it.
    """

    resource: Resource
    wish: Mapping[str, Any]
    images: tuple[str, ...]
    lineage: Lineage
    snapshot: Snapshot | None = None

    @property
    def parent(self) -> lineages.Reference:
        """The saved state that the content of the volume continues."""
        return (self.snapshot.id, self.snapshot.volume) if self.snapshot else NOTHING


@dataclass(frozen=True, slots=True)
class InitialVolumes:
    """The volumes that the services of one desired state mount."""

    desired: DesiredState
    volumes: ProjectVolumes
    emit: Emit

    async def plan(
        self, ledger: Ledger, *, fresh: bool = False, asked: Mapping[str, Snapshot] | None = None
    ) -> tuple[NewVolume, ...]:
        """Return the volumes to create. `fresh`: all empty; `asked`: snapshots from the command line, by key.

        Raises StateError if a saved state cannot be read, or if an existing volume has the data of another lineage;
        RefusedError for a snapshot that its service could not read.
        """
        stored, new = self.volumes.volume_transfer.store.all(), list[NewVolume]()
        for volume in self.desired.project.volumes:
            users = self.desired.mounted.get(volume.key, ())
            if volume.external or not users:
                continue
            wanted = self.volumes.wanted(volume)
            line = self.volumes.volume_transfer.lineages.find(wanted, stored)
            if volume.name in self.desired.found.volumes:
                await self._require_own(volume, line, ledger, asked)
                continue
            snapshot = None
            if not fresh and not volume.elsewhere:
                snapshot = await self._beginning(wanted, line, users, stored, (asked or {}).get(volume.key))
            place = Place("") if wanted.is_fixed else self.volumes.place
            line = replace(line or fresh_lineage(wanted), place=place, project=wanted.project, name=wanted.name)
            wish = undoubled(self.desired.loaded.model["volumes"][volume.key] or {})
            new.append(NewVolume(volume, wish, tuple(map(self.desired.image, users)), line, snapshot))
        return tuple(new)

    async def _require_own(
        self, volume: Resource, line: Lineage | None, ledger: Ledger, asked: Mapping[str, Snapshot] | None
    ) -> None:
        """Require that the existing volume may be used: it has our data, or data that devenv does not know."""
        if asked and volume.key in asked:
            hint = "devenv down   (saves it), then try again"
            raise StateError(
                f"the volume {volume.name} exists: it cannot begin with {asked[volume.key].id}", hint=hint
            )
        if volume.name in ledger.creates:
            return
        now = await self.volumes.volume_transfer.engine.volumes.inspect(volume.name)
        other = now and lineages.of_volume(self.volumes.volume_transfer.lineages.all(), self.volumes.engine, now)
        if other and (line is None or other.id != line.id):
            raise StateError(
                _not_ours(volume, other, line, self.desired.project.name), hint=_apart(volume, self.desired)
            )
        if line is not None and other is None and (line.head != NOTHING or line.asked is not None):
            name, _ = line.asked or line.head
            message = f"{volume.key} exists, and devenv did not create it: the saved state {name} is not restored"
            self.emit(Notice(message, f"docker volume rm {volume.name}   (then: devenv up)"))

    async def _beginning(
        self,
        wanted: WantedVolume,
        line: Lineage | None,
        users: tuple[str, ...],
        stored: Sequence[Snapshot],
        asked: Snapshot | None,
    ) -> Snapshot | None:
        needed = await self._database(users)
        if asked is not None:
            line = replace(line or fresh_lineage(wanted), asked=(asked.id, asked.volume), torn=NOTHING)
        fits = frozenset((s.id, s.volume) for s in stored if snapshots.fits(s, needed))
        choice = VolumeChoice(lineages.beginning(line, stored, fits), wanted, line, stored, users[0], needed)
        if (error := choice.error()) is not None:
            raise error
        if (notice := choice.notice()) is not None:
            self.emit(notice)
        if choice.is_first:
            self._tell_of_others(wanted, stored)
        return choice.begin.snapshot

    def _tell_of_others(self, wanted: WantedVolume, stored: Sequence[Snapshot]) -> None:
        """The volume begins empty: report whose data the user may expect in it, and how to restore that."""
        known = [line for line in self.volumes.volume_transfer.lineages.all() if line.is_other_of(wanted)]
        newest = max(known, key=lambda line: line.saved, default=None)
        if newest is not None:
            whose, at, name = newest.place.path or f"the volume {newest.name}", newest.saved, newest.head[0]
        else:
            old = [s for s in stored if not s.lineage and (s.project, s.volume) == (wanted.project, wanted.key)]
            last = max((s for s in old if s.automatic), key=lambda s: s.created, default=None)
            if last is None:
                return
            whose, at, name = last.directory, last.created, last.id
        gone = "" if not whose.startswith("/") or os.path.isdir(whose) else ", which no longer exists"
        message = f"{wanted.key} starts empty; its data was saved {age(at)} for {whose}{gone}"
        self.emit(Notice(message, f"devenv down && devenv snapshot restore {name}"))

    async def _database(self, users: tuple[str, ...]) -> str:
        for name in users:
            reference = self.desired.image(name)
            variables = await self.volumes.volume_transfer.engine.images.variables(reference)
            if version := database(variables, reference):
                return version
        return ""


def _not_ours(volume: Resource, other: Lineage, line: Lineage | None, project: str) -> str:
    whose = other.place.path or f"{other.project}, which shares its name"
    since = f" since {date(other.live.since)}" if other.live else ""
    ours = (
        f"the data of this folder was last saved {date(line.saved)}"
        if line and line.saved
        else "this folder has no saved data"
    )
    return f"the volume {volume.name} of {project} has the data of {whose}{since}; {ours}"


def _apart(volume: Resource, desired: DesiredState) -> str:
    keep = f"devenv snapshot save {volume.key} && docker volume rm {volume.name}"
    return f"devenv up -p {desired.project.name}-2   (with its own data), or: {keep}"
