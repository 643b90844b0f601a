"""A swarm: nodes, and services and containers of stacks. All but `node_id` and `containers` ask a manager."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from devenv.docker.client import Engine
from devenv.docker.inspect import object_id, text
from devenv.errors import EngineError

STACK_LABEL = "com.docker.stack.namespace"
NAME_LABEL = "com.docker.swarm.service.name"


class Node(NamedTuple):
    """A node of a swarm: its hostname, and its address in the swarm."""

    id: str
    name: str
    address: str


async def node_id(engine: Engine, *, is_manager: bool = False) -> str:
    """The id of the engine's node; empty in no swarm. Raises EngineError if it has to be a manager and is none."""
    swarm = await engine.ask("info", "reading the state of the swarm", lambda answer: answer.get("Swarm") or {})
    if is_manager and not swarm.get("ControlAvailable"):
        managers = [text(manager["Addr"]).rpartition(":")[0] for manager in swarm.get("RemoteManagers") or ()]
        hint = f"add --on {managers[0]}   (a manager of this swarm)" if managers else "add --on MANAGER"
        raise EngineError(f"the engine at {engine.endpoint.shown} is not a manager of a swarm", hint=hint)
    return swarm.get("NodeID") or ""


async def stacks(manager: Engine) -> Mapping[str, set[str]]:
    """The names of all stacks, each with the names of its services as its file has them."""
    found = defaultdict[str, set[str]](set)
    for spec in await manager.ask_all("services", "listing the services of the swarm", lambda answer: answer["Spec"]):
        if stack := (spec.get("Labels") or {}).get(STACK_LABEL):
            found[stack].add(text(spec["Name"]).removeprefix(f"{stack}_"))
    return found


async def nodes(manager: Engine) -> list[Node]:
    """All nodes of the swarm."""

    def node(answer: Mapping[str, Any]) -> Node:
        return Node(text(answer["ID"]), text(answer["Description"]["Hostname"]), answer["Status"].get("Addr") or "")

    return await manager.ask_all("nodes", "listing the nodes of the swarm", node)


async def places(manager: Engine, stack: str) -> frozenset[str]:
    """The ids of the nodes that run tasks of the stack, or will: `ready` tasks wait for the end of an older one."""
    filters = {"label": [f"{STACK_LABEL}={stack}"], "desired-state": ["running", "ready"]}
    action, query = "listing the tasks of the stack", {"filters": json.dumps(filters)}
    return frozenset(filter(None, await manager.ask_all("tasks", action, lambda answer: answer.get("NodeID"), query)))


async def containers(engine: Engine, stack: str) -> Mapping[str, str]:
    """The ids of the running containers of the stack on a node, each with the name of its service."""

    def entry(answer: Mapping[str, Any]) -> tuple[str, str]:
        return object_id(answer), text(answer["Labels"].get(NAME_LABEL) or "").removeprefix(f"{stack}_")

    query = {"filters": json.dumps({"label": [f"{STACK_LABEL}={stack}"]})}
    return dict(await engine.ask_all("containers/json", "listing the containers of the stack", entry, query))
