"""All runs of this user: those with a ledger, dead ones, and those of removed folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from devenv import private_files
from devenv.state import all_runs, run_dir
from devenv.state.identity import Place
from devenv.state.run_dir import Run
from support.runs import begun, opened


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "devenv-compose"


def test_every_run_with_a_ledger_is_found() -> None:
    """Runs of every engine are listed; an unreadable ledger hides no other, and a run whose lock is held is alive."""
    for run, ledger in ((opened("a"), begun("a")), (opened("b", "other"), begun("b", phase="left"))):
        run.write(ledger)
    opened("c")
    Path(opened("d").path, "ledger.json").write_text("{")
    assert sorted(ledger.project for _, ledger in all_runs.every_runs()) == ["a", "b"]
    assert [ledger.project for _, ledger in all_runs.dead_runs(("up",))] == ["a"]
    with opened("a").lock.hold():
        assert list(all_runs.dead_runs(("up",))) == []
    assert [Path(run.path).name.rpartition("-")[0] for run in Run.folders("c")] == ["c"]


def test_runs_that_have_ended_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of all runs opens no file of a run without a ledger: after some months, most runs are such."""
    opened("a").write(begun("a"))
    for number in range(20):
        opened(f"old{number}").remember({"began": 1.0})
    opened_files = Mock(side_effect=private_files.open_read)
    monkeypatch.setattr(private_files, "open_read", opened_files)
    assert [ledger.project for _, ledger in all_runs.every_runs()] == ["a"]
    opened_files.assert_called_once()


def test_a_run_that_has_ended_is_known_by_its_last_ledger(tmp_path: Path) -> None:
    """As long as no other run of the project has begun; it is listed if its folder was removed."""
    (folder := tmp_path / "tree").mkdir()
    run = opened()
    run.write(ledger := begun(place=run_dir.place_of(str(folder))))
    run.clear()
    assert (run.read(), run_dir.ended(run)) == (None, ledger)
    assert list(all_runs.removed_folders()) == []
    folder.rmdir()
    assert [found for _, found in all_runs.removed_folders()] == [ledger]
    run.write(ledger)
    assert list(all_runs.removed_folders()) == []


def test_which_folders_were_removed(tmp_path: Path) -> None:
    """Not those that exist, were renamed, or are on a file system that is not mounted."""
    (folder := tmp_path / "above/tree").mkdir(parents=True)
    place = run_dir.place_of(str(folder))
    assert not all_runs.is_removed(place)
    renamed = folder.rename(tmp_path / "above/renamed")
    assert not all_runs.is_removed(place)
    opened().write(begun(place=replace(place, path=str(renamed))))  # a new folder with the number of the removed one
    assert all_runs.is_removed(place)
    renamed.rmdir()
    (tmp_path / "above").rmdir()
    assert all_runs.is_removed(place)
    assert all_runs.is_removed(Place(place.path))
    assert not all_runs.is_removed(replace(place, device=place.device + 1))
