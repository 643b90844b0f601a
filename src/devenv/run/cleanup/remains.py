"""What a dead run, or a run that could not remove everything, left behind, and which guardian cleans up.

A guardian that cleans up writes a note to the run's folder, which other commands read.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from devenv import phrases, private_files
from devenv.docker.endpoint import Endpoint, resolve
from devenv.errors import EngineError, StateError
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.containers import ProjectState
from devenv.state import all_runs, run_dir
from devenv.state.identity import Place, VolumeVerdict
from devenv.state.ledger import Judged, Ledger
from devenv.state.run_dir import Run

if TYPE_CHECKING:
    from devenv.docker.client import Engine

with LazyImports():  # every command looks for remains, and mostly there are none
    import anyio

    from devenv import tasks
    from devenv.docker import client, process

PHASES = ("up", "left")  # of the ledgers of dead runs, if no process holds the lock
COMMAND, FORGET = "devenv down", "devenv gc --forget"
PATIENCE = 3.0  # seconds that other commands wait for an engine
RECENT = 7 * 24 * 3600.0  # seconds for which commands report what was left on an engine that does not answer
NOTE = "guardian.json"


async def judged_volumes(
    engine: Engine, ledger: Ledger, project_state: ProjectState, held: Collection[str] = ()
) -> list[Judged]:
    """The volumes with recorded names. If one is another volume, all volumes of the engine are compared."""
    judged = ledger.judged(project_state, held)
    if any(volume.verdict is VolumeVerdict.OTHER for volume in judged):
        return ledger.judged(project_state, held, await engine.volumes.times())
    return judged


def counted(ledger: Ledger, project_state: ProjectState, judged: Iterable[Judged]) -> str:
    """The numbers of containers, networks and volumes that exist of a run; empty if there are none."""
    counts = {
        "container": len(ledger.containers(project_state)),
        "network": len(ledger.networks(project_state)),
        "volume": sum(volume.verdict is not VolumeVerdict.OTHER for volume in judged),
    }
    return ", ".join(phrases.counted(n, kind) for kind, n in counts.items() if n)


async def remains(engine: Engine, ledger: Ledger, project_state: ProjectState) -> str:
    """What exists of a run, as `counted`. `engine.is_ours` must be set."""
    return counted(ledger, project_state, await judged_volumes(engine, ledger, project_state))


def left_behind(ledger: Ledger, counts: str) -> str:
    """The sentence about a run whose ledger no process holds; empty if nothing of it exists."""
    if not counts or ledger.phase not in PHASES:
        return ""
    if ledger.phase == "left":
        return f"an earlier run of {ledger.project} left {counts} behind"
    since = phrases.clock(ledger.began, time.time())
    return f"the run of {ledger.project} that began at {since} has died and left {counts} behind"


async def everywhere() -> list[str]:
    """Lines that say what all dead runs left, from the notes of their guardians, or else from the engines.

    For an engine that does not answer, the records of the run say what it has.
    """
    guarded = {run.path: line for run, line in at_work()}
    dead = [(run, ledger) for run, ledger in all_runs.dead_runs(PHASES) if run.path not in guarded]
    counts = dict(zip((run.path for run, _ in dead), await tasks.each(_counts, dead), strict=True))
    left = [(ledger, found) for run, ledger in dead if (found := counts[run.path])]
    away = [_away(run, ledger) for run, ledger in dead if counts[run.path] is None and _is_recent(run)]
    what = "; ".join(f"{found} of {ledger.project}{_where(ledger)}" for ledger, found in left)
    line = [f"left by an earlier run: {what}; {await _command(left)}"] if left else []
    return [*guarded.values(), *line, *away]


async def _counts(dead: tuple[Run, Ledger]) -> str | None:
    """What exists of a dead run, as `counted`; None if its engine does not answer."""
    run, ledger = dead
    with anyio.move_on_after(PATIENCE), contextlib.suppress(EngineError):
        async with client.Engine.connect(Endpoint(ledger.endpoint, ledger.context)) as engine:
            engine.is_ours = run.made.holds
            return await remains(engine, ledger, await engine.project_state(ledger.project))
    return None


async def _command(left: Sequence[tuple[Ledger, str]]) -> str:
    """The command that removes what was left."""
    ledger = left[0][0]
    is_reached = len(left) == 1 and ledger.endpoint == (await resolve()).host
    return f"{COMMAND} -p {ledger.project}" if is_reached else "devenv gc"


def unanswered(host: str) -> list[str]:
    """Lines that say what dead runs left on the engine at that address, which does not answer, by their records."""
    guarded = {run.path for run, _ in at_work()}
    dead = ((run, ledger) for run, ledger in all_runs.dead_runs(PHASES) if run.path not in guarded)
    return [_away(run, ledger) for run, ledger in dead if run_dir.is_at(run, host) and _is_recent(run)]


def _away(run: Run, ledger: Ledger) -> str:
    machine = Endpoint(ledger.endpoint).machine
    never = f"; if it never will: {FORGET} {machine}" if machine else ""
    says = f"{machine or 'the engine'} does not answer"
    return f"{recorded(run, ledger)}; {says}; once it does: {command_for(ledger)}{never}"


def command_for(ledger: Ledger) -> str:
    """The command that removes what the run left, whatever the current engine is."""
    return f"{COMMAND} {'' if Endpoint(ledger.endpoint).machine else '-p '}{ledger.project}"


def died_elsewhere(place: Place) -> Iterator[tuple[Run, Ledger]]:
    """The dead runs of the folder on engines of other machines."""
    for run, ledger in all_runs.dead_runs(PHASES):
        if Endpoint(ledger.endpoint).machine and run_dir.began_in(ledger, place):
            yield run, ledger


def _is_recent(run: Run) -> bool:
    """Whether the ledger was written lately: a machine that does not answer for long may not exist any more."""
    with contextlib.suppress(OSError):
        return time.time() - os.stat(run.ledger).st_mtime < RECENT
    return False


def recorded(run: Run, ledger: Ledger) -> str:
    """What may be left of a dead run, and where, by its records: its engine is not asked."""
    last = run.last()
    number = last.get("containers") if last.get("began") == ledger.began else None
    what = phrases.counted(number, "container") if number else "what was created"
    return f"left{_where(ledger)}: {what} of {ledger.project}"


def _where(ledger: Ledger) -> str:
    """The words that name the machine of the engine, if it is another one."""
    machine = Endpoint(ledger.endpoint).machine
    return f" on {machine}" if machine else ""


@dataclass(frozen=True, slots=True)
class GuardianNote:
    """The guardian's process, and what it waits for; times are seconds since 1970."""

    pid: int
    start: str  # when the process started: pids are reused
    began: float  # of the dead run
    since: float  # when the run was found dead
    reason: str = ""  # empty while the guardian cleans up
    next_try: float = 0.0

    def shown(self, run: Run, ledger: Ledger) -> str:
        """One line for people: what is left, and when the guardian removes it."""
        machine = Endpoint(ledger.endpoint).machine or "the engine"
        left = f"{recorded(run, ledger)}; removed as soon as {machine} answers"
        line = f"{left}: the guardian (pid {self.pid}) has tried since {phrases.clock(self.since, time.time())}"
        if self.reason:
            line += f", next try at {phrases.clock(self.next_try, time.time())} ({self.reason})"
        return f"{line}; {command_for(ledger)}"


def write_note(run: Run, note: GuardianNote) -> None:
    """Write the note to the run's folder, if the disk allows."""
    with contextlib.suppress(OSError, StateError):
        private_files.replace(_path(run), json.dumps(asdict(note)), durable=False)


def remove_note(run: Run, pid: int) -> None:
    """Remove the note if that guardian wrote it."""
    note = _read(run)
    if note is not None and note.pid == pid:
        with contextlib.suppress(OSError):
            os.unlink(_path(run))


def live_note(run: Run, ledger: Ledger | None) -> GuardianNote | None:
    """The note of a guardian that is alive and works on that ledger; None if there is none."""
    if ledger is None or (note := _read(run)) is None or note.began != ledger.began:
        return None
    return note if note.start and process.start_time(note.pid) == note.start else None


def at_work(project: str = "") -> Iterator[tuple[Run, str]]:
    """The runs of this user, or of one project, that a guardian works on, each with a line that says so."""
    for run, ledger in all_runs.every_runs():
        is_wanted = not project or ledger.project == project
        if is_wanted and (note := live_note(run, ledger)) is not None:
            yield run, note.shown(run, ledger)


def _path(run: Run) -> str:
    return os.path.join(run.path, NOTE)


def _read(run: Run) -> GuardianNote | None:
    try:
        return GuardianNote(**json.loads(private_files.read(_path(run)) or ""))
    except (OSError, ValueError, TypeError, StateError):
        return None
