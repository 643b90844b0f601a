"""A project from its first create to a healthy state, on an engine in memory."""

from __future__ import annotations

import anyio
import pytest

from support.active import active
from support.memory.machine import Machine

pytestmark = pytest.mark.anyio

CHECKED = {"healthcheck": {"test": ["CMD", "true"]}}


async def test_a_project_comes_up(machine: Machine) -> None:
    """Nothing runs before `start`; the containers are recorded as ours before they run."""
    site = machine.site("shop", db=CHECKED, web={"depends_on": {"db": {"condition": "service_healthy"}}})
    async with active(machine, site) as run:
        await run.project.volumes.begin(fresh=False)
        assert not await run.project.create()
        containers = machine.host.containers.values()
        assert [c.state for c in containers] == ["created", "created"]
        assert all(c.ours for c in (await run.observed()).containers)
        await run.project.sync()
        await run.project.start()
        with anyio.fail_after(20):
            await run.project.observer.until_ready()
        assert [c.state for c in containers] == ["running", "running"]


async def test_only_the_chosen_services_are_created(machine: Machine) -> None:
    """Their dependencies are created, too."""
    site = machine.site("shop", db={}, web={"depends_on": {"db": {"condition": "service_started"}}}, docs={})
    async with active(machine, site, "web") as run:
        await run.up()
        assert {c.name for c in machine.host.containers.values()} == {"shop-db-1", "shop-web-1"}
