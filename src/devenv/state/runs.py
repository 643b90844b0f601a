"""The run of a project on an engine, found by what identifies them."""

from __future__ import annotations

import json
import os

import anyio

from devenv import private_files
from devenv.docker.client import Engine
from devenv.errors import StateError
from devenv.state.home import state_folder
from devenv.state.identity import Place, engine_key
from devenv.state.run_dir import Run, address, written


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
