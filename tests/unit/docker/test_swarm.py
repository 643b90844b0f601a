"""What a manager's answers say about nodes, stacks and tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import pytest

from devenv.docker import swarm
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.http import Client
from devenv.docker.swarm import Node
from devenv.errors import EngineError

pytestmark = pytest.mark.anyio


async def never() -> NoReturn:
    """Fail: answers need no connection."""
    raise AssertionError


class Manager(Engine):
    """An engine with these answers, by the path of the request; `filters`: those that it was asked for."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(Client(never), Endpoint("unix:///s"))
        self._answers = answers
        self.filters: dict[str, Any] = {}

    async def call(
        self, method: str, path: str, action: str, *, query: Mapping[str, str] | None = None, **options: Any
    ) -> bytes:
        """The answer for the path."""
        del method, action, options
        self.filters[path] = json.loads((query or {}).get("filters", "{}"))
        return json.dumps(self._answers[path.partition("/")[0]]).encode()


async def test_the_node_of_a_manager() -> None:
    manager = Manager(info={"Swarm": {"NodeID": "id1", "ControlAvailable": True}})
    assert await swarm.node_id(manager, is_manager=True) == await swarm.node_id(manager) == "id1"


@pytest.mark.parametrize(
    ("info", "node", "hint"),
    [
        ({"NodeID": "id2", "RemoteManagers": [{"Addr": "10.0.0.1:2377"}]}, "id2", "add --on 10.0.0.1 "),
        ({"NodeID": "id2", "RemoteManagers": [{"Addr": "[fe80::1]:2377"}]}, "id2", r"add --on \[fe80::1\] "),
        ({"NodeID": "", "RemoteManagers": None}, "", "add --on MANAGER"),
        (None, "", "add --on MANAGER"),
    ],
)
async def test_an_engine_that_is_no_manager(info: dict[str, Any] | None, node: str, hint: str) -> None:
    """The hint names a manager if the engine knows one."""
    engine = Manager(info={"Swarm": info})
    assert await swarm.node_id(engine) == node
    with pytest.raises(EngineError, match="is not a manager of a swarm") as raised:
        await swarm.node_id(engine, is_manager=True)
    assert re.match(hint, raised.value.hint or "")


async def test_stacks_and_their_services() -> None:
    """Services without the label are in no stack."""
    labels = {"com.docker.stack.namespace": "shop"}
    specs = [{"Name": "shop_web", "Labels": labels}, {"Name": "shop_db", "Labels": labels}, {"Name": "shop_x"}]
    manager = Manager(services=[{"Spec": spec} for spec in specs])
    assert await swarm.stacks(manager) == {"shop": {"web", "db"}}


async def test_nodes() -> None:
    manager = Manager(
        nodes=[
            {"ID": "id1", "Description": {"Hostname": "n1"}, "Status": {"State": "ready", "Addr": "10.0.0.1"}},
            {"ID": "id2", "Description": {"Hostname": "n2"}, "Status": {"State": "unknown"}},
        ]
    )
    assert await swarm.nodes(manager) == [Node("id1", "n1", "10.0.0.1"), Node("id2", "n2", "")]


async def test_places_of_tasks() -> None:
    """Each node once; a task without a node is not placed yet."""
    manager = Manager(tasks=[{"NodeID": "id1"}, {"NodeID": "id2"}, {"NodeID": "id1"}, {"ID": "pending"}])
    assert await swarm.places(manager, "shop") == {"id1", "id2"}
    expected = {"label": ["com.docker.stack.namespace=shop"], "desired-state": ["running", "ready"]}
    assert manager.filters == {"tasks": expected}


async def test_containers_of_a_stack() -> None:
    """With the service as the stack's file names it."""
    name = {"com.docker.swarm.service.name": "shop_web"}
    engine = Manager(containers=[{"Id": "a", "Labels": name}, {"Id": "b", "Labels": {}}])
    assert await swarm.containers(engine, "shop") == {"a": "web", "b": ""}
    assert engine.filters == {"containers/json": {"label": ["com.docker.stack.namespace=shop"]}}
