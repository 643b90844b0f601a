"""The way down against an engine that misbehaves in every way that a test can think of."""

from __future__ import annotations

# ruff: noqa: D102 - the fakes speak the words of what they stand for
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from devenv.engine.api import CallError
from devenv.errors import EngineError
from devenv.lifecycle import ledger as ledgers
from devenv.lifecycle import teardown
from devenv.lifecycle.ledger import Run
from devenv.lifecycle.teardown import Teardown
from devenv.model.events import Event, Kept, Problem, Removed, Stopped, Stopping
from devenv.model.observed import Container, Network, Scene, Volume

pytestmark = pytest.mark.anyio


def container(name: str, state: str = "running", *, ours: bool = True, after: tuple[str, ...] = ()) -> Container:
    """A container of the service that it is named after."""
    return Container(id=f"id-{name}", name=name, service=name, state=state, ours=ours, depends_on=after)


class FakeEngine:
    """Holds a scene; `fails[verb, id]` lists what the next such calls raise, the last one for ever."""

    def __init__(self, *things: Container | Network | Volume) -> None:
        self.things = list(things)
        self.calls: list[str] = []
        self.fails: dict[tuple[str, str], list[Exception]] = defaultdict(list)
        self.later: list[tuple[int, Container]] = []
        self.looks = 0
        self.stopping: anyio.Event | None = None

    async def scene(self, project: str) -> Scene:
        assert project == "p"
        self.looks += 1
        self.things += [found for look, found in self.later if look == self.looks]
        return Scene(
            tuple(t for t in self.things if isinstance(t, Container)),
            tuple(t for t in self.things if isinstance(t, Network)),
            tuple(t for t in self.things if isinstance(t, Volume)),
        )

    async def stop(self, found: Container) -> None:
        await self._call("stop", found.id)
        if self.stopping is not None:
            self.stopping.set()
            await anyio.sleep(60)

    async def remove_container(self, container_id: str) -> None:
        await self._call("remove", container_id)

    async def remove_network(self, network_id: str) -> None:
        await self._call("remove", network_id)

    async def remove_volume(self, name: str) -> None:
        await self._call("remove", name)

    async def _call(self, verb: str, key: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.calls.append(f"{verb} {key}")
        errors = self.fails[verb, key]
        if errors:
            raise errors.pop(0) if len(errors) > 1 else errors[0]
        if verb == "remove":
            self.things = [t for t in self.things if key not in (t.name, getattr(t, "id", None))]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with a state folder of its own, and no long pauses."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(teardown, "SWEEP_PAUSE", 0.001)
    return Run("unix:///x", "p")


Down = Callable[..., Any]


@pytest.fixture
def down(run: Run) -> Down:
    """Brings down what an engine holds, and hands back the last event and all of them."""

    async def bring(engine: FakeEngine, *before: Container, **more: Any) -> tuple[Stopped, list[Event]]:
        scene = Scene(before)
        ledger = ledgers.begin(scene, project="p", directory="/p", endpoint="unix:///x", context=None)
        ledger = replace(ledger, creates=more.pop("creates", ()))
        run.write(ledger)
        events: list[Event] = []
        options = {"remove_volumes": True, "keep_reason": "so it was wished", **more}
        way = Teardown(engine, run, ledger, events.append, **options)  # type: ignore[arg-type]
        with anyio.fail_after(20):
            return await way.run_down("INT"), events

    return bring


DB, API = container("db"), container("api", after=("db",))
NET = Network("id-net", "net", ours=True)


def refused(reason: str, status: int = 500) -> CallError:
    """An answer of the engine that is no success."""
    return CallError(status, reason, "removing")


async def test_everything_of_ours_goes_in_order(down: Down, run: Run) -> None:
    """Dependents before what they need, then networks, then volumes; nothing is left on disk either."""
    engine = FakeEngine(DB, API, NET, Volume("data", "p"))
    stopped, events = await down(engine, creates=("data",))
    assert engine.calls == [
        "stop id-api", "remove id-api", "stop id-db", "remove id-db", "remove id-net", "remove data",
    ]  # fmt: skip
    assert stopped.survivors == ()
    assert stopped.removed == {"container": 2, "network": 1, "volume": 1}
    assert events[0] == Stopping("INT", 2)
    assert events[-1] is stopped
    assert run.read() is None


async def test_what_is_not_ours_is_not_touched(down: Down) -> None:
    """Foreign containers, networks and volumes, and what was there before, hear nothing."""
    theirs = container("theirs", ours=False)
    before = container("before")
    engine = FakeEngine(theirs, before, Network("id-n", "n", ours=False), Volume("v", "p"), Volume("w", "q"))
    stopped, _ = await down(engine, before, creates=("w",))
    assert engine.calls == []
    assert stopped.survivors == ()


@pytest.mark.parametrize("state", ["created", "exited", "dead"])
async def test_what_does_not_run_is_not_stopped(down: Down, state: str) -> None:
    """No grace period is spent on a container without a process."""
    engine = FakeEngine(container("x", state))
    await down(engine)
    assert engine.calls == ["remove id-x"]


@pytest.mark.parametrize("error", [refused("did not receive an exit event"), EngineError("no answer within 60 s")])
async def test_a_stop_that_fails_hinders_nothing(down: Down, error: Exception) -> None:
    """The container is removed by force then, and the others as ever."""
    engine = FakeEngine(DB, API, NET)
    engine.fails["stop", "id-api"] = [error]
    stopped, _ = await down(engine)
    assert stopped.survivors == ()
    assert engine.things == []


async def test_a_container_that_stays_is_a_survivor(down: Down, run: Run) -> None:
    """All else goes, the survivor is named with the reason and the command, the ledger stays for later."""
    engine = FakeEngine(DB, API)
    engine.fails["remove", "id-db"] = [refused("driver failed to remove root filesystem")]
    stopped, events = await down(engine)
    assert stopped.survivors == ("container db",)
    (problem,) = [e for e in events if isinstance(e, Problem)]
    assert problem.message == "container db could not be removed: driver failed to remove root filesystem"
    assert problem.hint == "docker rm -f -v db"
    assert run.read() is not None
    assert engine.calls.count("remove id-db") <= 5


async def test_a_removal_that_works_later_is_told_once(down: Down) -> None:
    """A container that is being removed shows up for a while; it is not counted twice."""
    engine = FakeEngine(DB)
    real = engine.remove_container
    tries = 0

    async def slow(container_id: str) -> None:
        nonlocal tries
        tries += 1
        if tries > 2:
            await real(container_id)

    engine.remove_container = slow  # type: ignore[method-assign]
    stopped, events = await down(engine)
    assert stopped.survivors == ()
    assert [e for e in events if isinstance(e, Removed)] == [Removed("container", "db")]
    assert stopped.removed == {"container": 1}


async def test_a_network_in_use_is_tried_again(down: Down) -> None:
    """The engine frees endpoints a moment after the container has gone."""
    engine = FakeEngine(NET)
    engine.fails["remove", "id-net"] = [refused("has active endpoints", 403), refused("has active endpoints", 403)]

    async def free() -> None:
        await anyio.sleep(0.15)
        engine.fails.clear()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(free)
        stopped, _ = await down(engine)
    assert stopped.survivors == ()


async def test_a_network_that_does_not_answer_hinders_nothing(down: Down) -> None:
    """No answer to one call is a survivor, not the end of the way down."""
    engine = FakeEngine(NET, Volume("data", "p"))
    engine.fails["remove", "id-net"] = [EngineError("the engine did not answer within 60 s")]
    stopped, _ = await down(engine, creates=("data",))
    assert stopped.survivors == ("network net",)
    assert stopped.removed == {"volume": 1}


async def test_volumes_are_kept_where_that_is_wished(down: Down, run: Run) -> None:
    """They are named with the command that removes them, and leave the ledger."""
    engine = FakeEngine(DB, Volume("data", "p"))
    stopped, events = await down(engine, creates=("data",), remove_volumes=False)
    assert [e for e in events if isinstance(e, Kept)] == [
        Kept("volume", "data", "so it was wished", "docker volume rm data")
    ]
    assert stopped.survivors == ()
    assert run.read() is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (refused("volume is in use - [abc]", 409), "something that is not ours uses it"),
        (EngineError("no answer within 60 s"), "no answer within 60 s"),
    ],
)
async def test_a_volume_that_cannot_go_is_kept(down: Down, error: Exception, reason: str) -> None:
    """It is the user's from then on; the other volumes go."""
    engine = FakeEngine(Volume("data", "p"), Volume("more", "p"))
    engine.fails["remove", "data"] = [error]
    stopped, events = await down(engine, creates=("data", "more"))
    assert [e.reason for e in events if isinstance(e, Kept)] == [reason]
    assert stopped.removed == {"volume": 1}


async def test_hurry_cuts_graceful_stops_short(down: Down) -> None:
    """Set while a container takes its time, all are killed at once."""
    engine = FakeEngine(DB, API)
    engine.stopping = anyio.Event()
    hurry = anyio.Event()

    async def press() -> None:
        assert engine.stopping is not None
        await engine.stopping.wait()
        hurry.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(press)
        with anyio.fail_after(5):
            stopped, _ = await down(engine, hurry=hurry)
    assert engine.calls == ["stop id-api", "remove id-api", "remove id-db"]
    assert stopped.survivors == ()


async def test_a_create_that_lands_late_is_found(down: Down) -> None:
    """The guardian looks several times: what a dying compose still made goes too."""
    engine = FakeEngine(DB)
    engine.later = [(4, container("late"))]
    stopped, _ = await down(engine, quiet_sweeps=4)
    assert "remove id-late" in engine.calls
    assert stopped.survivors == ()
