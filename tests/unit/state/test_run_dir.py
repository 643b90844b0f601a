"""The folder of one project on one engine: its lock, its ledger, and whether an older devenv's is found."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.errors import StateError
from devenv.model.containers import ProjectState
from devenv.state import ledger as ledgers
from devenv.state import run_dir
from devenv.state.identity import Place
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run, address

pytestmark = pytest.mark.anyio

ENDPOINT = Endpoint("unix:///run/some.sock")
KEY = "id /var/lib/docker"


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "devenv-compose"


def opened(project: str = "p", key: str = KEY, endpoint: Endpoint = ENDPOINT) -> Run:
    """The run of the project on an engine."""
    return Run.open(key, endpoint, project)


def begun(project: str = "p", **more: Any) -> Ledger:
    """A new ledger."""
    ledger = ledgers.begin(
        ProjectState(), {}, project=project, place=Place("/p"), engine=KEY, endpoint=ENDPOINT.host, context=None
    )
    return replace(ledger, **more)


def test_written_and_read_are_the_same(state_home: Path) -> None:
    """A ledger survives the disk, in files that only the user may read."""
    run = opened()
    assert run.read() is None
    run.write(ledger := begun(phase="detached"))
    assert opened().read() == ledger
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path(run.path).iterdir()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (state_home, Path(run.path))} == {0o700}
    run.clear()
    run.clear()
    assert run.read() is None


def test_engines_and_projects_have_runs_of_their_own() -> None:
    """Neither the same project on another engine nor another project shares a ledger."""
    opened().write(begun())
    assert opened(key="id /mnt/docker").read() is None
    assert opened("q").read() is None


def test_addresses_of_one_engine_share_a_run() -> None:
    """Its lock and its ledger, whatever name the engine was reached by."""
    run, again = opened(), opened(endpoint=Endpoint("tcp://localhost:2375"))
    assert run.path == again.path
    with run.lock.hold(), pytest.raises(StateError, match="already up"), again.lock.hold():
        pass


def test_the_run_at_an_address_is_known_without_the_engine(tmp_path: Path) -> None:
    """Also by another name of the socket; of an address that was never used, there is none."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    real, link = (Endpoint(f"unix://{tmp_path}/{name}/docker.sock") for name in ("real", "link"))
    assert address(real) == address(link)
    run = opened(endpoint=real)
    assert Run.known(link, "p").path == run.path
    for endpoint, project in ((link, "q"), (Endpoint("tcp://x:1"), "p")):
        other = Run.known(endpoint, project)
        assert not os.path.exists(other.path)
        assert other.read() is None
    (Path(opened("p", "another", Endpoint("tcp://x:1")).path) / "about.json").write_text("{")
    assert not os.path.exists(Run.known(Endpoint("tcp://x:1"), "p").path)


def test_every_run_with_a_ledger_is_found() -> None:
    """Of every engine; one that cannot be read hides no other, and who holds one is not dead."""
    for run, ledger in ((opened("a"), begun("a")), (opened("b", "other"), begun("b", phase="left"))):
        run.write(ledger)
    opened("c")
    Path(opened("d").path, "ledger.json").write_text("{")
    assert sorted(ledger.project for _, ledger in run_dir.every_runs()) == ["a", "b"]
    assert [ledger.project for _, ledger in run_dir.dead_runs(("up",))] == ["a"]
    with opened("a").lock.hold():
        assert list(run_dir.dead_runs(("up",))) == []
    assert [Path(run.path).name.rpartition("-")[0] for run in Run.folders("c")] == ["c"]


def test_what_a_run_brought_up_that_goes_on() -> None:
    """Or that was left running; nothing of a run that is still starting, or that has died."""
    run, ledger = opened("a"), begun("a")
    run.write(ledger)
    run.remember({"began": ledger.began, "images": {"web": "i"}})
    assert run_dir.brought_up("a") == frozenset()
    with run.lock.hold():
        assert run_dir.brought_up("a") == {"web"}
        run.remember({"began": 0.0, "images": {"web": "i"}})
        assert run_dir.brought_up("a") == frozenset()
    run.write(replace(ledger, phase="detached"))
    run.remember({"began": ledger.began, "images": {"web": "i"}})
    assert run_dir.brought_up("a") == {"web"}
    assert run_dir.brought_up("b") == frozenset()


def test_how_services_ended_is_noted_while_the_run_goes_on() -> None:
    """What cannot be read is nothing."""
    run = opened("a")
    run.note_ended({"web": ("stopped", "by somebody else")})
    assert run_dir.ended("a") == {}
    with run.lock.hold():
        assert run_dir.ended("a") == {"web": ("stopped", "by somebody else")}
        for text in ("", "[1]", "{", '{"web": 1}'):
            Path(run.path, "ended.json").write_text(text)
            assert run_dir.ended("a") == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"v": 3}', '{"v": 1, "nonsense": 1}', "\x00", "\udcff"])
def test_an_unreadable_ledger_is_an_error_that_helps(content: str) -> None:
    """A torn or foreign ledger ends with exit code 3 and a hint, never with a guess."""
    run = opened()
    Path(run.path, "ledger.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(StateError, match="cannot be read") as caught:
        run.read()
    assert caught.value.hint


def test_a_write_that_fails_leaves_the_old_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torn in the middle of a write, the ledger is still the one before."""
    run = opened()
    run.write(begun())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(StateError, match=r"ledger.json: No space left on device"):
                run.write(replace(begun(), phase="kept"))
        assert (found := run.read()) is not None
        assert found.phase == "up"
    assert not [name for name in os.listdir(run.path) if name.endswith(".new")]


def test_a_wish_is_heard_once() -> None:
    """Whoever asks the run to end says what becomes of its volumes; what is no wish is none."""
    run = opened()
    assert run.asked() is None
    run.ask(VolumePolicy.DROP)
    assert [run.asked(), run.asked()] == [VolumePolicy.DROP, None]
    Path(run.path, "wish").write_text("everything")
    assert run.asked() is None


def test_the_last_run_is_remembered() -> None:
    """Whatever becomes of the ledger; a newer one takes its place, and what cannot be read is nothing."""
    run = opened()
    assert run.last() == {}
    run.remember({"seconds": 1})
    run.remember({"seconds": 2})
    run.clear()
    assert opened().last()["seconds"] == 2
    for text in ("", "[1]", '{"v": 0}', "{"):
        Path(run.path, "last.json").write_text(text)
        assert run.last() == {}
