"""Compose commands on an engine in memory: what they create is ours, and why they failed."""

from __future__ import annotations

import anyio
import pytest

from devenv.errors import DevenvError, EngineError, RefusedError
from support.active import active
from support.engine import Fails, Fault
from support.memory.machine import Machine

pytestmark = pytest.mark.anyio


async def test_a_container_of_others_is_never_replaced(machine: Machine) -> None:
    """If a container of the service was created by others meanwhile, Compose is not asked to create one."""
    site = machine.site("shop", web={})
    async with active(machine, site) as run:
        machine.plain(site).up()
        with pytest.raises(RefusedError, match="somebody else created its container shop-web-1"):
            await run.up()
        assert [c.ours for c in (await run.observed()).containers] == [False]


async def test_a_start_that_fails_is_explained_by_the_service_that_others_wait_for(machine: Machine) -> None:
    """Compose names only the dependency; the error says how that service ended."""
    site = machine.site(
        "shop",
        job={"command": ["sh", "-c", "exit 3"]},
        web={"depends_on": {"job": {"condition": "service_completed_successfully"}}},
    )
    async with active(machine, site) as run:
        with pytest.raises(DevenvError, match="service job failed: ended with exit code 3"):
            await run.up()


async def test_objects_of_a_failed_create_are_ours(machine: Machine) -> None:
    """The error is raised, and the container that was made before it is removed by the way down."""
    site = machine.site("shop", db={}, web={})
    async with active(machine, site) as run:
        run.command.faults.on("compose POST containers/create shop-web-1", Fails(500, "no such device"))
        with pytest.raises(EngineError, match="no such device"):
            await run.up()
        assert [(c.name, c.ours) for c in (await run.observed()).containers] == [("shop-db-1", True)]
        assert not run.project.compose.is_cut_off


async def test_interrupted_command_is_remembered(machine: Machine) -> None:
    """Its last request to the engine may still take effect."""
    site = machine.site("shop", web={})
    async with active(machine, site) as run:
        await run.project.volumes.begin(fresh=False)
        run.command.faults.on("compose POST containers/create shop-web-1", Fault.HANGS)
        with anyio.move_on_after(0.05):
            await run.project.create()
        assert run.project.compose.is_cut_off
