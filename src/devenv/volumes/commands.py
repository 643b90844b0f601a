"""`devenv snapshot`: save volumes in use; choose snapshots for the next `up`; export, import and remove them."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import anyio

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.errors import DevenvError, RefusedError, StateError, UsageError
from devenv.events import Emit, Notice
from devenv.model import snapshot as snapshots
from devenv.model.containers import Container, ProjectState, Volume
from devenv.model.project import Project, Resource
from devenv.model.snapshot import LIST, Snapshot, ago, shown
from devenv.signals import endable
from devenv.state.run_dir import address, key_of, open_run, place_of
from devenv.volumes import exported
from devenv.volumes import lineage as lineages
from devenv.volumes.lineage import Lineage, Start
from devenv.volumes.lineages import Lineages, ProjectVolumes
from devenv.volumes.pausing import paused
from devenv.volumes.store import Store
from devenv.volumes.transfer import volume_transfer

STREAM = "-"


async def save(selection: Selection, wanted: Sequence[str], title: str, emit: Emit) -> int:
    """Save the project's volumes (all, or these) as one set. Return the exit code, that of a signal if one came.

    Containers that use the volumes are paused meanwhile, so that all volumes are saved at the same moment. Raises
    UsageError for an unknown volume, DevenvError or OSError if a volume cannot be saved.
    """
    if title and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", title):
        raise UsageError(f"{title!r} is not a valid name for a snapshot", hint="Letters, digits, `.`, `_` and `-`.")
    if title and snapshots.named(Store.at_home().all(), title):
        hint = f"devenv snapshot rm {title}   (or take another name)"
        raise UsageError(f"there is a snapshot called {title} already", hint=hint)
    project = (await resolve.load(selection)).project

    async def work() -> None:
        async with Engine.connect() as engine:
            volumes = await _project_volumes(engine, project, emit)
            project_state = await engine.project_state(project.name)
            chosen = _existing(project.name, project_state, wanted)
            users = {v.name: [c for c in project_state.containers if v.name in c.volumes] for v in chosen}
            run = volumes.volume_transfer.run
            async with paused(engine, run, {c.id: c for used in users.values() for c in used}.values()):
                for volume in chosen:
                    await _save(volumes, volume, users[volume.name], title)

    return await endable(work)


async def _project_volumes(engine: Engine, project: Project, emit: Emit) -> ProjectVolumes:
    place, key = place_of(project.directory), await key_of(engine)
    run = await open_run(engine, project.name, key)
    transfer = volume_transfer(engine, emit, run, project.name, place.path)
    return ProjectVolumes(project, transfer, place, key, address(engine.endpoint))


def _existing(project: str, project_state: ProjectState, wanted: Sequence[str]) -> list[Volume]:
    """The volumes with these keys, or all volumes with their own data."""
    existing = {v.key or v.name: v for v in project_state.volumes if not v.elsewhere}
    if missing := [name for name in wanted if name not in existing]:
        message = f"there is no volume {', '.join(missing)} that holds data of its own"
        raise UsageError(message, hint=_known(existing))
    if not existing:
        raise UsageError(f"{project} has no volumes now", hint="devenv up")
    return [existing[name] for name in wanted or sorted(existing)]


async def _save(volumes: ProjectVolumes, volume: Volume, users: Iterable[Container], title: str) -> None:
    transfer = volumes.volume_transfer
    try:
        line = volumes.continued(volume)
        saved = await transfer.save(volume, users, settled=True, lineage=line, automatic=False, title=title)
    except OSError as error:
        message = f"{volume.key or volume.name} could not be saved: {error.strerror}"
        raise DevenvError(message, hint=f"df -h {transfer.store.path}") from error
    size = f"{shown(saved.size)}, {shown(saved.stored)} stored"
    transfer.emit(Notice(f"saved {saved.volume} as {title or saved.id} ({size})"))


async def choose(
    engine: Engine, project: Project, name: str, wanted: Sequence[str], other: str, emit: Emit
) -> tuple[ProjectVolumes, Mapping[str, Snapshot]]:
    """The volumes of the project, and the snapshots to restore, by key: of that set (without a name, the newest).

    `other`: another project whose sets are meant. Raises UsageError if the set does not exist, StateError if it is
    damaged, and RefusedError if a volume exists that devenv did not create.
    """
    store = Store.at_home()
    stored = _chosen(store.all(), name, other or project.name, by_name=bool(other))
    resources = {v.key: v for v in project.volumes if not v.external and not v.elsewhere}
    usable = _usable(stored, wanted, resources)
    volumes = await _project_volumes(engine, project, emit)
    _require_own([resources[key] for key in usable], await engine.project_state(project.name), volumes)
    for snapshot in usable.values():
        await anyio.to_thread.run_sync(store.check, snapshot)
    return volumes, usable


def ask(volumes: ProjectVolumes, chosen: Mapping[str, Snapshot]) -> None:
    """Let the next `up` begin with these snapshots, by keys of volumes."""
    resources = {v.key: v for v in volumes.project.volumes}
    for key, snapshot in chosen.items():
        volumes.ask(resources[key], snapshot)


def announce(volumes: ProjectVolumes, chosen: Mapping[str, Snapshot]) -> None:
    """Report that the next `up` begins with these snapshots, by keys of volumes."""
    for key, snapshot in chosen.items():
        age = ago(time.time() - snapshot.created)
        message = f"the next `devenv up` restores {key} ({snapshot.id}, saved {age})"
        volumes.volume_transfer.emit(Notice(message))


def _usable(stored: Sequence[Snapshot], wanted: Sequence[str], resources: Collection[str]) -> dict[str, Snapshot]:
    """The snapshots of a set that the project can use, by the keys of its volumes."""
    usable = {s.volume: s for s in stored if s.volume in (wanted or resources)}
    if missing := [key for key in wanted if key not in usable or key not in resources]:
        raise UsageError(f"{stored[0].id} has no volume {', '.join(missing)} of this project", hint=LIST)
    if not usable:
        raise UsageError(f"{stored[0].id} has no volume of this project", hint=_known(resources))
    return usable


def _require_own(wanted: Iterable[Resource], project_state: ProjectState, volumes: ProjectVolumes) -> None:
    ledger = volumes.volume_transfer.run.read()
    existing = {v.name for v in project_state.volumes}
    for volume in wanted:
        if volume.name in existing and (ledger is None or volume.name not in ledger.creates):
            keep = f"devenv snapshot save {volume.key} && docker volume rm {volume.name}"
            raise RefusedError(f"{volume.key} exists already, and devenv did not create it", hint=keep)


def _chosen(stored: Sequence[Snapshot], name: str, project: str, *, by_name: bool) -> tuple[Snapshot, ...]:
    """The named set (with `by_name`, only if it is of that project), or the newest set of the project."""
    of_project = [s for s in stored if s.project == project]
    if name:
        return _named(of_project if by_name else stored, name)
    newest = max((s for s in of_project if s.settled), key=lambda s: s.created, default=None)
    if newest is None:
        raise UsageError(f"there is no snapshot of {project}", hint=LIST)
    return _named(of_project, newest.id)


def _named(stored: Iterable[Snapshot], name: str) -> tuple[Snapshot, ...]:
    if named := snapshots.named(stored, name):
        return named
    raise UsageError(f"there is no snapshot {name}", hint=LIST)


def damaged() -> list[str]:
    """A line for each archive that is kept although its note cannot be read: it may be the only copy."""
    store = Store.at_home()
    return [
        f"the archive of {key} in {store.path}/{set_id} is kept; its note cannot be read"
        for set_id, key in store.damaged()
    ]


def listed(projects: Collection[str]) -> list[Snapshot]:
    """The snapshots of these projects, or of all, the newest first."""
    return [s for s in reversed(Store.at_home().all()) if not projects or s.project in projects]


def remove(names: Sequence[str], emit: Emit) -> int:
    """Remove these sets, and report what the next `up` can no longer restore by itself.

    Raises UsageError, with nothing removed, if one of them does not exist.
    """
    store = Store.at_home()
    stored = store.all()
    removed = [s for name in names for s in _named(stored, name)]
    for snapshot in removed:
        store.remove(snapshot)
        emit(Notice(f"removed the snapshot {snapshot.id} of {snapshot.project}/{snapshot.volume}"))
    for line in Lineages.at_home().all():
        if notice := _undecided(line, removed, [s for s in stored if s not in removed]):
            emit(notice)
    return 0


def _undecided(line: Lineage, removed: Collection[Snapshot], left: Sequence[Snapshot]) -> Notice | None:
    """A notice if the volume does not exist and its state to restore was just removed: `up` then needs an option."""
    begin = lineages.beginning(line, left)
    if line.live is not None or begin.start is not Start.LOST or not lineages.by_reference(removed, begin.reference):
        return None
    message = f"{begin.reference[0]} was the last saved state of {line.key}: the next `devenv up`"
    folder = f" in {line.place.path}" if line.place.path else ""
    older = max((s for s in left if s.lineage == line.id and s.settled), key=lambda s: s.created, default=None)
    hint = f"devenv up --from {older.id}" if older else "devenv up --fresh   (starts empty)"
    return Notice(f"{message}{folder} needs --from or --fresh", hint)


def export(name: str, path: str, emit: Emit) -> int:
    """Write the set to a new file, or to standard output for `-`. Raises UsageError, StateError."""
    store = Store.at_home()
    chosen = _named(store.all(), name)
    if path == STREAM:
        if sys.stdout.isatty():
            hint = f"devenv snapshot export {name} FILE"
            raise UsageError("standard output is a terminal, and the archive is binary", hint=hint)
        exported.pack(store, chosen, sys.stdout.buffer)
        return 0
    try:
        with open(path, "xb") as file, contextlib.ExitStack() as undo:
            undo.callback(os.unlink, path)
            exported.pack(store, chosen, file)
            file.flush()
            undo.pop_all()
    except FileExistsError:
        raise UsageError(f"{path} exists already", hint="Name a file that does not exist.") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    emit(Notice(f"{path} holds {', '.join(s.volume for s in chosen)}", f"devenv snapshot import {path}"))
    return 0


def take_in(path: str, emit: Emit) -> int:
    """Store the snapshots of an exported file, or of standard input for `-`. Raises as `imported`."""
    for snapshot in imported(path):
        message = f"imported {snapshot.id}: {snapshot.project}/{snapshot.volume}"
        emit(Notice(message, f"devenv snapshot restore {snapshot.id}"))
    return 0


def imported(path: str) -> tuple[Snapshot, ...]:
    """The stored snapshots of an exported file, or of standard input for `-`. Blocking.

    Raises UsageError, StateError, ConfigError.
    """
    store, chosen = Store.at_home(), user_settings()
    limits = {"limit": chosen.snapshots_total, "single": chosen.snapshot_limit or chosen.snapshots_total}
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if path == STREAM else open(path, "rb") as file:
            return exported.unpack(store, file, **limits)
    except StateError as error:
        raise StateError(f"{path}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _known(names: Iterable[str]) -> str:
    return f"one of: {', '.join(sorted(names))}" if names else LIST
