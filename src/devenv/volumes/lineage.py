"""Notes of snapshots, with types and limits; and lineages: which state continues which. Pure.

A lineage belongs to a volume of a folder's project on an engine. A volume with a fixed `name:` has one lineage per
engine, for all projects that use it. The next `up` restores the head of its own lineage; a newer state of another
lineage is never restored in its place.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, NoReturn
from urllib.parse import quote

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Volume
from devenv.model.snapshot import Snapshot
from devenv.paths import folder_project
from devenv.state.identity import Place, moment

Reference = tuple[str, str]  # (id, volume) of a snapshot
NOTHING: Reference = ("", "")
LARGEST_NOTE = 64 * 1024  # bytes of a note
LONGEST_FIELD = 4096  # characters of a field
LONGEST_NAME = 240  # bytes of a volume's name in the name of a file, which may have 255
LATEST = 253_402_128_000.0  # seconds; two days later, Python's calendar and `date` end, with the year 9999
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class WantedVolume:
    """A volume that a project wants: its engine and folder, its key and its real name. `is_fixed`: by `name:`."""

    engine: str
    address: str
    place: Place
    project: str
    key: str
    name: str
    is_fixed: bool


@dataclass(frozen=True, slots=True)
class LiveVolume:
    """The volume with the newest content of a lineage, with its creation time; it continues `parent`."""

    name: str
    created: str
    since: float
    parent: Reference = NOTHING

    def is_volume(self, volume: Volume) -> bool:
        """Whether this is that volume."""
        return volume.name == self.name and moment(volume.created) == moment(self.created)

    def is_in(self, volumes: Mapping[str, str]) -> bool:
        """Whether the volume exists: `volumes` has the `CreatedAt` of all volumes of the engine."""
        return self.name in volumes and moment(volumes[self.name]) == moment(self.created)


@dataclass(frozen=True, slots=True)
class Lineage:
    """One lineage; `place` has no path if the volume's name is fixed.

    `head` is the last complete saved state. `asked`: the next start begins with that snapshot, or empty (NOTHING).
    `torn`: the saved content of a volume whose restore was cut off, if it is not part of what was being restored;
    then nothing is restored until the user chooses a state.
    """

    id: str
    engine: str
    place: Place
    project: str
    key: str
    name: str
    head: Reference = NOTHING
    saved: float = 0.0
    asked: Reference | None = None
    torn: Reference = NOTHING
    live: LiveVolume | None = None

    @property
    def source(self) -> Reference:
        """The state that the next volume was to begin with when a restore was cut off."""
        return self.head if self.asked is None or self.asked == NOTHING else self.asked

    @property
    def has_state(self) -> bool:
        """Whether it is known how the next volume begins: with a saved state, or empty after `down --volumes`."""
        return self.asked is not None or not self.head == self.torn == NOTHING

    @property
    def is_fixed(self) -> bool:
        """Whether only the volume's name identifies the lineage."""
        return not self.place.path

    def is_for(self, wanted: WantedVolume) -> bool:
        """Whether this is the lineage of that volume."""
        if self.engine != wanted.engine or self.is_fixed != wanted.is_fixed:
            return False
        if self.is_fixed:
            return self.name == wanted.name
        own = (self.place.path, self.project, self.key)
        return own == (wanted.place.path, wanted.project, wanted.key)

    def is_renamed_to(self, wanted: WantedVolume, *, is_gone: bool) -> bool:
        """Whether the folder has a new path; a project named after its folder then has a new name, too."""
        if self.is_fixed or wanted.is_fixed or (self.engine, self.key) != (wanted.engine, wanted.key):
            return False
        names = folder_project(self.place.path), folder_project(wanted.place.path)
        is_same = self.project == wanted.project or names == (self.project, wanted.project)
        return is_same and self.place.is_renamed_to(wanted.place, is_gone=is_gone)

    def is_other_of(self, wanted: WantedVolume) -> bool:
        """Whether a user who wants that volume may mean the data of this lineage."""
        same = self.name == wanted.name or (self.key, self.project) == (wanted.key, wanted.project)
        renamed = (self.key, self.place.path) == (wanted.key, wanted.place.path)
        return (same or renamed) and self.head != NOTHING and not self.is_for(wanted)


def find(lineages: Iterable[Lineage], wanted: WantedVolume, *, gone: frozenset[str]) -> Lineage | None:
    """The lineage of the volume. `gone` has the paths of lineages whose folders no longer exist."""
    everything = tuple(lineages)
    own = next((line for line in everything if line.is_for(wanted)), None)
    renamed = (line for line in everything if line.is_renamed_to(wanted, is_gone=line.place.path in gone))
    return own or next(renamed, None)


def head_of_old(snapshots: Iterable[Snapshot], wanted: WantedVolume, *, real: dict[str, str]) -> Snapshot | None:
    """The last complete state of the volume that a run of devenv 0.1 saved, with an address and a path only.

    Manually saved and imported states do not count: their origin is unknown. `real` has the real paths of folders and
    addresses.
    """
    states = [
        s
        for s in snapshots
        if not s.lineage
        and s.settled
        and s.automatic
        and (real.get(s.endpoint), s.project, s.volume) == (wanted.address, wanted.project, wanted.key)
        and real.get(s.directory) == wanted.place.path
    ]
    return max(states, key=lambda s: s.created, default=None)


class Start(StrEnum):
    """Why a new volume begins with its content."""

    EMPTY = "empty"
    DROPPED = "dropped"  # after `down --volumes`
    ASKED = "asked"
    HEAD = "head"
    LOST = "lost"  # the head, or the state that the user asked for, cannot be read
    TORN = "torn"
    UNFIT = "unfit"  # another database wrote the head


@dataclass(frozen=True, slots=True)
class Beginning:
    """The content that a new volume begins with."""

    start: Start
    snapshot: Snapshot | None = None
    reference: Reference = NOTHING


def beginning(
    lineage: Lineage | None, snapshots: Sequence[Snapshot], fits: frozenset[Reference] | None = None
) -> Beginning:
    """The content that the lineage prescribes; never a state older than its head.

    `fits`: the snapshots that the volume's service can read, if not all.
    """
    if lineage is None:
        return Beginning(Start.EMPTY)
    if lineage.torn != NOTHING:
        return Beginning(Start.TORN, by_reference(snapshots, lineage.torn), lineage.torn)
    if lineage.asked is not None:
        chosen = by_reference(snapshots, lineage.asked)
        dropped = Start.DROPPED if lineage.asked == NOTHING else Start.LOST
        return Beginning(Start.ASKED if chosen else dropped, chosen, lineage.asked)
    if lineage.head == NOTHING:
        return Beginning(Start.EMPTY)
    head = by_reference(snapshots, lineage.head)
    if head is not None and fits is not None and lineage.head not in fits:
        earlier = [s for s in snapshots if s.lineage == lineage.id and s.settled and (s.id, s.volume) in fits]
        return Beginning(Start.UNFIT, max(earlier, key=lambda s: s.created, default=None), lineage.head)
    return Beginning(Start.HEAD if head else Start.LOST, head, lineage.head)


def by_reference(snapshots: Iterable[Snapshot], reference: Reference) -> Snapshot | None:
    """The snapshot with that id and volume."""
    return next((s for s in snapshots if (s.id, s.volume) == reference), None)


def advanced(lineage: Lineage, snapshot: Snapshot) -> Lineage:
    """The lineage after the snapshot, a complete state that continues it, is on disk; its volume continues that.

    If the volume began with the state that the user asked for, that request is done, even if the run died before it
    recorded this.
    """
    head = (snapshot.id, snapshot.volume)
    asked = None if lineage.live and lineage.live.parent == lineage.asked else lineage.asked
    live = lineage.live and replace(lineage.live, parent=head)
    return replace(lineage, head=head, saved=snapshot.created, asked=asked, torn=NOTHING, live=live)


def of_volume(lineages: Iterable[Lineage], engine: str, volume: Volume) -> Lineage | None:
    """The lineage whose newest content is in the volume, if a run of devenv created the volume."""
    known = (line for line in lineages if line.engine == engine)
    return next((line for line in known if line.live is not None and line.live.is_volume(volume)), None)


def decode(content: str | bytes) -> Snapshot:
    """The snapshot that a note describes.

    A missing field has its default, if there is one; an unknown field is ignored. Raises ValueError, with the reason,
    for a note that no version of devenv has written.
    """
    if len(content) > LARGEST_NOTE:
        raise ValueError("the note is too large")
    try:
        data = json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("the note is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("the note is not an object")  # noqa: TRY004 - an error of the file, not of a caller
    return Snapshot(**{f.name: _value(f, data[f.name]) for f in dataclasses.fields(Snapshot) if _is_given(f, data)})


def stem(volume: str) -> str:
    """The name of a volume's files in the store, without suffix. Raises ValueError for an unusable volume name."""
    try:
        name = quote(volume, safe="")
    except UnicodeEncodeError:
        raise ValueError("`volume` is not a text") from None
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError("`volume` is empty or too long")
    return name


def _is_given(field: dataclasses.Field[Any], data: dict[str, Any]) -> bool:
    if field.name not in data and field.default is dataclasses.MISSING:
        raise ValueError(f"`{field.name}` is missing")
    return field.name in data


def _value(field: dataclasses.Field[Any], value: Any) -> Any:
    kind = str(field.type)
    if kind == "float" and type(value) is int and abs(value) < LATEST:
        value = float(value)
    if type(value).__name__ != kind:
        raise ValueError(f"`{field.name}` is not a {kind}")
    if isinstance(value, str):
        _require_text(field.name, value)
    elif not isinstance(value, bool) and not (0 <= value < (LATEST if kind == "float" else 2**63)):
        raise ValueError(f"`{field.name}` is out of range")
    return value


def _require_text(name: str, value: str) -> None:
    if len(value) > LONGEST_FIELD:
        raise ValueError(f"`{name}` is too long")
    if name == "volume":
        stem(value)
    if (name == "id" and not _ID.fullmatch(value)) or (name == "digest" and not _DIGEST.fullmatch(value)):
        raise ValueError(f"`{name}` is malformed")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")
