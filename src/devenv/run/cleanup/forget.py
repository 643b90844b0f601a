"""`devenv gc --forget ENGINE`: drop the records of runs on an engine that will never answer again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import anyio

from devenv import private_files
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError, RefusedError, StateError, UsageError
from devenv.events import Emit, Notice
from devenv.run import background
from devenv.run.cleanup.remains import recorded
from devenv.state import all_runs
from devenv.state.ledger import Ledger
from devenv.state.run_lock import LOOKED_AT

ANSWER = 5.0  # seconds in which an engine that exists answers

Ask = Callable[[str, str], object]


async def forget(engine: str, emit: Emit, ask: Ask | None) -> int:
    """Forget all runs on the engine: a context, a host or an address. Return 0.

    `ask` gets what would be lost and the name of the engine, and raises to prevent that. Raises UsageError if no run
    is on such an engine, RefusedError if it answers, StateError if a process holds a run. Snapshots are kept.
    """
    found = [(run, ledger) for run, ledger in all_runs.every_runs() if _is_on(ledger, engine)]
    if not found:
        raise UsageError(f"no run on {engine} found", hint="devenv ls")
    if held := next((pair for pair in found if pair[0].lock.is_held() and not pair[0].lock.is_kept()), None):
        message = f"the run of {held[1].project} on {engine} is held by pid {held[0].lock.holder()}"
        raise StateError(message, hint="Ctrl-C there")
    if await _answers(found[0][1]):
        raise RefusedError(
            f"{engine} answers: what is there can be removed", hint=f"devenv down {found[0][1].project}"
        )
    if ask is not None:
        ask("; ".join(recorded(run, ledger) for run, ledger in found), engine)
    for run, ledger in found:
        await background.end(run)
        what = recorded(run, ledger)
        with run.lock.hold(wait=LOOKED_AT, cleaning=True):
            private_files.remove_tree(run.path)
        emit(Notice(f"{ledger.project}: forgotten ({what}); snapshots are kept"))
    return 0


def _is_on(ledger: Ledger, engine: str) -> bool:
    return engine in (ledger.context, ledger.endpoint, ledger.endpoint.removeprefix("ssh://"), _machine(ledger))


def _machine(ledger: Ledger) -> str:
    return Endpoint(ledger.endpoint).machine


async def _answers(ledger: Ledger) -> bool:
    with anyio.move_on_after(ANSWER), contextlib.suppress(EngineError):
        async with Engine.connect(Endpoint(ledger.endpoint, ledger.context)):
            return True
    return False
