"""A note in the run's folder, in which a guardian that cleans up after a dead run tells other commands so."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from devenv import private_files
from devenv.docker import process
from devenv.errors import StateError
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run

NAME = "guardian.json"


@dataclass(frozen=True, slots=True)
class Note:
    """The guardian's process and what it waits for; times are seconds since 1970.

    `start` is the start time of the process, since pids are used again; `began` that of the dead run, as its ledger
    has it; `since`: when that was found dead. `reason` is empty while the guardian cleans up.
    """

    pid: int
    start: str
    began: float
    since: float
    reason: str = ""
    next_try: float = 0.0

    def shown(self, project: str) -> str:
        """One line for people."""
        since = _clock(self.since)
        if not self.reason:
            return f"{project}: the guardian (pid {self.pid}) cleans up after a dead run since {since}"
        waits = f"{project}: the guardian (pid {self.pid}) waits since {since} to clean up after a dead run"
        return f"{waits}: {self.reason}; next try at {_clock(self.next_try)}"


def begin(pid: int, began: float, since: float) -> Note:
    """The note of a guardian that begins to clean up after the run that began then."""
    return Note(pid, process.start_time(pid) or "", began, since)


def write(run: Run, note: Note) -> None:
    """Replace the note in the run's folder, as far as the disk takes it."""
    with contextlib.suppress(OSError, StateError):
        private_files.replace(_path(run), json.dumps(asdict(note)), durable=False)


def remove(run: Run, pid: int) -> None:
    """Remove the note, if it is of that guardian."""
    note = _read(run)
    if note is not None and note.pid == pid:
        with contextlib.suppress(OSError):
            os.unlink(_path(run))


def live(run: Run, ledger: Ledger | None) -> Note | None:
    """The note of a guardian that lives and works on that ledger; None if there is none."""
    if ledger is None or (note := _read(run)) is None or note.began != ledger.began:
        return None
    return note if note.start and process.start_time(note.pid) == note.start else None


def at_work(project: str = "") -> Iterator[tuple[Run, str]]:
    """The runs of this user, or of one project, that a guardian works on, and the line that says so."""
    for run in Run.folders(project):
        if not os.path.exists(_path(run)):
            continue
        with contextlib.suppress(StateError):
            ledger = run.read()
            if ledger is not None and (note := live(run, ledger)) is not None:
                yield run, note.shown(ledger.project)


def _path(run: Run) -> str:
    return os.path.join(run.path, NAME)


def _read(run: Run) -> Note | None:
    try:
        return Note(**json.loads(private_files.read(_path(run)) or ""))
    except (OSError, ValueError, TypeError, StateError):
        return None


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
