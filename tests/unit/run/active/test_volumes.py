"""The volumes of an active project, on an engine in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.events import Event, Notice, Step
from devenv.run.active import volumes
from devenv.run.active.volumes import VolumeFills
from devenv.run.desired import DesiredState
from devenv.state.identity import Content
from support.active import active
from support.memory.machine import Machine, mounted

pytestmark = pytest.mark.anyio

CHECKED = {"healthcheck": {"test": ["CMD", "true"]}}


async def until(is_met: Callable[[], object]) -> None:
    """Returns once that is so."""
    with anyio.fail_after(20):
        while not is_met():  # noqa: ASYNC110 - the ledger reports no event
            await anyio.sleep(0.005)


async def test_new_volumes_are_settled_once_their_services_are_well(machine: Machine) -> None:
    """Before that they may hold half a state."""
    site = machine.site("shop", db={**CHECKED, "volumes": [mounted("data")]})
    async with active(machine, site) as run:
        await run.project.volumes.begin(fresh=False)
        assert [r.content for r in run.project.ledger.volumes] == [Content.UNSETTLED]
        await run.up()
        run.project.volumes.settle()
        assert [r.content for r in run.project.ledger.volumes] == [Content.SETTLED]


async def test_volumes_settle_by_themselves_while_the_project_runs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the health check of the service that mounts them succeeds; a new volume begins that again."""
    monkeypatch.setattr(volumes, "SETTLE_EVERY", 0.01)
    data, more = mounted("data"), mounted("more", "/more")
    site = machine.site("shop", db={**CHECKED, "volumes": [data]})
    async with active(machine, site) as run:
        await run.up()
        await until(lambda: [r.content for r in run.project.ledger.volumes] == [Content.SETTLED])
        await run.reload(db={**CHECKED, "volumes": [data, more]})
        await until(lambda: [r.content for r in run.project.ledger.volumes] == [Content.SETTLED] * 2)


async def test_the_anonymous_volumes_of_a_replaced_container_are_in_the_ledger(machine: Machine) -> None:
    """The way down removes them, too."""
    anonymous = {"type": "volume", "target": "/cache", "volume": {}}
    site = machine.site("shop", web={"volumes": [anonymous]})
    async with active(machine, site) as run:
        await run.up()
        (old,) = run.containers("web")
        await run.project.actions.recreate("web", "")
        assert old.volumes
        assert set(old.volumes) <= set(run.project.ledger.anonymous)


async def test_data_that_no_snapshot_will_have_is_reported(machine: Machine) -> None:
    """A database without a named volume; `devenv up` says so before it is up."""
    anonymous = {"type": "volume", "target": "/var/lib/mysql", "volume": {}}
    environment = {"MYSQL_VERSION": "9.1"}
    site = machine.site("shop", db={"volumes": [anonymous], "environment": environment}, web={"volumes": [anonymous]})
    async with active(machine, site) as run:
        await run.up()
        run.project.volumes.report_unsaved()
        (notice,) = [n for n in run.events(Notice) if "anonymous" in n.message]
        assert notice.message.startswith("the data of db is in an anonymous volume at /var/lib/mysql")
        assert '`volumes: ["db-data:/var/lib/mysql"]`' in (notice.hint or "")


async def test_a_folder_that_cannot_be_created(machine: Machine) -> None:
    """The run continues; the message has a command to paste."""
    site = machine.site("shop", web={})
    (site.folder / "file").touch()
    async with active(machine, site) as run:
        current = run.project.actions.current
        current.desired = replace(current.desired, folders=(str(site.folder / "file/a b"),))
        await run.project.volumes.begin(fresh=False)
        (notice,) = run.events(Notice)
        assert notice.message.startswith("./file/a b does not exist and cannot be created (File exists): ")
        assert notice.hint == f"sudo install -d -o $USER '{site.folder}/file/a b'"
        assert run.project.ledger.folders == ()


async def test_slow_copies_to_anonymous_volumes_are_reported(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they last, and how long they took; containers without such volumes are not."""
    anonymous = {"volumes": [{"type": "volume", "target": "/m"}], "container_name": "given"}
    named = {"volumes": [mounted("data")]}
    site = machine.site("shop", web={**anonymous, "container_name": None}, other=anonymous, db=named)
    desired = DesiredState(site.loaded(Selection(str(site.folder))), frozenset({"web", "other", "db"}))
    events: list[Event] = []
    fills = VolumeFills(desired, events.append)
    monkeypatch.setattr(volumes, "NOTABLE", 0.001)
    monkeypatch.setattr(volumes, "PATIENCE", 0.0)
    for name in ("shop-web-1", "shop-db-1"):
        fills.made("container", name)
    with anyio.move_on_after(0.05):
        await fills.report()
    assert events == [Step("create", "detail", "web: the engine copies /m from the image to an anonymous volume")]
    monkeypatch.setattr(anyio, "current_time", itertools.count(1e6, 2.0).__next__)
    for kind, name in (("container", "given"), ("network", "shop-web-1"), ("container", "given")):
        fills.made(kind, name)
    monkeypatch.setattr(volumes, "NOTABLE", 3.0)
    for _ in range(2):
        fills.made("container", "given")
    assert events[1:] == [Step("create", "detail", "other fills /m", 2.0)]
