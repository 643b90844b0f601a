"""`devenv down`: ends what a run of devenv began in this project, wherever that run is now."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator

import anyio

from devenv.config import load
from devenv.config.load import Selection
from devenv.engine import process
from devenv.engine.api import Engine
from devenv.errors import StateError
from devenv.lifecycle.ledger import Run, Wish
from devenv.lifecycle.snapshots import vault
from devenv.lifecycle.teardown import Teardown
from devenv.model.events import Emit, Notice, Stopped

PATIENCE = 60.0
DEAD_GRACE = 3.0  # seconds for the children of a run that died


async def down(selection: Selection, emit: Emit, wish: Wish = Wish.SAVE) -> int:
    """0 when nothing of the run is left, 1 where something survived. Nothing to end is fine too.

    A run that is still in the foreground somewhere is asked to end itself. Raises StateError (exit 3) where it
    does not within a minute.
    """
    name = selection.project_name or (await load.load(selection)).project.name
    async with Engine.connect() as engine:
        run = Run(engine.endpoint.host, name)
        async with _held(run, wish):
            if run.read() is None:
                emit(Notice(f"nothing of devenv's is up in {name}"))
                return 0
            return int(bool((await finish(engine, run, emit, wish, "down")).survivors))


async def finish(engine: Engine, run: Run, emit: Emit, wish: Wish, reason: str) -> Stopped:
    """The end of a run whose process is gone, by whoever holds its lock now."""
    ledger = run.read()
    if ledger is None:  # another one was faster
        return Stopped()
    if ledger.phase == "up":  # that run died: what its children still create would come after our look
        await process.end_recorded(run.children, DEAD_GRACE)
    keeper = vault(engine, emit, ledger.project, ledger.directory)
    return await Teardown(engine, run, ledger, emit, keeper, wish).run_down(reason)


@contextlib.asynccontextmanager
async def _held(run: Run, wish: Wish) -> AsyncIterator[None]:
    """The project's lock, if need be after the run that holds it was asked to end."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(run.lock(cleaning=True))
        except StateError:
            holder = run.holder()
            if holder is None:
                raise
            if not run.is_cleaned():
                run.ask(wish)
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(holder, signal.SIGINT)
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
