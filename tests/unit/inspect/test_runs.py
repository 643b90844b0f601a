"""`devenv ls`: all runs of this machine, their states, and what is known without the engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from devenv.cli import main as app
from devenv.docker.containers import Usage
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError
from devenv.inspect import runs
from devenv.inspect.runs import state_of
from devenv.model.containers import Container
from devenv.state.identity import Place, engine_key
from devenv.state.kept import KeeperNote
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, place_of
from devenv.volumes.lineage import Lineage, LiveVolume
from devenv.volumes.lineages import Lineages
from support.schemas import checked_document

HERE, FAR = "unix:///here", "ssh://far"
KEY = engine_key([("id", "/data"), ("id", "/data")], HERE)
TIME = "2026-01-01T00:00:00Z"


class Machine:
    """An engine with these containers and volumes, which counts its listings."""

    endpoint = Endpoint(HERE)
    found: tuple[Container, ...] = ()
    existing: dict[str, str]
    trouble: EngineError | None = None
    asked: list[str]

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Machine]:
        """It, or its trouble."""
        if self.trouble:
            raise self.trouble
        yield self

    async def identity(self) -> tuple[str, str]:
        """The same each time."""
        return "id", "/data"

    @property
    def containers(self) -> Machine:
        """Its containers."""
        return self

    @property
    def volumes(self) -> Machine:
        """Its volumes."""
        return self

    async def listed(self) -> tuple[Container, ...]:
        """All containers."""
        self.asked.append("containers")
        return self.found

    async def times(self) -> dict[str, str]:
        """All volumes."""
        self.asked.append("volumes")
        return self.existing

    async def usage(self, container_id: str) -> Usage:
        """50 MB for each container."""
        self.asked.append(container_id)
        return Usage(0, 0, 1, 50_000_000)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An engine without anything, and an empty state folder below the home folder."""
    made = Machine()
    made.existing, made.asked = {}, []
    monkeypatch.setattr(runs, "Engine", made)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return made


def begun(project: str, folder: Path, phase: str = "detached", endpoint: str = HERE, *, key: str = KEY) -> Run:
    """A run of the project whose containers are `ID-of-project`."""
    run = Run.open(key, Endpoint(endpoint), project)
    run.write(Ledger(project, place_of(str(folder)), key, endpoint, None, 1000.0, 1, phase))
    run.remember({"urls": [f"http://localhost/{project}"], "began": 1000.0})
    run.made.add(f"1-{project}", f"2-{project}")
    return run


def container(number: int, project: str, state: str = "running", **more: Any) -> Container:
    """A container of the project."""
    return Container(f"{number}-{project}", f"{project}-x-{number}", "x", state, ours=False, project=project, **more)


def listed(capfd: pytest.CaptureFixture[str], *projects: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The JSON by project, and the lines for people."""
    assert app.run(["ls", *projects, "--output", "json"]) == 0
    answer = checked_document("ls", capfd.readouterr().out)
    assert app.run(["ls", *projects]) == 0
    out, err = capfd.readouterr()
    return {run["project"]: run for run in answer["runs"]}, [*out.splitlines(), *err.splitlines()]


@pytest.mark.parametrize(
    ("phase", "running", "flags", "expected"),
    [
        ("up", 1, "held ready", "running"),
        ("up", 1, "held", "starting"),
        ("up", 1, "held ready ending", "ending"),
        ("up", 1, "ready", "lost"),
        ("up", 0, "ending", "ending"),
        ("detached", 1, "ready", "detached"),
        ("detached", 1, "held ready", "detached"),
        ("detached", 0, "held ready", "detached"),
        ("detached", 0, "ready", "lost"),
        ("kept", 2, "ready", "kept"),
        ("kept", 0, "", "lost"),
        ("left", 0, "", "left"),
    ],
)
def test_states_of_runs(phase: str, running: int, flags: str, expected: str) -> None:
    """By what the ledger says, what the lock says and what runs."""
    on = {f"is_{name}": name in flags.split() for name in ("held", "ending", "ready")}
    assert state_of(phase, running, **on) == expected


def test_all_runs_are_listed_with_one_request_each(
    capfd: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path
) -> None:
    """Folders below the home folder are shortened; a container that ended well is not missing."""
    for name in ("shop", "shop-two"):
        (tmp_path / name / ".git").mkdir(parents=True)
        (tmp_path / name / ".git/HEAD").write_text(f"ref: refs/heads/feature/{name}\n")
        begun(name, tmp_path / name)
    ended, foreign = container(2, "shop", "exited"), container(3, "shop")
    machine.found = (container(1, "shop"), ended, foreign, container(1, "shop-two", "exited", exit_code=1))
    rows, lines = listed(capfd)
    assert machine.asked == ["containers", "volumes", "1-shop"] * 2
    keys = ("state", "running", "containers", "memory", "branch", "began_at")
    assert {key: rows["shop"][key] for key in keys} == {
        "state": "detached", "running": 1, "containers": 1, "memory": 50_000_000, "branch": "feature/shop",
        "began_at": "1970-01-01T00:16:40.000Z",
    }  # fmt: skip
    assert (rows["shop-two"]["state"], rows["shop-two"]["urls"]) == ("lost", [])
    assert [line.split()[:6] for line in lines] == [
        ["PROJECT", "FOLDER", "BRANCH", "STATE", "ADDRESS", "SINCE"],
        ["shop", "~/shop", "feature/shop", "detached", "1/1", "http://localhost/shop"],
        ["shop-two", "~/shop-two", "feature/shop-two", "lost", "0/1", lines[2].split()[5]],
    ]
    assert lines[1].endswith("  50 MB")
    assert [*listed(capfd, "shop")[0]] == ["shop"]
    assert "no run of none found" in listed(capfd, "none")[1]


def test_a_run_whose_saves_are_not_synced(
    capfd: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path
) -> None:
    """A line says since when, if no process holds the run that did."""
    run = begun("shop", tmp_path)
    KeeperNote(1, "another", 1000.0, 1000.0, 1000.0, time.mktime((2026, 1, 31, 14, 2, 0, 0, 0, -1))).write(run)
    machine.found = (container(1, "shop"),)
    rows, lines = listed(capfd)
    assert (rows["shop"]["state"], rows["shop"]["background"]) == ("detached", lines[-1])
    assert lines[-1].startswith("shop: saved files have not been synced since 2026-01-31 14:02:00")
    with run.lock.hold():
        assert len(listed(capfd)[1]) == len(lines) - 1


def test_runs_of_other_engines_and_removed_folders(
    capfd: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path
) -> None:
    """Only the current engine is asked; a run of a removed folder is listed until its records are removed."""
    (tmp_path / "gone").mkdir()
    begun("far", tmp_path, endpoint=FAR, key="other /data")
    begun("over", tmp_path / "gone").clear()
    begun("up", tmp_path / "gone")
    begun("done", tmp_path).clear()
    (tmp_path / "gone").rmdir()
    machine.found = (container(1, "up"),)
    rows, lines = listed(capfd)
    assert {name: (row["state"], row["is_removed"]) for name, row in rows.items()} == {
        "far": ("other engine", False),
        "over": ("ended", True),
        "up": ("detached", True),
    }
    assert sum("~/gone (folder removed)" in line for line in lines) == 2


def test_volumes_that_an_ended_run_has_kept(
    capfd: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path
) -> None:
    """They are listed as long as they exist, unless a run of the project uses them."""
    for name in ("shop", "up", "other"):
        live = LiveVolume(f"{name}_data", TIME, 0.0)
        Lineages.at_home().write(Lineage(name, KEY, Place(str(tmp_path)), name, "data", f"{name}_data", live=live))
    begun("up", tmp_path)
    machine.existing = {"shop_data": TIME, "up_data": TIME, "other_data": "2026-01-02T00:00:00Z"}
    rows, _ = listed(capfd)
    assert (rows["shop"]["state"], rows["shop"]["volumes"]) == ("volumes kept", ["shop_data"])
    assert rows["up"]["state"] == "lost"
    assert "other" not in rows


def test_an_engine_that_does_not_answer(capfd: pytest.CaptureFixture[str], machine: Machine, tmp_path: Path) -> None:
    """The runs are listed without their containers, and a line says why."""
    begun("shop", tmp_path)
    machine.trouble = EngineError("the engine does not answer")
    rows, lines = listed(capfd)
    assert rows["shop"]["state"] == "unreachable"
    assert lines[-1] == "the engine does not answer: containers are not shown"


def test_a_machine_without_runs(capfd: pytest.CaptureFixture[str]) -> None:
    """A line says so."""
    assert listed(capfd) == ({}, ["no project is up"])
