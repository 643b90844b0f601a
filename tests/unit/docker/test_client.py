"""A connected engine: its version, its identity, and the state of a project."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from devenv.docker import client
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.model.containers import PROJECT_LABEL
from support.engine import BASE_IMAGE, Fails, Fault, MemoryEngine, MemoryHost
from support.memory import shown, verbs
from support.memory.played import placed

pytestmark = pytest.mark.anyio


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost()


@pytest.mark.parametrize(
    ("newest", "oldest", "used"),
    [("1.41", "1.12", "/v1.41"), ("1.52", "1.24", "/v1.52"), ("1.60", "1.44", "/v1.52"), ("1.60", "1.55", "/v1.55")],
)
async def test_the_newest_version_that_both_sides_support(
    monkeypatch: pytest.MonkeyPatch, host: MemoryHost, newest: str, oldest: str, used: str
) -> None:
    monkeypatch.setattr(
        shown, "VERSION", {"ApiVersion": newest, "MinAPIVersion": oldest, "Os": "linux", "Arch": "arm64"}
    )
    async with MemoryEngine.on(host) as engine:
        assert (engine._version, engine.platform, engine.idle) == (used, "linux/arm64", client.IDLE_TIMEOUT)


@pytest.mark.parametrize(("name", "is_podman"), [("Podman Engine", True), ("Engine", False)])
async def test_podman(monkeypatch: pytest.MonkeyPatch, host: MemoryHost, name: str, is_podman: bool) -> None:
    """It is known from the answer for the version."""
    version = {"ApiVersion": "1.41", "Os": "linux", "Arch": "arm64", "Components": [{"Name": name}]}
    monkeypatch.setattr(shown, "VERSION", version)
    async with MemoryEngine.on(host) as engine:
        assert engine.is_podman is is_podman


async def test_an_engine_that_is_too_old(monkeypatch: pytest.MonkeyPatch, host: MemoryHost) -> None:
    monkeypatch.setattr(shown, "VERSION", {"ApiVersion": "1.40", "MinAPIVersion": "1.12"})
    with pytest.raises(EngineError, match=r"too old: its API version is 1\.40, devenv needs 1\.41") as raised:
        async with MemoryEngine.on(host):
            pass
    assert raised.value.hint == client.UPGRADE


async def test_no_engine_listens(tmp_path: Any) -> None:
    with pytest.raises(EngineError, match="cannot reach the Docker engine"):
        async with Engine.connect(Endpoint(f"unix://{tmp_path}/none.sock")):
            pass


async def test_identity_and_clock(host: MemoryHost) -> None:
    engine = MemoryEngine(host)
    assert await engine.identity() == (host.id, host.root)
    assert await engine.clock() == dt.datetime.fromtimestamp(host.now // 10**9, dt.UTC)


async def test_the_state_of_a_project(host: MemoryHost) -> None:
    """Containers, networks and volumes with the project's label; nothing of another project."""
    engine = MemoryEngine(host)
    for project in ("p", "q"):
        placed(host, "web", project=project, id=f"id-{project}")
        verbs.create_network(host, {"Name": f"{project}_default", "Labels": {PROJECT_LABEL: project}})
        verbs.create_volume(host, {"Name": f"{project}_data", "Labels": {PROJECT_LABEL: project}})
    state = await engine.project_state("p")
    assert [c.name for c in state.containers] == ["p-web-1"]
    assert [n.name for n in state.networks] == ["p_default"]
    assert [v.name for v in state.volumes] == ["p_data"]


@contextlib.asynccontextmanager
async def listening(engine: MemoryEngine) -> AsyncIterator[list[dict[str, Any]]]:
    """The events of the project `p` that have come by now; the stream has begun."""
    events: list[dict[str, Any]] = []

    async def listen() -> None:
        async for event in engine.events("p"):
            events.append(event)  # noqa: PERF401 - it does not end

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        yield events
        tasks.cancel_scope.cancel()


async def test_events_of_a_project(host: MemoryHost) -> None:
    """An empty event says that the stream has begun."""
    async with listening(MemoryEngine(host)) as events:
        host.emit_event("container", "start", "other", {PROJECT_LABEL: "q"})
        host.emit_event("container", "die", "mine", {PROJECT_LABEL: "p"})
        await anyio.wait_all_tasks_blocked()
    begin, event = events
    assert (begin, event["Action"], event["Actor"]["ID"]) == ({}, "die", "mine")


async def test_events_of_networks_have_no_project(host: MemoryHost) -> None:
    """With actions, those of all networks are included; those of other projects' containers never are."""
    seen: list[dict[str, Any]] = []

    async def listen() -> None:
        async for event in MemoryEngine(host).events("p", ("die", "health_status", "disconnect")):
            seen.append(event)  # noqa: PERF401 - it does not end

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        host.emit_event("container", "die", "other", {PROJECT_LABEL: "q"})
        host.emit_event("container", "start", "mine", {PROJECT_LABEL: "p"})
        host.emit_event("container", "health_status: healthy", "mine", {PROJECT_LABEL: "p"})
        host.emit_event("network", "disconnect", "net", {"name": "p_default"})
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert [event.get("Action") for event in seen] == [None, "health_status: healthy", "disconnect"]


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fails(500, "no")])
async def test_events_after_a_gap(monkeypatch: pytest.MonkeyPatch, host: MemoryHost, fault: Fault | Fails) -> None:
    """The stream begins again with what happened meanwhile, even if the first request fails."""
    monkeypatch.setattr(client, "EVENTS_PAUSE", 0.0)
    engine = MemoryEngine(host)
    async with listening(engine) as events:
        host.emit_event("container", "start", "a", {PROJECT_LABEL: "p"})
        await anyio.wait_all_tasks_blocked()
        engine.faults.on("GET events", fault)
        host.lives += 1
        host.wake()
        host.emit_event("container", "die", "a", {PROJECT_LABEL: "p"})
        await anyio.wait_all_tasks_blocked()
    assert [event.get("Action") for event in events] == [None, "start", None, "start", "die"]
    assert len([request for request in engine.faults.asked if request.endswith("GET events")]) == 3


async def test_networks_of_a_project() -> None:
    """The records of a run decide whose they are."""
    host = MemoryHost()
    engine = MemoryEngine(host)
    verbs.create_network(host, {"Name": "p_default", "Labels": {PROJECT_LABEL: "p"}})
    verbs.create_network(host, {"Name": "other"})
    assert [(n.name, n.ours) for n in await engine.networks.list("p")] == [("p_default", False)]
    engine.is_ours = lambda _: True
    assert [(n.name, n.ours) for n in await engine.networks.list("p")] == [("p_default", True)]
    assert {"p_default", "other"} <= await engine.networks.names()


async def test_a_network_in_use_is_not_removed() -> None:
    host = MemoryHost()
    engine = MemoryEngine(host)
    network = verbs.create_network(host, {"Name": "n"})
    container = placed(host, "web", networks=("n",))
    assert await engine.networks.users(network.id) == ("p-web-1",)
    with pytest.raises(CallError, match="active endpoints"):
        await engine.networks.remove(network.id)
    host.containers.pop(container.id)
    await engine.networks.remove(network.id)
    await engine.networks.remove(network.id)
    assert "n" not in await engine.networks.names()


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine(MemoryHost())


async def test_a_volume_of_a_project(engine: MemoryEngine) -> None:
    """Created once: the second time, the existing volume is returned."""
    volume = await engine.volumes.create({"Name": "p_data", "Labels": {PROJECT_LABEL: "p"}})
    assert await engine.volumes.create({"Name": "p_data"}) == volume
    await engine.volumes.create({"Name": "other"})
    assert await engine.volumes.list("p") == (volume,)
    assert await engine.volumes.inspect("p_data") == volume
    assert await engine.volumes.times() == {
        "p_data": volume.created,
        "other": (await engine.volumes.create({"Name": "other"})).created,
    }


async def test_a_volume_in_use_is_not_removed(engine: MemoryEngine) -> None:
    await engine.volumes.create({"Name": "data"})
    mount = {"Type": "volume", "Source": "data", "Target": "/x"}
    holder = await engine.containers.create({"Image": BASE_IMAGE, "HostConfig": {"Mounts": [mount]}}, "holder")
    assert await engine.volumes.users("data") == ("holder",)
    with pytest.raises(CallError, match="in use"):
        await engine.volumes.remove("data")
    await engine.containers.remove(holder)
    await engine.volumes.remove("data")
    assert await engine.volumes.inspect("data") is None


async def test_a_volume_that_is_gone_is_removed(engine: MemoryEngine) -> None:
    await engine.volumes.remove("none")
    assert await engine.volumes.users("none") == ()


async def test_nothing_is_asked_twice(host: MemoryHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """What connecting asked is known afterwards; whether the identity stays the same, only the engine can tell."""
    async with MemoryEngine.on(host) as engine:
        await engine._ask_ahead()
        asked, answered = list[str](), engine.client.answered

        async def noted(method: str, path: str, *given: Any) -> Any:
            asked.append(path)
            return await answered(method, path, *given)

        monkeypatch.setattr(engine.client, "answered", noted)
        assert (await engine.about("info"))["ID"] == host.id
        assert "ApiVersion" in await engine.about("version")
        assert await engine.identity() == (host.id, host.root)
        assert asked == []
        await engine.identity()
        assert asked == ["info"]
