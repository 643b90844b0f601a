"""What new volumes begin with: the snapshot that was asked for, the last one of this place, or nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from devenv.concurrent import each
from devenv.config.parse import undoubled
from devenv.errors import RefusedError
from devenv.lifecycle.ledger import EMPTY, Run
from devenv.lifecycle.snapshots import Vault
from devenv.lifecycle.stage import Stage
from devenv.model import snapshot as snapshots
from devenv.model.events import Emit, Notice
from devenv.model.project import Resource
from devenv.model.snapshot import Snapshot, ago, database


@dataclass(frozen=True, slots=True)
class Stock:
    """The new volumes of one stage."""

    stage: Stage
    vault: Vault
    run: Run
    emit: Emit

    @property
    def keeps(self) -> tuple[str, ...]:
        """Real names of the volumes that `x-devenv.keep` names."""
        project = self.stage.project
        return tuple(v.name for v in project.volumes if v.key in project.settings.keep)

    async def saved(self) -> dict[str, Snapshot]:
        """Real names of new volumes that our services mount, and what each of them is to hold.

        Raises RefusedError where a snapshot was asked for that its service could not read.
        """
        stored, pins, found = self.vault.store.all(), self.run.pins(), dict[str, Snapshot]()
        new = [v for v in self.stage.project.volumes if v.name in self.stage.new_volumes and not v.elsewhere]
        for volume in new:
            if users := self.stage.mounted.get(volume.key, ()):
                chosen = await self._chosen(volume, users, stored, pins.get(volume.key))
                found |= {volume.name: chosen} if chosen else {}
        for key in pins.keys() - {v.key for v in new}:
            self.emit(Notice(f"{key} is there already: the snapshot that was asked for is not restored"))
        return found

    async def restore(self, saved: Mapping[str, Snapshot]) -> None:
        """New volumes of these names hold what the snapshots do. Raises DevenvError."""
        volumes = [v for v in self.stage.project.volumes if v.name in saved]

        async def one(volume: Resource) -> None:
            wish = undoubled(self.stage.loaded.model["volumes"][volume.key] or {})
            images = [self.stage.image(name) for name in self.stage.mounted[volume.key]]
            await self.vault.restore(saved[volume.name], volume.key, volume.name, wish, images)

        await each(one, volumes)

    async def _chosen(
        self, volume: Resource, users: tuple[str, ...], stored: tuple[Snapshot, ...], pin: tuple[str, str] | None
    ) -> Snapshot | None:
        if pin == EMPTY:
            self.emit(Notice(f"{volume.key} starts empty after `down --volumes`"))
            return None
        wanted = await self._database(users)
        pinned = next((s for s in stored if pin == (s.id, s.volume)), None)
        if pinned is not None:
            if not snapshots.fits(pinned, wanted):
                raise RefusedError(
                    f"the snapshot {pinned.id} of {pinned.volume} was written by {pinned.database}, "
                    f"and {users[0]} is {wanted}: it could not read it",
                    hint=f"Give {users[0]} its old image back, or: devenv up --fresh   (starts empty)",
                )
            return pinned
        if pin is not None:
            self.emit(Notice(f"the snapshot {pin[0]} of {volume.key} that was asked for is not there any more"))
        vault = self.vault
        place = (vault.engine.endpoint.host, vault.directory, vault.project, volume.key)
        chosen = snapshots.newest(stored, place, wanted)
        last = max((s for s in stored if s.place == place), key=lambda s: s.created, default=None)
        if last is not None and last != chosen:
            self._tell(last, chosen, volume.key, users[0], wanted)
        if last is None:
            self._tell_of_moved(stored, place)
        return chosen

    def _tell_of_moved(self, stored: tuple[Snapshot, ...], place: tuple[str, str, str, str]) -> None:
        """The folder may have another name now, or be another project: a person knows."""
        for one in reversed(stored):
            if (one.endpoint, one.project, one.volume) == (place[0], *place[2:]) and not os.path.isdir(one.directory):
                said = f"{one.volume} starts empty; it was saved {ago(time.time() - one.created)} for {one.directory}"
                self.emit(Notice(f"{said}, which is gone", f"devenv down && devenv snapshot restore {one.id}"))
                return

    def _tell(self, last: Snapshot, chosen: Snapshot | None, key: str, service: str, wanted: str) -> None:
        """Why not the last one."""
        instead = "an older one is restored" if chosen else "it starts empty"
        then = f"{key} was last saved {ago(time.time() - last.created)}"
        if snapshots.fits(last, wanted):
            why = f"{then}, before {service} was up for the first time: {instead}"
            self.emit(Notice(why, f"devenv snapshot restore {last.id}   (if you want it all the same)"))
        else:
            why = f"{then} by {last.database}; {service} is {wanted} and could not read it: {instead}"
            self.emit(Notice(why, f"Give {service} its old image back, or carry the data over with a dump."))

    async def _database(self, users: tuple[str, ...]) -> str:
        for name in users:
            reference = self.stage.image(name)
            if found := database(await self.vault.engine.image_variables(reference), reference):
                return found
        return ""
