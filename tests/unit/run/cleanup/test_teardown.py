"""The teardown, on an engine that fails in many ways."""

from __future__ import annotations

# ruff: noqa: D102 - the fakes have the methods of what they replace
import math
import signal
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from devenv.docker import process
from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.events import Emit, Event, Kept, Notice, Problem, Removed, Stopped, Stopping, VolumesStay
from devenv.model.containers import Container, Network, ProjectState, Volume
from devenv.model.snapshot import Snapshot
from devenv.run.cleanup import teardown
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.cleanup.progress import IN_USE
from devenv.run.cleanup.teardown import CUT_OFF_SWEEPS, STUCK_SWEEPS, Sweeps, Teardown, of_earlier
from devenv.state import ledger as ledgers
from devenv.state.identity import Content, Place, VolumeRecord, Window
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.state.verified_archive import TooLargeError
from devenv.volumes.transfer import VolumeTransfer

pytestmark = pytest.mark.anyio

AT, LATER = "2026-11-30T10:00:00Z", "2026-11-30T11:00:00Z"


def container(name: str, state: str = "running", *, ours: bool = True, after: tuple[str, ...] = ()) -> Container:
    """A container that is named after its service."""
    return Container(id=f"id-{name}", name=name, service=name, state=state, ours=ours, depends_on=after)


class FakeEngine:
    """Has these objects; `fails[verb, id]` lists what the next such calls raise, the last error for ever."""

    def __init__(self, *things: Container | Network | Volume) -> None:
        self.things = list(things)
        self.calls: list[str] = []
        self.logged: dict[str, list[str]] = {}  # id -> the calls before its log was read
        self.fails: dict[tuple[str, str], list[Exception]] = defaultdict(list)
        self.later: list[tuple[int, Container]] = []
        self.looks = 0
        self.times: Mapping[str, str] = {}
        self.is_ours: Callable[[Container | Network], bool] = lambda thing: thing.ours
        self.stopping: anyio.Event | None = None
        self.endpoint = Endpoint("unix:///x")
        self.is_podman = False
        self.containers = SimpleNamespace(logs=self.logs, stop=self.stop, remove=partial(self._call, "remove"))
        self.networks = SimpleNamespace(users=self.network_users, remove=partial(self._call, "remove"))
        self.volumes = SimpleNamespace(times=self.volume_times, remove=partial(self._call, "remove"))

    async def project_state(self, project: str) -> ProjectState:
        assert project == "p"
        self.looks += 1
        self.things += [thing for look, thing in self.later if look == self.looks]
        return ProjectState(
            tuple(replace(t, ours=self.is_ours(t)) for t in self.things if isinstance(t, Container)),
            tuple(replace(t, ours=self.is_ours(t)) for t in self.things if isinstance(t, Network)),
            tuple(t for t in self.things if isinstance(t, Volume)),
        )

    async def volume_times(self) -> dict[str, str]:
        there = {t.name: t.created for t in self.things if isinstance(t, Volume)}
        return {**there, **self.times}

    async def logs(self, container: Container, **_: Any) -> AsyncIterator[tuple[str, str]]:
        self.logged[container.id] = [call for call in self.calls if container.id in call]
        yield "stdout", f"2026-11-29T09:40:05.1Z last words of {container.name}"

    async def stop(self, container: Container) -> None:
        await self._call("stop", container.id)
        if self.stopping is not None:
            self.stopping.set()
            await anyio.sleep(60)

    async def network_users(self, network_id: str) -> tuple[str, ...]:
        assert network_id == "id-net"
        return ("a", "b")

    async def _call(self, verb: str, key: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.calls.append(f"{verb} {key}")
        errors = self.fails[verb, key]
        if errors:
            raise errors.pop(0) if len(errors) > 1 else errors[0]
        if verb == "remove":
            self.things = [t for t in self.things if key not in (t.name, getattr(t, "id", None))]


class FakeTransfer:
    """Pretends to save, 2 bytes each; `fails` is what the saves raise, and the `slow` volume never ends."""

    run: Run
    emit: Emit = print
    limit: float = math.inf

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.saved: list[tuple[str, tuple[str, ...], bool]] = []
        self.rescued: list[str] = []
        self.endings: list[tuple[str, bool]] = []
        self.fails: dict[str, Exception] = {}
        self.slow = ""
        self.begun = anyio.Event()

    async def save(self, volume: Volume, users: Iterable[Container], *, settled: bool, lineage: str) -> Snapshot:
        assert lineage == f"line of {volume.name}"
        self.begun.set()
        if volume.name == self.slow:
            await anyio.sleep(60)
        await self.engine._call("save", volume.name)
        if volume.name in self.fails:
            raise self.fails[volume.name]
        self.saved.append((volume.name, tuple(c.name for c in users), settled))
        return Snapshot("1", volume.key, volume.name, "p", "/p", "unix:///x", 1.0, 10, 2, "")

    secure = VolumeTransfer.secure

    async def sizes(self, _records: Iterable[VolumeRecord]) -> Mapping[str, int]:
        return {}

    async def rescue(self, volume: Volume, _users: Iterable[Container], record: VolumeRecord) -> Snapshot | None:
        await self.engine._call("rescue", volume.name)
        if volume.name in self.fails:
            raise self.fails[volume.name]
        self.rescued.append(record.lineage)
        return None

    def ended(self, lineage: str, *, dropped: bool = False) -> None:
        self.endings.append((lineage, dropped))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run with a state folder of its own, and no long pauses."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(teardown, "SWEEP_PAUSE", 0.001)
    return Run.open("an engine", Endpoint("unix:///x"), "p")


def record(name: str, **more: Any) -> VolumeRecord:
    """The record of a volume that the run created."""
    return replace(VolumeRecord(name, "local", AT, lineage=f"line of {name}"), **more)


def begun(*records: VolumeRecord, times: Mapping[str, str] | None = None) -> Ledger:
    """The ledger of a run that created these volumes, and that found no others, or those of these `times`."""
    ledger = ledgers.begin(
        ProjectState(),
        times or {},
        project="p",
        place=Place("/p"),
        engine="an engine",
        endpoint="unix:///x",
        context=None,
    )
    return ledger.with_records(records)


Down = Callable[..., Any]


@pytest.fixture
def down(run: Run) -> Down:
    """Tears down what an engine has; returns the last event and all events."""

    async def bring(engine: FakeEngine, **more: Any) -> tuple[Stopped, list[Event]]:
        created = [entry if isinstance(entry, VolumeRecord) else record(entry) for entry in more.pop("creates", ())]
        ledger = begun(*created, times=more.pop("times", None))
        run.write(ledger)
        events: list[Event] = []
        volume_transfer, seen = more.pop("volume_transfer", None) or FakeTransfer(engine), more.pop("seen", None)
        emit = more.pop("emit", events.append)
        volume_transfer.run, volume_transfer.emit = run, emit
        teardown_ = Teardown(ledger, volume_transfer, **more)  # type: ignore[arg-type]
        with anyio.fail_after(20):
            return await teardown_.run_down("INT", seen), events

    return bring


DB, API = container("db"), container("api", after=("db",))
NET = Network("id-net", "net", ours=True)
DATA = Volume("p_data", "p", "data", driver="local", created=AT)
MORE = replace(DATA, name="p_more", key="more")
DB_WITH_DATA = replace(DB, volumes=("p_data",))


def refused(reason: str, status: int = 500) -> CallError:
    """An error that the engine answers with."""
    return CallError(status, reason, "removing")


async def test_our_objects_are_removed_in_order(down: Down, run: Run) -> None:
    """Dependents before what they need, then networks, then volumes; nothing is left on disk either."""
    engine = FakeEngine(DB, API, NET, DATA)
    stopped, events = await down(engine, creates=("p_data",))
    assert engine.calls == [
        "stop id-api", "stop id-db", "remove id-api", "remove id-db", "remove id-net", "save p_data", "remove p_data",
    ]  # fmt: skip
    assert stopped.survivors == ()
    assert stopped.removed == {"container": 2, "network": 1, "volume": 1}
    assert stopped.saved == {"data": 2}
    assert events[0] == Stopping("INT", 2)
    assert events[-1] is stopped
    assert run.read() is None


@pytest.mark.parametrize(("seen", "count", "looks"), [((DB, API), 2, 0), ((), 1, 1), (None, 1, 1)])
async def test_first_event_does_not_wait_for_the_engine(
    down: Down, seen: tuple[Container, ...] | None, count: int, looks: int
) -> None:
    """The event has the objects of the last look, if there was one; those that exist now are removed."""
    engine = FakeEngine(DB)
    heard: list[tuple[int, Event]] = []
    stopped, _ = await down(
        engine,
        seen=None if seen is None else ProjectState(seen),
        emit=lambda event: heard.append((engine.looks, event)),
    )
    assert heard[0] == (looks, Stopping("INT", count))
    assert sum(isinstance(event, Stopping) for _, event in heard) == 1
    assert stopped.removed == {"container": 1}


async def test_last_output_is_kept(down: Down, run: Run) -> None:
    """The log is read after the process has ended and before the container is removed, if it ever ran."""
    engine = FakeEngine(DB, API, container("new", "created"))
    await down(engine)
    assert engine.logged == {"id-api": ["stop id-api"], "id-db": ["stop id-db"]}
    pieces, _ = KeptLogs(run.path).pieces(None)
    assert [line.text for piece in pieces for line in piece.lines()] == ["last words of api", "last words of db"]


async def test_slow_container_delays_only_its_dependencies(down: Down) -> None:
    """A container that takes long to stop delays what it needs, and nothing else."""
    released = anyio.Event()

    class Engine(FakeEngine):
        async def stop(self, container: Container) -> None:
            if container.name == "slow":
                await released.wait()
            await super().stop(container)

    engine = Engine(DB, API, container("slow", after=("cache",)), container("cache"))

    async def release() -> None:
        while len(engine.calls) < 4:  # noqa: ASYNC110 - the world tells no event
            await anyio.sleep(0.001)
        released.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(release)
        await down(engine)
    assert engine.calls[:4] == ["stop id-api", "stop id-db", "remove id-api", "remove id-db"]
    assert engine.calls[4] == "stop id-slow"
    assert sorted(engine.calls[5:]) == ["remove id-cache", "remove id-slow", "stop id-cache"]


class Waiting(FakeEngine):
    """Stops the container `slow` only after that call."""

    def __init__(self, until: str, *things: Container | Network | Volume) -> None:
        super().__init__(*things)
        self.until = until

    async def stop(self, container: Container) -> None:
        while container.name == "slow" and self.until not in self.calls:  # noqa: ASYNC110 - calls have no event
            await anyio.sleep(0.001)
        await super().stop(container)


async def test_each_volume_and_network_is_removed_as_soon_as_nothing_uses_it(down: Down) -> None:
    """They do not wait for a container that does not use them; a volume is removed after its save."""
    slow = replace(container("slow"), networks=("late",))
    late = Network("id-late", "late", ours=True)
    db = replace(DB_WITH_DATA, networks=("net",))
    for until in ("remove p_data", "remove id-net"):
        engine = Waiting(until, db, slow, DATA, NET, late)
        stopped, _ = await down(engine, creates=("p_data",))
        assert engine.calls.index("stop id-db") < engine.calls.index("save p_data")
        assert engine.calls.index("remove id-db") < engine.calls.index("remove id-net")
        assert max(map(engine.calls.index, ("remove id-db", "save p_data"))) < engine.calls.index("remove p_data")
        assert engine.calls[-3:] == ["stop id-slow", "remove id-slow", "remove id-late"]
        assert engine.calls.count("save p_data") == 1
        assert (stopped.survivors, stopped.saved) == ((), {"data": 2})


async def test_a_volume_is_saved_once_all_its_containers_have_stopped(down: Down) -> None:
    """One of them may still write to it."""
    slow = replace(container("slow"), volumes=("p_data",))
    engine = Waiting("remove id-db", DB_WITH_DATA, slow, DATA)
    stopped, _ = await down(engine, creates=("p_data",))
    assert engine.calls[:3] == ["stop id-db", "remove id-db", "stop id-slow"]
    assert sorted(engine.calls[3:5]) == ["remove id-slow", "save p_data"]
    assert engine.calls[5:] == ["remove p_data"]
    assert stopped.survivors == ()


async def test_a_container_that_does_not_stop_is_killed_before_its_volume_is_saved(down: Down) -> None:
    """After the error, it may still run."""
    engine = FakeEngine(DB_WITH_DATA, DATA)
    engine.fails["stop", "id-db"] = [refused("did not receive an exit event")]
    stopped, _ = await down(engine, creates=("p_data",))
    assert engine.calls == ["stop id-db", "remove id-db", "save p_data", "remove p_data"]
    assert stopped.survivors == ()


async def test_a_volume_waits_for_a_container_that_cannot_be_removed_at_once(down: Down) -> None:
    """It may still run, so that the volume is saved after it is gone."""
    engine = FakeEngine(DB_WITH_DATA, DATA)
    busy = refused("device or resource busy")
    engine.fails["stop", "id-db"] = engine.fails["remove", "id-db"] = [busy, busy]
    real, tries = engine.containers.remove, 0

    async def remove(container_id: str) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            engine.fails["remove", "id-db"] = []
        await real(container_id)

    engine.containers.remove = remove
    stopped, _ = await down(engine, creates=("p_data",))
    assert engine.calls[-3:] == ["remove id-db", "save p_data", "remove p_data"]
    assert engine.calls.count("save p_data") == 1
    assert stopped.survivors == ()


async def test_a_stopped_container_that_stays_keeps_its_volume(down: Down, run: Run) -> None:
    """The volume stays recorded with it, and all others are removed."""
    engine = FakeEngine(DB_WITH_DATA, replace(API, volumes=("p_more",)), DATA, MORE)
    engine.fails["remove", "id-db"] = [refused("driver failed to remove root filesystem")]
    engine.fails["remove", "p_data"] = [refused("volume is in use", 409)]
    stopped, _ = await down(engine, creates=("p_data", "p_more"))
    assert stopped.survivors == ("container db", "volume p_data")
    left = run.read()
    assert left is not None
    assert left.record("p_data") is not None
    assert engine.calls.count("remove p_data") == 1


@pytest.mark.parametrize(("look", "saves"), [(1, 1), (2, 2)])
async def test_plain_compose_may_begin_to_use_a_volume(down: Down, run: Run, look: int, saves: int) -> None:
    """Its container is known before the first sweep, or found by the next look: the volume is kept either way."""
    engine = FakeEngine(DB_WITH_DATA, DATA)
    engine.later = [(look, replace(container("theirs", ours=False), volumes=("p_data",)))]
    engine.fails["remove", "p_data"] = [refused("volume is in use", 409)]
    stopped, events = await down(engine, creates=("p_data",))
    assert stopped.survivors == ()
    assert [(e.kind, e.name, e.reason) for e in events if isinstance(e, Kept)] == [("volume", "p_data", IN_USE)]
    assert engine.calls.count("save p_data") == saves
    assert run.read() is None


async def test_a_volume_in_use_that_cannot_be_saved_stays(down: Down, run: Run) -> None:
    """One attempt is made; everything else is removed."""
    engine = FakeEngine(DB_WITH_DATA, replace(API, volumes=("p_more",)), DATA, MORE, NET)
    volume_transfer = FakeTransfer(engine)
    volume_transfer.fails["p_data"] = OSError(28, "No space left on device")
    stopped, _ = await down(engine, creates=("p_data", "p_more"), volume_transfer=volume_transfer)
    assert stopped.survivors == ("volume p_data",)
    assert engine.things == [DATA]
    assert engine.calls.count("save p_data") == 1
    left = run.read()
    assert left is not None
    assert left.record("p_data") is not None


async def test_after_a_death_volumes_come_last(down: Down) -> None:
    """A container that is still being created may write to them."""
    engine = FakeEngine(DB_WITH_DATA, DATA)
    late = replace(container("late"), volumes=("p_data",))
    engine.later = [(3, late)]
    await down(engine, creates=("p_data",), quiet_sweeps=CUT_OFF_SWEEPS)
    assert engine.calls[-4:] == ["stop id-late", "remove id-late", "save p_data", "remove p_data"]
    assert engine.calls.count("save p_data") == 1


async def test_the_look_that_finds_nothing_is_the_last(down: Down) -> None:
    """Nothing is removed after it."""
    engine = FakeEngine(DB_WITH_DATA, DATA, NET)
    await down(engine, creates=("p_data",))
    assert engine.looks == 2


async def test_foreign_objects_are_not_touched(down: Down, run: Run) -> None:
    """Containers, networks and volumes of others are not touched; those with our labels are reported."""
    theirs = container("theirs", ours=False)
    claims = replace(container("claims", ours=False), owner=run.made.owner)
    other = replace(container("other", ours=False), owner="somebody else")
    engine = FakeEngine(
        theirs, claims, other, Network("id-n", "n", ours=False), Volume("v", "p"), Volume("w", "q", created=AT)
    )
    stopped, events = await down(engine, creates=("w",))
    assert engine.calls == []
    assert stopped.survivors == ()
    assert [e for e in events if isinstance(e, Kept)] == [
        Kept("container", "claims", "devenv did not create it, though its labels say so", "docker rm -f claims")
    ]


@pytest.mark.parametrize("state", ["created", "exited", "dead"])
async def test_stopped_containers_are_not_stopped_again(down: Down, state: str) -> None:
    """No grace period is spent on a container without a process."""
    engine = FakeEngine(container("x", state))
    await down(engine)
    assert engine.calls == ["remove id-x"]


@pytest.mark.parametrize("error", [refused("did not receive an exit event"), EngineError("no answer within 60 s")])
async def test_failed_stop_does_not_prevent_the_removal(down: Down, error: Exception) -> None:
    """That container is removed by force, and the others as usual."""
    engine = FakeEngine(DB, API, NET)
    engine.fails["stop", "id-api"] = [error]
    stopped, _ = await down(engine)
    assert stopped.survivors == ()
    assert engine.things == []


async def test_container_that_cannot_be_removed_is_a_survivor(down: Down, run: Run) -> None:
    """Everything else is removed; the survivor is reported with reason and command, and the ledger stays."""
    engine = FakeEngine(DB, API)
    engine.fails["remove", "id-db"] = [refused("driver failed to remove root filesystem")]
    stopped, events = await down(engine)
    assert stopped.survivors == ("container db",)
    (problem,) = [e for e in events if isinstance(e, Problem)]
    assert problem.message == "container db is left: driver failed to remove root filesystem"
    assert problem.hint == "docker rm -f -v db"
    left = run.read()
    assert left is not None
    assert left.phase == "left"
    assert engine.calls.count("remove id-db") <= 5


async def test_late_removal_is_reported_once(down: Down) -> None:
    """A container that is being removed shows up for a while; it is not counted twice."""
    engine = FakeEngine(DB)
    real = engine.containers.remove
    tries = 0

    async def slow(container_id: str) -> None:
        nonlocal tries
        tries += 1
        if tries > 2:
            await real(container_id)

    engine.containers.remove = slow
    stopped, events = await down(engine)
    assert stopped.survivors == ()
    assert [e for e in events if isinstance(e, Removed)] == [Removed("container", "db")]
    assert stopped.removed == {"container": 1}


async def test_a_network_in_use_is_tried_again(down: Down) -> None:
    """The engine frees endpoints a moment after the container was removed."""
    engine = FakeEngine(NET)
    engine.fails["remove", "id-net"] = [refused("has active endpoints", 403), refused("has active endpoints", 403)]

    async def free() -> None:
        await anyio.sleep(0.15)
        engine.fails.clear()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(free)
        stopped, _ = await down(engine)
    assert stopped.survivors == ()


async def test_failing_network_does_not_end_the_teardown(down: Down) -> None:
    """A call without an answer makes the network a survivor, and the teardown continues."""
    engine = FakeEngine(NET, DATA)
    engine.fails["remove", "id-net"] = [EngineError("the engine did not answer within 60 s")]
    stopped, _ = await down(engine, creates=("p_data",))
    assert stopped.survivors == ("network net",)
    assert stopped.removed == {"volume": 1}


async def test_anonymous_volumes_are_noted_and_removed(down: Down, run: Run) -> None:
    """They are recorded before their container is removed; a volume with another user stays without a notice."""
    mine, shared = "a" * 64, "b" * 64
    engine = FakeEngine(replace(DB, volumes=(mine, shared)), Volume(mine), Volume(shared))
    engine.fails["remove", shared] = [refused("volume is in use", 409)]
    noted: list[tuple[str, ...]] = []
    real = engine.containers.remove

    async def looking(container_id: str) -> None:
        ledger = run.read()
        noted.append(ledger.anonymous if ledger else ())
        await real(container_id)

    engine.containers.remove = looking
    stopped, _ = await down(engine)
    assert noted == [(mine, shared)]
    assert [thing.name for thing in engine.things] == [shared]
    assert stopped.survivors == ()


@pytest.mark.parametrize("user", [container("a", ours=False), container("c", ours=False)])
async def test_a_network_that_others_use(down: Down, run: Run, user: Container) -> None:
    """It is left, with its users and a command; kept, if plain Compose has taken the project over."""
    engine = FakeEngine(NET, user)
    engine.is_ours = run.made.holds
    run.made.add(NET.id)
    engine.fails["remove", "id-net"] = [refused("network has active endpoints", 403)]
    stopped, events = await down(engine)
    reports = [e for e in events if isinstance(e, (Kept, Problem))]
    if user.name == "a":
        assert stopped.survivors == ()
        assert reports == [Kept("network", "net", "something that is not ours uses it", "docker network rm net")]
    else:
        assert stopped.survivors == ("network net",)
        command = "docker network disconnect -f net a; docker network disconnect -f net b; docker network rm net"
        assert reports == [Problem("network net is left: a, b use it", command)]


async def test_volumes_on_another_machine_stay_for_the_next_run(down: Down, run: Run) -> None:
    """One event names them; they are not saved, and the ledger has them; a volume of a cut-off restore is rescued."""
    torn = replace(DATA, name="p_torn", key="torn")
    engine = FakeEngine(DB, NET, MORE, DATA, torn)
    engine.endpoint = Endpoint("ssh://me@far:22")
    stopped, events = await down(engine, creates=("p_more", "p_data", record("p_torn", content=Content.RESTORING)))
    stay = VolumesStay("far", ("p_data", "p_more"), "devenv down --snapshot", "devenv down -v")
    assert [event for event in events if isinstance(event, VolumesStay | Kept)] == [stay]
    assert (stopped.survivors, stopped.waiting, stopped.saved) == ((), ("p_data", "p_more"), {})
    assert [call for call in engine.calls if "p_" in call] == ["rescue p_torn", "remove p_torn"]
    ledger = run.read()
    assert ledger is not None
    assert (ledger.phase, ledger.creates) == ("volumes", ("p_more", "p_data"))


async def test_volumes_on_podman_stay_for_the_next_run(down: Down) -> None:
    """Its archives have no owners, so what is restored would not equal what was saved."""
    engine = FakeEngine(DB, NET, DATA)
    engine.is_podman = True
    stopped, events = await down(engine, creates=("p_data",))
    stay = VolumesStay("Podman", ("p_data",), "devenv down --snapshot", "devenv down -v")
    assert [event for event in events if isinstance(event, VolumesStay)] == [stay]
    assert (stopped.survivors, stopped.waiting, stopped.saved) == ((), ("p_data",), {})


@pytest.mark.parametrize("policy", [VolumePolicy.SNAPSHOT, VolumePolicy.DROP])
async def test_volumes_on_another_machine_are_saved_on_request(down: Down, run: Run, policy: VolumePolicy) -> None:
    """`--snapshot` saves them as on this machine, and `-v` one that may be somebody else's."""
    engine = FakeEngine(DATA)
    engine.endpoint = Endpoint("ssh://far")
    stopped, events = await down(engine, creates=("p_data",), policy=policy)
    assert (engine.calls, stopped.waiting, run.read()) == (["save p_data", "remove p_data"], (), None)
    assert not [event for event in events if isinstance(event, VolumesStay)]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"policy": VolumePolicy.KEEP}, "--keep-volumes"),
        ({"creates": (record("p_data", is_kept=True),)}, "x-devenv.keep"),
        ({"creates": (record("p_data", is_kept=True),), "policy": VolumePolicy.DROP}, "x-devenv.keep"),
    ],
)
async def test_keep_volumes_keeps_volumes(down: Down, run: Run, more: dict[str, Any], reason: str) -> None:
    """They are named with the command that removes them, and leave the ledger."""
    engine = FakeEngine(DB, DATA)
    stopped, events = await down(engine, **{"creates": ("p_data",), **more})
    kept = [e for e in events if isinstance(e, Kept)]
    assert kept == [Kept("volume", "p_data", reason, "docker volume rm p_data")]
    assert stopped.survivors == ()
    assert run.read() is None
    assert engine.things == [DATA]


async def test_a_snapshot_knows_who_used_the_volume_and_how_it_was(down: Down) -> None:
    """The containers are removed by then; the ledger says whether their services were ever well."""
    user = replace(DB, volumes=("p_data",))
    engine = FakeEngine(user, API, DATA, replace(DATA, name="p_new", key="new"))
    volume_transfer = FakeTransfer(engine)
    await down(
        engine, volume_transfer=volume_transfer, creates=("p_data", record("p_new", content=Content.UNSETTLED))
    )
    assert sorted(volume_transfer.saved) == [("p_data", ("db",), True), ("p_new", (), False)]
    assert sorted(volume_transfer.endings) == [("line of p_data", False), ("line of p_new", False)]


@pytest.mark.parametrize(
    ("users", "proven", "calls"),
    [
        ((), True, ["remove p_data"]),
        ((replace(DB, state="exited", volumes=("p_data",)),), False, ["remove id-db", "remove p_data"]),
        ((), False, ["save p_data", "remove p_data"]),
    ],
    ids=["proven", "used by ours", "perhaps another one"],
)
async def test_drop_removes_volumes_without_a_snapshot(
    down: Down, users: tuple[Container, ...], proven: bool, calls: list[str]
) -> None:
    """`down --volumes`: removed, and the next `up` begins empty; unless it may be another volume of that second."""
    engine = FakeEngine(*users, DATA)
    volume_transfer = FakeTransfer(engine)
    created = record("p_data", is_proven=proven)
    stopped, _ = await down(engine, volume_transfer=volume_transfer, creates=(created,), policy=VolumePolicy.DROP)
    assert engine.calls == calls
    assert stopped.saved.keys() == ({"data"} if len(calls) == 2 and not users else set())
    assert volume_transfer.endings == [("line of p_data", True)]


async def test_volume_on_a_host_folder_is_not_saved(down: Down) -> None:
    """A volume that is bound to a folder of the host."""
    engine = FakeEngine(replace(DATA, elsewhere=True))
    stopped, _ = await down(engine, creates=("p_data",))
    assert engine.calls == ["remove p_data"]
    assert stopped.survivors == ()


@pytest.mark.parametrize("policy", [VolumePolicy.SAVE, VolumePolicy.DROP])
async def test_a_restore_that_was_cut_off_is_saved_before_it_goes(down: Down, policy: VolumePolicy) -> None:
    """It may have new data; a partial restore is not a state of its own."""
    engine = FakeEngine(DATA)
    volume_transfer = FakeTransfer(engine)
    created = record("p_data", content=Content.RESTORING)
    stopped, _ = await down(engine, volume_transfer=volume_transfer, creates=(created,), policy=policy)
    assert engine.calls == ["rescue p_data", "remove p_data"]
    assert (volume_transfer.rescued, stopped.saved, stopped.survivors) == (["line of p_data"], {}, ())


async def test_a_restore_that_cannot_be_saved_stays(down: Down, run: Run) -> None:
    """Its content may be the only copy."""
    engine = FakeEngine(DATA)
    volume_transfer = FakeTransfer(engine)
    volume_transfer.fails["p_data"] = OSError(28, "No space left on device")
    created = record("p_data", content=Content.RESTORING)
    stopped, _ = await down(engine, volume_transfer=volume_transfer, creates=(created,))
    assert (stopped.survivors, engine.things, volume_transfer.endings) == (("volume p_data",), [DATA], [])
    left = run.read()
    assert left is not None
    assert left.record("p_data") == created


@pytest.mark.parametrize("policy", [VolumePolicy.SAVE, VolumePolicy.DROP, VolumePolicy.KEEP])
@pytest.mark.parametrize(
    "volume",
    [replace(DATA, created=LATER), replace(DATA, driver="other"), replace(DATA, created="")],
    ids=["created later", "another driver", "no time"],
)
async def test_a_volume_that_was_created_again_is_not_ours(
    down: Down, run: Run, volume: Volume, policy: VolumePolicy
) -> None:
    """It is neither saved nor removed, but reported, and it leaves the ledger."""
    engine = FakeEngine(volume)
    volume_transfer = FakeTransfer(engine)
    stopped, events = await down(
        engine, volume_transfer=volume_transfer, creates=("p_data",), times={"other": AT}, policy=policy
    )
    assert engine.calls == []
    assert [e for e in events if isinstance(e, Kept)] == [
        Kept("volume", "p_data", "devenv created an earlier volume of that name, not this one", "")
    ]
    assert (stopped.survivors, run.read(), volume_transfer.endings) == ((), None, [])


async def test_all_volumes_of_a_project_created_again(down: Down) -> None:
    """`docker compose down -v` and `up`: the data folder was not moved if another volume has its old time."""
    things = [replace(DATA, created=LATER), replace(MORE, created=LATER)]
    engine = FakeEngine(*things)
    engine.times = {"other": AT}
    stopped, events = await down(engine, creates=("p_data", "p_more"), times={"other": AT})
    assert (engine.calls, engine.things, stopped.survivors) == ([], things, ())
    assert not [e for e in events if isinstance(e, Notice)]


async def test_a_data_folder_that_was_moved(down: Down) -> None:
    """All volumes have new times: one notice, names count, and all volumes are saved first."""
    engine = FakeEngine(replace(DATA, created=LATER), replace(MORE, created=LATER))
    engine.times = {"other": LATER}
    created = [record(name, is_proven=True) for name in ("p_data", "p_more")]
    stopped, events = await down(engine, creates=created, times={"other": AT}, policy=VolumePolicy.DROP)
    assert sorted(engine.calls) == ["remove p_data", "remove p_more", "save p_data", "save p_more"]
    assert stopped.survivors == ()
    (notice,) = [e for e in events if isinstance(e, Notice)]
    assert "its data folder was moved" in notice.message


async def test_the_record_of_what_is_ours_goes_with_the_ledger(down: Down, run: Run) -> None:
    """It is removed with the last object of the run, and not before."""
    run.made.add("id-db")
    engine = FakeEngine(DB)
    engine.fails["remove", "id-db"] = [refused("driver failed")]
    await down(engine)
    assert run.made.holds(container("db", ours=False))
    engine.fails.clear()
    await down(engine)
    assert not run.made.holds(container("db", ours=False))


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(28, "No space left on device"), "no snapshot could be made of it: No space left on device"),
        (refused("input/output error"), "input/output error"),
    ],
)
async def test_a_volume_that_cannot_be_saved_stays(down: Down, run: Run, error: Exception, why: str) -> None:
    """It is a survivor with reason and command; the others are removed, and it stays in the ledger."""
    engine = FakeEngine(DATA, MORE)
    volume_transfer = FakeTransfer(engine)
    volume_transfer.fails["p_data"] = error
    stopped, events = await down(engine, volume_transfer=volume_transfer, creates=("p_data", "p_more"))
    (problem,) = [e for e in events if isinstance(e, Problem)]
    assert (problem.message, problem.hint) == (
        f"volume p_data is left: {why}",
        "devenv down   (saves and removes it)",
    )
    assert stopped.survivors == ("volume p_data",)
    assert stopped.removed == {"volume": 1}
    assert engine.things == [DATA]
    left = run.read()
    assert left is not None
    assert (left.phase, left.creates) == ("left", ("p_data", "p_more"))


async def test_a_volume_that_is_too_large_waits_for_the_next_run(down: Down, run: Run) -> None:
    """It is no survivor, and it alone stays in the ledger."""
    engine = FakeEngine(DATA, MORE)
    volume_transfer = FakeTransfer(engine)
    volume_transfer.fails["p_data"] = TooLargeError("larger than 2.0 GB")
    stopped, events = await down(engine, volume_transfer=volume_transfer, creates=("p_data", "p_more"))
    assert [e.name for e in events if isinstance(e, Kept)] == ["p_data"]
    assert (stopped.survivors, engine.things) == ((), [DATA])
    rest = run.read()
    assert rest is not None
    assert (rest.phase, rest.creates) == ("volumes", ("p_data",))


async def test_hurry_leaves_a_volume_that_takes_time(down: Down) -> None:
    """If hurry is set during a save, the volume stays, and the next `up` continues with it."""
    engine, hurry = FakeEngine(DATA), anyio.Event()
    volume_transfer = FakeTransfer(engine)
    volume_transfer.slow = "p_data"

    async def press() -> None:
        await volume_transfer.begun.wait()
        hurry.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(press)
        stopped, events = await down(engine, volume_transfer=volume_transfer, creates=("p_data",), hurry=hurry)
    assert stopped.survivors == ("volume p_data",)
    (problem,) = [e for e in events if isinstance(e, Problem)]
    assert problem.message == "volume p_data is left: no time for a snapshot; `devenv up` goes on with it"


async def test_a_volume_that_a_stranger_uses_is_left(down: Down, run: Run) -> None:
    """A later `down` removes it, once it has no user."""
    engine = FakeEngine(DATA)
    engine.fails["remove", "p_data"] = [refused("volume is in use - [abc]", 409)]
    stopped, events = await down(engine, creates=("p_data",))
    (problem,) = [e for e in events if isinstance(e, Problem)]
    assert problem.message == "volume p_data is left: something that is not ours uses it"
    assert stopped.survivors == ("volume p_data",)
    left = run.read()
    assert left is not None
    assert left.creates == ("p_data",)


async def test_a_volume_that_plain_compose_uses_is_its_own(down: Down, run: Run) -> None:
    """From then on it is the user's; the other volumes are removed."""
    engine = FakeEngine(replace(DB, ours=False, volumes=("p_data",)), DATA, MORE)
    engine.fails["remove", "p_data"] = [refused("volume is in use - [abc]", 409)]
    stopped, events = await down(engine, creates=("p_data", "p_more"))
    assert [e.reason for e in events if isinstance(e, Kept)] == ["something that is not ours uses it"]
    assert stopped.removed == {"volume": 1}
    assert run.read() is None


async def test_a_volume_that_the_engine_does_not_remove_is_a_survivor(down: Down) -> None:
    """Saved, but still there."""
    engine = FakeEngine(DATA)
    engine.fails["remove", "p_data"] = [EngineError("no answer within 60 s")]
    stopped, events = await down(engine, creates=("p_data",))
    (problem,) = [e for e in events if isinstance(e, Problem)]
    assert problem.message == "volume p_data is left: no answer within 60 s"
    assert stopped.survivors == ("volume p_data",)


async def test_hurry_cuts_graceful_stops_short(down: Down) -> None:
    """Set while a container takes long to stop: all are killed at once."""
    engine = FakeEngine(DB, API)
    engine.stopping = anyio.Event()
    hurry = anyio.Event()

    async def press() -> None:
        assert engine.stopping is not None
        await engine.stopping.wait()
        hurry.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(press)
        with anyio.fail_after(20):
            stopped, _ = await down(engine, hurry=hurry)
    assert engine.calls == ["stop id-api", "remove id-api", "remove id-db"]
    assert stopped.survivors == ()


async def test_late_create_is_found_and_removed(down: Down) -> None:
    """The guardian looks several times, and removes what a dying Compose still created."""
    engine = FakeEngine(DB)
    engine.later = [(4, container("late"))]
    stopped, _ = await down(engine, quiet_sweeps=4)
    assert "remove id-late" in engine.calls
    assert stopped.survivors == ()


@pytest.mark.parametrize(
    ("phase", "is_cut_off", "is_found"), [("up", False, True), ("detached", True, True), ("detached", False, False)]
)
async def test_late_creates_are_looked_for_only_after_a_death(
    run: Run, phase: str, *, is_cut_off: bool, is_found: bool
) -> None:
    """A run or a keeper that died may have requested an object that appears later; a detached run has not."""
    run.write(replace(begun(), phase=phase))
    run.made.add(DB.id, "id-late")
    if is_cut_off:
        run.made.open(Window("p", run.made.owner, frozenset(), {}, frozenset()))
    engine = FakeEngine(DB)
    engine.later = [(4, container("late"))]
    with anyio.fail_after(20):
        await teardown.finish(engine, run, lambda _: None, VolumePolicy.SAVE, "down")  # type: ignore[arg-type]
    assert ("remove id-late" in engine.calls) is is_found


async def test_children_of_a_keeper_that_died_end_first(run: Run) -> None:
    """Compose would go on creating containers that nothing removes."""
    run.write(replace(begun(), phase="detached"))
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:  # noqa: ASYNC220 - what the test itself does
        Path(run.children).write_text(f"{child.pid} {process.start_time(child.pid)}\n", encoding="ascii")
        await teardown.finish(FakeEngine(), run, lambda _: None, VolumePolicy.SAVE, "down")  # type: ignore[arg-type]
        assert child.wait(5) == -signal.SIGINT


def test_sweeps_count_what_comes_in_a_row() -> None:
    """Looks that find nothing, and looks that find only what the sweep before could not remove."""
    sweeps = Sweeps()
    ids = [{"a", "b"}, {"a"}, {"a"}, {"a"}, set[str](), set[str](), {"a"}]
    counts = []
    for there in ids:
        sweeps = sweeps.after(frozenset(there))
        counts.append((sweeps.quiet, sweeps.stuck))
    assert counts == [(0, 0), (0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (0, 0)]
    assert STUCK_SWEEPS > 2


@pytest.mark.parametrize(("phase", "sweeps"), [("up", CUT_OFF_SWEEPS), ("detached", 1), ("kept", 1), ("left", 1)])
def test_after_a_run_that_died_more_looks_are_taken(run: Run, phase: str, sweeps: int) -> None:
    """If the teardown is interrupted, its ledger is that of a dead run, which any command may continue."""
    ledger = replace(begun(), phase=phase)
    transfer = FakeTransfer(FakeEngine())
    transfer.run = run
    way = of_earlier(ledger, transfer, VolumePolicy.SAVE)  # type: ignore[arg-type]
    assert (way.quiet_sweeps, way.ledger.phase) == (sweeps, "up")
    assert run.read() == way.ledger
