"""Volumes of an engine in memory."""

from __future__ import annotations

import pytest

from devenv.docker.transport import CallError
from devenv.model.containers import PROJECT_LABEL
from support.engine import BASE_IMAGE, MemoryEngine, MemoryHost

pytestmark = pytest.mark.anyio


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
