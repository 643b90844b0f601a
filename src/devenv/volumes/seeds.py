"""`x-devenv.seed`: the snapshot with which the volumes of a project begin at its first start."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from itertools import groupby

import anyio

from devenv.errors import UsageError
from devenv.events import Notice
from devenv.lazy_imports import LazyImports
from devenv.model import snapshot as snapshots
from devenv.model.snapshot import LIST, Snapshot
from devenv.volumes.copies import main_project
from devenv.volumes.lineages import ProjectVolumes

with LazyImports():  # few projects have a seed
    import tarfile

    from devenv.volumes import commands, exported

FRESH = "devenv up --fresh   (starts empty)"


async def seeded(volumes: ProjectVolumes, existing: Collection[str]) -> Mapping[str, Snapshot]:
    """The snapshots with which the volumes of a first start begin, by key; none at a later start, or without a seed.

    `existing` are the names of existing volumes. A file is imported once. Raises UsageError as `require`,
    StateError if the file is damaged.
    """
    if not _is_used(volumes, existing):
        return {}
    store, seed, source = volumes.volume_transfer.store, volumes.project.settings.seed, _source(volumes)
    if isinstance(source, str):
        source = _imported_before(source, store.all()) or await anyio.to_thread.run_sync(commands.imported, source)
    usable = {s.volume: s for s in source if s.volume in _own(volumes)}
    if not usable:
        raise UsageError(f"x-devenv.seed: {seed} has no volume of {volumes.project.name}", hint=LIST)
    message = f"first start: {', '.join(usable)} from the seed {seed} (x-devenv.seed)"
    volumes.volume_transfer.emit(Notice(message))
    return usable


def require(volumes: ProjectVolumes, existing: Collection[str]) -> None:
    """Raise UsageError if the volumes are to begin with a seed that does not exist."""
    if _is_used(volumes, existing):
        _source(volumes)


def _own(volumes: ProjectVolumes) -> Mapping[str, str]:
    """Key -> name of the volumes that may begin with saved data."""
    return {v.key: v.name for v in volumes.project.volumes if not v.external and not v.elsewhere}


def _is_used(volumes: ProjectVolumes, existing: Collection[str]) -> bool:
    """Whether there is a seed, and no volume exists or has a state of an earlier run."""
    own = _own(volumes)
    if not volumes.project.settings.seed or not own or not set(own.values()).isdisjoint(existing):
        return False
    transfer = volumes.volume_transfer
    stored = transfer.store.all()
    lines = [transfer.lineages.find(volumes.wanted(v), stored) for v in volumes.project.volumes if v.key in own]
    return not any(line is not None and line.has_state for line in lines)


def _source(volumes: ProjectVolumes) -> tuple[Snapshot, ...] | str:
    """The set of this project, or else of the main git worktree, with the seed's name; or the path of the file."""
    project, seed = volumes.project, volumes.project.settings.seed
    places = [(volumes.place.path, project.name), *filter(None, [main_project(volumes)])]
    stored = volumes.volume_transfer.store.all()
    for folder, name in places:
        if named := snapshots.named([s for s in stored if s.project == name or s.directory == folder], seed):
            return named
    for folder in (project.directory, *(folder for folder, _ in places)):
        path = os.path.join(folder, os.path.expanduser(seed))
        if os.path.isfile(path):
            return path
    if "/" in seed:
        hint = f"devenv snapshot export NAME {seed}   (where the data is), or: {FRESH}"
        raise UsageError(f"x-devenv.seed: there is no file {seed}", hint=hint)
    hint = f"devenv snapshot save --name {seed}   (where the data is), or: {FRESH}"
    names = " or ".join(dict.fromkeys(name for _, name in places))
    raise UsageError(f"x-devenv.seed: there is no snapshot {seed} of {names}", hint=hint)


def _imported_before(path: str, stored: tuple[Snapshot, ...]) -> tuple[Snapshot, ...]:
    """The stored set with the same content as the exported file, if there is one."""
    try:
        content = {(s.volume, s.digest) for s in exported.described(path)}
    except (OSError, ValueError, tarfile.TarError):
        return ()  # the import says what is wrong
    sets = [tuple(group) for _, group in groupby(sorted(stored, key=lambda s: s.id), key=lambda s: s.id)]
    return next((group for group in sets if {(s.volume, s.digest) for s in group} == content), ())
