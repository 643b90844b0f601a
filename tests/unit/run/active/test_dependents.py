"""`restart: true` in `depends_on`, on an engine in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from devenv.events import Problem, Restarted
from devenv.run.active import dependents
from support.active import Active, active
from support.engine import Fails
from support.memory import verbs
from support.memory.machine import Machine

pytestmark = pytest.mark.anyio


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with one engine, whose state folder is private to the test."""
    monkeypatch.setattr(dependents, "LOOK_EVERY", 0.005)
    with Machine(tmp_path).installed() as installed:
        yield installed


async def until(is_met: Callable[[], object]) -> None:
    """Returns once that is so."""
    with anyio.fail_after(20):
        while not is_met():  # noqa: ASYNC110 - the engine in memory sets no event of ours
            await anyio.sleep(0.005)


FOLLOWS = {"condition": "service_healthy", "restart": True}
CHECKED = {"healthcheck": {"test": ["CMD", "true"]}}


def chain(machine: Machine) -> dict[str, int]:
    """Service -> when its container was started last."""
    return {name: machine.host.container(f"shop-{name}-1").started for name in ("db", "api", "web")}


def restarted(run: Active) -> list[tuple[str, str]]:
    """The services that were restarted, with the causes."""
    return [(event.service, event.cause) for event in run.events(Restarted)]


async def test_a_chain_is_restarted_nearest_first_once_each_dependency_is_healthy(machine: Machine) -> None:
    """The database's restart waits for its health check before the API follows."""
    site = machine.site(
        "shop", db=CHECKED, api={**CHECKED, "depends_on": {"db": FOLLOWS}}, web={"depends_on": {"api": FOLLOWS}}
    )
    async with active(machine, site) as run:
        await run.up()
        before = chain(machine)
        database = machine.host.container("shop-db-1")
        verbs.set_health(machine.host, database, "starting")
        run.project.actions.dependents.after(("db",))
        await anyio.sleep(0.05)
        assert chain(machine) == before
        verbs.set_health(machine.host, database, "healthy")
        await until(lambda: len(restarted(run)) == 2)
        assert restarted(run) == [("api", "db"), ("web", "db")]
        after = chain(machine)
        assert before["db"] == after["db"]
        assert after["api"] < after["web"]


async def test_a_dependency_that_does_not_come_back_restarts_nobody(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is limited to the time that `up` waits for healthy."""
    site = machine.site("shop", db=CHECKED, api={"depends_on": {"db": FOLLOWS}}, web={})
    async with active(machine, site) as run:
        await run.up()
        before = chain(machine)
        monkeypatch.setattr(run.project.actions.dependents, "patience", 0.05)
        verbs.set_health(machine.host, machine.host.container("shop-db-1"), "unhealthy")
        run.project.actions.dependents.after(("db",))
        await anyio.sleep(0.1)
        verbs.set_health(machine.host, machine.host.container("shop-db-1"), "healthy")
        await anyio.sleep(0.05)
        assert chain(machine) == before


async def test_a_restart_that_fails_is_a_problem_and_ends_the_chain(machine: Machine) -> None:
    """Services that depend on that service are not restarted."""
    site = machine.site(
        "shop", db=CHECKED, api={**CHECKED, "depends_on": {"db": FOLLOWS}}, web={"depends_on": {"api": FOLLOWS}}
    )
    async with active(machine, site) as run:
        await run.up()
        run.command.faults.on("POST containers/.*/restart", Fails(500, "no such device"))
        run.project.actions.dependents.after(("db",))
        await until(lambda: run.events(Problem))
        assert [problem.service for problem in run.events(Problem)] == ["api"]
        assert restarted(run) == []
