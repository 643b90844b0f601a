"""The start of services in order, on an engine in memory: who waits for what, and who can start without Compose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from devenv.errors import DevenvError, EngineError, PortError
from devenv.run.active.start_order import needs_compose
from support.active import Active, active
from support.engine import Fails
from support.memory import verbs
from support.memory.host import Container, MemoryHost, default_program
from support.memory.machine import Machine

pytestmark = pytest.mark.anyio

CHECKED = {"healthcheck": {"test": ["CMD", "true"]}}
STARTED = {"condition": "service_started"}
HEALTHY = {"condition": "service_healthy"}
OPTIONAL = {"condition": "service_healthy", "required": False}


def silent(_host: MemoryHost, _container: Container) -> None:
    """A program that neither ends nor becomes healthy."""


async def created(run: Active) -> None:
    """Create everything; nothing is started."""
    await run.project.volumes.begin(fresh=False)
    await run.project.create()
    await run.project.sync()


def running(machine: Machine) -> set[str]:
    """The services whose containers run."""
    return {c.name.split("-")[1] for c in machine.host.containers.values() if c.running}


async def until(machine: Machine, *services: str) -> None:
    """Wait until these services run."""
    with anyio.fail_after(20):
        while running(machine) != {*services}:  # noqa: ASYNC110 - the host has no event of it
            await anyio.sleep(0.01)


@pytest.mark.parametrize(
    ("service", "top", "expected"),
    [
        ({}, {}, False),
        ({"post_start": [{"command": "true"}]}, {}, True),
        ({"provider": {"type": "model"}}, {}, True),
        ({"configs": [{"source": "a"}]}, {"configs": {"a": {"content": "x"}}}, True),
        ({"secrets": [{"source": "a"}]}, {"secrets": {"a": {"environment": "X"}}}, True),
        ({"secrets": ["a"]}, {"secrets": {"a": {"file": "./a"}}, "configs": {"a": {"content": ""}}}, False),
        ({}, {"configs": {"a": {"content": "x"}, "b": None}}, False),
    ],
)
def test_what_only_compose_can_start(service: Mapping[str, Any], top: Mapping[str, Any], *, expected: bool) -> None:
    """Hooks, and configs and secrets without a file, are the work of Compose at a start."""
    assert needs_compose({"services": {"web": {"image": "x", **service}}, **top}) is expected


async def test_each_service_starts_as_soon_as_its_conditions_hold(machine: Machine) -> None:
    """Nothing that does not wait is held up; the others start after the event that they wait for."""
    machine.host.program = silent
    job = {"depends_on": {"web": {"condition": "service_completed_successfully"}}}
    site = machine.site(
        "shop", db=CHECKED, web={"depends_on": {"db": HEALTHY}}, side={"depends_on": {"db": STARTED}}, zjob=job
    )
    async with active(machine, site) as run:
        await created(run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.project.start)
            await until(machine, "db", "side")
            verbs.set_health(machine.host, machine.host.container("shop-db-1"), "healthy")
            await until(machine, "db", "side", "web")
            verbs.end(machine.host, machine.host.container("shop-web-1"), 0)
            await until(machine, "db", "side", "zjob")


@pytest.mark.parametrize("is_required", [True, False])
async def test_a_dependency_that_fails(machine: Machine, *, is_required: bool) -> None:
    """A required one is the error; the service starts without one that is not required."""

    def program(host: MemoryHost, container: Container) -> None:
        if container.name == "shop-db-1":
            verbs.set_health(host, container, "unhealthy", "no")
        else:
            default_program(host, container)

    machine.host.program = program
    site = machine.site("shop", db=CHECKED, web={"depends_on": {"db": HEALTHY if is_required else OPTIONAL}})
    async with active(machine, site) as run:
        await created(run)
        if is_required:
            with anyio.fail_after(20), pytest.raises(DevenvError, match="service db failed: its health check fails"):
                await run.project.start()
            assert running(machine) == {"db"}
        else:
            with anyio.fail_after(20):
                await run.project.start()
            assert running(machine) == {"db", "web"}


async def test_a_dependency_without_a_health_check(machine: Machine) -> None:
    """It never becomes healthy: that is an error, unless the dependency is not required."""
    site = machine.site("shop", db={}, web={"depends_on": {"db": HEALTHY}}, side={"depends_on": {"db": OPTIONAL}})
    async with active(machine, site) as run:
        await created(run)
        with anyio.fail_after(20), pytest.raises(EngineError, match="dependency `db` has no health check"):
            await run.project.start()


async def test_the_engine_refuses_a_start(machine: Machine) -> None:
    """The error names the service; a port that is taken has an error of its own."""
    site = machine.site("shop", web={"ports": [{"target": 80, "published": "8080"}]})
    async with active(machine, site) as run:
        await created(run)
        run.command.faults.on("POST containers/.*/start", Fails(500, 'exec: "x": not found: unknown'), 1)
        with pytest.raises(EngineError, match='could not start `web`: exec: "x": not found'):
            await run.project.start()
        taken = "Bind for 0.0.0.0:8080 failed: port is already allocated"
        run.command.faults.on("POST containers/.*/start", Fails(500, taken), 1)
        with pytest.raises(PortError, match="host port 8080, which `web` publishes, is taken"):
            await run.project.start()


async def test_what_was_seen_before_a_start_does_not_count(machine: Machine) -> None:
    """After the engine's return, a service waits until its dependency is healthy again."""
    site = machine.site("shop", db=CHECKED, web={"depends_on": {"db": HEALTHY}})
    async with active(machine, site) as run:
        await run.up()
        view = run.project.observer.view
        with view.ending(view.state.containers):  # their ends are not reported: they seem to be healthy
            for name in ("shop-db-1", "shop-web-1"):
                verbs.stop(machine.host, machine.host.container(name))
            await run.observed()
            machine.host.program = silent
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run.project.actions.resume, view.state.containers)
                await until(machine, "db")
                await run.observed()
                await anyio.sleep(0.05)
                assert running(machine) == {"db"}
                verbs.set_health(machine.host, machine.host.container("shop-db-1"), "healthy")
                await until(machine, "db", "web")


async def test_a_service_with_a_hook_is_started_by_compose(machine: Machine) -> None:
    """The whole start is, so that the order stays that of the file."""
    site = machine.site("shop", db={}, web={"depends_on": {"db": STARTED}, "post_start": [{"command": ["true"]}]})
    async with active(machine, site) as run:
        await created(run)
        run.command.faults.on("compose POST containers/shop-db-1/start", Fails(500, "no such device"), 1)
        with pytest.raises(EngineError, match="no such device"):
            await run.project.start()
