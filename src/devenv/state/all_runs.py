"""The runs of this user on every engine: those with a ledger, dead ones, and those whose folder was removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

from devenv.errors import StateError
from devenv.state.elsewhere import with_ledger
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, ended, runs_folder


def removed_folders() -> Iterator[tuple[Run, Ledger]]:
    """Runs of which nothing is left but records, and whose folder was removed; each with its last ledger."""
    for run in Run.folders():
        if not os.path.exists(run.ledger) and (ledger := ended(run)) is not None and is_removed(ledger.place):
            yield run, ledger


def is_removed(place: Place) -> bool:
    """Whether the folder was removed; not if its file system is not mounted, or if it was renamed in its parent."""
    if os.path.lexists(place.path):
        return False
    parent = above = os.path.dirname(place.path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if place.device not in (0, os.lstat(above).st_dev):
        return False
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        # a new folder may have got the number of the removed folder: then it is no renamed folder once it has runs
        renamed = [entry.path for entry in entries if place.inode and entry.inode() == place.inode]
        return set(renamed) <= {ledger.directory for ledger in _all_ledgers()}
    return True


def _all_ledgers() -> Iterator[Ledger]:
    for run in Run.folders():
        with contextlib.suppress(StateError):
            yield from filter(None, (run.read(), ended(run)))


def every_runs() -> Iterator[tuple[Run, Ledger]]:
    """Runs of this user that have a ledger, on every engine; unreadable ledgers are left out."""
    runs = runs_folder()
    for name in sorted(with_ledger(runs)):
        with contextlib.suppress(StateError):
            run = Run(os.path.join(runs, name))
            if (ledger := run.read()) is not None:
                yield run, ledger


def dead_runs(phases: Collection[str]) -> Iterator[tuple[Run, Ledger]]:
    """Runs in these phases whose lock no process holds."""
    return ((run, ledger) for run, ledger in every_runs() if ledger.phase in phases and not run.lock.is_held())
