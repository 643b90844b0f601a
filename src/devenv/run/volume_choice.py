"""Which saved content a new volume gets, and the messages about the choice. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from devenv.errors import DevenvError, RefusedError, StateError
from devenv.events import Notice
from devenv.model import snapshot as snapshots
from devenv.model.snapshot import Snapshot, ago
from devenv.volumes import lineage as lineages
from devenv.volumes.lineage import Beginning, Lineage, Start, WantedVolume

FRESH = "devenv up --fresh   (starts empty)"


@dataclass(frozen=True, slots=True)
class VolumeChoice:
    """What a new volume begins with. `stored`: all snapshots, the oldest first.

    `service` is the first one that mounts the volume, `needed` the database that it is, or empty.
    """

    begin: Beginning
    wanted: WantedVolume
    line: Lineage | None
    stored: Sequence[Snapshot]
    service: str
    needed: str

    def error(self) -> DevenvError | None:
        """Why the volume cannot be created without a decision of the user, if so."""
        begin, snapshot = self.begin, self.begin.snapshot
        if begin.start is Start.LOST:
            return self._lost()
        if begin.start is Start.TORN:
            return self._torn() or self._lost()
        if begin.start is Start.ASKED and snapshot is not None and not self._fits(snapshot):
            return RefusedError(
                f"the snapshot {snapshot.id} of {snapshot.volume} was written by "
                f"{snapshot.database}, and {self.service} is {self.needed}: it could not read it",
                hint=f"Give {self.service} its old image back, or: {FRESH}",
            )
        return None

    def notice(self) -> Notice | None:
        """Why the volume does not begin with the newest data that the user may expect, if so."""
        if self.begin.start is Start.ASKED:
            return None
        if self.begin.start is Start.DROPPED:
            return Notice(f"{self.wanted.key} starts empty after `down --volumes`")
        return self._unfit() or self._unsettled() or self._moved()

    @property
    def is_first(self) -> bool:
        """Whether the volume begins empty, and nothing was ever saved of it for this folder."""
        if self.begin.start in (Start.ASKED, Start.DROPPED):
            return False
        return self.line is None or (self.begin.start is Start.EMPTY and self._last() is None)

    def _fits(self, snapshot: Snapshot) -> bool:
        return snapshots.fits(snapshot, self.needed)

    def _last(self) -> Snapshot | None:
        """The newest snapshot of the volume's own lineage."""
        own = [s for s in self.stored if self.line is not None and s.lineage == self.line.id]
        return max(own, key=lambda s: s.created, default=None)

    # --- errors -------------------------------------------------------------------------------------------------

    def _torn(self) -> StateError | None:
        if self.line is None:
            return None
        source, found = lineages.by_reference(self.stored, self.line.source), self.begin.snapshot
        name, wanted = self.begin.reference[0], self.line.source[0]
        since = f", saved {date(source.created)}," if source else ""
        when = date(found.created) if found else "later"
        return StateError(
            f"{self.wanted.key} was being restored to {wanted}{since} when the run died; "
            f"other data was written to it since: saved as {name}, {when}",
            hint=f"devenv up --from {wanted}, or: devenv up --from {name}",
        )

    def _lost(self) -> StateError:
        key, line, name = self.wanted.key, self.line, self.begin.reference[0]
        is_asked = line is not None and bool(line.asked)
        state = "the state that was asked for" if is_asked else "its last saved state"
        saved = f", saved {date(line.saved)}," if line is not None and not is_asked and line.saved else ""
        older = self._older()
        other = f"devenv up --from {older.id}   (saved {date(older.created)}), or: " if older else ""
        return StateError(f"{key}: {state}, {name}{saved} is missing or cannot be read", hint=f"{other}{FRESH}")

    def _older(self) -> Snapshot | None:
        """The newest other whole state of the volume."""
        if self.line is None:
            return None
        mine = {self.line.id, ""}
        own = [s for s in self.stored if s.lineage in mine and s.volume == self.wanted.key and s.settled]
        return next((s for s in reversed(own) if (s.id, s.volume) != self.begin.reference), None)

    # --- notices ------------------------------------------------------------------------------------------------

    @property
    def _instead(self) -> str:
        return "an older one is restored" if self.begin.snapshot else "it starts empty"

    def _unfit(self) -> Notice | None:
        """Another database wrote the last saved state."""
        head = lineages.by_reference(self.stored, self.begin.reference)
        if self.begin.start is not Start.UNFIT or head is None:
            return None
        saved = f"{self.wanted.key} was last saved {age(head.created)} by {head.database}"
        return Notice(
            f"{saved}; {self.service} is {self.needed} and could not read it: {self._instead}",
            f"Give {self.service} its old image back, or carry the data over with a dump.",
        )

    def _unsettled(self) -> Notice | None:
        """The last saved state may be less than a whole one."""
        last = self._last()
        if last is None or last.settled or (last.id, last.volume) == self.begin.reference:
            return None
        saved = (
            f"{self.wanted.key} was last saved {age(last.created)}, before {self.service} was up for the first time"
        )
        return Notice(f"{saved}: {self._instead}", f"devenv up --from {last.id}   (if you want it all the same)")

    def _moved(self) -> Notice | None:
        """The data was saved for a folder that had another path, or for another folder at this path."""
        key, line, here = self.wanted.key, self.line, self.wanted.place
        if line is None:
            return None
        if not line.is_fixed and line.place.path != here.path:
            return Notice(f"{key} goes on with the data of {line.place.path}, which was renamed to this folder")
        if line.place.inode and line.place.inode != here.inode and self.begin.snapshot:
            return Notice(
                f"{key} goes on with the data that another folder at this path had, saved {age(line.saved)}",
                "devenv down, then: devenv up --fresh   (starts empty)",
            )
        return None


def date(at: float) -> str:
    """A time (seconds since 1970) as local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def age(at: float) -> str:
    """How long ago a time (seconds since 1970) is."""
    return ago(time.time() - at)
