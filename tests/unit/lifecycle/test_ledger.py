"""What a run creates is on disk before it is there, and nothing else is ever called ours."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.errors import StateError
from devenv.lifecycle import ledger as ledgers
from devenv.lifecycle.ledger import Ledger, Run
from devenv.model.observed import Container, Network, Scene, Volume

ENDPOINT = "unix:///run/some.sock"


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "devenv-compose"


def container(name: str, *, ours: bool = True) -> Container:
    """A running container."""
    return Container(id=name, name=name, service=name, state="running", ours=ours)


BEFORE = Scene(
    (container("old-theirs", ours=False), container("old-ours")),
    (Network("n-old", "n-old", ours=True),),
    (Volume("v-old", "p"),),
)
AFTER = Scene(
    (*BEFORE.containers, container("new"), container("new-theirs", ours=False)),
    (*BEFORE.networks, Network("n-new", "n-new", ours=True), Network("n-theirs", "n-theirs", ours=False)),
    (*BEFORE.volumes, Volume("v-new", "p"), Volume("v-other", "q"), Volume("v-unnamed", "p")),
)


def begun() -> Ledger:
    """A ledger that began with BEFORE."""
    return ledgers.begin(BEFORE, (), project="p", directory="/p", endpoint=ENDPOINT, context=None)


def owned(ledger: Ledger, scene: Scene) -> str:
    """What the ledger calls its own, as text."""
    names = [c.name for c in ledger.containers(scene)] + [n.name for n in ledger.networks(scene)]
    return " ".join([*names, *(v.name for v in ledger.volumes(scene))])


def test_only_what_came_later_and_is_ours_is_owned() -> None:
    """What was there before, has no label of ours, or belongs to another project is never named."""
    ledger = replace(begun(), creates=("v-new", "v-old", "v-other", "v-gone"))
    assert owned(ledger, AFTER) == "new n-new v-new"
    assert owned(ledger, BEFORE) == ""


def test_only_new_volumes_without_a_name_are_noted() -> None:
    """Those that were on the engine before are somebody else's, whoever mounts them now."""
    old, new = "0" * 64, "f" * 64
    ledger = ledgers.begin(BEFORE, (old, "named"), project="p", directory="/p", endpoint=ENDPOINT, context=None)
    user = replace(container("new"), volumes=(old, new, "v-new", "f" * 63))
    assert ledger.noting([user, user]).anonymous == (new,)
    assert ledger.noting([user]).noting([container("new")]).anonymous == (new,)


def test_take_over_keeps_what_the_earlier_run_created() -> None:
    """A later process owns the same things, but nothing that somebody else made meanwhile."""
    earlier = replace(begun(), creates=("v-new",), pid=1, phase="detached")
    taken = ledgers.take_over(earlier, AFTER)
    assert (taken.pid, taken.phase) == (os.getpid(), "up")
    assert owned(taken, AFTER) == "new n-new v-new"
    later = Scene((*AFTER.containers, container("newer")), AFTER.networks, AFTER.volumes)
    assert owned(taken, later) == "new newer n-new v-new"


def test_take_over_leaves_volumes_that_were_handed_over() -> None:
    """A kept run names no volumes any more: they were there before, whatever the next run would create."""
    kept = replace(begun(), phase="kept", creates=())
    taken = ledgers.take_over(kept, AFTER)
    again = replace(taken, creates=("v-new", "v-newer"))
    scene = Scene(AFTER.containers, AFTER.networks, (*AFTER.volumes, Volume("v-newer", "p")))
    assert [v.name for v in again.volumes(scene)] == ["v-newer"]


def test_written_and_read_are_the_same(state_home: Path) -> None:
    """A ledger survives the disk, in files that only the user may read."""
    run = Run(ENDPOINT, "p")
    assert run.read() is None
    ledger = replace(begun(), creates=("v-new",))
    run.write(ledger)
    assert Run(ENDPOINT, "p").read() == ledger
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path(run.path).iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(state_home.stat().st_mode) == 0o700
    run.clear()
    run.clear()
    assert run.read() is None


def test_engines_and_projects_have_runs_of_their_own() -> None:
    """Neither the same project on another engine nor another project shares a ledger."""
    Run(ENDPOINT, "p").write(begun())
    assert Run("tcp://elsewhere:2376", "p").read() is None
    assert Run(ENDPOINT, "q").read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"v": 2}', '{"v": 1, "nonsense": 1}', "\x00"])
def test_an_unreadable_ledger_is_an_error_that_helps(content: str) -> None:
    """A torn or foreign ledger ends with exit code 3 and a hint, never with a guess."""
    run = Run(ENDPOINT, "p")
    Path(run.path, "ledger.json").write_text(content, encoding="utf-8")
    with pytest.raises(StateError, match="cannot be read") as caught:
        run.read()
    assert caught.value.hint


def test_a_write_that_fails_leaves_the_old_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torn in the middle of a write, the ledger is still the one before."""
    run = Run(ENDPOINT, "p")
    run.write(begun())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(StateError, match="No space left on device"):
        run.write(replace(begun(), phase="kept"))
    assert (found := run.read()) is not None
    assert found.phase == "up"


HOLDER = """
import sys, time
from devenv.lifecycle.ledger import Run
with Run(sys.argv[1], "p").lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_is_let_go_by_the_kernel() -> None:
    """Another process that holds the project is named by its pid; killed, it holds nothing."""
    run = Run(ENDPOINT, "p")
    with subprocess.Popen([sys.executable, "-c", HOLDER, ENDPOINT], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateError, match=f"pid {holder.pid} since") as caught, run.lock():
            pass
        assert "devenv down" in (caught.value.hint or "")
        assert run.holder() == holder.pid
        holder.kill()
        with run.lock(wait=5):
            assert run.holder() == os.getpid()
    with run.lock():
        pass


def test_a_relative_state_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guardian runs in another folder: a relative path would be another place there."""
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ledgers.state_folder() == str(tmp_path / ".local/state/devenv-compose")


def test_a_state_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder, the reason and the variable to set."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    with pytest.raises(StateError, match=r"cannot use .*Not a directory") as caught:
        ledgers.state_folder()
    assert "XDG_STATE_HOME" in (caught.value.hint or "")


def test_the_last_run_is_remembered() -> None:
    """Whatever becomes of the ledger; a newer one takes its place, and what cannot be read is nothing."""
    run = Run(ENDPOINT, "p")
    assert run.last() == {}
    run.remember({"seconds": 1})
    run.remember({"seconds": 2})
    run.clear()
    assert Run(ENDPOINT, "p").last()["seconds"] == 2
    for text in ("", "[1]", '{"v": 0}', "{"):
        Path(run.path, "last.json").write_text(text)
        assert run.last() == {}
