"""Before a new run begins: take over, remove, or refuse what earlier runs of the project left."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace

from devenv.errors import StateError
from devenv.events import Notice
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.containers import Container, ProjectState, Volume
from devenv.phrases import clock
from devenv.run.cleanup.remains import COMMAND, counted, judged_volumes, left_behind
from devenv.state import identity, run_dir
from devenv.state.identity import Content, Place, VolumeVerdict
from devenv.state.ledger import Judged, Ledger, VolumePolicy
from devenv.volumes.transfer import VolumeTransfer

with LazyImports():  # needed only if an earlier run has to be ended
    from devenv.run.cleanup import teardown


@dataclass(frozen=True, slots=True)
class Takeover:
    """The earlier run of a project, seen from the folder in which the new run begins."""

    volume_transfer: VolumeTransfer
    place: Place

    async def go(self, earlier: Ledger | None, *, fresh: bool) -> tuple[Ledger | None, ProjectState]:
        """Return the ledger to continue, if any, and what then exists on the engine.

        Raises StateError (exit 3) if the project belongs to another owner or is up from another folder, or if the
        user has to decide about the content of a volume.
        """
        transfer = self.volume_transfer
        project_state = await self._look()
        self._require_own(project_state)
        if await transfer.holders.mend(project_state):
            project_state = await self._look()
        if earlier is None:
            return None, project_state
        if not run_dir.began_in(earlier, self.place):
            await self._end(earlier, project_state)
            return None, await self._look()
        if fresh:
            stopped = await teardown.of_earlier(earlier, transfer, VolumePolicy.SNAPSHOT).run_down("--fresh")
            if stopped.survivors:
                raise StateError(f"left of the run before: {', '.join(stopped.survivors)}", hint="devenv down")
            return None, await self._look()
        judged = await judged_volumes(transfer.engine, earlier, project_state)
        if sentence := left_behind(earlier, counted(earlier, project_state, judged)):
            transfer.emit(Notice(f"{sentence}; this run takes it over", COMMAND))
        ledger = await self._volumes(earlier, judged)
        is_changed = any(volume.record.content is Content.RESTORING for volume in judged)
        return ledger, await self._look() if is_changed else project_state

    def _require_own(self, project_state: ProjectState) -> None:
        """Raise StateError if containers of the project, or its volumes on another machine, have another owner."""
        transfer, machine = self.volume_transfer, self.volume_transfer.engine.endpoint.machine
        own = transfer.run.made.owner
        if containers := identity.others(project_state, own):
            raise _taken(transfer.project, own, containers[0], machine)
        volumes = [v for v in project_state.volumes if v.owner not in ("", own)] if machine else []
        if volumes:
            raise _volume_taken(transfer.project, own, volumes[0], machine)

    async def _end(self, earlier: Ledger, project_state: ProjectState) -> None:
        """End the run of another folder, as `down` there would. Raises StateError if it has to stay, or is left."""
        other_name = f"devenv up -p {earlier.project}-2"
        if earlier.phase in ("detached", "kept") and any(c.running for c in earlier.containers(project_state)):
            raise up_elsewhere(earlier)
        transfer = replace(self.volume_transfer, directory=earlier.directory)
        transfer.emit(Notice(f"ending what the run of {earlier.directory} left, which has the same project name"))
        stopped = await teardown.of_earlier(earlier, transfer, VolumePolicy.SNAPSHOT).run_down("another folder")
        if stopped.survivors:
            message = f"left of the run of {earlier.directory}: {', '.join(stopped.survivors)}"
            raise StateError(message, hint=f"devenv down -p {earlier.project}, or: {other_name}")

    async def _volumes(self, ledger: Ledger, volumes: Sequence[Judged]) -> Ledger:
        """Undo restores that were cut off; return the ledger without volumes that were removed or recreated."""
        if any(judged.verdict is VolumeVerdict.MOVED for judged in volumes):
            self.volume_transfer.emit(Notice(teardown.MOVED))
            times = await self.volume_transfer.engine.volumes.times()
            ledger = replace(ledger, before=tuple((name, times.get(name, at)) for name, at in ledger.before))
        by_name = {judged.record.name: judged for judged in volumes}
        for record in ledger.volumes:
            judged = by_name.get(record.name)
            if judged is None:
                ledger = ledger.without(record.name)
            elif judged.verdict is VolumeVerdict.OTHER:
                message = f"the volume {record.name} is not the one that devenv created: somebody created it again"
                self.volume_transfer.emit(Notice(f"{message}; it stays as it is, and is not removed"))
                ledger = ledger.without(record.name)
            elif record.content is Content.RESTORING:
                await self._undo(judged)
                ledger = ledger.without(record.name)
            elif (
                record.created != judged.volume.created
            ):  # not seen before, or moved: this time identifies the volume from now on
                is_same = judged.verdict is VolumeVerdict.SAME
                record_now = replace(
                    record, created=judged.volume.created, driver=judged.volume.driver, is_proven=is_same
                )
                ledger = ledger.with_records([record_now])
        return ledger

    async def _undo(self, judged: Judged) -> None:
        """Remove a volume whose restore was cut off, after saving what others may have written to it."""
        name, transfer = judged.volume.name, self.volume_transfer
        if users := await transfer.engine.volumes.users(name):
            message = f"the volume {name} was being restored when the run died, and {', '.join(users)} now uses it"
            hint = f"docker rm -f {' '.join(users)}, then: devenv up   (saves what was written)"
            raise StateError(message, hint=hint)
        await transfer.rescue(judged.volume, (), judged.record)
        await transfer.engine.volumes.remove(name)
        transfer.ended(judged.record.lineage)

    async def _look(self) -> ProjectState:
        return await self.volume_transfer.engine.project_state(self.volume_transfer.project)


def up_elsewhere(earlier: Ledger) -> StateError:
    """The error for a project that is up from another folder."""
    since = clock(earlier.began, time.time())
    message = f"the project {earlier.project} is up from {earlier.directory} since {since}"
    hint = f"devenv up -p {earlier.project}-2   (beside it), or: devenv down -p {earlier.project}"
    return StateError(message, hint=hint)


def _taken(project: str, own: str, container: Container, machine: str) -> StateError:
    whose = _whose(own, container.owner) if container.owner else "a run of devenv that this machine has no record of"
    where = f" on {machine}" if machine else ""
    since = clock(identity.moment(container.created) or 0.0, time.time())
    message = f"{project} is up{where} by {whose} since {since}"
    return StateError(message, hint=_beside(project, own, container.owner))


def _volume_taken(project: str, own: str, volume: Volume, machine: str) -> StateError:
    message = f"the volume {volume.name} on {machine} belongs to {_whose(own, volume.owner)}"
    return StateError(message, hint=_beside(project, own, volume.owner))


def _whose(own: str, owner: str) -> str:
    """User and machine of another owner, which may be this user with another state folder."""
    shown = identity.shown_owner(owner)
    return f"{shown} (with another state folder)" if shown == identity.shown_owner(own) else shown


def _beside(project: str, own: str, owner: str) -> str:
    """The command that starts the project under a name that has the user's own name, if that differs."""
    user, other = (re.sub(r"[^a-z0-9]+", "-", one.partition("@")[0].lower()).strip("-") for one in (own, owner))
    return f"devenv up -p {project}-{user if user and user != other else 2}"
