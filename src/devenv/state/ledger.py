"""The ledger of a run: what existed before, and what the run creates. It is on disk before the first create."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from enum import StrEnum
from typing import Any

from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.containers import Container, Network, ProjectState, Volume, is_anonymous
from devenv.state.identity import Content, Place, VolumeRecord, VolumeVerdict, is_moved, verdict

with LazyImports():  # few ledgers are that old
    from devenv.state import first_version

VERSION = 2
WITNESSES = 32  # volumes of others whose times are recorded, to recognize a copied data folder


class VolumePolicy(StrEnum):
    """What happens to the named volumes that a run created.

    They are saved and removed (SNAPSHOT; with SAVE, those that take long to save, and those on another machine, stay,
    and the next run uses them), left in place, or just removed.
    """

    SAVE = "save"
    SNAPSHOT = "snapshot"
    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Judged:
    """A volume with a recorded name, and whether it is the recorded volume."""

    record: VolumeRecord
    volume: Volume
    verdict: VolumeVerdict


@dataclass(frozen=True, slots=True)
class Ledger:
    """One project on one engine, from the first create until everything is removed.

    `before` has volumes that existed when the ledger began, with their `CreatedAt`; `volumes` those that the run
    creates. `phase` is up (a devenv process holds it), detached, kept, left (all has ended, and volumes that could
    not be saved still exist), or volumes (all has ended, and volumes wait for the next run).

    `anonymous` names the anonymous volumes of our containers: Compose may have carried a volume over into a new
    container, whose removal then does not remove it.

    `folders` are those that the run created on this machine for bind mounts, each after its parent.
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

    def is_on(self, key: str, endpoint: str) -> bool:
        """Whether the run is on that engine; a ledger of devenv 0.1 has only the engine's address."""
        return self.engine == key if self.engine else self.endpoint == endpoint

    def containers(self, project_state: ProjectState) -> tuple[Container, ...]:
        """The containers that this run may remove."""
        return tuple(c for c in project_state.containers if c.ours)

    def networks(self, project_state: ProjectState) -> tuple[Network, ...]:
        """The networks that this run may remove."""
        return tuple(n for n in project_state.networks if n.ours)

    def left(self, project_state: ProjectState) -> tuple[str, ...]:
        """What may be left if the engine does not answer, as last seen; never empty, since absence proves nothing."""
        seen = [f"container {c.name}" for c in self.containers(project_state)]
        seen += [f"network {n.name}" for n in self.networks(project_state)]
        seen += [f"volume {name}" for name in self.creates]
        return tuple(seen) or (f"whatever was created of {self.project}",)

    def known(self) -> Mapping[str, str]:
        """Names of volumes -> their recorded `CreatedAt`."""
        return {**dict(self.before), **{r.name: r.created for r in self.volumes if r.created}}

    def judged(
        self, project_state: ProjectState, held: Iterable[str] = (), everything: Mapping[str, str] | None = None
    ) -> list[Judged]:
        """The existing volumes with recorded names. `held`: names that our containers mount, or mounted just now.

        `everything` has the `CreatedAt` of all volumes of the engine, if known; without it, no volume has moved.
        """
        volumes = {v.name: v for v in project_state.volumes if v.project == self.project}
        mounted = {*held, *(name for c in self.containers(project_state) for name in c.volumes)}
        moved = everything is not None and self._is_moved(everything)
        return [
            Judged(r, volumes[r.name], verdict(r, volumes[r.name], is_held=r.name in mounted, is_moved=moved))
            for r in self.volumes
            if r.name in volumes
        ]

    def _is_moved(self, everything: Mapping[str, str]) -> bool:
        """Whether all known volumes have new times, including one that is not ours: ours may have been recreated."""
        has_witness = any(at and name in everything for name, at in self.before)
        return has_witness and is_moved(self.known(), everything)

    def record(self, name: str) -> VolumeRecord | None:
        """The record of the volume, if the run creates it."""
        return next((r for r in self.volumes if r.name == name), None)

    def noting(self, containers: Iterable[Container]) -> Ledger:
        """The ledger with the anonymous volumes of these containers that did not exist before."""
        before = dict(self.before)
        names = (name for c in containers for name in c.volumes if is_anonymous(name) and name not in before)
        return replace(self, anonymous=tuple(dict.fromkeys((*self.anonymous, *names))))

    def with_records(self, records: Iterable[VolumeRecord]) -> Ledger:
        """The ledger with these records added; they replace records of the same names."""
        changed = {record.name: record for record in records}
        records_ = tuple(changed.pop(r.name, r) for r in self.volumes)
        return replace(self, volumes=(*records_, *changed.values()))

    def without(self, volume: str) -> Ledger:
        """The ledger without the volume."""
        return replace(self, volumes=tuple(r for r in self.volumes if r.name != volume))


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
    """An earlier run's ledger, continued by this process, on the engine with this key.

    Volumes that the run does not create count as existing before.
    """
    created = set(ledger.creates)
    now = {v.name: v.created for v in project_state.volumes if v.name not in created}
    before = tuple(sorted({**dict(ledger.before), **now}.items()))
    pid, began = os.getpid(), time.time()
    return replace(ledger, pid=pid, began=began, phase="up", before=before, place=place, engine=engine)


def encode(ledger: Ledger) -> dict[str, Any]:
    """The ledger as a JSON object."""
    return {"v": VERSION, **asdict(ledger)}


def decode(data: dict[str, Any]) -> Ledger:
    """The ledger, also from devenv 0.1. Raises ValueError, TypeError, KeyError."""
    version = data.pop("v")
    if version == 1:
        return first_version.decode(data)
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
