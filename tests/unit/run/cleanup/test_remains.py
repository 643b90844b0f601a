"""The sentence about what an earlier run left behind."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, cast

import pytest

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError
from devenv.model.containers import Container, Network, ProjectState, Volume
from devenv.run.cleanup import remains
from devenv.run.cleanup.remains import everywhere, left_behind, unanswered
from devenv.run.cleanup.remains import remains as count
from devenv.state.identity import Place, VolumeRecord
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run

pytestmark = pytest.mark.anyio

ENGINE = "unix:///here"
WEB, DB = Container("1", "p-web-1", "web", "running", ours=True), Container("2", "p-db-1", "db", "exited", ours=True)
THEIRS = Container("3", "p-tool-1", "tool", "running", ours=False)
NETWORK = Network("4", "p_default", ours=True)
DATA = Volume("p_data", "p", "data", created="2026-11-30T12:00:00Z")
BEGAN = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1000.0))


def ledger(phase: str, project: str = "p", endpoint: str = ENGINE) -> Ledger:
    volumes = (VolumeRecord("p_data", created="2026-11-30T12:00:00Z"),)
    return Ledger(project, Place("/p"), "key", endpoint, None, 1000.0, 1, phase, volumes=volumes)


class Machine:
    """An engine on which the projects `p` and `q` have a volume; `times` are those of all its volumes."""

    is_ours: Callable[[Container | Network], bool]
    times: ClassVar[dict[str, str]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, endpoint: Endpoint) -> AsyncIterator[Machine]:
        """The engine at its address or at that of its twin; no engine answers at other addresses."""
        if endpoint.host not in (ENGINE, "tcp://twin"):
            raise EngineError("no engine answers")
        yield cls()

    def __init__(self) -> None:
        self.volumes = SimpleNamespace(times=self.volume_times)

    async def project_state(self, project: str) -> ProjectState:
        """The project state with these objects."""
        return ProjectState((), (), (replace(DATA, project=project),) if project in "pq" else ())

    async def volume_times(self) -> dict[str, str]:
        """The creation times of volumes."""
        return self.times


ASKED = cast("Engine", Machine())


@pytest.mark.parametrize(
    ("phase", "project_state", "expected"),
    [
        ("left", ProjectState((), (), (DATA,)), "an earlier run of p left 1 volume behind"),
        ("left", ProjectState((), (NETWORK,), (DATA,)), "an earlier run of p left 1 network, 1 volume behind"),
        ("left", ProjectState(), ""),
        ("left", ProjectState((THEIRS,), (), (Volume("p_other", "p", "other"),)), ""),
        ("left", ProjectState((), (), (replace(DATA, created="2026-11-30T12:00:09Z"),)), ""),
        (
            "up",
            ProjectState((WEB, DB, THEIRS)),
            f"the run of p that began at {BEGAN} has died and left 2 containers behind",
        ),
        ("up", ProjectState(), ""),
        ("detached", ProjectState((WEB,)), ""),
        ("kept", ProjectState((WEB,)), ""),
    ],
)
async def test_sentence_counts_what_a_dead_run_left(phase: str, project_state: ProjectState, expected: str) -> None:
    """It counts what is ours and exists, and no volume of the same name that was created later.

    A run that was left running on purpose left nothing behind.
    """
    assert left_behind(ledger(phase), await count(ASKED, ledger(phase), project_state)) == expected


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], ""),
        ([("left", "p", ENGINE)], "left by an earlier run: 1 volume of p; devenv down -p p"),
        ([("up", "p", ENGINE)], "left by an earlier run: 1 volume of p; devenv down -p p"),
        (
            [("left", "p", ENGINE), ("up", "q", ENGINE)],
            "left by an earlier run: 1 volume of p; 1 volume of q; devenv gc",
        ),
        ([("left", "p", "tcp://twin")], "left by an earlier run: 1 volume of p on twin; devenv gc"),
        ([("left", "gone", ENGINE), ("detached", "p", ENGINE)], ""),
        (
            [("up", "p", "ssh://me@off:22")],
            (
                "left on off: what was created of p; off does not answer; once it does: devenv down p; if it "
                "never will: devenv gc --forget off"
            ),
        ),
        (
            [("up", "p", "unix:///off")],
            "left: what was created of p; the engine does not answer; once it does: devenv down -p p",
        ),
    ],
)
async def test_remains_of_all_runs(
    runs: list[tuple[str, str, str]], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What exists of each project; `down` is the hint if there is only one, on the engine that `down` uses."""

    async def resolve() -> Endpoint:
        return Endpoint(ENGINE)

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("devenv.docker.client.Engine", Machine)
    monkeypatch.setattr(remains, "resolve", resolve)
    for phase, project, endpoint in runs:
        Run.open(endpoint, Endpoint(endpoint), project).write(ledger(phase, project, endpoint))
    assert await everywhere() == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"began": 1000.0, "containers": 3}, "left on far: 3 containers of p"),
        ({"began": 1000.0, "containers": 1}, "left on far: 1 container of p"),
        ({"began": 999.0, "containers": 3}, "left on far: what was created of p"),
        ({}, "left on far: what was created of p"),
    ],
)
def test_records_say_what_is_left_without_the_engine(
    last: dict[str, float], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of containers is that of the same run, once it was up; after a week, nothing is reported."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    host = "ssh://me@far"
    run = Run.open("key", Endpoint(host), "p")
    run.write(ledger("up", "p", host))
    run.remember(last)
    never = "if it never will: devenv gc --forget far"
    assert unanswered(host) == [f"{expected}; far does not answer; once it does: devenv down p; {never}"]
    assert unanswered("ssh://other") == []
    os.utime(run.ledger, (time.time() - remains.RECENT - 60,) * 2)
    assert unanswered(host) == []
