"""`devenv up --from`: a snapshot by its name, or the data of another project, copied while that project runs."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import anyio

from devenv.compose.worktrees import git_worktree
from devenv.errors import DevenvError, StateError, UsageError
from devenv.events import Notice
from devenv.model import snapshot as snapshots
from devenv.model.containers import ProjectState, Volume
from devenv.model.snapshot import LIST, Snapshot
from devenv.paths import folder_project
from devenv.state.run_dir import Run
from devenv.tasks import each
from devenv.volumes.lineage import by_reference, of_volume
from devenv.volumes.lineages import ProjectVolumes
from devenv.volumes.pausing import paused

MAIN = "main"  # the project of the main git worktree


async def snapshots_of(volumes: ProjectVolumes, source: str, existing: Collection[str]) -> Mapping[str, Snapshot]:
    """The snapshots with which the project's volumes begin, by key: of that set, or of another project.

    `existing` are the names of existing volumes. Raises UsageError if there is neither; StateError, before
    anything is copied, if a volume of this project exists.
    """
    transfer = volumes.volume_transfer
    stored = transfer.store.all()
    if snapshots.named(stored, source):
        return volumes.asked(source)
    project = _main(volumes) if source == MAIN else source
    if project == volumes.project.name:
        raise UsageError(f"{project} is this project", hint=LIST)
    wanted = _absent(volumes, project, existing)
    project_state = await transfer.engine.project_state(project)
    live = {v.key: v for v in project_state.volumes if v.key in wanted and not v.elsewhere}
    saved = _heads(volumes, project, wanted, stored)
    if not live and not saved:
        raise UsageError(f"there is no snapshot {source}, and no project {project} with data", hint=LIST)
    return {**saved, **(await _copied(volumes, project, project_state, live) if live else {})}


def _absent(volumes: ProjectVolumes, project: str, existing: Collection[str]) -> Collection[str]:
    """The keys of the project's volumes with their own data, none of which exists."""
    wanted = {v.key: v.name for v in volumes.project.volumes if not v.external and not v.elsewhere}
    if names := [name for name in wanted.values() if name in existing]:
        message = f"{', '.join(names)} exists: it cannot begin with the data of {project}"
        raise StateError(message, hint="devenv down --snapshot   (saves it), then try again")
    return wanted


def _heads(
    volumes: ProjectVolumes, project: str, wanted: Collection[str], stored: Sequence[Snapshot]
) -> Mapping[str, Snapshot]:
    """The last saved states of another project, by key."""
    lines = [line for line in volumes.volume_transfer.lineages.all() if line.project == project]
    here = [line for line in lines if line.engine == volumes.engine and line.key in wanted]
    heads = {line.key: by_reference(stored, line.head) for line in sorted(here, key=lambda line: line.saved)}
    return {key: head for key, head in heads.items() if head is not None}


def main_project(volumes: ProjectVolumes) -> tuple[str, str] | None:
    """The folder and the name of the project in the main git worktree; None if this is no linked worktree."""
    tree = git_worktree(volumes.project.directory)
    if tree is None or not tree.main:
        return None
    folder = os.path.realpath(tree.in_main(volumes.project.directory))
    known = [line for line in volumes.volume_transfer.lineages.all() if line.place.path == folder]
    newest = max(known, key=lambda line: line.live.since if line.live else line.saved, default=None)
    return folder, newest.project if newest else folder_project(folder)


def _main(volumes: ProjectVolumes) -> str:
    if (main := main_project(volumes)) is None:
        message = f"{volumes.project.directory} is in no linked git worktree, so there is no other `main`"
        raise UsageError(message, hint="devenv up --from PROJECT")
    return main[1]


async def _copied(
    volumes: ProjectVolumes, project: str, project_state: ProjectState, live: Mapping[str, Volume]
) -> Mapping[str, Snapshot]:
    """Snapshots of these volumes of another project, all of one moment: its containers are paused meanwhile."""
    engine, own, lines = volumes.volume_transfer.engine, volumes.volume_transfer, volumes.volume_transfer.lineages
    names = {volume.name for volume in live.values()}
    users = [c for c in project_state.containers if not names.isdisjoint(c.volumes)]
    run = await anyio.to_thread.run_sync(Run.open, volumes.engine, engine.endpoint, project)
    known = {key: of_volume(lines.all(), volumes.engine, volume) for key, volume in live.items()}
    folder = next((line.place.path for line in known.values() if line and line.place.path), "")
    transfer = replace(own, run=run, project=project, directory=folder, limit=math.inf)

    async def copy(key: str) -> Snapshot:
        line, volume = known[key], live[key]
        of_it = [c for c in users if volume.name in c.volumes]
        return await transfer.save(volume, of_it, settled=True, lineage=line.id if line else "")

    began, keys = time.monotonic(), sorted(live)
    try:
        async with paused(engine, run, users):
            copies = await each(copy, keys)
    except OSError as error:
        raise DevenvError(f"the data of {project} cannot be copied: {error.strerror}", hint="df -h") from error
    stopped = sorted({c.service or c.name for c in users if c.running})
    seconds = f"; {', '.join(stopped)} paused for {time.monotonic() - began:.1f} s" if stopped else ""
    own.emit(Notice(f"{', '.join(keys)} copied from {project}{seconds}"))
    return dict(zip(keys, copies, strict=True))
