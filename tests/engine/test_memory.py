"""The in-memory engine and Compose behave like the real ones."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.docker.cli import Compose
from devenv.docker.client import Engine
from devenv.docker.compose_failures import VerbError
from devenv.docker.transport import CallError
from devenv.errors import PortError
from devenv.model.containers import HOLDS_LABEL, ONE_OFF_LABEL, OWNER_LABEL, PROJECT_LABEL, Container
from support.engine import BASE_IMAGE, MemoryHost, Node, PlainCompose, PlainDocker, pack, pair, unpack
from support.plain_docker import DockerVerbs, PlainVerbs, RealCompose, RealDocker
from support.stack import free_port, unique_name

pytestmark = pytest.mark.anyio

IDLE = ["sleep", "1000"]


@dataclass
class Pair:
    """An engine and Compose, with plain Docker and Compose; `project` is a unique name."""

    engine: Engine
    new_compose: Callable[..., Compose]
    docker: DockerVerbs
    new_plain: Callable[[str, str, Mapping[str, Any]], PlainVerbs]
    project: str
    directory: str

    def compose(self, model: Mapping[str, Any]) -> Compose:
        """Compose as devenv runs it."""
        return self.new_compose(self.project, self.directory, json.dumps(model).encode())

    def plain(self, model: Mapping[str, Any]) -> PlainVerbs:
        """Compose as others run it."""
        return self.new_plain(self.project, self.directory, model)

    def name(self, suffix: str) -> str:
        """A name of this test's own."""
        return f"{self.project}-{suffix}"

    def model(self, **services: Mapping[str, Any]) -> dict[str, Any]:
        """A resolved model with these services, which are idle by default."""
        idle = {"image": BASE_IMAGE, "command": IDLE, "stop_grace_period": "0s", "networks": {"default": None}}
        return {
            "name": self.project,
            "services": {name: {**idle, **more} for name, more in services.items()},
            "networks": {"default": {"name": f"{self.project}_default", "labels": {OWNER_LABEL: "me"}}},
            "volumes": {"data": {"name": f"{self.project}_data"}},
        }

    async def holder(self, volume: str, *, copies: bool = False, **more: Any) -> str:
        """A container that mounts the volume and never runs, as for snapshots."""
        options = {} if copies else {"NoCopy": True}
        mount = {"Type": "volume", "Source": volume, "Target": "/.held", "VolumeOptions": options}
        labels = {PROJECT_LABEL: self.project, HOLDS_LABEL: volume, ONE_OFF_LABEL: "True", OWNER_LABEL: "me"}
        wish = {"Image": BASE_IMAGE, "Entrypoint": [], "Cmd": ["-"], "Labels": labels}
        config = {"NetworkMode": "none", "Mounts": [mount]}
        return await self.engine.containers.create({**wish, "HostConfig": config, **more})


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.engine)])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """The pair in memory, and the real pair."""
    name, folder = unique_name(request.node.originalname), str(tmp_path)
    if request.param == "memory":
        host = MemoryHost()
        engine, compose = pair(host)

        def plain(project: str, directory: str, model: Mapping[str, Any]) -> PlainVerbs:
            return PlainCompose(host, project, directory, model)

        yield Pair(engine, compose, PlainDocker(host), plain, name, folder)
        return
    request.getfixturevalue("base_image")
    async with Engine.connect() as real:
        try:
            yield Pair(real, Compose, RealDocker(), RealCompose, name, folder)
        finally:
            await remove_all(real, name)


async def remove_all(engine: Engine, project: str) -> None:
    """Remove everything with the project's label or a name that begins with the project's."""
    query = {"all": "1", "filters": json.dumps({"name": [project]})}
    one_offs = {"all": "1", "filters": json.dumps({"label": [f"{PROJECT_LABEL}={project}"]})}
    for asked in (query, one_offs):
        for entry in await engine.ask("containers/json", "listing", list, asked):
            await engine.containers.remove(entry["Id"])
    networks, volumes = await engine.networks.names(), await engine.volumes.times()
    for network in (n for n in networks if n.startswith(project)):
        await engine.networks.remove(network)
    for volume in (v for v in volumes if v.startswith(project)):
        await engine.volumes.remove(volume)
    await engine.images.remove(f"{project}-copy:1")


async def containers(both: Pair) -> dict[str, Container]:
    """The project's containers by name, without the project's prefix."""
    found_containers = (await both.engine.project_state(both.project)).containers
    return {c.name.removeprefix(f"{both.project}-"): c for c in found_containers}


async def inspected(both: Pair, key: str) -> Container:
    """The container, which must exist."""
    container = await both.engine.containers.inspect(key)
    assert container is not None
    return container


VOLUMES = [
    {"type": "volume", "source": "data", "target": "/data", "volume": {}},
    {"type": "volume", "target": "/anonymous", "volume": {}},
]


async def test_create_starts_nothing(both: Pair) -> None:
    needs = {"db": {"condition": "service_started", "required": True}}
    labels = {OWNER_LABEL: "me", "price": "$$1"}
    model = both.model(web={"depends_on": needs, "volumes": VOLUMES, "labels": labels}, db={"scale": 2})
    reported: list[tuple[str, str]] = []
    await both.compose(model).create(on_created=lambda kind, name: reported.append((kind, name)))

    created = await containers(both)
    assert {name: c.state for name, c in created.items()} == dict.fromkeys(("db-1", "db-2", "web-1"), "created")
    web = created["web-1"]
    shape = (web.service, web.number, web.project, web.owner, web.depends_on, web.inherits, web.started_at)
    assert shape == ("web", "1", both.project, "me", ("db",), False, "0001-01-01T00:00:00Z")
    assert created["db-1"].owner == ""
    assert set(reported) == {
        ("network", f"{both.project}_default"),
        *(("container", both.name(name)) for name in ("db-1", "db-2", "web-1")),
    }
    project_state = await both.engine.project_state(both.project)
    assert [(n.name, n.owner) for n in project_state.networks] == [(f"{both.project}_default", "me")]
    assert [(v.name, v.project, v.key, v.driver) for v in project_state.volumes] == [
        (f"{both.project}_data", both.project, "data", "local")
    ]
    assert f"{both.project}_data" in web.volumes
    assert len(web.volumes) == 2

    reported.clear()
    await both.compose(model).create(on_created=lambda kind, name: reported.append((kind, name)))
    again = {name: (c.id, c.state) for name, c in (await containers(both)).items()}
    assert again == {name: (c.id, c.state) for name, c in created.items()}, "a second create changes nothing"
    assert reported == []


async def test_containers_run_after_a_start_in_order(both: Pair) -> None:
    needs = {"job": {"condition": "service_completed_successfully", "required": True}}
    compose = both.compose(both.model(web={"depends_on": needs}, job={"command": ["true"]}))
    await compose.create()
    await compose.start()
    started = await containers(both)
    assert {name: (c.state, c.exit_code) for name, c in started.items()} == {
        "web-1": ("running", 0),
        "job-1": ("exited", 0),
    }
    assert started["web-1"].started_at > started["job-1"].finished_at


async def test_a_dependency_that_fails_ends_the_start(both: Pair) -> None:
    needs = {"job": {"condition": "service_completed_successfully", "required": True}}
    compose = both.compose(both.model(web={"depends_on": needs}, job={"command": ["false"]}))
    await compose.create()
    with pytest.raises(VerbError, match='service "job" didn\'t complete successfully: exit 1'):
        await compose.start()
    assert (await containers(both))["web-1"].state == "created"


async def test_recreated_containers_keep_names_and_anonymous_volumes(both: Pair) -> None:
    needs = {"db": {"condition": "service_started", "required": True}}
    model = both.model(web={"volumes": VOLUMES, "depends_on": needs}, db={})
    await both.compose(model).create()
    await both.compose(model).start()
    before = await containers(both)
    reported: list[tuple[str, str]] = []
    seen: list[tuple[str, str]] = []
    async with listening(both, seen):
        await both.compose(model).create(
            ["web"], force=True, on_created=lambda kind, name: reported.append((kind, name))
        )
        after = await containers(both)
        web, old = after["web-1"], before["web-1"]
        passing = f"{old.id[:12]}_{both.name('web-1')}"
        wanted = [("create", passing), ("destroy", old.name), ("rename", web.name)]
        await until_seen(lambda: [event for event in seen if event[0] in ("create", "destroy", "rename")] == wanted)
    assert web.id != old.id
    assert (web.name, web.state, web.number, set(web.volumes)) == (old.name, "created", "1", set(old.volumes))
    assert after["db-1"] == before["db-1"], "what the service needs is not recreated"
    assert set(reported) == {("container", both.name("web-1"))}
    await both.engine.containers.remove(web.id)
    volumes = set(await both.engine.volumes.times())
    assert set(old.volumes) <= volumes, "a volume that was carried over is not the new container's own"
    for name in old.volumes:
        await both.engine.volumes.remove(name)


async def test_changed_service_is_recreated_with_its_dependents(both: Pair) -> None:
    needs = {"db": {"condition": "service_started", "required": True}}
    await both.compose(both.model(web={"depends_on": needs}, db={}, other={})).create()
    before = await containers(both)
    changed = both.model(web={"depends_on": needs}, db={"environment": {"A": "b"}}, other={})
    await both.compose(changed).create()
    after = await containers(both)
    assert {name for name in after if after[name].id != before[name].id} == {"db-1", "web-1"}
    assert after["other-1"] == before["other-1"]


async def test_keys_that_recreate_a_container(both: Pair) -> None:
    """The keys are those of Compose 2.26; newer versions ignore `depends_on`, `profiles` and `develop`."""
    changes: dict[str, dict[str, Any]] = {
        "needs": {"depends_on": {"other": {"condition": "service_started", "required": True}}},
        "many": {"scale": 2},
        "pulled": {"pull_policy": "never"},
        "chosen": {"profiles": ["x"]},
        "watched": {"develop": {"watch": []}},
        "graceful": {"stop_grace_period": "1s"},
        "labelled": {"labels": {"a": "b"}},
        "other": {},
    }
    await both.compose(both.model(**{name: {} for name in changes})).create()
    before = await containers(both)
    await both.compose(both.model(**changes)).create()
    after = await containers(both)
    recreated = {name.removesuffix("-1") for name in before if before[name].id != after[name].id}
    assert recreated == {"needs", "chosen", "watched", "graceful", "labelled"}


async def test_fixed_name_and_health_check_are_used(both: Pair) -> None:
    check = {"test": ["CMD", "true"], "interval": "0.1s"}
    needs = {"db": {"condition": "service_healthy", "required": True}}
    model = both.model(web={"depends_on": needs}, db={"container_name": both.name("fixed"), "healthcheck": check})
    await both.compose(model).create()
    assert {name: c.health for name, c in (await containers(both)).items()} == {"web-1": None, "fixed": None}
    await both.compose(model).start()
    created = await containers(both)
    assert {name: (c.state, c.health) for name, c in created.items()} == {
        "web-1": ("running", None),
        "fixed": ("running", "healthy"),
    }


async def test_port_is_published_by_one_container(both: Pair) -> None:
    number = free_port()
    port = {"mode": "ingress", "host_ip": "127.0.0.1", "target": 80, "published": str(number), "protocol": "tcp"}
    model = both.model(one={"ports": [port]}, two={"ports": [port]})
    await both.compose(model).create()
    await both.compose(model).start(["one"])
    assert (await containers(both))["one-1"].ports == (("127.0.0.1", number, 80),)
    assert (f"one of the project {both.project}", "127.0.0.1", number) in await both.engine.containers.published()
    with pytest.raises(PortError, match=f"host port {number}, which `two` publishes, is taken"):
        await both.compose(model).start(["two"])
    two = (await containers(both))["two-1"]
    assert (two.state, two.ports) == ("created", ())
    assert "port is already allocated" in two.error


async def test_scale_keeps_low_numbers(both: Pair) -> None:
    for scale, numbers in ((2, "12"), (1, "1"), (3, "123"), (0, "")):
        await both.compose(both.model(web={"scale": scale})).create()
        assert sorted(await containers(both)) == [f"web-{number}" for number in numbers]


async def test_create_of_services_includes_their_dependencies(both: Pair) -> None:
    needs = {"db": {"condition": "service_started", "required": True}}
    model = both.model(web={"depends_on": needs}, db={}, other={"volumes": VOLUMES[:1], "networks": {"own": None}})
    model["networks"] |= {key: {"name": f"{both.project}_{key}"} for key in ("own", "unused")}
    model["volumes"]["unused"] = {"name": f"{both.project}_unused"}
    await both.compose(model).create(["web"])
    project_state = await both.engine.project_state(both.project)
    assert sorted(c.service for c in project_state.containers) == ["db", "web"]
    assert sorted(n.name for n in project_state.networks) == [f"{both.project}_{key}" for key in ("default", "own")]
    assert [v.name for v in project_state.volumes] == [f"{both.project}_data"], "all that any service uses"


async def test_container_name_in_use_is_an_error(both: Pair) -> None:
    both.docker.create(BASE_IMAGE, *IDLE, name=both.name("web-1"))
    with pytest.raises(VerbError, match="is already in use by") as caught:
        await both.compose(both.model(web={})).create()
    assert caught.value.service == "web"
    wish = {"Image": BASE_IMAGE, "Cmd": ["-"]}
    with pytest.raises(CallError) as conflict:
        await both.engine.containers.create(wish, both.name("web-1"))
    assert conflict.value.status == 409
    assert not conflict.value.absent
    free = await both.engine.containers.create(wish, both.name("free"))
    container = await inspected(both, free)
    assert container.name == both.name("free")
    with pytest.raises(CallError) as absent:
        await both.engine.containers.create({**wish, "Image": f"{both.project}:none"})
    assert (absent.value.status, absent.value.absent) == (404, True)


async def test_missing_external_resources_are_errors(both: Pair) -> None:
    model = both.model(web={"volumes": VOLUMES[:1]})
    model["volumes"]["data"]["external"] = True
    with pytest.raises(VerbError, match=f'external volume "{both.project}_data" not found'):
        await both.compose(model).create()
    both.docker.create_volume(f"{both.project}_data")
    model["networks"]["default"] = {"name": f"{both.project}_theirs", "external": True}
    with pytest.raises(VerbError, match=f"network {both.project}_theirs not found"):
        await both.compose(model).create()
    both.docker.create_network(f"{both.project}_theirs")
    await both.compose(model).create()
    project_state = await both.engine.project_state(both.project)
    assert len(project_state.containers) == 1
    assert [n.name for n in project_state.networks] == [f"{both.project}_default"], "of the first try"
    assert project_state.volumes == ()


# --- volumes -----------------------------------------------------------------------------------------------------


async def test_volume_has_name_and_creation_time(both: Pair) -> None:
    name = both.name("v")
    assert await both.engine.volumes.inspect(name) is None
    first = await both.engine.volumes.create({"Name": name, "Labels": {PROJECT_LABEL: "theirs"}})
    assert (first.name, first.project, first.driver) == (name, "theirs", "local")
    assert len(first.created) == len("2026-01-01T00:00:00Z"), "in whole seconds"
    assert await both.engine.volumes.create({"Name": name, "Labels": {"other": "label"}}) == first
    assert await both.engine.volumes.inspect(name) == first
    await both.engine.volumes.remove(name)
    await both.engine.volumes.remove(name)
    assert await both.engine.volumes.inspect(name) is None
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    assert (await both.engine.volumes.create({"Name": name, "DriverOpts": options})).elsewhere


async def test_volume_in_use_cannot_be_removed(both: Pair) -> None:
    name = both.name("v")
    holder = await both.holder(name)
    assert (await both.engine.volumes.inspect(name)) is not None, (
        "a container's creation makes the volume that it names"
    )
    with pytest.raises(CallError, match="volume is in use") as caught:
        await both.engine.volumes.remove(name)
    assert (caught.value.status, caught.value.absent) == (409, False)
    with pytest.raises(CallError, match="volume is in use"):
        await both.engine.call("DELETE", f"volumes/{name}", "removing", query={"force": "1"})
    await both.engine.containers.remove(holder)
    assert (await both.engine.volumes.inspect(name)) is not None, "a volume with a name outlives the container"
    await both.engine.volumes.remove(name)


async def test_created_containers_are_users_of_a_volume(both: Pair) -> None:
    name = both.name("v")
    await both.holder(name)
    both.docker.create(BASE_IMAGE, *IDLE, name=both.name("one"), volumes=[f"{name}:/v"])
    both.docker.create(BASE_IMAGE, *IDLE, name=both.name("other"), volumes=[f"{name}x:/v"])
    users = await both.engine.volumes.users(name)
    assert len(users) == 2
    assert both.name("one") in users


async def test_anonymous_volumes_are_removed_with_their_container(both: Pair) -> None:
    box = both.docker.run(BASE_IMAGE, *IDLE, name=both.name("one"), volumes=["/a", f"{both.name('v')}:/v"])
    container = await inspected(both, box)
    anonymous = set(container.volumes) - {both.name("v")}
    assert len(anonymous) == 1
    await both.engine.containers.remove(box)
    await both.engine.containers.remove(box)
    volumes = set(await both.engine.volumes.times())
    assert both.name("v") in volumes
    assert volumes.isdisjoint(anonymous)
    assert await both.engine.containers.inspect(box) is None


async def test_archives_work_with_a_created_container(both: Pair) -> None:
    name = both.name("v")
    holder = await both.holder(name)
    entries = {
        ".held": Node("folder", mode=0o750, uid=7, gid=8, mtime=1_700_000_000),
        ".held/a": Node("folder", mode=0o755, mtime=1_700_000_000),
        ".held/a/ü": Node("file", b"1" * 70000, mode=0o600, uid=1000, gid=1000, mtime=1_700_000_001),
        ".held/link": Node("link", target="a/ü", mode=0o777, mtime=1_700_000_002),
    }
    await both.engine.archive.put(holder, gzip.compress(pack(entries)))
    out = io.BytesIO()
    await both.engine.archive.save(holder, "/.held", out.write)
    assert unpack(out.getvalue()) == entries
    assert [*unpack(await both.engine.archive.get(holder, "/.held/a") or b"")] == ["a", "a/ü"]
    assert await both.engine.archive.get(holder, "/.held/none") is None
    assert await both.engine.archive.get(holder, "/.held/a/ü/none") is None
    assert await both.engine.archive.is_link(holder, "/.held/link")
    assert await both.engine.archive.is_link(holder, "/.held/none") is None
    looks = [await both.engine.archive.is_link(holder, f"/.held/{name}") for name in ("link", "none", "", "a/ü/none")]
    assert looks == [True, None, False, None]
    with pytest.raises(CallError) as caught:
        await both.engine.archive.put(holder, pack({".held/a": Node("file", b"")}))
    assert not caught.value.absent
    with pytest.raises(CallError):
        await both.engine.archive.put(holder, b"no tar" * 1000)
    empty = io.BytesIO()
    await both.engine.archive.save(holder, "/.held/none", empty.write)
    assert not empty.getvalue()

    other = both.docker.run(BASE_IMAGE, *IDLE, name=both.name("other"), volumes=[f"{name}:/there"])
    seen = unpack(await both.engine.archive.get(other, "/there") or b"")
    assert {k.partition("/")[2]: n.content for k, n in seen.items()} == {
        k.partition("/")[2]: n.content for k, n in entries.items()
    }


# --- others ------------------------------------------------------------------------------------------------------


async def test_labels_are_inherited_by_a_committed_image(both: Pair) -> None:
    await both.compose(both.model(web={"labels": {OWNER_LABEL: "me"}})).create()
    web = (await containers(both))["web-1"]
    image = both.docker.commit(web.id, f"{both.project}-copy:1")
    assert await both.engine.images.tags(image) == (f"{both.project}-copy:1",)
    copied = both.docker.run(f"{both.project}-copy:1", *IDLE, name=both.name("copied"), labels={"more": "1"})
    container = await inspected(both, copied)
    assert (container.owner, container.service, container.number, container.image, container.inherits) == (
        "me",
        "web",
        "1",
        image,
        True,
    )
    own = both.docker.create(f"{both.project}-copy:1", *IDLE, name=both.name("own"), labels={OWNER_LABEL: "you"})
    assert (await inspected(both, own)).owner == "you", "what the creation says wins"


async def test_compose_adopts_containers_with_its_labels(both: Pair) -> None:
    model = both.model(web={})
    await both.compose(model).create()
    both.docker.commit(both.name("web-1"), f"{both.project}-copy:1")
    both.docker.create(f"{both.project}-copy:1", *IDLE, name=both.name("copied"))
    await both.compose(model).create()
    assert list(await containers(both)) == ["copied"], "of two with one number, Compose keeps the newer one"


async def test_plain_compose_up_and_down(both: Pair) -> None:
    model = both.model(web={"volumes": VOLUMES}, job={"command": ["true"]})
    plain = both.plain(model)
    plain.up("web")
    created = await containers(both)
    assert {name: (c.state, c.owner) for name, c in created.items()} == {"web-1": ("running", "")}
    once = plain.run("job", "false")
    made = await inspected(both, once)
    assert (made.service, made.project) == ("job", both.project)
    assert once not in {c.id for c in (await both.engine.project_state(both.project)).containers}
    holder = await both.holder(f"{both.project}_data")
    plain.down(volumes=True)
    assert await both.engine.containers.inspect(once) is not None, "a one-off container stays"
    left = await both.engine.project_state(both.project)
    assert [c.id for c in left.containers] == [holder], "a holder is no container of Compose's"
    assert left.networks == ()
    assert [v.name for v in left.volumes] == [f"{both.project}_data"], "it is in use"
    volumes = set(await both.engine.volumes.times())
    assert volumes.isdisjoint({*created["web-1"].volumes} - {f"{both.project}_data"}), "anonymous ones go"
    await both.engine.containers.remove(holder)
    plain.down(volumes=True)
    assert await both.engine.volumes.inspect(f"{both.project}_data") is None


async def test_network_with_users_cannot_be_removed(both: Pair) -> None:
    await both.compose(both.model(web={})).create()
    (network,) = (await both.engine.project_state(both.project)).networks
    other = both.docker.run(BASE_IMAGE, *IDLE, name=both.name("other"), network=network.name)
    assert await both.engine.networks.users(network.id) == (both.name("other"),), "who runs, alone"
    with pytest.raises(CallError, match="active endpoints") as caught:
        await both.engine.networks.remove(network.id)
    assert not caught.value.absent
    both.docker.stop(other)
    assert await both.engine.networks.users(network.id) == ()
    await both.engine.networks.remove(network.id)
    await both.engine.networks.remove(network.id)
    with pytest.raises(CallError) as gone:
        await both.engine.networks.users(network.id)
    assert gone.value.absent


async def test_stop_start_restart_and_pause_of_a_container(both: Pair) -> None:
    labels = {PROJECT_LABEL: both.project}
    box = both.docker.create(BASE_IMAGE, *IDLE, name=both.name("one"), labels=labels)
    with pytest.raises(CallError) as caught:
        await both.engine.containers.pause(box, on=True)
    assert caught.value.status == 409
    both.docker.start(box)
    both.docker.start(box)
    await both.engine.containers.pause(box, on=True)
    frozen = await inspected(both, box)
    assert frozen.state == "paused"
    await both.engine.containers.pause(box, on=False)
    container = await inspected(both, box)
    assert container.key == frozen.key
    await both.engine.containers.restart(_hasty(container))
    again = await inspected(both, box)
    assert (again.state, again.key[0]) == ("running", container.key[0])
    assert again.started_at > container.started_at
    both.docker.rename(box, both.name("two"))
    await both.engine.containers.stop(again, grace=0)
    await both.engine.containers.stop(again, grace=0)
    ended = await inspected(both, box)
    assert (ended.state, ended.name) == ("exited", both.name("two"))
    assert ended.exit_code > 128
    both.docker.remove(box)
    await both.engine.containers.stop(again, grace=0)


def _hasty(container: Container) -> Container:
    return replace(container, stop_timeout=0.0)


# --- events ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def listening(both: Pair, seen: list[tuple[str, str]]) -> AsyncIterator[None]:
    """Collect (action, name) of the project's container events, for the block."""
    begun = anyio.Event()

    async def listen() -> None:
        async for event in both.engine.events(both.project):
            begun.set()
            if event:
                seen.append((str(event["Action"]), str(event["Actor"]["Attributes"]["name"])))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await begun.wait()
        yield
        tasks.cancel_scope.cancel()


async def until_seen(probe: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not probe():  # noqa: ASYNC110 - another task changes it
            await anyio.sleep(0.01)


async def test_events_of_a_containers_life(both: Pair) -> None:
    model = both.model(web={"labels": {OWNER_LABEL: "me"}})
    seen: list[tuple[str, str]] = []
    async with listening(both, seen):
        await both.compose(model).create()
        await both.compose(model).start()
        web = (await containers(both))["web-1"]
        await both.engine.containers.stop(web, grace=0)
        await both.engine.containers.remove(web.id)
        both.docker.run(BASE_IMAGE, "true", name=both.name("other"))
        actions = ["create", "start", "stop", "die", "destroy"]  # the engine may report `die` before `stop`

        def of_web() -> list[str]:
            return sorted(action for action, name in seen if action != "kill" and name == both.name("web-1"))

        await until_seen(lambda: of_web() == sorted(actions))
    assert {name for _, name in seen} == {both.name("web-1")}, "only what has the project's label"


async def test_logs_have_lines_and_streams(both: Pair) -> None:
    labels = {PROJECT_LABEL: both.project}
    box = both.docker.create(BASE_IMAGE, "true", name=both.name("one"), labels=labels)
    both.docker.start(box)
    container = await inspected(both, box)
    assert [line async for line in both.engine.containers.logs(container)] == []


async def test_engine_has_an_identity(both: Pair) -> None:
    first, other = await both.engine.identity(), await both.engine.identity()
    assert first == other
    assert all(first)
    clock = await both.engine.clock()
    assert clock.tzinfo is not None
    name = both.name("v")
    volume = await both.engine.volumes.create({"Name": name})
    assert abs((clock - _moment(volume.created)).total_seconds()) < 30
    assert BASE_IMAGE in await both.engine.images.tags(BASE_IMAGE)
    assert await both.engine.images.tags(f"{both.project}:none") == ()


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
