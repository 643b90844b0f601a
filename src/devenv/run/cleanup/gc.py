"""`devenv gc`: ends dead runs, and removes images and records of runs whose folder was removed, such as worktrees."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence

import anyio

from devenv import private_files
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint, resolve
from devenv.docker.images import LocalImage
from devenv.errors import DevenvError, StateError
from devenv.events import Emit, Kept, Notice, Problem
from devenv.model import snapshot as model
from devenv.model.snapshot import Snapshot
from devenv.phrases import counted
from devenv.run.cleanup import kept_logs
from devenv.run.cleanup.down import PATIENCE, held
from devenv.run.cleanup.remains import PHASES, at_work, remains
from devenv.run.cleanup.teardown import finish
from devenv.state import all_runs, run_dir
from devenv.state.identity import Place
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.state.run_lock import LOOKED_AT
from devenv.volumes.lineages import Lineages
from devenv.volumes.store import Store

LEFT = ("detached", "kept", "volumes")  # phases of runs that need no process
KEPT = "it has the data of a removed folder"


async def gc(emit: Emit, *, dry_run: bool, with_snapshots: bool = False) -> int:
    """Return 0 if nothing of any dead run is left, 1 if something could not be removed.

    Runs that are alive are not touched, except those that were left running in a folder that was removed.
    """
    left, guardians, dead = False, list(at_work()), [*all_runs.dead_runs(PHASES), *_abandoned()]
    for _, line in guardians:
        emit(Notice(line))
    for run, ledger in dead:
        try:
            left |= await _end_dead(run, ledger, emit, dry_run=dry_run)
        except DevenvError as error:
            emit(Problem(f"{ledger.project}: {error.message}", error.hint))
            left = True
    removed = list(all_runs.removed_folders())
    for run, ledger in removed:
        await _forget(run, ledger, emit, dry_run=dry_run)
    snapshots = _snapshots(emit, remove=with_snapshots and not dry_run)
    try:
        await _report_images(emit)
    except DevenvError as error:
        emit(Problem(error.message, error.hint))
    if not dry_run:
        Store.at_home().tidy()
        kept_logs.forget_old()
    if not (guardians or dead or removed or snapshots):
        emit(Notice("no dead run left anything"))
    return int(left)


def _abandoned() -> Iterator[tuple[Run, Ledger]]:
    """Runs that were left running, and whose folder was removed."""
    for run, ledger in all_runs.every_runs():
        if ledger.phase in LEFT and all_runs.is_removed(ledger.place):
            yield run, ledger


async def _end_dead(run: Run, ledger: Ledger, emit: Emit, *, dry_run: bool) -> bool:
    """End the run; return whether something is left. A run that began in the meantime is not touched."""
    is_removed = ledger.phase in LEFT
    why = "a run in a removed folder" if is_removed else "a dead run"
    async with Engine.connect(Endpoint(ledger.endpoint, ledger.context)) as engine:
        if dry_run:
            engine.is_ours = run.made.holds
            counts = await remains(engine, ledger, await engine.project_state(ledger.project))
            emit(Notice(f"{ledger.project}: {counts or 'nothing'} of {why}"))
            return False
        policy = VolumePolicy.SNAPSHOT if is_removed else VolumePolicy.SAVE  # no next run would use a volume
        async with contextlib.AsyncExitStack() as stack:
            if is_removed and _is_same(run, ledger) and all_runs.is_removed(ledger.place):
                await stack.enter_async_context(held(run, policy))
            elif is_removed or not await _has_locked(run, stack):
                return False
            if not _is_same(run, ledger):
                return False
            emit(Notice(f"ending what {why} left of {ledger.project}"))
            return bool((await finish(engine, run, emit, policy, "gc")).survivors)


def _is_same(run: Run, ledger: Ledger) -> bool:
    """Whether the ledger is still that of the same run, and in the same phase."""
    now = run.read()
    return now is not None and (now.pid, now.began, now.phase) == (ledger.pid, ledger.began, ledger.phase)


async def _has_locked(run: Run, stack: contextlib.AsyncExitStack) -> bool:
    """Lock the project of a dead run, once a process that only ends it has ended; return False if a run has it."""
    deadline = anyio.current_time() + PATIENCE
    while True:
        try:
            stack.enter_context(run.lock.hold(wait=LOOKED_AT, cleaning=True))
        except StateError:
            if not run.lock.is_ending() or anyio.current_time() > deadline:
                return False
            await anyio.sleep(LOOKED_AT)
        else:
            return True


async def _forget(run: Run, ledger: Ledger, emit: Emit, *, dry_run: bool) -> None:
    """Remove the images that the project of a removed folder built and last ran with, then its records.

    The records stay if the engine does not answer, for a later try.
    """
    try:
        async with Engine.connect(Endpoint(ledger.endpoint, ledger.context)) as engine:
            images, volumes = await _built(engine, run, ledger), await engine.volumes.times()
            for line in Lineages.at_home().all():
                if (
                    line.live
                    and line.engine == ledger.engine
                    and line.place == ledger.place
                    and line.live.is_in(volumes)
                ):
                    emit(Kept("volume", line.name, KEPT, f"docker volume rm {line.name}"))
            for image in images if not dry_run else ():
                for name in image.names or (image.id,):
                    await engine.images.remove(name)
    except DevenvError as error:
        emit(Notice(f"{ledger.project}: its images are not removed: {error.message}"))
        return
    if not dry_run:
        with contextlib.suppress(StateError), run.lock.hold(cleaning=True):  # another folder may have begun a run
            if run.read() is None:
                private_files.remove_tree(run.path)
    records = f"records and {_counted(images)}" if images else "records"
    emit(Notice(f"{ledger.project}: {records} of the removed folder {ledger.directory}"))


async def _report_images(emit: Emit) -> None:
    """Report images that stay on the engine of another machine, since projects built them that are not up.

    Raises DevenvError.
    """
    if not (machine := (endpoint := await resolve()).machine):
        return
    async with Engine.connect(endpoint) as engine:
        key = await run_dir.key_of(engine)
        for run in Run.folders():
            ledger = run.read() or run_dir.ended(run)
            is_up = run.lock.is_held() or (ledger is not None and ledger.phase in ("detached", "kept"))
            if ledger is None or is_up or not ledger.is_on(key, endpoint.host):
                continue
            if images := await _built(engine, run, ledger):
                names = [name for image in images for name in image.names or (image.id,)]
                message = f"{machine} has {_counted(images)} of {ledger.project}, which is not up"
                emit(Notice(message, shlex.join(endpoint.docker_command("rmi", *names))))


async def _built(engine: Engine, run: Run, ledger: Ledger) -> tuple[LocalImage, ...]:
    """The images that the project built and last ran with; names and labels prove nothing."""
    ran = {*run.last().get("images", {}).values()}
    return tuple(image for image in await engine.images.built_by(ledger.project) if image.id in ran)


def _counted(images: Sequence[LocalImage]) -> str:
    size = model.shown(sum(image.size for image in images))
    return f"{counted(len(images), 'image')} ({size})"


def _snapshots(emit: Emit, *, remove: bool) -> bool:
    """Report the automatic snapshots of removed folders, or remove them; return whether there are any.

    Lineages of removed folders are removed with their last state.
    """
    store, lineages = Store.at_home(), Lineages.at_home()
    try:
        lines, needed = lineages.all(), lineages.needed()
    except StateError as error:
        emit(Problem(error.message, error.hint))
        return True
    removed = {line.id: bool(line.place.path) and all_runs.is_removed(line.place) for line in lines}
    unneeded = (s for s in store.all() if s.automatic and (s.id, s.volume) not in needed)
    gone = [snapshot for snapshot in unneeded if _is_of_removed(snapshot, removed)]
    for snapshot in gone if remove else ():
        store.remove(snapshot)
    used = {snapshot.lineage for snapshot in store.all()} | {line.id for line in lines if line.live is not None}
    for lineage_id in removed.keys() - used:
        if removed[lineage_id]:
            lineages.remove(lineage_id)
    if gone:
        emit(_counted_snapshots(gone, removed=remove))
    return bool(gone)


def _counted_snapshots(gone: Sequence[Snapshot], *, removed: bool) -> Notice:
    named = ", ".join(sorted({snapshot.project for snapshot in gone}))
    size = model.shown(sum(snapshot.stored for snapshot in gone))
    what = f"{counted(len(gone), 'snapshot')} ({size}) of removed folders: {named}"
    return Notice(f"removed {what}") if removed else Notice(what, "devenv gc --snapshots")


def _is_of_removed(snapshot: Snapshot, removed: Mapping[str, bool]) -> bool:
    """Whether the folder of the snapshot was removed: that of its lineage if it is known, else its own."""
    if snapshot.lineage in removed:
        return removed[snapshot.lineage]
    return bool(snapshot.directory) and all_runs.is_removed(Place(snapshot.directory))
