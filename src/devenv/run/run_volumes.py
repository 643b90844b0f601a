"""The volumes of a run: create and restore them, and keep their records in the ledger."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import anyio

from devenv.errors import StateError
from devenv.model.containers import ProjectState
from devenv.run.active.phases import GOOD, Phase, Standing
from devenv.run.desired import DesiredState
from devenv.run.restore import InitialVolumes, NewVolume
from devenv.state.identity import Content, VolumeRecord
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, address
from devenv.tasks import each
from devenv.volumes.lineage import NOTHING, LiveVolume
from devenv.volumes.project_volumes import ProjectVolumes
from devenv.volumes.transfer import VolumeTransfer

SETTLE_AFTER = 10.0
PROVEN_AFTER = 1.5  # seconds after which no other volume can have the same second of creation


@dataclass
class RunVolumes:
    """The ledger of a run; while the run lasts, it is changed only here."""

    run: Run
    volume_transfer: VolumeTransfer
    ledger: Ledger
    _is_written: bool = False
    _well: dict[str, float] = field(default_factory=dict)  # service -> since when
    _begun: set[str] = field(default_factory=set)  # ids of lineages whose volumes have not been started yet
    _created_at: float = field(default_factory=time.monotonic)

    @property
    def unsettled(self) -> list[VolumeRecord]:
        """The records of volumes that may hold less than a whole state."""
        return [record for record in self.ledger.volumes if record.content is Content.UNSETTLED]

    def initial(self, desired: DesiredState) -> InitialVolumes:
        """What the volumes of the desired state begin with."""
        at = address(self.volume_transfer.engine.endpoint)
        volumes = ProjectVolumes(desired.project, self.volume_transfer, self.ledger.place, self.ledger.engine, at)
        return InitialVolumes(desired, volumes, self.volume_transfer.emit)

    def adopt(self, desired: DesiredState, project_state: ProjectState) -> None:
        """Give the volumes of a run of devenv 0.1 a lineage."""
        self.ledger = self.initial(desired).volumes.adopt(self.ledger, project_state)

    async def begin(self, desired: DesiredState, *, fresh: bool, source: str) -> DesiredState:
        """Create the new volumes, each with its saved content; return the desired state with these volumes.

        `source`: the id or name of the snapshots to restore instead. Raises DevenvError if a volume cannot be created
        or restored; the teardown removes what exists of it.
        """
        initial = self.initial(desired)
        new = await initial.plan(self.ledger, fresh=fresh, asked=initial.volumes.asked(source) if source else {})
        if new:
            await self._create(new)
        keeps = initial.volumes.keeps
        self._write([replace(r, is_kept=r.name in keeps) for r in self.ledger.volumes])
        self._begun |= {volume.lineage.id for volume in new}
        return desired.with_volumes(volume.resource.name for volume in new)

    async def _create(self, new: Sequence[NewVolume]) -> None:
        """Create and restore the volumes. Their records are on disk before, their identities right after."""
        now = (await self.volume_transfer.engine.clock()).timestamp()
        records = {
            volume.resource.name: VolumeRecord(
                volume.resource.name,
                intended=now,
                content=Content.RESTORING if volume.snapshot else Content.UNSETTLED,
                lineage=volume.lineage.id,
                source=volume.parent,
            )
            for volume in new
        }
        self._write(records.values())

        async def create(new: NewVolume) -> VolumeRecord:
            volume = await self.volume_transfer.create(new.resource.key, new.resource.name, new.wish)
            self.volume_transfer.begins(new.lineage, LiveVolume(volume.name, volume.created, time.time(), new.parent))
            return replace(records[volume.name], driver=volume.driver, created=volume.created)

        self._write(await each(create, new))
        self._created_at = time.monotonic()
        await each(self._restore, [volume for volume in new if volume.snapshot])
        whole = {v.resource.name for v in new if v.snapshot and v.snapshot.settled}
        self._write(
            replace(r, content=Content.SETTLED if r.name in whole else Content.UNSETTLED)
            for r in self.ledger.volumes
            if r.content is Content.RESTORING
        )

    async def _restore(self, new: NewVolume) -> None:
        if new.snapshot is not None:
            await anyio.to_thread.run_sync(self.volume_transfer.store.check, new.snapshot)
            await self.volume_transfer.restore(new.snapshot, new.resource.key, new.resource.name, new.images)

    def note_started(self) -> None:
        """Forget the snapshots that the user asked for, once the volumes have been started with them."""
        for lineage in self._begun:
            with contextlib.suppress(OSError, StateError):  # a full disk: the next start restores them again
                now = self.volume_transfer.lineages.get(lineage)
                if now is not None and (now.asked is not None or now.torn != NOTHING):
                    self.volume_transfer.lineages.change(
                        lineage, lambda line: replace(line, asked=None, torn=NOTHING)
                    )
        self._begun = set()

    def settle(self, desired: DesiredState, project_state: ProjectState, standings: Iterable[Standing]) -> None:
        """Record which volumes that began empty hold a whole state now: those whose services are well.

        A database without a health check may still be creating its first files: it has to run for a while.
        """
        now = time.monotonic()
        sure = self._long_well(project_state, standings, now)
        users = {v.name: desired.mounted.get(v.key, ()) for v in desired.project.volumes}
        self.enter(
            self.ledger.with_records(
                replace(record, content=Content.SETTLED)
                for record in self.unsettled
                if sure.issuperset(users.get(record.name, ()))
            )
        )
        if now - self._created_at >= PROVEN_AFTER:
            held = {name for c in self.ledger.containers(project_state) for name in c.volumes}
            proven = [replace(r, is_proven=True) for r in self.ledger.volumes if r.name in held and r.created]
            self.enter(self.ledger.with_records(proven))

    def _long_well(self, project_state: ProjectState, standings: Iterable[Standing], now: float) -> set[str]:
        """The services that are well; a database without a health check has to be well for a while."""
        well = {s.service: s.phase for s in standings if s.phase in GOOD}
        self._well = {name: self._well.get(name, now) for name in well}
        doubtful = {n for n, p in well.items() if p is Phase.STARTED and any(c.database for c in project_state.of(n))}
        return {n for n, since in self._well.items() if n not in doubtful or now - since >= SETTLE_AFTER}

    def enter(self, ledger: Ledger) -> None:
        """Replace the ledger, also on disk unless that is full: a teardown looks at what exists."""
        if ledger != self.ledger:
            with contextlib.suppress(StateError):
                self.run.write(ledger)
            self.ledger = ledger

    def _write(self, records: Iterable[VolumeRecord]) -> None:
        """Add or replace records in the ledger, on disk. Raises StateError."""
        changed = self.ledger.with_records(records)
        if changed != self.ledger or not self._is_written:
            self.run.write(changed)
        self.ledger, self._is_written = changed, True
