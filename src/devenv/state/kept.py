"""The note of a keeper: the process that holds a run in the background, and what it does."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from devenv import private_files
from devenv.errors import StateError
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.phrases import clock
from devenv.state.run_dir import KEEPER, Run

with LazyImports():  # only a run in the background needs them
    import shlex

    from devenv.docker import process

RESUME = "devenv up -d"
RETURNS = 15.0  # seconds from the last note of a keeper that died until the next one has begun; notes are 5 s apart
MARGIN = 0.5  # seconds that a save, and a restart that it causes, may take at most if nothing waits
STARTING, SYNCING = "starting", "syncing"


@dataclass(frozen=True, slots=True)
class KeeperNote:
    """The keeper's process, what it does, and the options of the command line that started the run.

    `loaded` is the time at which the project's files were read that are in force. Times are seconds since 1970.
    """

    pid: int
    start: str  # when the process started: pids are reused
    began: float  # of the run, as in its ledger
    since: float  # when this keeper began
    loaded: float
    synced: float  # all saves before this time are synced, and have had their effects
    options: Mapping[str, Any] = field(default_factory=dict)
    state: str = STARTING
    problem: str = ""  # the last problem that is not solved

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return bool(self.start) and process.start_time(self.pid) == self.start

    def write(self, run: Run) -> None:
        """Write the note to the run's folder, if the disk allows."""
        with contextlib.suppress(OSError, StateError):
            private_files.replace(_path(run), json.dumps(asdict(self)), durable=False)


@dataclass(frozen=True, slots=True)
class Held:
    """The project as a new run has got it: the descriptor of its lock, and what a keeper left.

    `keeper` is the note of a keeper that was asked to end; nobody has synced since `unsynced` (Unix seconds) a run
    that was left running, with these `services` (none: all).
    """

    lock: int = -1
    keeper: KeeperNote | None = None
    unsynced: float | None = None
    services: tuple[str, ...] = ()


def note_of(run: Run) -> KeeperNote | None:
    """The last keeper's note; None if there is none."""
    try:
        return KeeperNote(**json.loads(private_files.read(_path(run)) or ""))
    except (OSError, ValueError, TypeError, StateError):
        return None


def unsynced_since(run: Run) -> float | None:
    """The time (Unix seconds) since which saves may not be synced; None if no keeper has the run, or had it last."""
    note, ledger = note_of(run), run.read()
    if note is None or ledger is None or ledger.phase != "detached" or note.began != ledger.began:
        return None
    return note.synced


def is_returning(run: Run) -> bool:
    """Whether the run's keeper has died so lately that its guardian may be starting the next one."""
    note = note_of(run)
    if run.lock.is_held() or note is None or note.is_alive or unsynced_since(run) is None:
        return False
    with contextlib.suppress(FileNotFoundError):
        return abs(time.time() - os.stat(_path(run)).st_mtime) < RETURNS
    return False


def forget(run: Run) -> None:
    """Remove the note."""
    with contextlib.suppress(OSError, StateError):
        private_files.remove(_path(run))


def background(run: Run) -> tuple[str, bool]:
    """One line about the run's keeper, and whether saved files are not synced; empty if the run has no keeper."""
    note, ledger = note_of(run), None
    with contextlib.suppress(StateError):
        ledger = run.read() if note is not None else None
    if note is None or ledger is None or ledger.phase != "detached" or note.began != ledger.began:
        return "", False
    if note.is_alive:
        return _alive(note), False
    since = f"saved files have not been synced since {clock(note.synced, time.time())}"
    return f"{ledger.project}: {since}: the background process has ended ({_resume(note)})", True


def _resume(note: KeeperNote) -> str:
    """The command that starts a keeper of this run again, from its folder."""
    selection = note.options.get("selection", {})
    words = [RESUME, *(f"-f {shlex.quote(path)}" for path in selection.get("files", ()))]
    if name := selection.get("project_name"):
        words += [f"-p {shlex.quote(name)}", *(["--isolated"] if selection.get("isolated") else [])]
    return " ".join([*words, *(f"--profile {shlex.quote(profile)}" for profile in selection.get("profiles", ()))])


def _alive(note: KeeperNote) -> str:
    if note.problem:
        return f"running in the background since {clock(note.since, time.time())}: {note.problem.splitlines()[0]}"
    if note.state == STARTING:
        return "running in the background, starting to sync saved files"
    return f"running in the background, syncing saved files (since {clock(note.since, time.time())})"


def _path(run: Run) -> str:
    return os.path.join(run.path, KEEPER)
