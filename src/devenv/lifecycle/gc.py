"""`devenv gc`: what dead runs left, of every project and engine, ended as they would have ended it themselves."""

from __future__ import annotations

from devenv.engine.api import Engine
from devenv.engine.endpoint import Endpoint
from devenv.errors import DevenvError
from devenv.lifecycle import keptlogs
from devenv.lifecycle.ledger import Ledger, Wish
from devenv.lifecycle.remains import PHASES, remains
from devenv.lifecycle.rundir import Run
from devenv.lifecycle.store import Store
from devenv.lifecycle.teardown import finish
from devenv.model.events import Emit, Notice, Problem


async def gc(emit: Emit, *, dry_run: bool) -> int:
    """0 when nothing of any dead run is left, 1 where something could not be ended. Live runs are not touched."""
    left, found = False, False
    for run, ledger in Run.dead(PHASES):
        found = True
        try:
            left |= not await _finished(run, ledger, emit, dry_run=dry_run)
        except DevenvError as error:
            emit(Problem(f"{ledger.project}: {error.message}", error.hint))
            left = True
    if not dry_run:
        Store.at_home().tidy()
        keptlogs.forget_old()
    if not found:
        emit(Notice("no dead run left anything"))
    return int(left)


async def _finished(run: Run, ledger: Ledger, emit: Emit, *, dry_run: bool) -> bool:
    async with Engine.connect(Endpoint(ledger.endpoint, ledger.context)) as engine:
        if dry_run:
            engine.is_ours = run.made.holds
            what = await remains(engine, ledger, await engine.scene(ledger.project))
            emit(Notice(f"{ledger.project}: {what or 'nothing'} of a dead run"))
            return True
        emit(Notice(f"ending what a dead run left of {ledger.project}"))
        with run.lock(cleaning=True):
            return not (await finish(engine, run, emit, Wish.SAVE, "gc")).survivors
