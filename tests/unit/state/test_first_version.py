"""What devenv 0.1 left: its folder is found by the address, its ledger and what it created are taken over."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.errors import StateError
from devenv.model.containers import Container, ProjectState, Volume
from devenv.state import ledger as ledgers
from devenv.state.identity import Content, Place, VolumeRecord, VolumeVerdict
from devenv.state.run_dir import Run
from support.runs import ENDPOINT, KEY, opened


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "devenv-compose"


OLD: dict[str, Any] = {
    "v": 1, "project": "p", "directory": "/p", "endpoint": ENDPOINT.host, "context": None, "began": 5.0, "pid": 1,
    "phase": "detached", "before_containers": ["theirs"], "before_networks": [], "before_volumes": [],
    "creates": ["p_data"], "keeps": [], "restoring": [], "unsettled": [], "anonymous": [],
}  # fmt: skip


@pytest.fixture
def old(state_home: Path) -> Path:
    """The folder of a run of devenv 0.1, which went by the engine's address."""
    key = hashlib.sha256(f"{ENDPOINT.host}\0p".encode()).hexdigest()[:12]
    folder = state_home / "runs" / f"p-{key}"
    folder.mkdir(parents=True, mode=0o700)
    for part in (state_home, folder.parent, folder):
        part.chmod(0o700)
    (folder / "ledger.json").write_text(json.dumps(OLD))
    (folder / "lock").write_text("1")
    return folder


def mine(name: str, **more: Any) -> Container:
    """A container with the label of devenv 0.1."""
    return Container(name, name, "web", "running", ours=False, project="p", is_old=True, **more)


def test_the_run_of_devenv_0_1_is_taken_over(old: Path) -> None:
    """Its folder is renamed for the engine, and its objects stay ours."""
    assert Run.known(ENDPOINT, "p").path == str(old)
    run = opened()
    assert not old.exists()
    ledger = run.read()
    assert ledger is not None
    assert ledger.creates == ("p_data",)
    holds = run.made.holds
    assert [holds(mine(name)) for name in ("ours", "theirs")] == [True, False]
    assert not holds(mine("image", inherits=True))
    assert not holds(replace(mine("other"), is_old=False))


def test_the_run_of_devenv_0_1_by_another_name_of_the_socket(old: Path, tmp_path: Path) -> None:
    """Its folder is named after the address, which was a link; two paths of one socket are one engine."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (old / "ledger.json").write_text(json.dumps({**OLD, "endpoint": f"unix://{tmp_path}/link/docker.sock"}))
    run = opened(endpoint=Endpoint(f"unix://{tmp_path}/real/docker.sock"))
    assert run.made.holds(mine("ours"))
    ledger = run.read()
    assert ledger is not None
    assert ledger.creates == ("p_data",)
    assert not old.exists()


def test_the_run_of_devenv_0_1_on_another_engine(old: Path) -> None:
    """It is not changed."""
    assert opened(endpoint=Endpoint("tcp://x:1")).read() is None
    assert old.exists()


def test_what_devenv_0_1_left_beside_a_newer_run(old: Path) -> None:
    """If 0.1 was used again for a while, its remains are taken over once more, and no newer record is lost."""
    content = (old / "ledger.json").read_text()
    run = opened()
    run.remember({"seconds": 1})
    run.clear()
    old.mkdir(mode=0o700)
    (old / "ledger.json").write_text(content)
    again = opened()
    ledger = again.read()
    assert ledger is not None
    assert (ledger.creates, again.last()["seconds"], old.exists()) == (("p_data",), 1, False)
    assert again.made.holds(mine("ours"))


def test_what_devenv_0_1_created_stays_ours(old: Path) -> None:
    """They stay ours after the ledger is rewritten: the containers keep their labels until they are replaced."""
    run = opened()
    ledger = run.read()
    assert ledger is not None
    run.write(taken := ledgers.take_over(ledger, ProjectState(), Place("/p"), KEY))
    for _ in range(2):
        again = opened()
        assert [again.made.holds(mine(name)) for name in ("ours", "theirs")] == [True, False]
        again.write(replace(taken, phase="detached"))
    (folder,) = Run.folders("p")
    assert folder.made.holds(mine("ours"))
    run.clear()
    assert not opened().made.holds(mine("ours"))


def test_a_devenv_0_1_that_runs_is_not_taken_over(old: Path) -> None:
    """It holds the lock of its folder; the error names it, and nothing changes."""
    with Run(str(old)).lock.hold(), pytest.raises(StateError, match=f"already up: devenv runs as pid {os.getpid()}"):
        opened()
    assert (old / "ledger.json").exists()


# As devenv 0.1 wrote it.
LEDGER: dict[str, Any] = {
    "v": 1,
    "project": "shop",
    "directory": "/home/me/shop",
    "endpoint": "unix:///var/run/docker.sock",
    "context": None,
    "began": 1764500000.25,
    "pid": 4711,
    "phase": "detached",
    "before_containers": ["c1"],
    "before_networks": ["n1"],
    "before_volumes": ["shop_cache", "0" * 64],
    "creates": ["shop_data", "shop_cache", "shop_files", "shop_new"],
    "keeps": ["shop_files"],
    "restoring": ["shop_data"],
    "unsettled": ["shop_new"],
    "anonymous": ["f" * 64],
}


def test_a_ledger_of_devenv_0_1() -> None:
    """Its names become records without a time, its ids are what existed before; its engine has no key."""
    ledger = ledgers.decode({**LEDGER})
    assert (ledger.project, ledger.directory, ledger.phase, ledger.pid) == ("shop", "/home/me/shop", "detached", 4711)
    assert (ledger.engine, ledger.endpoint, ledger.context) == ("", "unix:///var/run/docker.sock", None)
    assert ledger.volumes == (
        VolumeRecord("shop_data", content=Content.RESTORING),
        VolumeRecord("shop_files", is_kept=True),
        VolumeRecord("shop_new", content=Content.UNSETTLED),
    )
    assert dict(ledger.before) == {"shop_cache": "", "0" * 64: ""}
    assert ledger.anonymous == ("f" * 64,)
    project_state = ProjectState(volumes=(Volume("shop_data", "shop"), Volume("shop_cache", "shop")))
    assert [(judgement.volume.name, judgement.verdict) for judgement in ledger.judged(project_state)] == [
        ("shop_data", VolumeVerdict.LIKELY)
    ]


@pytest.mark.parametrize("field", sorted(LEDGER.keys() - {"v", "before_containers", "before_networks"}))
def test_a_ledger_of_devenv_0_1_that_lacks_something(field: str) -> None:
    """It is not understood, rather than half."""
    lacking = {key: value for key, value in LEDGER.items() if key != field}
    with pytest.raises(KeyError, match=field):
        ledgers.decode(lacking)
