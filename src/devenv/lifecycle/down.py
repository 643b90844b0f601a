"""`devenv down`: ends what a run of devenv began in this project, wherever that run is now."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator

import anyio

from devenv.config import load
from devenv.config.load import Selection
from devenv.engine.api import Engine
from devenv.errors import StateError
from devenv.lifecycle.ledger import Run
from devenv.lifecycle.teardown import Teardown
from devenv.model.events import Emit, Notice

PATIENCE = 60.0


async def down(selection: Selection, emit: Emit, *, keep_volumes: bool = False) -> int:
    """0 when nothing of the run is left, 1 where something survived. Nothing to end is fine too.

    A run that is still in the foreground somewhere is asked to end itself. Raises StateError (exit 3) where it
    does not within a minute.
    """
    name = selection.project_name or (await load.load(selection)).project.name
    async with Engine.connect() as engine:
        run = Run(engine.endpoint.host, name)
        async with _held(run, signal.SIGHUP if keep_volumes else signal.SIGINT):
            ledger = run.read()
            if ledger is None:
                emit(Notice(f"nothing of devenv's is up in {name}"))
                return 0
            teardown = Teardown(
                engine, run, ledger, emit, remove_volumes=not keep_volumes, keep_reason="--keep-volumes"
            )
            return 1 if (await teardown.run_down("down")).survivors else 0


@contextlib.asynccontextmanager
async def _held(run: Run, ask: signal.Signals) -> AsyncIterator[None]:
    """The project's lock, if need be after the run that holds it was asked to end (a HUP keeps its volumes)."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(run.lock(cleaning=True))
        except StateError:
            holder = run.holder()
            if holder is None:
                raise
            if not run.is_cleaned():
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(holder, ask)
            await _entered(stack, run)
        yield


async def _entered(stack: contextlib.ExitStack, run: Run) -> None:
    """The lock taken as soon as it is free. Not in a thread: Ctrl-C must end the wait."""
    deadline = anyio.current_time() + PATIENCE
    while True:
        try:
            stack.enter_context(run.lock(cleaning=True))
        except StateError:
            if anyio.current_time() > deadline:
                raise
            await anyio.sleep(0.1)
        else:
            return
