"""`devenv up --from` with a project, on an engine in memory."""

from __future__ import annotations

import anyio
import pytest

from devenv.errors import StateError, UsageError
from devenv.events import Notice
from devenv.volumes.store import Store
from support.memory.machine import Command, Machine, Site, shown

pytestmark = pytest.mark.anyio


def write(machine: Machine, text: str, volume: str = "shop_data") -> None:
    """Write a file into a volume."""
    machine.docker.write(volume, "x", text.encode())


def content(machine: Machine, volume: str = "shop-feature_data") -> bytes | None:
    """The file in a volume."""
    return machine.docker.read(volume, "x")


async def begun(machine: Machine, site: Site, source: str) -> tuple[Command, bytes | None]:
    """A run with `--from`, and the content that it began with."""
    seen = list[bytes | None]()
    run = await machine.run_up(site, source=source, then=lambda: seen.append(content(machine)))
    return run, (seen or [None])[0]


@pytest.mark.parametrize("source", ["main", "shop"])
async def test_the_data_of_a_running_project_are_copied(
    machine: Machine, shop: Site, feature: Site, source: str
) -> None:
    """Its containers are paused meanwhile, and go on; one line says so. Both trees then have lines of their own."""
    async with anyio.create_task_group() as tasks:
        main = await machine.up(shop, tasks=tasks)
        write(machine, "theirs")
        run, seen = await begun(machine, feature, source)
        assert seen == b"theirs", shown(run)
        assert machine.host.container("shop-db-1").state == "running"
        write(machine, "later")
        main.interrupt()
        await main.over.wait()
    (line,) = [e.message for e in run.events if isinstance(e, Notice) and "copied" in e.message]
    assert line.startswith("data copied from shop; db paused for ")
    again, ours = list[bytes | None](), list[bytes | None]()
    await machine.run_up(shop, then=lambda: again.append(content(machine, "shop_data")))
    await machine.run_up(feature, then=lambda: ours.append(content(machine)))
    assert (again, ours) == ([b"later"], [b"theirs"])


async def test_saved_data_are_used_if_the_project_is_not_up(machine: Machine, shop: Site, feature: Site) -> None:
    """Nothing is copied."""
    await machine.run_up(shop, then=lambda: write(machine, "saved"))
    run, seen = await begun(machine, feature, "main")
    assert seen == b"saved", shown(run)
    assert len(Store.at_home().all()) == 2


async def test_data_of_plain_compose_are_copied(machine: Machine, shop: Site, feature: Site) -> None:
    """They have no lineage."""
    machine.plain(shop).up()
    write(machine, "plain")
    _, seen = await begun(machine, feature, "shop")
    assert seen == b"plain"
    assert machine.host.container("shop-db-1").state == "running"


async def test_existing_data_are_not_replaced(machine: Machine, shop: Site, feature: Site) -> None:
    """The error has the command, and nothing is copied."""
    await machine.run_up(shop, detach=True)
    await machine.run_up(feature, detach=True)
    refused = await machine.run_up(feature, source="main", detach=True)
    assert isinstance(refused.error, StateError), shown(refused)
    assert refused.error.message == "shop-feature_data exists: it cannot begin with the data of shop"
    assert Store.at_home().all()[:1] == Store.at_home().all()[-1:]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nope", "there is no snapshot nope, and no project nope with data"),
        ("shop", "shop is this project"),
        ("main", "is in no linked git worktree, so there is no other `main`"),
    ],
)
async def test_a_source_that_does_not_exist(machine: Machine, shop: Site, source: str, message: str) -> None:
    """The error names it."""
    refused = await machine.run_up(shop, source=source)
    assert isinstance(refused.error, UsageError), shown(refused)
    assert refused.error.message.endswith(message)
