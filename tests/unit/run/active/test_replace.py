"""Actions on single services of a project that runs, on an engine in memory."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from devenv.errors import EngineError, UsageError
from devenv.events import Notice, Problem, Rebuilt, Restarted
from devenv.images.prepare import PreparedImages
from devenv.model.status import Phase
from devenv.run.active import dependents
from devenv.run.active import replace as replacement
from devenv.state.unfinished import is_cut_off
from support.active import Active, active
from support.engine import Fails
from support.memory import verbs
from support.memory.command import mounted
from support.memory.machine import Machine, Site

pytestmark = pytest.mark.anyio

BUILT = {"build": {"context": "."}, "image": "shop-web"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with one engine, whose state folder is private to the test."""
    monkeypatch.setattr(dependents, "LOOK_EVERY", 0.005)
    with Machine(tmp_path).installed() as installed:
        yield installed


def ids(run: Active, service: str) -> list[str]:
    """The containers of a service on the engine."""
    return [c.id for c in run.machine.host.containers.values() if c.name.startswith(f"shop-{service}-")]


async def until(is_met: Callable[[], object]) -> None:
    """Returns once that is so."""
    with anyio.fail_after(20):
        while not is_met():  # noqa: ASYNC110 - the engine in memory sets no event of ours
            await anyio.sleep(0.005)


async def test_rebuild_replaces_the_container_and_removes_the_untagged_image(
    machine: Machine,
) -> None:
    """Only the service itself is replaced; the container of the new image runs."""
    site = machine.site("shop", web=BUILT, db={})
    async with active(machine, site, build=True) as run:
        await run.project.desired.making.build()
        await run.up()
        old, old_image, db = ids(run, "web"), machine.host.image("shop-web").id, ids(run, "db")
        machine.host.stamps["web"] = 1
        await run.project.actions.rebuild("web", "src/main.py")
        assert ids(run, "web") != old
        assert machine.host.container(ids(run, "web")[0]).state == "running"
        assert machine.host.container(ids(run, "web")[0]).image == machine.host.image("shop-web").id
        assert old_image not in machine.host.images
        assert ids(run, "db") == db
        assert [(e.service, e.cause) for e in run.events(Rebuilt)] == [("web", "src/main.py")]


async def test_a_rebuild_keeps_an_image_that_has_another_name(machine: Machine) -> None:
    """The image has a tag of the user."""
    site = machine.site("shop", web=BUILT)
    async with active(machine, site) as run:
        await run.project.desired.making.build()
        await run.up()
        image = machine.host.image("shop-web")
        machine.host.tag(image, "mine:1")
        machine.host.stamps["web"] = 1
        await run.project.actions.rebuild("web", "")
        assert image.id in machine.host.images


async def test_files_that_are_put_in_force_during_a_rebuild_stay_in_force(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changes of the rebuild are added to those of the update for other services."""
    site = machine.site("shop", web=BUILT, db={})
    async with active(machine, site) as run:
        await run.project.desired.making.build()
        await run.up()

        async def update(*_: object, **__: object) -> PreparedImages:
            assert await run.reload(web=BUILT, db={"environment": {"A": "1"}})
            current = run.project.actions.current
            current.desired = dataclasses.replace(current.desired, supply=PreparedImages(images={"db": "new"}))
            return PreparedImages(images={"web": "new"})

        async def is_current(*_: object) -> bool:
            return False

        monkeypatch.setattr(replacement, "prepare_images", update)
        monkeypatch.setattr(PreparedImages, "is_current", is_current)
        await run.project.actions.rebuild("web", "")
        assert run.project.desired.services["db"]["environment"] == {"A": "1"}
        assert run.project.desired.supply.images == {"db": "new", "web": "new"}


async def test_a_recreation_whose_create_fails_leaves_the_rest_running(machine: Machine) -> None:
    """The error is raised, and the next recreation works; until then, the run's record says that it was cut off."""
    site = machine.site("shop", web={}, db={})
    async with active(machine, site) as run:
        await run.up()
        run.command.faults.on("compose POST containers/create", Fails(500, "no such device"))
        with pytest.raises(EngineError, match="no such device"):
            await run.project.actions.recreate("web", "")
        assert machine.host.container("shop-db-1").state == "running"
        assert is_cut_off(run.project.compose.run)
        old = ids(run, "web")
        await run.project.actions.recreate("web", "Dockerfile")
        assert not is_cut_off(run.project.compose.run)
        assert ids(run, "web") != old
        assert machine.host.container("shop-web-1").state == "running"
        assert [(e.service, e.cause) for e in run.events(Restarted)] == [("web", "Dockerfile")]


async def test_an_end_by_a_restart_is_no_failure(machine: Machine) -> None:
    """The same container runs again, and no problem is reported."""
    site = machine.site("shop", web={})
    async with active(machine, site) as run:
        await run.up()
        old, started = ids(run, "web"), machine.host.container("shop-web-1").started
        await run.project.actions.restart("web")
        assert ids(run, "web") == old
        assert machine.host.container("shop-web-1").started > started
        assert [e.service for e in run.events(Restarted)] == ["web"]
        assert run.events(Problem) == []


async def test_a_restart_of_a_service_without_containers_creates_them(machine: Machine) -> None:
    """Its containers were removed meanwhile."""
    site = machine.site("shop", web={})
    async with active(machine, site) as run:
        await run.up()
        machine.docker.remove("shop-web-1")
        await run.observed()
        await run.project.actions.restart("web")
        assert machine.host.container("shop-web-1").state == "running"


async def test_a_restart_creates_everything_that_somebody_removed(machine: Machine) -> None:
    """As by `docker compose down --volumes`; the volume gets its saved content, and a folder that exists is kept."""
    services: dict[str, Any] = {
        "web": {"depends_on": {"db": {"condition": "service_started"}}},
        "db": {"volumes": [mounted("data")]},
    }
    site = machine.site("shop", **services)
    folder = site.folder / "uploads"
    async with active(machine, site) as run:
        current = run.project.actions.current
        current.desired = dataclasses.replace(current.desired, folders=(str(folder),))
        await run.up()
        assert folder.is_dir()
        await run.reload(**services)  # it sees that the network exists now
        current.desired = dataclasses.replace(current.desired, folders=(str(folder),))
        for service in ("web", "db"):
            machine.docker.remove(f"shop-{service}-1")
        machine.docker.remove_network("shop_default")
        machine.docker.remove_volume("shop_data")
        await run.observed()
        await run.project.actions.restart("web")
        assert [machine.host.container(f"shop-{name}-1").state for name in ("db", "web")] == ["running"] * 2
        assert machine.host.network("shop_default").labels["devenv.owner"] == run.project.desired.owner
        assert [record.name for record in run.project.ledger.volumes] == ["shop_data"]
        assert [e.service for e in run.events(Restarted)] == ["db", "web"]
        assert sum("./uploads did not exist" in e.message for e in run.events(Notice)) == 1


async def test_a_service_that_lost_its_network_is_replaced_by_a_restart(machine: Machine) -> None:
    """The engine does not reconnect a container when it restarts it."""
    site = machine.site("shop", web={})
    async with active(machine, site) as run:
        await run.up()
        web, old = machine.host.container("shop-web-1"), ids(run, "web")
        await anyio.sleep(1.2)  # all is well: from now on it looks every half minute, if nothing happens
        network = machine.host.network("shop_default")
        machine.host.emit_event("network", "disconnect", "other", {"name": "other_default", "container": "other"})
        verbs.disconnect(machine.host, network, web)
        with anyio.fail_after(1):
            while not run.project.observer.view.has_lost_network("web"):  # noqa: ASYNC110 - another task looks
                await anyio.sleep(0.1)
        (standing,) = run.project.observer.standings()
        assert standing.detail == "disconnected from the network shop_default"
        await run.project.actions.restart("web")
        assert ids(run, "web") != old
        assert run.project.observer.project_state.of("web")[0].networks == ("shop_default",)


async def test_a_stopped_service_stays_stopped_until_a_restart(machine: Machine) -> None:
    """A stopped service is not a failure."""
    site = machine.site("shop", web={}, db={})
    async with active(machine, site) as run:
        await run.up()
        await run.project.actions.stop("web")
        assert machine.host.container("shop-web-1").state == "exited"
        standings = run.project.observer.standings
        await until(lambda: {s.service: s.phase for s in standings()}["web"] is Phase.STOPPED)
        assert [e.message for e in run.events(Notice)] == ["web is stopped"]
        await run.observed()
        await run.project.actions.restart("web")
        assert machine.host.container("shop-web-1").state == "running"
        assert run.events(Problem) == []


@pytest.mark.parametrize("verb", ["restart", "stop"])
async def test_foreign_containers_are_not_touched(machine: Machine, verb: str) -> None:
    """Neither a service that plain Compose has started nor a service without containers is touched."""
    site = machine.site("shop", web={}, db={})
    machine.plain(site).up("db")
    async with active(machine, site) as run:
        with pytest.raises(UsageError, match="web has no container yet"):
            await getattr(run.project.actions, verb)("web")
        await run.up()
        with pytest.raises(UsageError, match="db is left alone") as caught:
            await getattr(run.project.actions, verb)("db")
        assert caught.value.hint == f"docker compose {verb} db"
        assert machine.host.container("shop-db-1").state == "running"


async def test_services_with_restart_true_are_restarted_after_the_service_that_they_depend_on(
    machine: Machine,
) -> None:
    """`depends_on: {db: {restart: true}}`, after a restart and after a replacement."""
    needs = {"db": {"condition": "service_started", "restart": True}}
    site = machine.site("shop", db={}, web={"depends_on": needs}, docs={})
    async with active(machine, site) as run:
        await run.up()
        for act in (run.project.actions.restart, lambda name: run.project.actions.recreate(name, "")):
            web, docs = (machine.host.container(f"shop-{name}-1").started for name in ("web", "docs"))
            await act("db")
            await until(lambda: machine.host.container("shop-web-1").started > web)  # noqa: B023 - awaited at once
            assert machine.host.container("shop-docs-1").started == docs
            await run.observed()


async def test_containers_that_ended_with_the_engine_are_restarted(machine: Machine) -> None:
    """A service that had ended before is not."""
    site = machine.site("shop", web={}, db={}, job={"command": ["true"]})
    async with active(machine, site) as run:
        await run.up()
        for name in ("web", "db"):
            verbs.stop(machine.host, machine.host.container(f"shop-{name}-1"))
        await run.observed()
        ended = [*run.containers("web"), *run.containers("db")]
        await run.project.actions.resume(ended)
        states = {c.name: c.state for c in machine.host.containers.values()}
        assert states == {"shop-web-1": "running", "shop-db-1": "running", "shop-job-1": "exited"}
        assert [e.message for e in run.events(Notice)] == ["the engine was away; started again: db, web"]


async def test_a_service_that_cannot_be_started_again_is_a_problem(machine: Machine) -> None:
    """It is not an error: the run continues with the others."""
    site = machine.site("shop", web={})
    async with active(machine, site) as run:
        await run.up()
        verbs.stop(machine.host, machine.host.container("shop-web-1"))
        await run.observed()
        run.command.faults.on("POST containers/.*/start", Fails(500, "no such device"))
        await run.project.actions.resume(run.containers("web"))
        (problem,) = run.events(Problem)
        assert problem.message.startswith("the engine is back, but not all services: ")


async def test_a_restart_waits_until_compose_is_idle(machine: Machine) -> None:
    """The exception is a service that Compose has started and for which no other service waits."""
    site = machine.site("shop", web={})
    async with active(machine, site) as run:
        await run.up()
        entered = anyio.Event()

        async def restart() -> None:
            async with run.project.actions.restarting(run.containers("web")):
                entered.set()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks, run.project.compose.turn:
                tasks.start_soon(restart)
                await anyio.sleep(0.02)
                assert not entered.is_set()


# --- what a killed process leaves to the next keeper -----------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


async def killed(*_: object, **__: object) -> None:
    """Stands in for a call that the process does not live to make."""
    raise Killed


async def next_keeper(machine: Machine, site: Site, **services: Mapping[str, Any]) -> None:
    """Adopt the project, which has these services now, as the next keeper does."""
    async with active(machine, site) as run:
        is_cut = is_cut_off(run.project.compose.run)
        await run.project.adopt(0.0, is_current=not is_cut)
        assert await run.reload(**services) == is_cut
        assert not is_cut_off(run.project.compose.run)
        assert run.events(Problem) == []


def states(machine: Machine) -> dict[str, str]:
    """The states of the containers, by their names."""
    return {c.name: c.state for c in machine.host.containers.values()}


@pytest.mark.parametrize("again", [True, False])
async def test_the_next_keeper_starts_a_container_whose_restart_was_cut_off(machine: Machine, *, again: bool) -> None:
    """The engine has ended the container, and nobody would start it."""
    site = machine.site("shop", web={}, db={})
    async with active(machine, site) as run:
        await run.up()
        db = machine.host.container("shop-db-1").started
        with contextlib.suppress(Killed):
            async with run.project.actions.restarting(run.containers("web"), again=again):
                verbs.stop(machine.host, machine.host.container("shop-web-1"))
                raise Killed
    await next_keeper(machine, site, web={}, db={})
    assert states(machine) == {"shop-web-1": "running", "shop-db-1": "running"}
    assert machine.host.container("shop-db-1").started == db


async def test_the_next_keeper_begins_a_restart_that_the_killed_one_did_not_begin(machine: Machine) -> None:
    """Of `web`, asked for on the page, and of its dependent, which had to wait for it."""
    needs = {"db": {"condition": "service_started", "restart": True}}
    services: dict[str, Any] = {"db": {}, "web": {"depends_on": needs}}
    site = machine.site("shop", **services)
    async with active(machine, site) as run:
        await run.up()
        began = {c.name: c.started for c in machine.host.containers.values()}
        with contextlib.suppress(Killed):
            async with run.project.actions.restarting(run.containers("db"), again=True):
                raise Killed
    await next_keeper(machine, site, **services)
    assert machine.host.container("shop-db-1").started > began["shop-db-1"]

    async with active(machine, site) as run:
        await run.observed()
        began = {c.name: c.started for c in machine.host.containers.values()}
        run.project.actions.dependents.after(("db",))
        await until(lambda: run.project.actions.dependents.pending and not is_cut_off(run.project.compose.run))
        await anyio.lowlevel.checkpoint()
    await next_keeper(machine, site, **services)
    assert machine.host.container("shop-web-1").started > began["shop-web-1"]
    assert machine.host.container("shop-db-1").started == began["shop-db-1"]


@pytest.mark.parametrize("is_stopped", [True, False])
async def test_the_next_keeper_finishes_an_edit_that_was_cut_off(machine: Machine, *, is_stopped: bool) -> None:
    """A changed service runs, as the file says, and the container of a removed one is removed."""
    site = machine.site("shop", web={}, db={}, old={})
    async with active(machine, site) as run:
        await run.up()
        with contextlib.suppress(Killed):
            async with run.project.actions.ending([*run.containers("web"), *run.containers("old")]):
                for name in ("shop-web-1", "shop-old-1") if is_stopped else ():
                    verbs.stop(machine.host, machine.host.container(name))
                raise Killed
    site = machine.site("shop", web={}, db={})
    await next_keeper(machine, site, web={}, db={})
    assert states(machine) == {"shop-web-1": "running", "shop-db-1": "running"}


@pytest.mark.parametrize("verb", ["stop", "remove"])
async def test_the_next_keeper_starts_what_a_restore_had_ended(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The process was killed once a container was stopped, or once it was removed."""
    services: dict[str, Any] = {"db": {"volumes": [mounted("data")]}, "web": {}}
    site = machine.site("shop", **services)
    async with active(machine, site) as run:
        await run.up()
        if verb == "stop":
            monkeypatch.setattr(run.project.engine.containers, "remove", killed)
        with contextlib.suppress(Killed, BaseExceptionGroup):
            await run.project.actions.refill(run.containers("db"), killed)
        assert is_cut_off(run.project.compose.run)
    await next_keeper(machine, site, **services)
    assert states(machine) == {"shop-web-1": "running", "shop-db-1": "running"}


@pytest.mark.parametrize("moment", ["create gone", "resume", "recreate"])
async def test_the_next_keeper_starts_what_was_not_started(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The process was killed before Compose could start the containers."""
    site = machine.site("shop", web={}, db={})
    async with active(machine, site) as run:
        await run.up()
        monkeypatch.setattr(run.project.compose, "start", killed)
        actions, web = run.project.actions, run.containers("web")
        if moment == "create gone":
            machine.docker.remove("shop-web-1")
            await run.observed()
        elif moment == "resume":
            verbs.stop(machine.host, machine.host.container("shop-web-1"))
        with pytest.raises(Killed):
            await {
                "create gone": lambda: actions.restart("web"),
                "resume": lambda: actions.resume(web),
                "recreate": lambda: actions.recreate("web", ""),
            }[moment]()
    await next_keeper(machine, site, web={}, db={})
    assert states(machine) == {"shop-web-1": "running", "shop-db-1": "running"}
