"""The ledger of a run: what existed before, and what the run creates. It is on disk before the first create."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from devenv.model.containers import Container, Network, ProjectState, Volume
from devenv.state.identity import Content, Place, VolumeRecord, VolumeVerdict, is_moved, verdict

VERSION = 2
WITNESSES = 32  # volumes of others whose times are noted, to know a copied data folder by


class VolumePolicy(StrEnum):
    """What happens to the named volumes that a run created: saved and removed, left in place, or just removed."""

    SAVE = "save"
    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Judged:
    """A volume of the name that was recorded, and whether it is the recorded volume."""

    record: VolumeRecord
    volume: Volume
    verdict: VolumeVerdict


@dataclass(frozen=True, slots=True)
class Ledger:
    """One project on one engine, from the first create until everything is gone.

    `before` has volumes that existed when the ledger began, with their `CreatedAt`; `volumes` those that the run
    creates. `phase` is up (a devenv process holds it), detached, kept, or left (all has ended, and volumes that
    could not be saved still exist).

    `anonymous` names volumes without a name of their own that containers of ours have: one that Compose carried over
    into a new container is not removed with that container.

    `folders` are those that the run created on this machine for bind mounts, each after the one that it is in.
    """

    project: str
    place: Place
    engine: str
    endpoint: str
    context: str | None
    began: float
    pid: int
    phase: str = "up"
    before: tuple[tuple[str, str], ...] = ()
    volumes: tuple[VolumeRecord, ...] = ()
    anonymous: tuple[str, ...] = ()
    folders: tuple[Place, ...] = ()

    @property
    def directory(self) -> str:
        """The path of the project's folder."""
        return self.place.path

    @property
    def creates(self) -> tuple[str, ...]:
        """The names of the volumes that the run creates."""
        return tuple(record.name for record in self.volumes)

    def containers(self, project_state: ProjectState) -> tuple[Container, ...]:
        """The containers that are ours to end."""
        return tuple(c for c in project_state.containers if c.ours)

    def networks(self, project_state: ProjectState) -> tuple[Network, ...]:
        """The networks that are ours to end."""
        return tuple(n for n in project_state.networks if n.ours)

    def left(self, project_state: ProjectState) -> tuple[str, ...]:
        """What is left if the engine cannot be asked, as last seen; never empty, since that proves nothing."""
        seen = [f"container {c.name}" for c in self.containers(project_state)]
        seen += [f"network {n.name}" for n in self.networks(project_state)]
        seen += [f"volume {name}" for name in self.creates]
        return tuple(seen) or (f"whatever was created of {self.project}",)

    def known(self) -> Mapping[str, str]:
        """Names of volumes -> the `CreatedAt` that was noted."""
        return {**dict(self.before), **{r.name: r.created for r in self.volumes if r.created}}

    def judged(
        self, project_state: ProjectState, held: Iterable[str] = (), everything: Mapping[str, str] | None = None
    ) -> list[Judged]:
        """The volumes of recorded names that exist. `held`: names that containers of ours mount, or mounted just now.

        `everything` has the `CreatedAt` of all volumes of the engine, if known; without it, no volume has moved.
        """
        there = {v.name: v for v in project_state.volumes if v.project == self.project}
        mounted = {*held, *(name for c in self.containers(project_state) for name in c.volumes)}
        moved = everything is not None and self._is_moved(everything)
        return [
            Judged(r, there[r.name], verdict(r, there[r.name], is_held=r.name in mounted, is_moved=moved))
            for r in self.volumes
            if r.name in there
        ]

    def _is_moved(self, everything: Mapping[str, str]) -> bool:
        """Whether all known volumes have new times, one at least that is not ours: ours may all be created again."""
        is_told = any(at and name in everything for name, at in self.before)
        return is_told and is_moved(self.known(), everything)

    def record(self, name: str) -> VolumeRecord | None:
        """The record of the volume, if the run creates it."""
        return next((r for r in self.volumes if r.name == name), None)

    def noting(self, containers: Iterable[Container]) -> Ledger:
        """The ledger with the anonymous volumes of these containers that did not exist before."""
        before = dict(self.before)
        names = (name for c in containers for name in c.volumes if is_anonymous(name) and name not in before)
        return replace(self, anonymous=tuple(dict.fromkeys((*self.anonymous, *names))))

    def with_records(self, records: Iterable[VolumeRecord]) -> Ledger:
        """The ledger with these records in place of those of the same names."""
        changed = {record.name: record for record in records}
        kept = tuple(changed.pop(r.name, r) for r in self.volumes)
        return replace(self, volumes=(*kept, *changed.values()))

    def without(self, volume: str) -> Ledger:
        """The ledger without the volume."""
        return replace(self, volumes=tuple(r for r in self.volumes if r.name != volume))


def is_anonymous(volume: str) -> bool:
    """Whether it has a name that the engine gives to a volume without one."""
    return re.fullmatch("[0-9a-f]{64}", volume) is not None


def begin(
    project_state: ProjectState,
    volumes: Mapping[str, str],
    *,
    project: str,
    place: Place,
    engine: str,
    endpoint: str,
    context: str | None,
) -> Ledger:
    """A new ledger: all that exists now existed before, `volumes` (name -> `CreatedAt`) on the whole engine."""
    named = {v.name: v.created for v in project_state.volumes}
    witnesses = dict(sorted(item for item in volumes.items() if not is_anonymous(item[0]))[:WITNESSES])
    anonymous = {name: at for name, at in volumes.items() if is_anonymous(name)}
    return Ledger(
        project=project,
        place=place,
        engine=engine,
        endpoint=endpoint,
        context=context,
        began=time.time(),
        pid=os.getpid(),
        before=tuple(sorted({**witnesses, **anonymous, **named}.items())),
    )


def take_over(ledger: Ledger, project_state: ProjectState, place: Place, engine: str) -> Ledger:
    """An earlier run's ledger for this process, which knows the engine by its key.

    Volumes that the run does not create count as existing before.
    """
    created = set(ledger.creates)
    now = {v.name: v.created for v in project_state.volumes if v.name not in created}
    before = tuple(sorted({**dict(ledger.before), **now}.items()))
    pid, began = os.getpid(), time.time()
    return replace(ledger, pid=pid, began=began, phase="up", before=before, place=place, engine=engine)


def encode(ledger: Ledger) -> dict[str, Any]:
    """The ledger as JSON takes it."""
    return {"v": VERSION, **asdict(ledger)}


def decode(data: dict[str, Any]) -> Ledger:
    """The ledger, also one of devenv 0.1. Raises ValueError, TypeError, KeyError."""
    version = data.pop("v")
    if version == 1:
        return _decode_old(data)
    if version != VERSION:
        raise ValueError("another version")
    place = Place(**data.pop("place"))
    volumes = tuple(
        VolumeRecord(**{**r, "content": Content(r["content"]), "source": tuple(r["source"])})
        for r in data.pop("volumes")
    )
    before = tuple((str(name), str(at)) for name, at in data.pop("before"))
    folders = tuple(Place(**folder) for folder in data.pop("folders", ()))
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Ledger(place=place, volumes=volumes, before=before, folders=folders, **fields)


def _decode_old(data: Mapping[str, Any]) -> Ledger:
    """Devenv 0.1 noted names and ids, no times; which engine it was, its address alone says.

    The ids are read by `made`.
    """
    before = {*data["before_volumes"]}

    def content(name: str) -> Content:
        if name in data["restoring"]:
            return Content.RESTORING
        return Content.UNSETTLED if name in data["unsettled"] else Content.SETTLED

    return Ledger(
        project=data["project"],
        place=Place(os.path.realpath(data["directory"])),
        engine="",
        endpoint=data["endpoint"],
        context=data["context"],
        began=data["began"],
        pid=data["pid"],
        phase=data["phase"],
        before=tuple((name, "") for name in sorted(before)),
        volumes=tuple(
            VolumeRecord(name, content=content(name), is_kept=name in data["keeps"])
            for name in data["creates"]
            if name not in before
        ),
        anonymous=tuple(data["anonymous"]),
    )
