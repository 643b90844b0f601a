"""What a dead run, or a run that could not remove everything, left behind, in a sentence for later commands."""

from __future__ import annotations

import contextlib
import time

import anyio

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint, resolve
from devenv.errors import EngineError
from devenv.events import Emit, Notice
from devenv.model.containers import ProjectState
from devenv.run.cleanup import guardian_note
from devenv.state import run_dir
from devenv.state.identity import VolumeVerdict
from devenv.state.ledger import Ledger

PHASES = ("up", "left")  # of a ledger whose run no process holds
COMMAND = "devenv down"
PATIENCE = 3.0  # seconds for an engine that another command asks in passing


async def remains(engine: Engine, ledger: Ledger, project_state: ProjectState) -> str:
    """Return the numbers of containers, networks and volumes that exist of a run, or an empty text.

    The engine knows by then what is ours.
    """
    judged = ledger.judged(project_state)
    if any(volume.verdict is VolumeVerdict.OTHER for volume in judged):
        judged = ledger.judged(project_state, everything=await engine.volumes.times())
    counts = {
        "container": len(ledger.containers(project_state)),
        "network": len(ledger.networks(project_state)),
        "volume": sum(volume.verdict is not VolumeVerdict.OTHER for volume in judged),
    }
    return ", ".join(f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items() if n)


def left_behind(ledger: Ledger, what: str) -> str:
    """Return the sentence about the run of a ledger that no process holds; empty if nothing of it exists."""
    if not what or ledger.phase not in PHASES:
        return ""
    if ledger.phase == "left":
        return f"an earlier run of {ledger.project} left {what} behind"
    since = time.strftime("%H:%M:%S", time.localtime(ledger.began))
    return f"the run of {ledger.project} that began at {since} has died and left {what} behind"


async def tell(engine: Engine, ledger: Ledger, project_state: ProjectState, emit: Emit) -> None:
    """Emit a notice about what the earlier run of a project left behind, which the next run takes over."""
    if sentence := left_behind(ledger, await remains(engine, ledger, project_state)):
        emit(Notice(f"{sentence}; this run takes it over", COMMAND))


async def everywhere() -> list[str]:
    """Return lines that say what all such runs left, from the notes of their guardians, or else from the engines."""
    guarded = {run.path: line for run, line in guardian_note.at_work()}
    left, command = [], ""
    for run, ledger in run_dir.dead_runs(PHASES):
        if run.path in guarded:
            continue
        with anyio.move_on_after(PATIENCE), contextlib.suppress(EngineError):
            async with Engine.connect(Endpoint(ledger.endpoint, ledger.context)) as engine:
                engine.is_ours = run.made.holds
                if what := await remains(engine, ledger, await engine.project_state(ledger.project)):
                    left.append(f"{what} of {ledger.project}")
                    is_reached = len(left) == 1 and ledger.endpoint == (await resolve()).host
                    command = f"{COMMAND} -p {ledger.project}" if is_reached else "devenv gc"
    return [*guarded.values(), *([f"left by an earlier run: {'; '.join(left)}; {command}"] if left else [])]
