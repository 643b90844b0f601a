"""`devenv gc`: end what dead runs left, of every project and engine, as the runs would have ended it themselves."""

from __future__ import annotations

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError
from devenv.events import Emit, Notice, Problem
from devenv.run.cleanup import guardian_note, kept_logs
from devenv.run.cleanup.remains import PHASES, remains
from devenv.run.cleanup.teardown import finish
from devenv.state import run_dir
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.volumes.store import Store


async def gc(emit: Emit, *, dry_run: bool) -> int:
    """Return 0 if nothing of any dead run is left, 1 if something could not be removed. Live runs are not touched."""
    left, is_any = False, False
    for _, line in guardian_note.at_work():
        is_any = True
        emit(Notice(line))
    for run, ledger in run_dir.dead_runs(PHASES):
        is_any = True
        try:
            left |= not await _finished(run, ledger, emit, dry_run=dry_run)
        except DevenvError as error:
            emit(Problem(f"{ledger.project}: {error.message}", error.hint))
            left = True
    if not dry_run:
        Store.at_home().tidy()
        kept_logs.forget_old()
    if not is_any:
        emit(Notice("no dead run left anything"))
    return int(left)


async def _finished(run: Run, ledger: Ledger, emit: Emit, *, dry_run: bool) -> bool:
    async with Engine.connect(Endpoint(ledger.endpoint, ledger.context)) as engine:
        if dry_run:
            engine.is_ours = run.made.holds
            counts = await remains(engine, ledger, await engine.project_state(ledger.project))
            emit(Notice(f"{ledger.project}: {counts or 'nothing'} of a dead run"))
            return True
        emit(Notice(f"ending what a dead run left of {ledger.project}"))
        with run.lock.hold(cleaning=True):
            return not (await finish(engine, run, emit, VolumePolicy.SAVE, "gc")).survivors
