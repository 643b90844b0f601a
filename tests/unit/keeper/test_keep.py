"""A keeper that has nothing to keep ends at once and changes nothing; the rest is in tests/e2e/test_background.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from devenv.compose.outline import Selection
from devenv.docker import process
from devenv.errors import StateError
from devenv.keeper import keep
from devenv.keeper.ending import KeeperEnd
from devenv.keeper.keep import Keeper
from devenv.model.containers import ProjectState
from devenv.run.active.feed import Feed
from devenv.run.active.reload import Reload
from devenv.run.preload import UpOptions
from devenv.signals import ShutdownSignals
from devenv.state.identity import Place
from devenv.state.kept import KeeperNote, note_of
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run

LEDGER = Ledger("shop", Place("/shop"), "engine", "unix:///e", None, began=5.0, pid=1, phase="detached")
NOTE = KeeperNote(1, "a start", 5.0, 6.0, 7.0, 8.0)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A detached run with the note of a keeper that has died."""
    run = Run(str(tmp_path))
    run.write(LEDGER)
    NOTE.write(run)
    return run


@pytest.mark.parametrize("ledger", [replace(LEDGER, phase="up"), replace(LEDGER, began=6.0), None])
def test_a_run_that_was_ended_or_taken_over_is_left_alone(run: Run, ledger: Ledger | None) -> None:
    """Between the death of a keeper and the start of the next, another command may have come."""
    run.clear() if ledger is None else run.write(ledger)
    before = run.read(), note_of(run)
    assert anyio.run(Keeper(run, 0).run) == 0
    assert (run.read(), note_of(run)) == before
    assert not run.lock.is_held()


def test_a_project_that_another_command_holds_is_left_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a `down` that has killed the keeper."""
    monkeypatch.setattr(keep, "LOCK_WAIT", 0.0)
    with run.lock.hold():
        assert anyio.run(Keeper(run, 0).run) == 0
    assert (run.read(), note_of(run)) == (LEDGER, NOTE)


def without_containers(synced_until: Callable[[], float]) -> Any:
    """A project all of whose containers have been removed."""
    return SimpleNamespace(
        sync_session=SimpleNamespace(synced_until=synced_until),
        observer=SimpleNamespace(project_state=ProjectState()),
        compose=SimpleNamespace(turn=anyio.Lock()),
    )


def test_a_run_whose_containers_are_being_replaced_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore of a large volume takes long; meanwhile there may be no container at all, and nothing is synced."""
    monkeypatch.setattr(keep, "ALIVE_EVERY", 0.0)
    keeper = Keeper(run, 0)
    keeper._note = NOTE
    project = without_containers(lambda: 20.0)

    async def work() -> None:
        await project.compose.turn.acquire()
        async with anyio.create_task_group() as tasks:
            ended = anyio.Event()

            async def wait() -> None:
                await keeper._until_gone(project, cast("Reload", SimpleNamespace(loaded=None)))
                ended.set()

            tasks.start_soon(wait)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            assert (ended.is_set(), note_of(run)) == (False, NOTE)
            project.compose.turn.release()
        assert note_of(run) == replace(NOTE, synced=20.0)

    anyio.run(work)


def test_the_note_says_what_is_in_effect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit counts as in force once it has been applied, not before the first comparison has ended."""
    monkeypatch.setattr(keep, "ALIVE_EVERY", 0.0)
    keeper = Keeper(run, 0)
    keeper._note = NOTE
    reload: Any = SimpleNamespace(loaded=SimpleNamespace(at=90.0))
    notes = list[KeeperNote | None]()

    def synced_until() -> float:
        notes.append(note_of(run))
        if len(notes) == 1:
            reload.loaded = SimpleNamespace(at=91.0)
        return 10.0 * len(notes)

    project = without_containers(synced_until)
    anyio.run(keeper._until_gone, project, reload)
    notes.append(note_of(run))
    assert [note and (note.synced, note.loaded) for note in notes] == [(8.0, 7.0), (10.0, 7.0), (20.0, 91.0)]


def test_a_keeper_that_cannot_end_the_run_leaves_that_to_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that asked for the end is waiting; any other error is no reason to give up."""
    tries = list[int]()

    async def fail(keeper: Keeper, _: object) -> None:
        tries.append(1)
        if len(tries) == 2:
            keeper._end.policy = VolumePolicy.SAVE
        raise StateError("disk full")

    async def no_pause(*_: object) -> None:
        pass

    async def work() -> None:
        keeper = Keeper(run, 0)
        keeper._feed = Feed(lambda _: None)
        keeper._end = KeeperEnd(keeper._feed, ShutdownSignals())
        with anyio.fail_after(5):
            await keeper._go_on(UpOptions(Selection("/shop")))

    monkeypatch.setattr(Keeper, "_keep", fail)
    monkeypatch.setattr(Keeper, "_until_edited", no_pause)
    anyio.run(work)
    assert len(tries) == 2


def test_a_keeper_that_got_the_lock_names_itself_in_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that passed it on may have died before it could."""
    monkeypatch.setattr(process, "record_children", lambda _: sys.exit())
    with run.lock.hold() as descriptor:
        with pytest.raises(SystemExit):
            anyio.run(Keeper(run, 0, os.dup(descriptor)).run)
        assert (run.lock.is_kept(), run.lock.holder()) == (True, os.getpid())


def test_what_a_dead_keeper_left_is_ended_once_the_project_is_held(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, that could be the Compose of an `up` which has taken the run over."""
    held = list[bool]()

    async def end(path: str) -> None:
        assert path == run.children
        held.append(run.lock.is_kept())

    monkeypatch.setattr(process, "end_recorded", end)
    monkeypatch.setattr(process, "record_children", lambda _: sys.exit())
    with pytest.raises(SystemExit):
        anyio.run(Keeper(run, 0).run)
    assert held == [True]
    with run.lock.hold() as descriptor, pytest.raises(SystemExit):
        anyio.run(Keeper(run, 0, os.dup(descriptor)).run)
    assert held == [True]


def test_an_inherited_lock_is_released_before_the_process_ends(run: Run) -> None:
    """A command that waits for the project does not wait until the interpreter is taken down."""
    with run.lock.hold() as descriptor:
        inherited = os.dup(descriptor)
    assert run.lock.is_held()
    run.write(replace(LEDGER, phase="up"))
    assert anyio.run(Keeper(run, 0, inherited).run) == 0
    assert not run.lock.is_held()


def test_the_last_change_of_the_files_is_seen(tmp_path: Path) -> None:
    """A file that is replaced by one with an older time counts as changed."""
    file = tmp_path / "compose.yml"
    file.write_text("services: {}\n", encoding="utf-8")
    assert keep._changed(str(tmp_path), ()) == file.stat().st_ctime
    os.utime(file, (0, 0))
    assert keep._changed(str(tmp_path), ()) == file.stat().st_ctime > 1
