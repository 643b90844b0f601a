"""Containers of an engine in memory, and their files."""

from __future__ import annotations

import contextlib
import io

import pytest

from devenv.docker import containers
from devenv.docker.containers import Usage
from devenv.docker.transport import CallError
from devenv.model.containers import ONE_OFF_LABEL, OWNER_LABEL
from support.engine import BASE_IMAGE, FOLDER, Container, Fails, MemoryEngine, MemoryHost, Node, pack, unpack
from support.memory import verbs
from support.memory.faults import Fault
from support.memory.played import placed

pytestmark = pytest.mark.anyio

ENTRIES = {"app": FOLDER, "app/file": Node("file", b"content"), "app/link": Node("link", target="file")}


@pytest.fixture
def host() -> MemoryHost:
    return MemoryHost()


@pytest.fixture
def engine(host: MemoryHost) -> MemoryEngine:
    return MemoryEngine(host)


async def test_containers_of_a_project_are_sorted(host: MemoryHost, engine: MemoryEngine) -> None:
    """The order is by service and name; the records of a run decide whose they are."""
    for service, number in (("web", 2), ("web", 1), ("db", 1)):
        placed(host, service, number=number)
    placed(host, "web", project="other", id="other")
    engine.is_ours = lambda resource: resource.name == "p-db-1"
    assert [(c.name, c.ours) for c in await engine.containers.list("p")] == [
        ("p-db-1", True),
        ("p-web-1", False),
        ("p-web-2", False),
    ]


@pytest.mark.parametrize(("owner", "is_listed"), [("", False), ("a run", True)])
async def test_a_one_off_of_somebody_else_is_left_out(
    host: MemoryHost, engine: MemoryEngine, owner: str, *, is_listed: bool
) -> None:
    container = placed(host, "web")
    container.labels[ONE_OFF_LABEL] = "True"
    if owner:
        container.labels[OWNER_LABEL] = owner
    assert bool(await engine.containers.list("p")) is is_listed


async def test_a_container_that_is_gone(engine: MemoryEngine) -> None:
    """Inspecting gives None, removing is done; a restart is an error."""
    gone = await engine.containers.inspect("none")
    assert gone is None
    await engine.containers.remove("none")
    container = await engine.containers.inspect(placed(engine.host, "web").id)
    assert container is not None
    engine.host.containers.clear()
    await engine.containers.stop(container)
    with pytest.raises(CallError, match="No such container"):
        await engine.containers.restart(container)


@pytest.mark.parametrize(("failures", "is_started"), [(0, True), (2, True), (9, False)])
async def test_a_container_that_a_failed_restart_has_ended_is_started(
    host: MemoryHost, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch, failures: int, *, is_started: bool
) -> None:
    """A busy engine may end a container and give up; the next try may fail, too, but not all of them."""
    monkeypatch.setattr(containers, "AGAIN", (0.0, 0.0, 0.0))
    web = placed(host, "web", "running")
    container = await engine.containers.inspect(web.id)
    assert container is not None
    verbs.stop(host, web)
    engine.faults.on("POST containers/.*/restart", Fails(500, "did not receive an exit event"))
    engine.faults.on("POST containers/.*/start", Fails(500, "busy"), failures)
    failure = contextlib.nullcontext() if is_started else pytest.raises(CallError, match="exit event")
    with failure:
        await engine.containers.restart(container)
    assert web.running is is_started


@pytest.mark.parametrize(("fault", "is_restarted"), [(Fault.LOST, True), (Fails(500, "out of pids"), False)])
async def test_a_restart_without_an_answer_counts_if_the_container_was_started(
    host: MemoryHost, engine: MemoryEngine, fault: Fault | Fails, *, is_restarted: bool
) -> None:
    """If it still runs as before, the error is raised."""
    web = placed(host, "web", "running")
    container, began = await engine.containers.inspect(web.id), web.started
    assert container is not None
    engine.faults.on("POST containers/.*/restart", fault)
    with contextlib.nullcontext() if is_restarted else pytest.raises(CallError, match="out of pids"):
        await engine.containers.restart(container)
    assert (web.running, web.started != began) == (True, is_restarted)


async def test_a_created_container_is_not_started(engine: MemoryEngine) -> None:
    key = await engine.containers.create({"Image": BASE_IMAGE}, "name")
    container = await engine.containers.inspect(key)
    assert container is not None
    assert (container.name, container.state) == ("name", "created")
    with pytest.raises(CallError, match="already in use"):
        await engine.containers.create({"Image": BASE_IMAGE}, "name")


async def test_a_paused_container(host: MemoryHost, engine: MemoryEngine) -> None:
    container = placed(host, "web")
    await engine.containers.pause(container.id, on=True)
    assert container.state == "paused"
    await engine.containers.pause(container.id, on=False)
    assert container.state == "running"


async def test_the_output_of_the_last_health_check_if_that_failed(host: MemoryHost, engine: MemoryEngine) -> None:
    log = [{"ExitCode": 1, "Output": "first"}, {"ExitCode": 1, "Output": " last \n"}]
    container = placed(host, "web", health="healthy", health_log=log)
    assert await engine.containers.health_output(container.id) == "last"
    container.health_log = [*log, {"ExitCode": 0, "Output": "ok"}]
    assert await engine.containers.health_output(container.id) == ""
    assert await engine.containers.health_output(placed(host, "db").id) == ""
    assert await engine.containers.health_output("none") == ""


async def test_the_log_of_a_container_that_has_ended(host: MemoryHost, engine: MemoryEngine) -> None:
    """Whole, or its last lines; with times if that is wanted."""
    container = await engine.containers.inspect(placed(host, "web", "exited", lines=("one", "two")).id)
    assert container is not None
    assert [line async for line in engine.containers.logs(container)] == [("stdout", "one"), ("stdout", "two")]
    (line,) = [line async for _, line in engine.containers.logs(container, tail="1", timed=True)]
    time, _, text = line.partition(" ")
    assert (time[-1], text) == ("Z", "two")


def test_the_share_of_a_processor() -> None:
    """100 percent is one processor; without time between two measurements there is no share."""
    before = Usage(cpu=0, system=0, cpus=4, memory=0)
    assert Usage(cpu=50, system=400, cpus=4, memory=0).percent_since(before) == 50.0
    assert Usage(cpu=50, system=0, cpus=4, memory=0).percent_since(before) == 0.0


async def test_the_usage_of_a_container(host: MemoryHost, engine: MemoryEngine) -> None:
    container = placed(host, "web")
    before = await engine.containers.usage(container.id)
    host.advance(10)
    after = await engine.containers.usage(container.id)
    assert (after.memory, after.cpus) == (1 << 20, 2)
    assert after.percent_since(before) == pytest.approx(2.0)


@pytest.fixture
async def container(engine: MemoryEngine) -> Container:
    """A stopped container with a folder, a file and a link."""
    container = placed(engine.host, "web", "exited")
    await engine.archive.put(container.id, pack(ENTRIES))
    return container


async def test_a_folder_is_read_and_saved(engine: MemoryEngine, container: Container) -> None:
    """Names of entries begin with the folder's own name."""
    content = await engine.archive.get(container.id, "/app")
    assert content is not None
    assert [*unpack(content)] == ["app", "app/file", "app/link"]
    file = io.BytesIO()
    await engine.archive.save(container.id, "/app", file.write)
    assert file.getvalue() == content


async def test_a_path_that_does_not_exist(engine: MemoryEngine, container: Container) -> None:
    file = io.BytesIO()
    for path in ("/none", "/app/file/none"):
        assert await engine.archive.get(container.id, path) is None
        assert await engine.archive.is_link(container.id, path) is None
        await engine.archive.save(container.id, path, file.write)
    assert file.getvalue() == b""


async def test_a_link_is_told_from_a_file(engine: MemoryEngine, container: Container) -> None:
    links = [await engine.archive.is_link(container.id, f"/app/{name}") for name in ("link", "file", "")]
    assert links == [True, False, False]


async def test_a_head_request_that_fails_is_followed_by_a_get(engine: MemoryEngine, container: Container) -> None:
    """Its answer has no reason; a link that leads to itself exists, and any other error is raised."""
    request = f"HEAD containers/{container.id}/archive"
    engine.faults.on(request, Fails(500, ""))
    assert await engine.archive.is_link(container.id, "/app") is True
    for reason, expected in (("too many links", True), ("no space left", None)):
        engine.faults.on(request, Fails(500, ""))
        engine.faults.on(f"GET containers/{container.id}/archive", Fails(500, reason))
        if expected:
            assert await engine.archive.is_link(container.id, "/app") is expected
        else:
            with pytest.raises(CallError, match=reason):
                await engine.archive.is_link(container.id, "/app")


async def test_a_broken_tar_is_refused(engine: MemoryEngine, container: Container) -> None:
    with pytest.raises(CallError):
        await engine.archive.put(container.id, b"no tar" * 1000)
