"""Edits of a project's files put in force while it runs, on an engine in memory."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.errors import ConfigError, DevenvError
from devenv.events import Notice, Reloaded, Removed
from support.active import Active, active
from support.engine import Fails
from support.memory.command import model
from support.memory.machine import Machine, mounted

pytestmark = pytest.mark.anyio


def containers(run: Active) -> dict[str, str]:
    """Name -> id of every container that runs."""
    return {c.name: c.id for c in run.machine.host.containers.values() if c.running}


async def test_only_what_differs_is_replaced(machine: Machine) -> None:
    """One service changed, one is new, one was removed, one is unchanged."""
    site = machine.site("shop", web={}, db={}, old={})
    async with active(machine, site) as run:
        await run.up()
        before = containers(run)
        assert await run.reload(web={"environment": {"A": "1"}}, db={}, new={})
        now = containers(run)
        assert now.keys() == {"shop-web-1", "shop-db-1", "shop-new-1"}
        assert now["shop-db-1"] == before["shop-db-1"]
        assert now["shop-web-1"] != before["shop-web-1"]
        (event,) = run.events(Reloaded)
        assert (event.recreated, event.added, event.removed) == (("web",), ("new",), ("old",))
        assert [e.name for e in run.events(Removed)] == ["shop-old-1"]
        assert run.project.desired.names == {"web", "db", "new"}


async def test_a_reload_without_a_difference_does_nothing(machine: Machine) -> None:
    """A comment was edited."""
    site = machine.site("shop", web={})
    async with active(machine, site) as run:
        await run.up()
        before = containers(run)
        assert not await run.reload(web={})
        assert (containers(run), run.events(Reloaded)) == (before, [])


async def test_changes_that_need_a_new_run_are_refused(machine: Machine) -> None:
    """A volume that is defined otherwise; everything stays as before."""
    site = machine.site("shop", db={"volumes": [mounted("data")]})
    async with active(machine, site) as run:
        await run.up()
        before, desired = containers(run), run.project.desired
        (site.folder / "compose.yml").write_text("services: {}\n")
        other = model("shop", db={"volumes": [mounted("data")]})
        other["volumes"]["data"]["driver"] = "other"
        loaded = replace(run.site, model=other).loaded(Selection(str(site.folder)))
        with pytest.raises(ConfigError, match="the volume `data` is defined otherwise now: that takes a new run"):
            await run.project.update.apply(loaded, ("compose.yml",))
        assert (containers(run), run.project.desired) == (before, desired)


async def test_a_service_that_others_have_started_stays_as_it_is(machine: Machine) -> None:
    """The service is not changed with the file; the notice has the command."""
    site = machine.site("shop", web={}, db={})
    machine.plain(site).up("db")
    async with active(machine, site) as run:
        await run.up()
        before = containers(run)
        assert not await run.reload(web={}, db={"environment": {"A": "1"}})
        assert containers(run) == before
        (notice,) = run.events(Notice)
        assert notice.message.startswith("db stays as it is")
        assert notice.hint == "docker compose up -d db"


async def test_a_new_volume_is_in_the_ledger(machine: Machine) -> None:
    """As at the beginning of a run."""
    site = machine.site("shop", db={})
    async with active(machine, site) as run:
        await run.up()
        await run.reload(db={"volumes": [mounted("data")]})
        assert "shop_data" in machine.host.volumes
        assert [record.name for record in run.project.ledger.volumes] == ["shop_data"]


async def test_a_create_that_failed_is_tried_again_at_the_next_reload(machine: Machine) -> None:
    """The create is tried again even if the files are equal."""
    site = machine.site("shop", web={}, db={})
    async with active(machine, site) as run:
        await run.up()
        run.command.faults.on("compose POST containers/create", Fails(500, "no such device"))
        changed = {"environment": {"A": "1"}}
        with pytest.raises(DevenvError, match="no such device"):
            await run.reload(web=changed, db={})
        assert await run.reload(web=changed, db={})
        assert machine.host.container("shop-web-1").wish["Env"] == ["A=1"]
        assert machine.host.container("shop-web-1").state == "running"


async def test_files_that_are_changed_back_after_a_failure_are_put_in_force(machine: Machine) -> None:
    """The result of Compose before the failure is unknown, so the service is created again."""
    site = machine.site("shop", web={}, db={})
    async with active(machine, site) as run:
        await run.up()
        run.command.faults.on("compose POST containers/.*/rename", Fails(500, "no such device"))
        with pytest.raises(DevenvError, match="no such device"):
            await run.reload(web={"environment": {"A": "1"}}, db={})
        assert await run.reload(web={}, db={})
        assert containers(run).keys() == {"shop-web-1", "shop-db-1"}
        assert not machine.host.container("shop-web-1").wish.get("Env")


async def test_dependents_are_restarted_after_a_reload(machine: Machine) -> None:
    """`restart: true` holds for every replacement; a service that was replaced itself is not restarted."""
    needs = {"db": {"condition": "service_started", "restart": True}}
    site = machine.site("shop", db={}, web={"depends_on": needs})
    async with active(machine, site) as run:
        await run.up()
        web = machine.host.container("shop-web-1")
        started = web.started
        assert await run.reload(db={"environment": {"A": "1"}}, web={"depends_on": needs})
        with anyio.fail_after(20):
            while web.started == started:  # noqa: ASYNC110 - the engine in memory sets no event of ours
                await anyio.sleep(0.005)
