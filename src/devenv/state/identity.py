"""The identity of engines, folders and volumes, and of the containers and networks that we created.

Names, paths, labels and clocks do not prove identity: other objects get the same name, one folder has several paths,
images copy labels, and clocks are set back. Pure.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, Network, ProjectState, Volume

INTENDED_WITHIN = 60.0  # maximum seconds from the record of an intended volume to its creation
_REPLACING = re.compile(r"\A[0-9a-f]{12}_")  # Compose's name for a new container until the old one is gone


@dataclass(frozen=True, slots=True)
class Place:
    """A project's folder: its real path, and its device and inode, which a rename does not change (0: unknown)."""

    path: str
    device: int = 0
    inode: int = 0

    def is_renamed_to(self, other: Place, *, is_gone: bool) -> bool:
        """Whether `other` is this folder under a new path; `is_gone`: the old path does not exist any more."""
        known = self.inode and (self.device, self.inode) == (other.device, other.inode)
        return bool(known) and self.path != other.path and is_gone


def engine_key(answers: Sequence[tuple[str, str]], address: str) -> str:
    """The key of an engine: the id and the data folder in each of two answers to `GET /info`.

    An engine whose answers differ (Podman creates an id for each) is identified by its address.
    """
    first, *others = answers
    stable = first[0] and all(other == first for other in others)
    return f"{first[0]} {first[1]}" if stable else f"at {address}"


# --- containers and networks ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """What a Compose call of ours may create. A window is open from before the call until its outcome is on disk.

    `before` has the ids of the project's containers and networks that existed before. `services` maps each service to
    its `container_name`, empty if Compose names the containers; `networks` are real names.
    """

    project: str
    owner: str
    before: frozenset[str] = frozenset()
    services: Mapping[str, str] | None = None
    networks: frozenset[str] = frozenset()

    def may_have_created(self, thing: Container | Network) -> bool:
        """Whether the object is new, labelled by the call itself, and has a name that the call assigns."""
        if thing.id in self.before or thing.owner != self.owner:
            return False
        if isinstance(thing, Network):
            return thing.name in self.networks
        fixed = (self.services or {}).get(thing.service)
        if fixed is None or thing.inherits or thing.project != self.project:
            return False
        return not final_names(thing.name).isdisjoint({fixed} if fixed else _numbered(self.project, thing))


def final_names(name: str) -> frozenset[str]:
    """The names that a container may have once Compose has removed the container that it replaces.

    A prefix that looks like an id may be part of the name: `container_name` and the project's name are the user's.
    """
    return frozenset({name, _REPLACING.sub("", name)})


def _numbered(project: str, container: Container) -> set[str]:
    """The names that Compose assigns; with `_` in compatibility mode."""
    return {
        sign.join((project, container.service, container.number)) for sign in "-_" if container.number.isdecimal()
    }


def created(window: Window, project_state: ProjectState, reported: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The ids of the objects that the call has created, of the (kind, name) pairs that it reported."""
    names = set(reported)
    ids = [
        c.id
        for c in project_state.containers
        if any(("container", name) in names for name in final_names(c.name)) and window.may_have_created(c)
    ]
    ids += [n.id for n in project_state.networks if ("network", n.name) in names and window.may_have_created(n)]
    return tuple(ids)


@dataclass(frozen=True, slots=True)
class Old:
    """What a run of devenv 0.1 created: all objects with its label, except those that existed `before` (ids)."""

    before: frozenset[str] = frozenset()

    def may_have_created(self, thing: Container | Network) -> bool:
        """Whether the object counts; a container whose labels come from a copied image does not."""
        return thing.is_old and thing.id not in self.before and not (isinstance(thing, Container) and thing.inherits)


def others(project_state: ProjectState, owner: str) -> tuple[Container, ...]:
    """The project's containers from another owner's run, or from devenv 0.1 without a record here; oldest first."""
    foreign = (c for c in project_state.containers if not c.ours and not c.inherits and not c.holds and c.number)
    of_runs = (c for c in foreign if c.is_old or (c.owner and c.owner != owner))
    return tuple(sorted(of_runs, key=lambda c: moment(c.created) or 0.0))


def shown_owner(owner: str) -> str:
    """User and machine of an owner: the label without its unique suffix."""
    return re.sub(r"-[0-9a-f]{12}\Z", "", owner)


# --- volumes ----------------------------------------------------------------------------------------------------


class Content(StrEnum):
    """What is known of a volume's content; RESTORING and UNSETTLED may be incomplete."""

    RESTORING = "restoring"
    UNSETTLED = "unsettled"  # the volume began empty, and its services have not been healthy yet
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """A volume that a run created. `intended` is the engine's time before the create, `created` its CreatedAt.

    `is_proven`: a container of ours used the volume after the second in which it was created, so that no other volume
    can have this name and this time. `lineage` says whose saved states its content continues, `source` (id and volume
    of a snapshot) what is being restored.
    """

    name: str
    driver: str = ""
    created: str | None = None
    intended: float = 0.0
    is_proven: bool = False
    content: Content = Content.SETTLED
    is_kept: bool = False
    lineage: str = ""
    source: tuple[str, str] = ("", "")


class VolumeVerdict(StrEnum):
    """Whether a volume with the recorded name is the recorded volume."""

    SAME = "same"
    LIKELY = "likely"  # the times are equal, which proves nothing within a second
    MOVED = "moved"  # all volumes of the engine have new times: its data folder was copied
    OTHER = "other"


def verdict(record: VolumeRecord, volume: Volume, *, is_held: bool, is_moved: bool) -> VolumeVerdict:
    """Whether `volume`, which has the record's name, is the recorded volume.

    `is_held`: a container that is ours by its id mounts it, so it cannot have been removed since. `CreatedAt` of a
    local volume is the change time of its folder in whole seconds: equal times alone prove nothing.
    """
    if is_held:
        return VolumeVerdict.SAME
    if record.driver and volume.driver and record.driver != volume.driver:
        return VolumeVerdict.OTHER
    now = moment(volume.created)
    if record.created is None:
        is_late = bool(record.intended) and not (
            now is not None and record.intended - 2 <= now <= record.intended + INTENDED_WITHIN
        )
        return VolumeVerdict.OTHER if is_late else VolumeVerdict.LIKELY
    if now == moment(record.created):
        return VolumeVerdict.SAME if record.is_proven else VolumeVerdict.LIKELY
    return VolumeVerdict.MOVED if is_moved else VolumeVerdict.OTHER


def is_moved(known: Mapping[str, str], volumes: Mapping[str, str]) -> bool:
    """Whether all known volumes that still exist have new times; maps are from name to `CreatedAt`.

    One volume alone proves nothing: it may have been removed and created again.
    """
    pairs = [(moment(at), moment(volumes[name])) for name, at in known.items() if name in volumes and at]
    return len(pairs) > 1 and all(before != now for before, now in pairs)


def moment(text: str) -> float | None:
    """An engine's time as seconds since 1970; None if it is not a time."""
    try:
        time = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return time.timestamp() if time.tzinfo else time.replace(tzinfo=dt.UTC).timestamp()
