"""`devenv snapshot`: volumes saved in use; snapshots chosen for the next `up`, moved and removed."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO

import anyio

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.errors import DevenvError, EngineError, RefusedError, StateError, UsageError
from devenv.events import Emit, Notice
from devenv.model import snapshot as snapshots
from devenv.model.containers import Container, ProjectState
from devenv.model.project import Resource
from devenv.model.snapshot import Snapshot, ago, shown
from devenv.signals import endable
from devenv.state.run_dir import Run, address, key_of, open_run, place_of
from devenv.volumes import exported
from devenv.volumes import lineage as lineages
from devenv.volumes.lineage import Lineage, Start
from devenv.volumes.lineages import Lineages
from devenv.volumes.project_volumes import ProjectVolumes
from devenv.volumes.store import Store
from devenv.volumes.transfer import volume_transfer

STREAM = "-"
LIST = "devenv snapshot list"


async def save(selection: Selection, wanted: Sequence[str], title: str, emit: Emit) -> int:
    """The project's volumes (all, or these) saved as one set; the exit code, that of a signal if one came.

    Containers that use them are paused meanwhile, so that all are of one moment. Raises UsageError for a volume
    that is not there, DevenvError or OSError where one cannot be saved.
    """
    _require_name(title)
    loaded = await resolve.load(selection)

    async def work() -> None:
        async with Engine.connect() as engine:
            await _save(engine, loaded, wanted, title, emit)

    return await endable(work)


def _require_name(title: str) -> None:
    if title and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", title):
        raise UsageError(f"{title!r} is no name for a snapshot", hint="Letters, digits, `.`, `_` and `-`.")
    if title and snapshots.named(Store.at_home().all(), title):
        hint = f"devenv snapshot rm {title}   (or take another name)"
        raise UsageError(f"there is a snapshot called {title} already", hint=hint)


async def _save(engine: Engine, loaded: Loaded, wanted: Sequence[str], title: str, emit: Emit) -> None:
    project = loaded.project
    run = await open_run(engine, project.name)
    project_state = await engine.project_state(project.name)
    there = {v.key or v.name: v for v in project_state.volumes if not v.elsewhere}
    if missing := [name for name in wanted if name not in there]:
        raise UsageError(f"there is no volume {', '.join(missing)} that holds data of its own", hint=_known(there))
    if not there:
        raise UsageError(f"{project.name} has no volumes now", hint="devenv up")
    chosen = [there[name] for name in wanted or sorted(there)]
    place = place_of(project.directory)
    transfer = volume_transfer(engine, emit, run, project.name, place.path)
    transfer = replace(transfer, limit=transfer.total)  # the user asked for it and knows how large it is
    names = {v.name for v in chosen}
    volumes = ProjectVolumes(project, transfer, place, await key_of(engine), address(engine.endpoint))
    async with _still(engine, [c for c in project_state.containers if names & {*c.volumes}]):
        for volume in chosen:
            users = [c for c in project_state.containers if volume.name in c.volumes]
            try:
                line = volumes.continued(volume)
                one = await transfer.save(volume, users, settled=True, lineage=line, automatic=False, title=title)
            except OSError as error:
                said = f"{volume.key or volume.name} could not be saved: {error.strerror}"
                raise DevenvError(said, hint=f"df -h {transfer.store.path}") from error
            size = f"{shown(one.size)}, {shown(one.stored)} stored"
            emit(Notice(f"saved {one.volume} as {title or one.id} ({size})"))


@contextlib.asynccontextmanager
async def _still(engine: Engine, containers: Iterable[Container]) -> AsyncIterator[None]:
    paused = []
    try:
        for container in containers:
            if container.state == "running":
                paused.append(container.id)
                await engine.containers.pause(container.id, on=True)
        yield
    finally:
        with anyio.CancelScope(shield=True):
            for container_id in paused:
                with contextlib.suppress(EngineError):  # it has ended meanwhile
                    await engine.containers.pause(container_id, on=False)


async def restore(selection: Selection, name: str, wanted: Sequence[str], other: str, emit: Emit) -> int:
    """The next `up` begins with that set (without a name the newest one), of this project or of another one.

    Raises UsageError if the set does not exist, StateError and RefusedError if a volume exists already.
    """
    loaded = await resolve.load(selection)
    project, store = loaded.project, Store.at_home()
    found = _chosen(store.all(), name, other or project.name, by_name=bool(other))
    volumes = {v.key: v for v in project.volumes if not v.external and not v.elsewhere}
    usable = {s.volume: s for s in found if s.volume in (wanted or volumes)}
    if missing := [key for key in wanted if key not in usable or key not in volumes]:
        raise UsageError(f"{found[0].id} has no volume {', '.join(missing)} of this project", hint=LIST)
    if not usable:
        raise UsageError(f"{found[0].id} has no volume of this project", hint=_known(volumes))
    async with Engine.connect() as engine:
        run = await open_run(engine, project.name)
        _require_absent([volumes[key] for key in usable], await engine.project_state(project.name), run)
        for one in usable.values():
            await anyio.to_thread.run_sync(store.check, one)
        place, key = place_of(project.directory), await key_of(engine)
        transfer = volume_transfer(engine, emit, run, project.name, place.path)
        project_volumes = ProjectVolumes(project, transfer, place, key, address(engine.endpoint))
        for volume, one in usable.items():
            project_volumes.ask(volumes[volume], one)
    for key, one in usable.items():
        emit(Notice(f"the next `devenv up` begins with {key} as it was {ago(time.time() - one.created)} ({one.id})"))
    return 0


def _require_absent(volumes: Iterable[Resource], project_state: ProjectState, run: Run) -> None:
    ledger = run.read()
    mine = () if ledger is None else ledger.creates
    there = {v.name for v in project_state.volumes}
    for volume in volumes:
        if volume.name in there and volume.name in mine:
            raise StateError(f"{volume.key} is in use", hint="devenv down   (saves it), then once more")
        if volume.name in there:
            keep = f"devenv snapshot save {volume.key} && docker volume rm {volume.name}"
            raise RefusedError(f"{volume.key} is there already, and devenv did not make it", hint=keep)


def _chosen(stored: Sequence[Snapshot], name: str, project: str, *, by_name: bool) -> tuple[Snapshot, ...]:
    """The named set (of that project only, where it was asked `by_name`), or the newest one of the project."""
    of_project = [s for s in stored if s.project == project]
    if name:
        return _named(of_project if by_name else stored, name)
    newest = max((s for s in of_project if s.settled), key=lambda s: s.created, default=None)
    if newest is None:
        raise UsageError(f"there is no snapshot of {project}", hint=LIST)
    return _named(of_project, newest.id)


def _named(stored: Iterable[Snapshot], name: str) -> tuple[Snapshot, ...]:
    if found := snapshots.named(stored, name):
        return found
    raise UsageError(f"there is no snapshot {name}", hint=LIST)


def damaged() -> list[str]:
    """A line for each archive that is kept although its note cannot be read: it may be the only copy."""
    store = Store.at_home()
    return [
        f"the archive of {key} in {store.path}/{set_id} is kept; its note cannot be read"
        for set_id, key in store.damaged()
    ]


def listed(projects: Collection[str]) -> list[Snapshot]:
    """The snapshots of these projects, of all where none is named, the newest first."""
    return [s for s in reversed(Store.at_home().all()) if not projects or s.project in projects]


def remove(names: Sequence[str], emit: Emit) -> int:
    """Remove these sets, and report what the next `up` can no longer restore by itself.

    Raises UsageError, with nothing removed, if one of them does not exist.
    """
    store = Store.at_home()
    stored = store.all()
    gone = [s for name in names for s in _named(stored, name)]
    for one in gone:
        store.remove(one)
        emit(Notice(f"removed the snapshot {one.id} of {one.project}/{one.volume}"))
    for line in Lineages.at_home().all():
        if notice := _undecided(line, gone, [s for s in stored if s not in gone]):
            emit(notice)
    return 0


def _undecided(line: Lineage, gone: Collection[Snapshot], left: Sequence[Snapshot]) -> Notice | None:
    """What the next `up` asks for, if the volume does not exist and the state to restore was just removed."""
    begin = lineages.beginning(line, left)
    if line.live is not None or begin.start is not Start.LOST or not lineages.by_reference(gone, begin.reference):
        return None
    message = f"{begin.reference[0]} was the last saved state of {line.key}: the next `devenv up`"
    where = f" in {line.place.path}" if line.place.path else ""
    older = max((s for s in left if s.lineage == line.id and s.settled), key=lambda s: s.created, default=None)
    hint = f"devenv up --from {older.id}" if older else "devenv up --fresh   (starts empty)"
    return Notice(f"{message}{where} needs --from or --fresh", hint)


def export(name: str, path: str, emit: Emit) -> int:
    """The set written to a file that was not there, or to standard output for `-`. Raises UsageError, StateError."""
    store = Store.at_home()
    found = _named(store.all(), name)
    if path == STREAM:
        if sys.stdout.isatty():
            hint = f"devenv snapshot export {name} FILE"
            raise UsageError("standard output is a terminal, and the archive is binary", hint=hint)
        exported.pack(store, found, sys.stdout.buffer)
        return 0
    try:
        with _new(path) as file:
            exported.pack(store, found, file)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    emit(Notice(f"{path} holds {', '.join(s.volume for s in found)}", f"devenv snapshot import {path}"))
    return 0


@contextlib.contextmanager
def _new(path: str) -> Iterator[IO[bytes]]:
    try:
        file = open(path, "xb")  # noqa: SIM115 - closed below
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="Name a file that is not.") from None
    try:
        with file:
            yield file
    except BaseException:
        os.unlink(path)
        raise


def take_in(path: str, emit: Emit) -> int:
    """The snapshots of an exported file, or of standard input for `-`.

    Raises UsageError, StateError, ConfigError.
    """
    store, chosen = Store.at_home(), user_settings()
    limits = {"limit": chosen.snapshots_total, "single": chosen.snapshot_limit}
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if path == STREAM else open(path, "rb") as file:
            taken = exported.unpack(store, file, **limits)
    except StateError as error:
        raise StateError(f"{path}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    for one in taken:
        emit(Notice(f"took in {one.id}: {one.project}/{one.volume}", f"devenv snapshot restore {one.id}"))
    return 0


def _known(names: Iterable[str]) -> str:
    return f"one of: {', '.join(sorted(names))}" if names else LIST
