"""The records of runs on an engine that will never answer again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, EngineError, RefusedError, StateError, UsageError
from devenv.events import Event, Notice
from devenv.run.cleanup import forget
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run

pytestmark = pytest.mark.anyio
ANSWERING = {"ssh://near"}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    """A dead run on each of three engines, of which one answers."""

    class Machine:
        @staticmethod
        @contextlib.asynccontextmanager
        async def connect(endpoint: Endpoint) -> AsyncIterator[None]:
            if endpoint.host not in ANSWERING:
                raise EngineError("cannot reach the engine")
            yield

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(forget, "Engine", Machine)
    made = {}
    for host, context in (("ssh://me@far:22", None), ("ssh://box", "office"), ("ssh://near", None)):
        run = made[host] = Run.open(host, Endpoint(host), "shop")
        run.write(Ledger("shop", Place("/shop"), host, host, context, 1000.0, 1, "up"))
    return made


@pytest.mark.parametrize(
    ("engine", "host"),
    [
        ("far", "ssh://me@far:22"),
        ("ssh://me@far:22", "ssh://me@far:22"),
        ("office", "ssh://box"),
        ("box", "ssh://box"),
    ],
)
async def test_only_runs_on_that_engine_are_forgotten(runs: dict[str, Run], engine: str, host: str) -> None:
    """It may be named by context, host or address; what is lost is asked about, and reported."""
    events: list[Event] = []
    asked: list[tuple[str, str]] = []
    assert await forget.forget(engine, events.append, lambda *question: asked.append(question)) == 0
    ((lost, name),) = asked
    assert name == engine
    assert lost.startswith("left on ")
    (notice,) = events
    assert isinstance(notice, Notice)
    assert notice.message == f"shop: forgotten ({lost}); snapshots are kept"
    assert {each for each, run in runs.items() if not os.path.exists(run.path)} == {host}


async def test_nothing_is_forgotten_by_mistake(runs: dict[str, Run]) -> None:
    """Not if the engine answers, if a process holds the run, if nobody agrees, or if no run is there."""

    def refuse(*_: object) -> None:
        raise RefusedError("no")

    async def refused(engine: str, kind: type[DevenvError], text: str) -> None:
        with pytest.raises(kind, match=text):
            await forget.forget(engine, print, refuse)

    await refused("near", RefusedError, "near answers")
    await refused("nowhere", UsageError, "no run on nowhere found")
    await refused("far", RefusedError, "no")
    with runs["ssh://box"].lock.hold():
        await refused("box", StateError, f"held by pid {os.getpid()}")
    assert all(os.path.exists(run.ledger) for run in runs.values())
