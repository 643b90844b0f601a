"""`devenv snapshot restore`, also into a running project: its run is asked, or else the command does it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from anyio.abc import SocketStream

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.docker.client import Engine
from devenv.errors import DevenvError, EngineError, RefusedError, StateError
from devenv.events import Emit, Notice, Problem
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.containers import Container, ProjectState
from devenv.model.snapshot import Snapshot, ago
from devenv.run import preload
from devenv.run.active.project import ActiveProject
from devenv.run.active.volumes import project_volumes
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.cleanup.remains import judged_volumes
from devenv.run.connection import ask, connected, connected_once_up
from devenv.run.restore import VolumeChoice
from devenv.run.takeover import up_elsewhere
from devenv.signals import endable
from devenv.state.identity import VolumeVerdict
from devenv.state.kept import unsynced_since
from devenv.state.ledger import Judged, Ledger
from devenv.state.run_dir import Run, began_in
from devenv.state.run_lock import LOOKED_AT
from devenv.tasks import each, patiently
from devenv.volumes.lineage import Beginning, Start, by_reference
from devenv.volumes.lineages import ProjectVolumes, fresh

with LazyImports():  # only `snapshot restore` needs them
    from devenv.volumes import commands

VERB = "restore"
PATIENCE = 60.0  # seconds until a project that starts has to be up
ERRORS = {error.exit_code: error for error in (StateError, EngineError, RefusedError)}


async def restore(selection: Selection, name: str, wanted: Sequence[str], other: str, emit: Emit) -> int:
    """Restore that set (without a name, the newest), of this project or of another one; return the exit code.

    A volume of a running project gets the content at once: the services that use it are stopped meanwhile. For other
    volumes, the next `up` begins with it. Raises DevenvError.
    """
    project = (await resolve.load(selection)).project
    again = list[str]()  # services to start again
    is_synced = False  # or was, by a keeper that has died

    async def work() -> None:
        nonlocal is_synced
        async with Engine.connect() as engine:
            volumes, snapshots = await commands.choose(engine, project, name, wanted, other, emit)
            exchange, run = VolumeExchange(volumes, snapshots), volumes.volume_transfer.run
            project_state = await engine.project_state(project.name)
            ledger = run.read()
            if not exchange.names & {v.name for v in project_state.volumes}:
                exchange.ask()
                commands.announce(volumes, snapshots)
            elif ledger is not None and not began_in(ledger, volumes.place):
                raise up_elsewhere(ledger)
            elif run.lock.is_held():
                async with await _connected(run, emit) as stream:
                    await exchange.users(await engine.project_state(project.name))
                    await _ask_run(stream, snapshots, emit)
            else:
                with run.lock.hold(wait=LOOKED_AT, cleaning=True):
                    is_synced = unsynced_since(run) is not None
                    again.extend(await _without_run(exchange))

    if code := await endable(work):
        return code
    options = preload.UpOptions(replace(selection, services=tuple(again)), detach=True, watch=is_synced)
    return await preload.up(options, emit) if again else 0


@dataclass(frozen=True, slots=True)
class VolumeExchange:
    """Saved content for volumes of a project, by their keys, in place of the content that they have."""

    volumes: ProjectVolumes
    snapshots: Mapping[str, Snapshot]

    @property
    def names(self) -> frozenset[str]:
        """The real names of the volumes."""
        return frozenset(v.name for v in self.volumes.project.volumes if v.key in self.snapshots)

    def ask(self) -> None:
        """Let the volumes begin with the saved content when they are created."""
        commands.ask(self.volumes, self.snapshots)

    async def users(self, project_state: ProjectState) -> tuple[Container, ...]:
        """The containers that use the volumes.

        Raises StateError if something uses them that is not a service of the run, RefusedError if a database cannot
        read the saved content.
        """
        transfer, names = self.volumes.volume_transfer, self.names
        users = tuple(c for c in project_state.containers if c.ours and c.number and not names.isdisjoint(c.volumes))
        for volume in names:
            others = {*await transfer.engine.volumes.users(volume)} - {c.name for c in users}
            if others:
                apart = " ".join(sorted(others))
                raise StateError(f"the volume {volume} is also used by {apart}", hint=f"docker rm -f {apart}")
        for resource in self.volumes.project.volumes:
            if snapshot := self.snapshots.get(resource.key):
                await self._require_reader(resource.name, snapshot, users)
        return users

    async def _require_reader(self, volume: str, snapshot: Snapshot, users: Sequence[Container]) -> None:
        resource = next(v for v in self.volumes.project.volumes if v.name == volume)
        wanted = self.volumes.wanted(resource)
        begin = Beginning(Start.ASKED, snapshot, (snapshot.id, snapshot.volume))
        for user in users:
            if volume in user.volumes:
                image = user.reference or user.image
                needed = await self.volumes.volume_transfer.holders.reader(image, with_system=bool(snapshot.libc))
                if error := VolumeChoice(begin, wanted, fresh(wanted), (), user.service, needed).error():
                    raise error

    async def empty(self, ledger: Ledger, users: Sequence[Container]) -> None:
        """Save the content of the volumes, which no container uses any more, and remove the volumes.

        Raises DevenvError; then each volume that could not be saved is as before.
        """
        transfer = replace(self.volumes.volume_transfer, limit=math.inf)  # the user waits for it

        async def end(volume: Judged) -> None:
            key = volume.volume.key or volume.record.name
            try:
                saved = await transfer.secure(volume.volume, users, volume.record)
            except OSError as error:
                raise DevenvError(f"{key} could not be saved: {error.strerror}", hint="df -h") from error
            await transfer.engine.volumes.remove(volume.record.name)
            transfer.ended(volume.record.lineage)
            if saved is not None:
                transfer.emit(Notice(f"{key}: its previous content is saved as {saved.id}"))

        await each(end, await self.judged(ledger, users))
        self.ask()

    async def judged(self, ledger: Ledger, users: Sequence[Container]) -> list[Judged]:
        """The volumes to restore that exist. Raises StateError for a volume that others have created again.

        `users` mount volumes, or mounted them just now.
        """
        engine, mounted = self.volumes.volume_transfer.engine, {name for user in users for name in user.volumes}
        judged = await judged_volumes(engine, ledger, await engine.project_state(ledger.project), mounted)
        judged = [volume for volume in judged if volume.record.name in self.names]
        if others := [volume.record.name for volume in judged if volume.verdict is VolumeVerdict.OTHER]:
            message = f"the volume {others[0]} is not the one that devenv created: somebody created it again"
            raise StateError(message, hint=f"docker volume rm {others[0]}   (if nobody needs it), then once more")
        return judged

    def announcement(self, services: Sequence[str]) -> Notice:
        """What is about to happen."""
        stopped = f"{', '.join(services)} {'is' if len(services) == 1 else 'are'} stopped for a restore of "
        return Notice(f"{stopped if services else 'restoring '}{', '.join(sorted(self.snapshots))}")


async def _without_run(exchange: VolumeExchange) -> Sequence[str]:
    """Save and remove the volumes of a project that no process holds, and return the services that were running.

    The next `up` restores the volumes. Raises DevenvError.
    """
    transfer = exchange.volumes.volume_transfer
    engine, run = transfer.engine, transfer.run
    ledger, project_state = run.read(), await engine.project_state(transfer.project)
    if ledger is None or ledger.phase not in ("detached", "volumes"):
        keys = ", ".join(sorted(exchange.snapshots))
        raise StateError(f"{keys}: left by an earlier run", hint="devenv down   (saves it), then once more")
    users = await exchange.users(project_state)
    running = sorted({c.service for c in ledger.containers(project_state) if c.running})
    await exchange.judged(ledger, users)
    transfer.emit(exchange.announcement(sorted({c.service for c in users})))
    run.write(ledger := ledger.noting(users))

    async def end(container: Container) -> None:
        await engine.containers.stop(container)
        await KeptLogs(run.path).keep(engine, container, ledger.began)
        await engine.containers.remove(container.id)

    await each(end, users)
    await exchange.empty(ledger, users)
    if not running:
        commands.announce(exchange.volumes, exchange.snapshots)
    return running


# --- between the command and the run -----------------------------------------------------------------------------


async def _connected(run: Run, emit: Emit) -> SocketStream:
    """A connection to the run that holds the project, once it is up. Raises StateError."""
    if not run.lock.is_ending():
        if (stream := await connected(run.path)) is None:
            emit(Notice("waiting until the project is up"))
            stream = await connected_once_up(run, PATIENCE)
        if stream is not None:
            return stream
    if run.lock.is_ending() or not run.lock.is_of_run():
        raise StateError("the project is ending", hint="devenv ps   (once it has ended, try again)")
    message = f"the project is still starting after {PATIENCE:g} s"
    raise StateError(message, hint="devenv ps   (once it is up, try again)")


async def _ask_run(stream: SocketStream, snapshots: Mapping[str, Snapshot], emit: Emit) -> None:
    """Let the run that holds the project restore these snapshots, and wait until it has. Raises DevenvError."""
    chosen = {key: (snapshot.id, snapshot.volume) for key, snapshot in snapshots.items()}
    answer = await ask(stream, VERB, f"volumes={json.dumps(chosen)}")
    if answer is None:
        raise StateError("the run ended before the data was restored", hint="devenv snapshot list")
    code, document, _ = answer
    if code:
        values = json.loads(document)
        raise ERRORS.get(code, DevenvError)(values["error"], hint=values["hint"])
    for key, snapshot in snapshots.items():
        emit(Notice(f"{_restored(key, snapshot)}; its services are up again"))


async def carry_out(project: ActiveProject, chosen: Mapping[str, tuple[str, str]]) -> None:
    """Restore the chosen snapshots, as (id, volume) by the keys of volumes, into the running project.

    Raises DevenvError, which is reported to the run too.
    """
    transfer, actions = project.volumes.volume_transfer, project.actions
    try:
        stored = transfer.store.all()
        snapshots = {key: by_reference(stored, (set_id, volume)) for key, (set_id, volume) in chosen.items()}
        found = {key: snapshot for key, snapshot in snapshots.items() if snapshot is not None}
        exchange = VolumeExchange(project_volumes(project.desired, transfer, project.ledger), found)
        users = await exchange.users(await project.compose.project_state())
        services = sorted({c.service for c in users})
        if outside := sorted({*services} - project.desired.own):
            raise StateError(f"not part of the run, but uses the data: {', '.join(outside)}", hint="devenv ps")
        transfer.emit(exchange.announcement(services))
        project.volumes.settle()
        await actions.refill(users, lambda: exchange.empty(project.ledger, users))
        project.volumes.note_started()
        patience = actions.dependents.patience
        if not await patiently(patience, partial(project.observer.until_ready, frozenset(services))):
            raise await project.observer.late(patience)
    except (DevenvError, OSError) as caught:
        full = f"the state folder cannot be written: {caught}"
        error = caught if isinstance(caught, DevenvError) else DevenvError(full, hint=f"df -h {transfer.store.path}")
        transfer.emit(Problem(error.said, error.hint))
        raise error from None
    for key, snapshot in found.items():
        transfer.emit(Notice(_restored(key, snapshot)))


def _restored(key: str, snapshot: Snapshot) -> str:
    return f"{key} restored ({snapshot.id}, saved {ago(time.time() - snapshot.created)})"
