"""What commands say about the keeper of a run."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.docker import process
from devenv.state import kept
from devenv.state.identity import Place
from devenv.state.kept import STARTING, SYNCING, KeeperNote, background, note_of
from devenv.state.ledger import Ledger
from devenv.state.run_dir import KEEPER, Run

AT = time.mktime((2026, 1, 31, 14, 2, 0, 0, 0, -1))
LEDGER = Ledger("shop", Place("/shop"), "engine", "unix:///e", None, began=5.0, pid=1, phase="detached")
DAY = "2026-01-31 "


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A detached run with the note of a keeper that lives."""
    run = Run(str(tmp_path))
    run.write(LEDGER)
    mine(run)
    return run


def mine(run: Run, **changes: object) -> None:
    """Write the note of a keeper, whose process is this one."""
    note = KeeperNote(os.getpid(), process.start_time(os.getpid()) or "", 5.0, AT, AT, AT, state=SYNCING)
    replace(note, **changes).write(run)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, f"running in the background, syncing saved files (since {DAY}14:02:00)"),
        ({"state": "starting"}, "running in the background, starting to sync saved files"),
        (
            {"problem": "compose.yml:3: no\n  what the build printed"},
            f"running in the background since {DAY}14:02:00: compose.yml:3: no",
        ),
    ],
)
def test_a_keeper_that_lives(run: Run, changes: dict[str, object], said: str) -> None:
    """Its problem comes first."""
    mine(run, **changes)
    assert background(run) == (said, False)


@pytest.mark.parametrize("state", [SYNCING, STARTING])
def test_a_keeper_that_has_died(run: Run, state: str) -> None:
    """Saved files are not synced since the time in its note, also if it had not begun."""
    mine(run, start="another", state=state)
    message = f"shop: saved files have not been synced since {DAY}14:02:00: the background process has ended"
    assert background(run) == (f"{message} (devenv up -d)", True)
    selection = {"files": ["a.yml"], "project_name": "shop-x", "isolated": True, "profiles": ["debug"]}
    mine(run, start="another", state=state, options={"selection": selection})
    assert background(run)[0].endswith(" (devenv up -d -f a.yml -p shop-x --isolated --profile debug)")


@pytest.mark.parametrize("ledger", [replace(LEDGER, phase="up"), replace(LEDGER, began=6.0), None])
def test_a_run_that_no_keeper_holds(run: Run, ledger: Ledger | None) -> None:
    """A run in the foreground, a later one, or none: the note of an earlier keeper says nothing about it."""
    run.clear() if ledger is None else run.write(ledger)
    assert background(run) == ("", False)


def test_a_keeper_that_died_lately_returns(run: Run) -> None:
    """Its guardian starts another: not beside a holder of the project, and not for a keeper that lives."""
    assert not kept.is_returning(run)
    mine(run, start="another")
    assert kept.is_returning(run)
    with run.lock.hold(cleaning=True):
        assert not kept.is_returning(run)
    run.write(replace(LEDGER, phase="up"))
    assert not kept.is_returning(run)


def test_a_keeper_that_died_long_ago_does_not_return(run: Run) -> None:
    """No guardian starts another, for example after a restart of the machine."""
    mine(run, start="another")
    path = Path(run.path, KEEPER)
    os.utime(path, (path.stat().st_mtime - kept.RETURNS,) * 2)
    assert not kept.is_returning(run)


def test_a_note_is_removed_with_its_run(run: Run) -> None:
    """A note that cannot be read is none."""
    Path(run.path, KEEPER).write_text('{"pid": 1}', encoding="utf-8")
    assert note_of(run) is None
    mine(run)
    assert note_of(run)
    run.clear()
    assert note_of(run) is None


def test_saves_since_the_time_in_the_note_may_be_missing(run: Run) -> None:
    """A later note, such as one with a problem, changes nothing; without a keeper, nothing is known."""
    mine(run, synced=5.0, problem="a file")
    assert kept.unsynced_since(run) == 5.0
    run.write(replace(LEDGER, began=6.0))
    assert kept.unsynced_since(run) is None
