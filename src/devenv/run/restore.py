"""What new volumes begin with: the head of their lineage, the snapshot that was asked for, or nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from devenv.compose.parse import undoubled
from devenv.errors import RefusedError, StateError
from devenv.events import Emit, Notice
from devenv.model import snapshot as snapshots
from devenv.model.project import Resource
from devenv.model.snapshot import Snapshot, ago, database
from devenv.run.desired import DesiredState
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.volumes import lineage as lineages
from devenv.volumes.lineage import NOTHING, Beginning, Lineage, Start, Wanted
from devenv.volumes.lineages import fresh as fresh_lineage
from devenv.volumes.project_volumes import ProjectVolumes


@dataclass(frozen=True, slots=True)
class NewVolume:
    """A volume about to be created: what Compose would create it from, the lineage it continues, and its content."""

    resource: Resource
    wish: Mapping[str, Any]
    images: tuple[str, ...]
    lineage: Lineage
    snapshot: Snapshot | None = None

    @property
    def parent(self) -> lineages.Reference:
        """The saved state that its content continues."""
        return (self.snapshot.id, self.snapshot.volume) if self.snapshot else NOTHING


@dataclass(frozen=True, slots=True)
class InitialVolumes:
    """The volumes that the services of one stage mount."""

    stage: DesiredState
    volumes: ProjectVolumes
    emit: Emit

    async def plan(
        self, ledger: Ledger, *, fresh: bool = False, asked: Mapping[str, Snapshot] | None = None
    ) -> tuple[NewVolume, ...]:
        """The volumes to create; `fresh`: all empty; `asked`: by key, what the command line wants.

        Raises StateError if a saved state cannot be read, or an existing volume has the data of another lineage;
        RefusedError for a snapshot that its service could not read.
        """
        stored, found = self.volumes.volume_transfer.store.all(), list[NewVolume]()
        for volume in self.stage.project.volumes:
            users = self.stage.mounted.get(volume.key, ())
            if volume.external or not users:
                continue
            wanted = self.volumes.wanted(volume)
            line = self.volumes.volume_transfer.lineages.find(wanted, stored)
            if volume.name in self.stage.found.volumes:
                await self._require_own(volume, line, ledger, asked)
                continue
            snapshot = None
            if not fresh and not volume.elsewhere:
                snapshot = await self._beginning(wanted, line, users, stored, (asked or {}).get(volume.key))
            place = Place("") if wanted.is_fixed else self.volumes.place
            line = replace(line or fresh_lineage(wanted), place=place, project=wanted.project, name=wanted.name)
            wish = undoubled(self.stage.loaded.model["volumes"][volume.key] or {})
            found.append(NewVolume(volume, wish, tuple(map(self.stage.image, users)), line, snapshot))
        return tuple(found)

    async def _require_own(
        self, volume: Resource, line: Lineage | None, ledger: Ledger, asked: Mapping[str, Snapshot] | None
    ) -> None:
        """Returns if the existing volume may be used: it has our data, or data that devenv knows nothing of."""
        if asked and volume.key in asked:
            hint = "devenv down   (saves it), then once more"
            raise StateError(
                f"the volume {volume.name} exists: it cannot begin with {asked[volume.key].id}", hint=hint
            )
        if volume.name in ledger.creates:
            return
        now = await self.volumes.volume_transfer.engine.volumes.inspect(volume.name)
        other = now and lineages.of_volume(self.volumes.volume_transfer.lineages.all(), self.volumes.engine, now)
        if other and (line is None or other.id != line.id):
            raise StateError(_not_ours(volume, other, line, self.stage.project.name), hint=_apart(volume, self.stage))
        if line is not None and other is None and (line.head != NOTHING or line.asked is not None):
            what = line.asked or line.head
            said = f"{volume.key} exists, and devenv did not create it: the saved state {what[0]} is not restored"
            self.emit(Notice(said, f"docker volume rm {volume.name}   (then: devenv up)"))

    async def _beginning(
        self,
        wanted: Wanted,
        line: Lineage | None,
        users: tuple[str, ...],
        stored: Sequence[Snapshot],
        asked: Snapshot | None,
    ) -> Snapshot | None:
        needed = await self._database(users)
        if asked is not None:
            line = replace(line or fresh_lineage(wanted), asked=(asked.id, asked.volume), torn=NOTHING)
        fits = frozenset(s.id for s in stored if snapshots.fits(s, needed))
        begin = lineages.beginning(line, stored, fits)
        key, service = wanted.key, users[0]
        if begin.start in (Start.LOST, Start.TORN):
            raise self._unusable(begin, line, key, stored)
        if begin.start is Start.ASKED and begin.snapshot is not None and begin.snapshot.id not in fits:
            raise RefusedError(
                f"the snapshot {begin.snapshot.id} of {begin.snapshot.volume} was written by "
                f"{begin.snapshot.database}, and {service} is {needed}: it could not read it",
                hint=f"Give {service} its old image back, or: devenv up --fresh   (starts empty)",
            )
        if begin.start is Start.DROPPED:
            self.emit(Notice(f"{key} starts empty after `down --volumes`"))
        elif begin.start is not Start.ASKED:
            self._tell(begin, line, wanted, service, needed, stored)
        return begin.snapshot

    def _unusable(self, begin: Beginning, line: Lineage | None, key: str, stored: Sequence[Snapshot]) -> StateError:
        own = [s for s in stored if line is not None and s.lineage in {line.id, ""} and s.volume == key]
        mine = [s for s in own if (s.id, s.volume) != begin.reference and s.settled]
        name = begin.reference[0]
        fresh = "devenv up --fresh   (starts empty)"
        if begin.start is Start.TORN and line is not None:
            source = lineages.by_reference(stored, line.source)
            since = f", saved {_date(source.created)}," if source else ""
            said = f"{key} was being restored to {line.source[0]}{since} when the run died"
            when = _date(begin.snapshot.created) if begin.snapshot else "later"
            hint = f"devenv up --from {line.source[0]}, or: devenv up --from {name}"
            return StateError(f"{said}; other data was written to it since: saved as {name}, {when}", hint=hint)
        what = "the state that was asked for" if line is not None and line.asked else "its last saved state"
        saved = f", saved {_date(line.saved)}," if line is not None and not line.asked and line.saved else ""
        older = f"devenv up --from {mine[-1].id}   (saved {_date(mine[-1].created)}), or: " if mine else ""
        return StateError(f"{key}: {what}, {name}{saved} is missing or cannot be read", hint=f"{older}{fresh}")

    def _tell(
        self,
        begin: Beginning,
        line: Lineage | None,
        wanted: Wanted,
        service: str,
        needed: str,
        stored: Sequence[Snapshot],
    ) -> None:
        """Say why the volume does not begin with the newest data that somebody may expect."""
        key, instead = wanted.key, "an older one is restored" if begin.snapshot else "it starts empty"
        own = [s for s in stored if line is not None and s.lineage == line.id]
        last = max(own, key=lambda s: s.created, default=None)
        head = lineages.by_reference(stored, begin.reference)
        if begin.start is Start.UNFIT and head is not None:
            then = f"{key} was last saved {_ago(head.created)} by {head.database}"
            why = f"{then}; {service} is {needed} and could not read it: {instead}"
            self.emit(Notice(why, f"Give {service} its old image back, or carry the data over with a dump."))
        elif last is not None and not last.settled and (last.id, last.volume) != begin.reference:
            why = f"{key} was last saved {_ago(last.created)}, before {service} was up for the first time: {instead}"
            self.emit(Notice(why, f"devenv up --from {last.id}   (if you want it all the same)"))
        elif line is not None and not line.is_fixed and line.place.path != wanted.place.path:
            self.emit(Notice(f"{key} goes on with the data of {line.place.path}, which was renamed to this folder"))
        elif line is not None and line.place.inode and line.place.inode != wanted.place.inode and begin.snapshot:
            said = f"{key} goes on with the data that another folder at this path had, saved {_ago(line.saved)}"
            self.emit(Notice(said, "devenv down, then: devenv up --fresh   (starts empty)"))
        if line is None or (begin.start is Start.EMPTY and last is None):
            self._tell_of_others(wanted, stored)

    def _tell_of_others(self, wanted: Wanted, stored: Sequence[Snapshot]) -> None:
        """The volume begins empty: whose data may be meant, and how to take them."""
        known = [one for one in self.volumes.volume_transfer.lineages.all() if one.is_other_of(wanted)]
        newest = max(known, key=lambda one: one.saved, default=None)
        if newest is not None:
            whose, at, name = newest.place.path or f"the volume {newest.name}", newest.saved, newest.head[0]
        else:
            old = [s for s in stored if not s.lineage and (s.project, s.volume) == (wanted.project, wanted.key)]
            last = max((s for s in old if s.automatic), key=lambda s: s.created, default=None)
            if last is None:
                return
            whose, at, name = last.directory, last.created, last.id
        gone = "" if not whose.startswith("/") or os.path.isdir(whose) else ", which is gone"
        said = f"{wanted.key} starts empty; data of it were saved {_ago(at)} for {whose}{gone}"
        self.emit(Notice(said, f"devenv down && devenv snapshot restore {name}"))

    async def _database(self, users: tuple[str, ...]) -> str:
        for name in users:
            reference = self.stage.image(name)
            if found := database(await self.volumes.volume_transfer.engine.images.variables(reference), reference):
                return found
        return ""


def _not_ours(volume: Resource, other: Lineage, line: Lineage | None, project: str) -> str:
    whose = other.place.path or f"{other.project}, which shares its name"
    since = f" since {_date(other.live.since)}" if other.live else ""
    ours = (
        f"the data of this folder were last saved {_date(line.saved)}" if line and line.saved else "yours begin empty"
    )
    return f"the volume {volume.name} of {project} has the data of {whose}{since}; {ours}"


def _apart(volume: Resource, stage: DesiredState) -> str:
    keep = f"devenv snapshot save {volume.key} && docker volume rm {volume.name}"
    return f"devenv up -p {stage.project.name}-2   (data of its own), or: {keep}"


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _ago(at: float) -> str:
    return ago(time.time() - at)
