"""The run of a project on an engine, found by what identifies them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator

import anyio

from devenv import private_files
from devenv.docker.client import Engine
from devenv.errors import StateError
from devenv.private_files import written
from devenv.state.home import state_folder
from devenv.state.identity import Place, engine_key
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, address


async def open_run(engine: Engine, project: str) -> Run:
    """The run of the project on the engine, which knows from then on what is ours. Raises StateError, EngineError."""
    key = await key_of(engine)
    run = await anyio.to_thread.run_sync(Run.open, key, engine.endpoint, project)
    engine.is_ours = run.made.holds
    return run


async def key_of(engine: Engine) -> str:
    """What identifies the engine. It is asked twice only if it is not known to answer the same each time."""
    path, at = os.path.join(state_folder(), "engines.json"), address(engine.endpoint)
    first = await engine.identity()
    known = _known(path)
    if known.get(at) == list(first):
        return engine_key([first], at)
    second = await engine.identity()
    if first == second:
        with written(path):
            private_files.replace(path, json.dumps({**known, at: list(first)}))
    return engine_key([first, second], at)


def _known(path: str) -> dict[str, list[str]]:
    try:
        found = json.loads(private_files.read(path) or "{}")
    except (OSError, ValueError, StateError):
        return {}
    return found if isinstance(found, dict) else {}


def place_of(directory: str) -> Place:
    """The folder as it is found now."""
    path = os.path.realpath(directory)
    try:
        state = os.stat(path)
    except OSError:
        return Place(path)
    return Place(path, state.st_dev, state.st_ino)


def every() -> Iterator[tuple[Run, Ledger]]:
    """Runs of this user that have a ledger, on every engine; unreadable ones are passed over."""
    for run in Run.folders():
        with contextlib.suppress(StateError):
            if (ledger := run.read()) is not None:
                yield run, ledger


def dead(phases: Collection[str]) -> Iterator[tuple[Run, Ledger]]:
    """Those in these phases that no process holds."""
    return ((run, ledger) for run, ledger in every() if ledger.phase in phases and not run.lock.is_held())
