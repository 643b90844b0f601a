"""`devenv down`: ends what a run of devenv began in this project, wherever that run is now."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator

import anyio

from devenv.compose import files, resolve
from devenv.compose.resolve import Selection
from devenv.docker.client import Engine
from devenv.errors import ConfigError, DevenvError, RefusedError, StateError
from devenv.events import Emit, Notice
from devenv.model.project import Project
from devenv.run.cleanup import guardian_note
from devenv.run.cleanup.teardown import finish
from devenv.run.hooks import Hooks
from devenv.state import runs
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.state.run_lock import LOOKED_AT
from devenv.state.runs import key_of, open_run

PATIENCE = 60.0


async def down(selection: Selection, emit: Emit, wish: VolumePolicy = VolumePolicy.SAVE) -> int:
    """0 when nothing of the run is left, 1 where something survived. Nothing to end is fine too.

    A run that is still in the foreground somewhere is asked to end itself. Raises StateError (exit 3) where it
    does not within a minute.
    """
    loaded, trouble = None, None
    try:
        loaded = await resolve.load(selection)
    except (ConfigError, RefusedError) as error:
        trouble = error
    for _, line in guardian_note.at_work(selection.project_name or (loaded.project.name if loaded else "")):
        emit(Notice(line))
    async with Engine.connect() as engine:
        key = await key_of(engine)
        known = loaded.project.name if loaded else ""
        name = selection.project_name or await _named(selection, engine, key, known, trouble)
        run = await open_run(engine, name)
        async with _held(run, wish) as asked:
            ledger = run.read()
            if ledger is None:
                emit(Notice(f"the run of pid {asked} has ended" if asked else f"nothing of devenv's is up in {name}"))
                return 0
            if loaded and ledger.phase != "up":  # a dead run is removed as it is, here as by the guardian
                await _before_down(loaded.project, engine, ledger, emit)
            return int(bool((await finish(engine, run, emit, wish, "down")).survivors))


async def _named(selection: Selection, engine: Engine, key: str, name: str, trouble: DevenvError | None) -> str:
    """The name that the files give, or, where no run goes by that (any more), that of the run that began here.

    Raises StateError where several did, and the trouble with the files where none did.
    """
    if name and ((run := await open_run(engine, name)).read() is not None or run.lock.is_held()):
        return name
    begun = sorted(_begun(selection, key, engine.endpoint.host))
    if len(begun) > 1:
        raise StateError(f"several runs began here: {', '.join(begun)}", hint=f"devenv down -p {begun[0]}")
    if not begun and trouble is not None:
        raise trouble
    return begun[0] if begun else name


def _begun(selection: Selection, key: str, endpoint: str) -> list[str]:
    """The projects whose runs began where the files lie; where no file is left, in the nearest such folder."""
    ledgers = [r for _, r in runs.every() if (r.engine == key if r.engine else r.endpoint == endpoint)]
    try:
        folder = os.path.realpath(os.path.dirname(files.find(selection.directory, selection.files)[0]))
    except ConfigError:
        here = os.path.realpath(selection.directory)
        above = [r.directory for r in ledgers if os.path.commonpath((here, r.directory)) == r.directory]
        folder = max(above, key=len, default=here)
    return [r.project for r in ledgers if r.directory == folder]


async def _before_down(project: Project, engine: Engine, ledger: Ledger, emit: Emit) -> None:
    """The hooks of the project as it is written now, where something of the run still runs.

    A project that is elsewhere, or cannot be read any more, has none: that must not keep anybody from ending it.
    """
    running = {c.service for c in ledger.containers(await engine.project_state(ledger.project)) if c.running}
    if running and os.path.realpath(project.directory) == ledger.directory:
        await Hooks(engine, project, running, emit).before_down(anyio.Event())


@contextlib.asynccontextmanager
async def _held(run: Run, wish: VolumePolicy) -> AsyncIterator[int | None]:
    """The project's lock, if need be after the run that holds it, of this pid, was asked to end."""
    asked = None
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(run.lock.hold(wait=LOOKED_AT, cleaning=True))  # by then it is the holder's pid in it
        except StateError:
            holder = run.lock.holder()
            if holder is None:
                raise
            run.ask(wish)
            if not run.lock.is_cleaned():  # a run that is ending already would take a second signal for a hurry
                asked = holder
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(holder, signal.SIGINT)
            await _entered(stack, run)
        yield asked


async def _entered(stack: contextlib.ExitStack, run: Run) -> None:
    """The lock taken as soon as it is free. Not in a thread: Ctrl-C must end the wait."""
    deadline = anyio.current_time() + PATIENCE
    while True:
        try:
            stack.enter_context(run.lock.hold(cleaning=True))
        except StateError:
            if anyio.current_time() > deadline:
                raise
            await anyio.sleep(0.1)
        else:
            return
