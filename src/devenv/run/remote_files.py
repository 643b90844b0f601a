"""Whether the engine sees the files of this machine; if it does not, what replaces mounts, configs and secrets."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace

import anyio

from devenv.compose import remote_files, resolve
from devenv.compose.files import Place
from devenv.compose.outline import Selection
from devenv.compose.positions import shown
from devenv.compose.remote_files import Remark
from devenv.compose.resolve import Loaded
from devenv.docker import peer
from devenv.docker.client import Engine
from devenv.doctor import quick_check
from devenv.doctor.facts import VIRTUAL
from devenv.errors import ConfigError, EngineError
from devenv.model.project import Project
from devenv.state.run_dir import Run
from devenv.sync.host.mount_sources import placed, replacements, with_replacements
from devenv.volumes.holders import Holders
from devenv.volumes.transfer import VolumeTransfer


async def adapted(loaded: Loaded, names: Collection[str], selection: Selection, transfer: VolumeTransfer) -> Loaded:
    """The project for the engine: with sync in place of bind mounts if it does not see the files of this machine.

    Raises ConfigError, with all places, for what cannot be replaced.
    """
    project = loaded.project
    if not remote_files.needs_files(loaded.model, project, names):
        return loaded
    if await sees_files(transfer.holders, project):
        return loaded
    return await anyio.to_thread.run_sync(replaced, loaded, names, selection, transfer.engine.endpoint.shown)


async def adapt_once(loaded: Loaded, engine: Engine, run: Run) -> Loaded:
    """The project for `devenv sync`: as `adapted`; what cannot be replaced is reported by `up`."""
    project = loaded.project
    names = [service.name for service in project.services]
    if not remote_files.needs_files(loaded.model, project, names):
        return loaded
    if await sees_files(Holders(engine, run, project.name), project):
        return loaded
    project, remote = await anyio.to_thread.run_sync(replacements, loaded, names)
    return replace(loaded, project=project, remote=remote)


async def sees_files(holders: Holders, project: Project) -> bool:
    """Whether the engine sees the folder of the project.

    If that is unknown, a container is created that mounts it. If that fails, too, an engine at a unix socket counts
    as one that does.
    """
    engine = holders.engine
    known = await peer.sees_files(engine.endpoint, engine.kernel)
    if known is not None:
        return known
    if is_local := engine.endpoint.has_files:
        with contextlib.suppress(EngineError):
            if (await quick_check.engine_info(engine)).kind in VIRTUAL:
                return True
    seen = await holders.sees(project.files[0])
    return is_local if seen is None else seen


def replaced(loaded: Loaded, names: Collection[str], selection: Selection, engine: str) -> Loaded:
    """The project with watch rules in place of bind mounts. Blocking. Raises ConfigError."""
    chosen = [name for name in loaded.model["services"] if name in names]
    sources = resolve.selected_files(selection)
    after, refused = with_replacements(loaded, chosen, sources)
    if refused:
        places = [(placed(sources, remark), remark) for remark in refused]
        raise _refused(sorted(places, key=lambda pair: (pair[0][0] or "", pair[0][1] or 0)), engine)
    return after


def without_place(message: str) -> str:
    """The sentence about a replacement, without file and line."""
    return message.partition(": ")[2]


def _refused(remarks: Sequence[tuple[Place, Remark]], engine: str) -> ConfigError:
    reason = f"the engine at {engine} does not have the files of this machine"
    if len(remarks) == 1:
        ((file, line), remark) = remarks[0]
        return ConfigError(f"{remark.message}; {reason}", hint=remark.advice, file=file, line=line)
    lines = [f"{shown(where)}: {remark.message}: {remark.advice}" for where, remark in remarks]
    return ConfigError("\n  ".join([f"{reason}; this cannot be replaced:", *dict.fromkeys(lines)]))
