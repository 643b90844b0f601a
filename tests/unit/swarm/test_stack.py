"""A stack in memory: which rules count, how nodes are reached, lost and found again, and tasks that move."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.docker import swarm
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.swarm import Node
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError, UsageError
from devenv.events import Event, Notice, Problem
from devenv.model.containers import Container
from devenv.model.project import Action, Project, Service, WatchRule
from devenv.swarm import stack as module
from devenv.swarm.stack import StackSync
from devenv.sync.container import shell
from devenv.sync.rules import rules
from support.engine import MemoryEngine, MemoryHost
from support.memory.played import placed

pytestmark = pytest.mark.anyio
N1, N2 = Node("id1", "n1", "10.0.0.1"), Node("id2", "n2", "10.0.0.2")


def project(folder: Path) -> Project:
    """Services with a rule of each kind."""
    actions = {"web": Action.SYNC, "api": Action.SYNC_RESTART, "job": Action.REBUILD}
    services = (Service(name, watch=(WatchRule(str(folder), action, "/src"),)) for name, action in actions.items())
    return Project("p", str(folder), (), tuple(services))


async def bound(folder: Path, *services: str, stack: str = "shop", **stacks: set[str]) -> tuple[list[Any], list[str]]:
    """The (service, action) of each rule that counts, and the notices."""
    events: list[Event] = []
    found = await module._rules(project(folder), services, stack, stacks, events.append)
    return [(rule.service, rule.rule.action) for rule in found], [e.message for e in events if isinstance(e, Notice)]


async def test_rules_that_copy_without_restarts(tmp_path: Path) -> None:
    """Services that only the stack has are reported; those that only the project has are left out."""
    found, notices = await bound(tmp_path, shop={"api", "job", "db"})
    assert found == [("api", Action.SYNC)]
    assert notices == [
        "db of the stack shop is not synced: the Compose file has no such service",
        "api is synced without restarts: Swarm would replace its container",
    ]


@pytest.mark.parametrize(
    ("services", "stack", "deployed", "error", "message"),
    [
        ((), "shp", {"web"}, UsageError, "there is no stack `shp`"),
        (("wb",), "shop", {"web"}, UsageError, "there is no service of the stack shop: `wb`"),
        ((), "shop", {"job"}, ConfigError, "no service of the stack shop has sync rules"),
    ],
)
async def test_nothing_to_sync(
    tmp_path: Path, services: tuple[str, ...], stack: str, deployed: set[str], error: type[DevenvError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        await bound(tmp_path, *services, stack=stack, shop=deployed)
    assert raised.value.hint


class World:
    """The engines of a manager and a worker, and where tasks are; `lost` are the nodes that do not answer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "src"
        self.folder.mkdir()
        self.hosts = {"id1": MemoryHost(), "id2": MemoryHost()}
        self.engines = {node: MemoryEngine(host) for node, host in self.hosts.items()}
        self.places: set[str] = set()
        self.lost: set[str] = set()
        self.tried: list[str] = []
        self.unresolved: set[str] = set()
        self.events: list[Event] = []
        self.sync = self.stack_sync()
        for name in ("places", "nodes", "containers", "node_id"):
            monkeypatch.setattr(swarm, name, getattr(self, f"_{name}"))
        monkeypatch.setattr(module, "line", self._line)
        monkeypatch.setattr(Engine, "connect", self._connect)
        monkeypatch.setattr(module, "AGAIN", 0.01)
        monkeypatch.setattr(module, "SOON", 0.01)
        monkeypatch.setattr(shell, "PAUSES", (0.0, 0.01))

    def stack_sync(self, manager: str = "unix:///s", **hosts: str) -> StackSync:
        """A sync of the stack by the manager at that address."""
        engine = self.engines["id1"]
        engine.endpoint = Endpoint(manager)
        return StackSync("shop", hosts, engine, "id1", self.events.append, str(self.folder.parent / "journals"))

    def _require(self, node: str) -> None:
        if node in self.lost:
            raise EngineError(f"{node} does not answer")

    async def _places(self, *_: object) -> frozenset[str]:
        self._require("id1")
        return frozenset(self.places)

    async def _nodes(self, *_: object) -> list[Node]:
        return [N1, N2]

    async def _containers(self, engine: Engine, _: str) -> Mapping[str, str]:
        node = self._of(engine)
        self._require(node)
        return dict.fromkeys(self.hosts[node].containers, "web")

    async def _node_id(self, engine: Engine) -> str:
        return self._of(engine)

    def _of(self, engine: Engine) -> str:
        return next(node for node, known in self.engines.items() if known is engine)

    @contextlib.asynccontextmanager
    async def _line(self, endpoint: Endpoint, _: object) -> AsyncIterator[tuple[Endpoint, None]]:
        self.tried.append(endpoint.context or endpoint.host)
        if endpoint.host in self.unresolved:
            raise EngineError(f"ssh: Could not resolve hostname {endpoint.machine}", hint="ssh x")
        self._require("id2")
        yield endpoint, None

    @contextlib.asynccontextmanager
    async def _connect(self, endpoint: Endpoint) -> AsyncIterator[Engine]:
        yield self.engines["id1" if endpoint.machine == "wrong" else "id2"]

    def place(self, node: str, number: int) -> str:
        """Run a task on the node; return the id of its container."""
        self.places.add(node)
        return placed(self.hosts[node], "web", "running", number=number).id

    def content(self, node: str, container: str) -> bytes | None:
        """The page in a container."""
        return self.hosts[node].containers[container].files.contents().get("src/page")

    @contextlib.asynccontextmanager
    async def syncing(self) -> AsyncIterator[None]:
        """Sync for the block."""
        own = replace(project(self.folder), services=project(self.folder).services[:1])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.sync.run, own, rules.bind(own, {}))
            yield
            tasks.cancel_scope.cancel()

    def messages(self, kind: type[Notice | Problem]) -> list[str]:
        """The messages of all events of this kind."""
        return [event.message for event in self.events if isinstance(event, kind)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A swarm of two nodes."""
    return World(tmp_path, monkeypatch)


async def eventually(world: World, node: str, container: str, content: bytes) -> None:
    """Wait until the container has this page."""
    with anyio.fail_after(20):
        while world.content(node, container) != content:  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.01)


async def message(world: World, kind: type[Notice | Problem], text: str) -> None:
    """Wait for a message."""
    with anyio.fail_after(20):
        while text not in world.messages(kind):  # noqa: ASYNC110 - as above
            await anyio.sleep(0.01)


async def test_a_task_that_moves(world: World) -> None:
    """Its new container gets the current files; the connection to the node that it left is closed."""
    page = world.folder / "page"
    page.write_text("one")
    first = world.place("id1", 1)
    async with world.syncing():
        await eventually(world, "id1", first, b"one")
        page.write_text("two")
        await eventually(world, "id1", first, b"two")
        world.places.clear()
        del world.hosts["id1"].containers[first]
        second = world.place("id2", 2)
        await eventually(world, "id2", second, b"two")
        page.write_text("three")
        await eventually(world, "id2", second, b"three")
        assert world.sync.served.keys() == {"id2"}
        assert world.sync.engines == {second: world.engines["id2"]}
    assert world.messages(Notice) == [f"web on {n} is in sync (files updated: 1)" for n in ("n1", "n2")]
    assert world.messages(Problem) == []


async def test_a_container_that_is_replaced(world: World) -> None:
    """The old one is dropped with its journal, the new one on the same node gets the files."""
    (world.folder / "page").write_text("one")
    first = world.place("id2", 1)
    async with world.syncing():
        await eventually(world, "id2", first, b"one")
        del world.hosts["id2"].containers[first]
        second = world.place("id2", 2)
        await eventually(world, "id2", second, b"one")
        assert world.sync.engines.keys() == {second}
        assert world.sync.session.service_syncs["web"].state.targets.keys() == {second}
        assert [path.name for path in world.folder.parent.joinpath("journals").iterdir()] == [second]


async def test_a_node_that_is_lost_and_comes_back(world: World) -> None:
    """The others go on; the loss and the return are reported once, and what was saved meanwhile arrives."""
    page = world.folder / "page"
    page.write_text("one")
    own, other = world.place("id1", 1), world.place("id2", 2)
    async with world.syncing():
        await eventually(world, "id2", other, b"one")
        await eventually(world, "id1", own, b"one")
        world.lost.add("id2")
        await message(world, Problem, "node n2: id2 does not answer; trying again")
        page.write_text("two")
        await eventually(world, "id1", own, b"two")
        assert world.content("id2", other) == b"one"
        assert world.folder.parent.joinpath("journals", other).exists()
        world.lost.clear()
        await eventually(world, "id2", other, b"two")
    assert len(world.messages(Problem)) == 1
    assert [text for text in world.messages(Notice) if text.startswith("node n2 is back after ")] != []


async def test_the_manager_is_lost(world: World) -> None:
    """The containers of other nodes are still synced."""
    page = world.folder / "page"
    page.write_text("one")
    container = world.place("id2", 2)
    async with world.syncing():
        await eventually(world, "id2", container, b"one")
        world.lost.add("id1")
        await message(world, Problem, "the manager: id1 does not answer; trying again")
        page.write_text("two")
        await eventually(world, "id2", container, b"two")


@pytest.mark.parametrize(
    ("hosts", "manager", "unresolved", "tried"),
    [
        ({}, "ssh://n1", set(), ["ssh://n2"]),
        ({}, "ssh://me@n1:24", set(), ["ssh://me@n2"]),
        ({}, "unix:///s", {"ssh://n2"}, ["ssh://n2", "ssh://10.0.0.2"]),
        ({"n2": "there"}, "ssh://me@n1", set(), ["ssh://there"]),
        ({"n2": "office"}, "ssh://n1", set(), ["office"]),
    ],
)
async def test_how_a_node_is_reached(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hosts: dict[str, str],
    manager: str,
    unresolved: set[str],
    tried: list[str],
) -> None:
    """By `--node`, or else by its hostname, or by its address if ssh does not know the hostname."""
    _add_context(tmp_path, monkeypatch, "office")
    world.unresolved = unresolved
    names = world.stack_sync(manager, **hosts)._names(N2)
    async with module._connected(N2, names, world.events.append) as engine:
        assert engine is world.engines["id2"]
    assert world.tried == tried


async def test_a_context_with_the_hostname(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts before a host of this name."""
    _add_context(tmp_path, monkeypatch, "n2")
    async with module._connected(N2, world.stack_sync("ssh://me@n1")._names(N2), world.events.append):
        assert world.tried == ["n2"]


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "Could not resolve hostname nowhere"), ("wrong", "is not that of this node")]
)
async def test_a_node_has_another_name(world: World, name: str, message: str) -> None:
    """The hint is the option that names it; an engine that is not that of the node is not used."""
    world.unresolved = {"ssh://nowhere"}
    with pytest.raises(EngineError, match=message) as raised:
        async with module._connected(N2, [name], world.events.append):
            pass
    assert (raised.value.hint or "").startswith("add --node n2=HOST ")


def _add_context(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    meta = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": "tcp://there:2376"}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


async def test_what_only_a_deployment_can_do(world: World) -> None:
    """Containers are not replaced."""
    with pytest.raises(RefusedError, match=r"src/a: only a new container") as raised:
        await world.sync.recreate("web", "src/a")
    assert raised.value.hint == "docker service update --force shop_web"
    with pytest.raises(EngineError, match="the node of w is lost"):
        world.sync.engine_of(Container("id", "w", "web", "running", ours=False))
