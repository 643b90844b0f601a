"""Fill new volumes: with the head of their lineage (rule: `volumes/lineage`), a named snapshot, or nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from devenv.compose.parse import undoubled
from devenv.errors import DevenvError, RefusedError, StateError
from devenv.events import Notice
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Resource
from devenv.model.snapshot import Reader, Snapshot, ago
from devenv.run.desired import DesiredState
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.volumes import lineage as lineages
from devenv.volumes.lineage import NOTHING, Beginning, Lineage, Start, WantedVolume
from devenv.volumes.lineages import ProjectVolumes
from devenv.volumes.lineages import fresh as fresh_lineage

FRESH = "devenv up --fresh   (starts empty)"
NO_DATA = "this folder has no saved data"


@dataclass(frozen=True, slots=True)
class NewVolume:
    """A volume to create: its definition, the images that mount it, its lineage and its content."""

    resource: Resource
    wish: Mapping[str, Any]  # the definition as Compose would use it
    images: tuple[str, ...]
    lineage: Lineage
    snapshot: Snapshot | None = None

    @property
    def parent(self) -> lineages.Reference:
        """The saved state that the content continues."""
        return (self.snapshot.id, self.snapshot.volume) if self.snapshot else NOTHING


@dataclass(frozen=True, slots=True)
class VolumeChoice:
    """The content chosen for a new volume."""

    begin: Beginning
    wanted: WantedVolume
    line: Lineage
    stored: Sequence[Snapshot]  # all snapshots, the oldest first
    service: str  # the first service that mounts the volume
    needed: Reader  # the database that the service is

    def error(self) -> DevenvError | None:
        """The error if the user has to decide before the volume can be created."""
        start, snapshot = self.begin.start, self.begin.snapshot
        if start is Start.LOST:
            return self._lost()
        if start is Start.TORN:
            return self._torn()
        if start is Start.ASKED and snapshot is not None and not self.needed.reads(writer := snapshot.reader):
            return RefusedError(
                f"the snapshot {snapshot.id} of {snapshot.volume} was written by "
                f"{writer.beside(self.needed)}, and {self.service} is {self.needed.beside(writer)}: "
                f"it {self._why_not(writer)}",
                hint=f"Give {self.service} its old image back, or: {FRESH}",
            )
        return None

    def _why_not(self, writer: Reader) -> str:
        """Why the service cannot use the data of the other database."""
        sorts = "sorts text in another order, so the indexes would be wrong"
        return sorts if writer.database == self.needed.database else "could not read it"

    def notice(self) -> Notice | None:
        """A notice if the volume does not begin with the newest data that the user may expect."""
        if self.begin.start is Start.ASKED:
            return None
        if self.begin.start is Start.DROPPED:
            return Notice(f"{self.wanted.key} starts empty after `down --volumes`")
        return self._unfit() or self._unsettled() or self._moved()

    @property
    def is_first(self) -> bool:
        """Whether the volume begins empty and has no snapshot for this folder."""
        return self.begin.start is Start.EMPTY and self._last() is None

    def _last(self) -> Snapshot | None:
        own = [s for s in self.stored if s.lineage == self.line.id]
        return max(own, key=lambda s: s.created, default=None)

    def _torn(self) -> StateError:
        source, written = lineages.by_reference(self.stored, self.line.source), self.begin.snapshot
        name, wanted = self.begin.reference[0], self.line.source[0]
        since = f", saved {date(source.created)}," if source else ""
        when = date(written.created) if written else "later"
        return StateError(
            f"{self.wanted.key} was being restored to {wanted}{since} when the run died; "
            f"other data was written to it since: saved as {name}, {when}",
            hint=f"devenv up --from {wanted}, or: devenv up --from {name}",
        )

    def _lost(self) -> StateError:
        key, line, name = self.wanted.key, self.line, self.begin.reference[0]
        is_asked = bool(line.asked)
        state = "the state that was asked for" if is_asked else "its last saved state"
        saved = f", saved {date(line.saved)}," if line.saved and not is_asked else ""
        older = self._older()
        other = f"devenv up --from {older.id}   (saved {date(older.created)}), or: " if older else ""
        return StateError(f"{key}: {state}, {name}{saved} is missing or cannot be read", hint=f"{other}{FRESH}")

    def _older(self) -> Snapshot | None:
        lineages = {self.line.id, ""}
        own = [s for s in self.stored if s.lineage in lineages and s.volume == self.wanted.key and s.settled]
        return next((s for s in reversed(own) if (s.id, s.volume) != self.begin.reference), None)

    @property
    def _instead(self) -> str:
        return "an older one is restored" if self.begin.snapshot else "it starts empty"

    def _unfit(self) -> Notice | None:
        head = lineages.by_reference(self.stored, self.begin.reference)
        if self.begin.start is not Start.UNFIT or head is None:
            return None
        writer = head.reader
        saved = f"{self.wanted.key} was last saved {age(head.created)} by {writer.beside(self.needed)}"
        return Notice(
            f"{saved}; {self.service} is {self.needed.beside(writer)} and {self._why_not(writer)}: {self._instead}",
            f"Give {self.service} its old image back, or carry the data over with a dump.",
        )

    def _unsettled(self) -> Notice | None:
        last = self._last()
        if last is None or last.settled or (last.id, last.volume) == self.begin.reference:
            return None
        before = f"before {self.service} was up for the first time"
        saved = f"{self.wanted.key} was last saved {age(last.created)}, {before}"
        return Notice(f"{saved}: {self._instead}", f"devenv up --from {last.id}   (if you want it all the same)")

    def _moved(self) -> Notice | None:
        """A notice if the data was saved for a folder with another path, or for another folder at this path."""
        key, line, here = self.wanted.key, self.line, self.wanted.place
        if not line.is_fixed and line.place.path != here.path:
            return Notice(f"{key} goes on with the data of {line.place.path}, which was renamed to this folder")
        if line.place.inode and line.place.inode != here.inode and self.begin.snapshot:
            return Notice(
                f"{key} goes on with the data that another folder at this path had, saved {age(line.saved)}",
                "devenv down, then: devenv up --fresh   (starts empty)",
            )
        return None


@dataclass(frozen=True, slots=True)
class InitialVolumes:
    """The volumes that the services of one desired state mount."""

    desired: DesiredState
    volumes: ProjectVolumes

    async def plan(
        self,
        ledger: Ledger,
        keys: Collection[str],
        *,
        fresh: bool = False,
        asked: Mapping[str, Snapshot] | None = None,
    ) -> tuple[NewVolume, ...]:
        """Return those of these volumes that are to be created.

        `fresh`: all empty; `asked`: snapshots from the command line, by key.

        Raises StateError if a saved state cannot be read, or if an existing volume has the data of another lineage;
        RefusedError for a snapshot that its service could not read.
        """
        stored, new = self.volumes.volume_transfer.store.all(), list[NewVolume]()
        for volume in self.desired.project.volumes:
            users = self.desired.mounted.get(volume.key, ())
            if volume.key not in keys or volume.external or not users:
                continue
            wanted = self.volumes.wanted(volume)
            line = self.volumes.volume_transfer.lineages.find(wanted, stored) or fresh_lineage(wanted)
            if volume.name in self.desired.existing.volumes:
                await self._require_own(volume, line, ledger, asked)
                continue
            snapshot = None
            if not fresh and not volume.elsewhere:
                snapshot = await self._beginning(wanted, line, users, stored, (asked or {}).get(volume.key))
            place = Place("") if wanted.is_fixed else self.volumes.place
            line = replace(line, place=place, project=wanted.project, name=wanted.name)
            wish = undoubled(self.desired.loaded.model["volumes"][volume.key] or {})
            new.append(NewVolume(volume, wish, tuple(map(self.desired.image, users)), line, snapshot))
        return tuple(new)

    async def _require_own(
        self, volume: Resource, line: Lineage, ledger: Ledger, asked: Mapping[str, Snapshot] | None
    ) -> None:
        """Require that the existing volume has our data, or data that devenv does not know."""
        if asked and volume.key in asked:
            message = f"the volume {volume.name} exists: it cannot begin with {asked[volume.key].id}"
            raise StateError(message, hint="devenv down --snapshot   (saves it), then try again")
        if volume.name in ledger.creates:
            return
        existing = await self.volumes.volume_transfer.engine.volumes.inspect(volume.name)
        other = existing and lineages.of_volume(
            self.volumes.volume_transfer.lineages.all(), self.volumes.engine, existing
        )
        if other and other.id != line.id:
            raise _not_ours(volume, other, line, self.desired.project.name)
        if other is None and (line.head != NOTHING or line.asked is not None):
            name, _ = line.asked or line.head
            message = f"{volume.key} exists, and devenv did not create it: the saved state {name} is not restored"
            self.volumes.volume_transfer.emit(Notice(message, f"docker volume rm {volume.name}   (then: devenv up)"))

    async def _beginning(
        self,
        wanted: WantedVolume,
        line: Lineage,
        users: tuple[str, ...],
        stored: Sequence[Snapshot],
        asked: Snapshot | None,
    ) -> Snapshot | None:
        needed = await self._reader(users, with_system=any(s.libc for s in stored if s.volume == wanted.key))
        if asked is not None:
            line = replace(line, asked=(asked.id, asked.volume), torn=NOTHING)
        fits = frozenset((s.id, s.volume) for s in stored if needed.reads(s.reader))
        choice = VolumeChoice(lineages.beginning(line, stored, fits), wanted, line, stored, users[0], needed)
        if error := choice.error():
            raise error
        if notice := choice.notice():
            self.volumes.volume_transfer.emit(notice)
        if choice.is_first:
            self._report_others(wanted, stored)
        return choice.begin.snapshot

    def _report_others(self, wanted: WantedVolume, stored: Sequence[Snapshot]) -> None:
        """The volume begins empty: report whose data the user may expect in it, and how to restore that."""
        known = [line for line in self.volumes.volume_transfer.lineages.all() if line.is_other_of(wanted)]
        if newest := max(known, key=lambda line: line.saved, default=None):
            whose, at, name = newest.place.path or f"the volume {newest.name}", newest.saved, newest.head[0]
        else:
            last = _last_of(wanted, stored)
            if last is None:
                return
            whose, at, name = last.directory, last.created, last.id
            if last.project != wanted.project and whose == wanted.place.path:
                whose = f"the project {last.project} in this folder"
        gone = "" if not whose.startswith("/") or os.path.isdir(whose) else ", which no longer exists"
        message = f"{wanted.key} starts empty; its data was saved {age(at)} for {whose}{gone}"
        self.volumes.volume_transfer.emit(Notice(message, f"devenv snapshot restore {name}"))

    async def _reader(self, users: tuple[str, ...], *, with_system: bool) -> Reader:
        """The first database of the services; to know the system of its image takes a container."""
        for name in users:
            reader = await self.volumes.volume_transfer.holders.reader(
                self.desired.image(name), with_system=with_system
            )
            if reader.database:
                return reader
        return Reader()


def _last_of(wanted: WantedVolume, stored: Sequence[Snapshot]) -> Snapshot | None:
    """The newest automatic snapshot of the folder under another project name, or of the project by devenv 0.1."""
    for_volume = [s for s in stored if s.volume == wanted.key and s.automatic]
    old = [
        s for s in for_volume if s.directory == wanted.place.path or (s.project == wanted.project and not s.lineage)
    ]
    return max(old, key=lambda s: s.created, default=None)


def _not_ours(volume: Resource, other: Lineage, line: Lineage, project: str) -> StateError:
    whose = other.place.path or f"{other.project}, which shares its name"
    since = f" since {date(other.live.since)}" if other.live else ""
    own_data = f"the data of this folder was last saved {date(line.saved)}" if line.saved else NO_DATA
    keep = f"devenv snapshot save {volume.key} && docker volume rm {volume.name}"
    return StateError(
        f"the volume {volume.name} of {project} has the data of {whose}{since}; {own_data}",
        hint=f"devenv up -p {project}-2   (with its own data), or: {keep}",
    )


def date(at: float) -> str:
    """A time (seconds since 1970) as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def age(at: float) -> str:
    """How long ago a time (seconds since 1970) is."""
    return ago(time.time() - at)
