"""Failures on demand between devenv and the engine in memory, and whole commands on a machine in memory."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from devenv.docker.compose_failures import VerbError
from devenv.docker.transport import CallError
from devenv.errors import EngineError, StateError
from devenv.model.containers import PROJECT_LABEL
from support.engine import (
    BASE_IMAGE,
    ComposeError,
    Crash,
    Fails,
    Fault,
    MemoryCompose,
    MemoryEngine,
    MemoryHost,
    PlainCompose,
    PlainDocker,
    pair,
)
from support.memory.machine import Machine, model, mounted, shown

pytestmark = pytest.mark.anyio

MODEL = model("shop", web={"volumes": [mounted("data")]}, db={})


def text(written: object = MODEL) -> bytes:
    return json.dumps(written).encode()


@pytest.fixture
def host() -> MemoryHost:
    """An engine."""
    return MemoryHost()


@pytest.fixture
def api(host: MemoryHost) -> MemoryEngine:
    """A client of the engine."""
    return MemoryEngine(host)


@pytest.fixture
def compose(api: MemoryEngine) -> MemoryCompose:
    """Compose beside that client."""
    return pair(api.host, api)[1]("shop", "/srv/shop", text())


async def test_a_request_fails_without_an_effect(api: MemoryEngine) -> None:
    api.faults.on("volumes/create", Fails(507, "no space left on device"))
    with pytest.raises(CallError, match="no space left") as caught:
        await api.volumes.create({"Name": "data"})
    assert caught.value.status == 507
    assert await api.volumes.inspect("data") is None
    await api.volumes.create({"Name": "data"})
    assert await api.volumes.inspect("data") is not None


@pytest.mark.parametrize(("fault", "is_there"), [(Fault.REFUSED, False), (Fault.LOST, True)])
async def test_a_lost_answer_tells_nothing_of_the_effect(
    host: MemoryHost, api: MemoryEngine, fault: Fault, *, is_there: bool
) -> None:
    api.faults.at(1, fault)
    with pytest.raises(EngineError, match="cannot reach the Docker engine"):
        await api.volumes.create({"Name": "data"})
    assert ("data" in host.volumes) == is_there


async def test_an_engine_that_hangs_does_not_answer(api: MemoryEngine) -> None:
    api.idle = 0.01
    api.faults.at(2, Fault.HANGS)
    assert await api.volumes.inspect("data") is None
    with pytest.raises(EngineError, match="does not answer"):
        await api.volumes.inspect("data")


@pytest.mark.parametrize(("fault", "is_there"), [(Fault.KILLED_BEFORE, False), (Fault.KILLED_AFTER, True)])
async def test_a_client_that_was_killed_has_no_effect_any_more(
    host: MemoryHost, api: MemoryEngine, fault: Fault, *, is_there: bool
) -> None:
    seen: list[bool] = []
    api.faults.at_crash.append(lambda: seen.append("data" in host.volumes))
    api.faults.on("POST volumes/create", fault)
    with pytest.raises(Crash):
        await api.volumes.create({"Name": "data"})
    with pytest.raises(Crash):
        await api.volumes.create({"Name": "more"})
    assert seen == [is_there]
    assert list(host.volumes) == ["data"][: int(is_there)]
    again = MemoryEngine(host)
    assert (await again.volumes.inspect("data") is not None) == is_there, "another process goes on"


async def test_compose_goes_on_after_its_parent_was_killed(api: MemoryEngine, compose: MemoryCompose) -> None:
    api.faults.on("compose POST containers/create", Fault.KILLED_AFTER)
    heard: list[tuple[str, str]] = []
    with pytest.raises(Crash):
        await compose.create(on_created=lambda kind, name: heard.append((kind, name)))
    assert [c.name for c in api.host.containers.values()] == ["shop-db-1"]
    assert heard[-1] == ("container", "shop-db-1"), "it heard that it is being created"
    (left,) = compose.home.left
    assert not left.go_on(0)
    assert left.go_on(1)
    assert [c.name for c in api.host.containers.values()] == ["shop-db-1", "shop-web-1"]


async def test_compose_that_was_killed_leaves_what_it_did(api: MemoryEngine, compose: MemoryCompose) -> None:
    await compose.create()
    api.faults.on("compose DELETE", Fault.CHILD_KILLED_BEFORE)
    with pytest.raises(VerbError):
        await compose.create(["web"], force=True)
    names = [c.name for c in (await api.project_state("shop")).containers]
    (passing,) = (name for name in names if name.endswith("_shop-web-1"))
    assert {passing.partition("_")[0]} == {c.id[:12] for c in api.host.containers.values() if c.name == "shop-web-1"}
    assert compose.home.left == []
    await compose.create(["web"], force=True)
    assert sorted(c.name for c in api.host.containers.values()) == ["shop-db-1", "shop-web-1"]


async def test_compose_ends_in_the_middle_if_it_is_cancelled(api: MemoryEngine, compose: MemoryCompose) -> None:
    api.faults.on("containers/create", Fault.HANGS)
    with anyio.move_on_after(0.01):
        await compose.create()
    assert api.host.containers == {}
    assert [n.name for n in api.host.networks.values()] == ["shop_default"]
    compose.home.go_on()
    assert len(api.host.containers) == 2


async def test_an_engine_that_starts_again_has_ended_all_and_closed_its_streams(
    api: MemoryEngine, compose: MemoryCompose
) -> None:
    await compose.create()
    await compose.start()
    seen: list[str] = []

    async def listen() -> None:
        async for event in api.events("shop"):
            seen.append(str(event.get("Action", "begins")))  # noqa: PERF401 - it is never over

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.sleep(0.01)
        api.host.stop_engine()
        with pytest.raises(EngineError):
            await api.project_state("shop")
        api.host.start_engine()
        states = {c.state for c in (await api.project_state("shop")).containers}
        await anyio.sleep(0.6)
        tasks.cancel_scope.cancel()
    assert states == {"exited"}
    assert seen == ["begins", "begins"]


async def test_two_addresses_are_one_engine_and_two_engines_may_have_one_id() -> None:
    host, copy = MemoryHost(), MemoryHost()
    first, other, foreign = MemoryEngine(host), MemoryEngine(host), MemoryEngine(copy)
    await first.volumes.create({"Name": "data"})
    assert await other.volumes.inspect("data") is not None
    assert await foreign.volumes.inspect("data") is None
    assert await first.identity() == await other.identity() == await foreign.identity()


async def test_volumes_have_the_second_of_their_creation_or_of_their_move(
    host: MemoryHost, api: MemoryEngine
) -> None:
    first = await api.volumes.create({"Name": "data"})
    await api.volumes.remove("data")
    assert await api.volumes.create({"Name": "data"}) == first, "the same second"
    host.advance(1)
    second = await api.volumes.create({"Name": "other"})
    assert second.created > first.created
    host.advance(60)
    host.move_root("/srv/docker")
    moved = await api.volumes.inspect("data"), await api.volumes.inspect("other")
    assert {v.created for v in moved if v} == {"2026-01-01T00:01:01Z"}
    assert (await api.identity())[1] == "/srv/docker"


def test_ids_are_the_same_for_the_same_seed() -> None:
    def ids(seed: int) -> list[str]:
        host = MemoryHost(seed=seed)
        return [PlainDocker(host).create(BASE_IMAGE, "true") for _ in range(3)]

    assert ids(1) == ids(1)
    assert len({*ids(1), *ids(2)}) == 6


def test_a_verb_that_waits_for_ever_is_an_error(host: MemoryHost) -> None:
    host.program = lambda _, __: None
    check = {"test": ["CMD", "true"]}
    needs = {"db": {"condition": "service_healthy", "required": True}}
    plain = PlainCompose(host, "shop", "/work", model("shop", web={"depends_on": needs}, db={"healthcheck": check}))
    with pytest.raises(ComposeError, match="waits"):
        plain.up()


async def test_commands_in_containers_are_the_tests_own(host: MemoryHost, api: MemoryEngine) -> None:
    key = PlainDocker(host).run(BASE_IMAGE, "sleep", "inf", labels={PROJECT_LABEL: "shop"})
    host.execution = lambda _, argv, options: (3, f"{argv} {options['User']}\n".encode())
    assert await api.exec.run(key, ["ls"], user="me") == (3, "['ls'] me\n")
    PlainDocker(host).stop(key)
    with pytest.raises(CallError, match="is not running"):
        await api.exec.run(key, ["ls"])


# --- whole commands ----------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine of the test's own."""
    return Machine(tmp_path)


CHECKED = {"volumes": [mounted("data")], "healthcheck": {"test": ["CMD", "true"]}}


def test_a_run_saves_its_volume_and_the_next_one_has_it_again(machine: Machine) -> None:
    site = machine.site("shop", web=CHECKED)

    async def runs() -> None:
        first = await machine.run_up(site, then=lambda: machine.docker.write("shop_data", "a/b", b"one"))
        assert first.code == 130, shown(first)
        assert not machine.host.containers
        assert not machine.host.volumes
        assert not machine.host.networks
        contents: list[bytes | None] = []
        await machine.run_up(site, then=lambda: contents.append(machine.docker.read("shop_data", "a/b")))
        assert contents == [b"one"]

    machine.run(runs)


def test_a_run_that_was_killed_is_ended_by_its_guardian(machine: Machine) -> None:
    site = machine.site("shop", web=CHECKED)

    async def runs() -> None:
        async with anyio.create_task_group() as tasks:
            command = await machine.up(site, tasks=tasks)
            machine.docker.write("shop_data", "a", b"one")
            await command.killed()
        assert len(machine.host.containers) == 1, "who was killed ends nothing"
        assert "data" not in [event.volume for event in command.events if hasattr(event, "volume")]
        await machine.guard(command)
        assert not machine.host.containers
        assert not machine.host.volumes
        contents: list[bytes | None] = []
        await machine.run_up(site, then=lambda: contents.append(machine.docker.read("shop_data", "a")))
        assert contents == [b"one"]

    machine.run(runs)


def test_power_that_is_cut_leaves_volumes_and_nothing_that_runs(machine: Machine) -> None:
    site = machine.site("shop", web=CHECKED)

    async def runs() -> None:
        async with anyio.create_task_group() as tasks:
            command = await machine.up(site, tasks=tasks)
            machine.docker.write("shop_data", "a", b"one")
            await machine.cut_power(command)
        assert [c.state for c in machine.host.containers.values()] == ["exited"]
        await machine.guard(command)
        assert len(machine.host.containers) == 1, "there is no guardian any more"
        ended = await machine.gc()
        assert ended.code == 0, shown(ended)
        assert not machine.host.containers
        assert not machine.host.volumes
        contents: list[bytes | None] = []
        await machine.run_up(site, then=lambda: contents.append(machine.docker.read("shop_data", "a")))
        assert contents == [b"one"]

    machine.run(runs)


def test_another_address_is_the_same_engine(machine: Machine) -> None:
    site = machine.site("shop", web=CHECKED)
    machine.engines["unix:///run/other.sock"] = machine.host

    async def runs() -> None:
        await machine.run_up(site, then=lambda: machine.docker.write("shop_data", "a", b"one"))
        machine.address = "unix:///run/other.sock"
        contents: list[bytes | None] = []
        await machine.run_up(site, then=lambda: contents.append(machine.docker.read("shop_data", "a")))
        assert contents == [b"one"]

    machine.run(runs)


def test_another_owner_is_told_whose_project_it_is(machine: Machine) -> None:
    site = machine.site("shop", web=CHECKED)

    async def runs() -> None:
        mine = await machine.run_up(site, detach=True)
        assert mine.code == 0, shown(mine)
        there = list(machine.host.containers)
        machine.owner = "another"
        theirs = await machine.run_up(site, detach=True)
        assert isinstance(theirs.error, StateError), shown(theirs)
        assert list(machine.host.containers) == there
        machine.owner = "state"
        assert (await machine.down(site)).code == 0
        assert not machine.host.containers

    machine.run(runs)


def test_plain_compose_stands_beside(machine: Machine) -> None:
    site = machine.site("shop", web=CHECKED)

    async def runs() -> None:
        machine.plain(site).up()
        machine.docker.write("shop_data", "a", b"theirs")
        there = list(machine.host.containers)
        assert (await machine.run_up(site)).code == 130
        assert list(machine.host.containers) == there
        machine.plain(site).down(volumes=True)
        assert not machine.host.volumes

    machine.run(runs)


def test_waiting_takes_no_time(machine: Machine) -> None:
    async def wait() -> float:
        began = anyio.current_time()
        with pytest.raises(TimeoutError), anyio.fail_after(3600):
            await anyio.sleep_forever()
        return anyio.current_time() - began

    before = machine.host.now
    assert machine.run(wait) >= 3600
    assert machine.host.now - before == pytest.approx(3600 * 10**9, rel=1e-3)
