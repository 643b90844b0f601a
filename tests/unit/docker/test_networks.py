"""Networks of an engine in memory."""

from __future__ import annotations

import pytest

from devenv.docker.transport import CallError
from devenv.model.containers import PROJECT_LABEL
from support.engine import MemoryEngine, MemoryHost
from support.memory import verbs
from support.memory.played import placed

pytestmark = pytest.mark.anyio


async def test_networks_of_a_project() -> None:
    """What the records of a run say decides whose they are."""
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
