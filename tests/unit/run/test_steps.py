"""Each step of `devenv up`, on an engine in memory."""

from __future__ import annotations

import socket
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.compose.resolve import Loaded
from devenv.docker import process
from devenv.docker.compose_failures import BuildError
from devenv.docker.images import Images
from devenv.errors import DevenvError, EngineError, RefusedError, StateError, UsageError
from devenv.events import Step
from devenv.images import early_builds
from devenv.model.containers import SERVICE_LABEL
from devenv.model.project import SHELL, Hook, Moment, Project, ProjectHook
from devenv.run import steps
from devenv.run.step_values import Active, Entered
from devenv.run.steps import STEPS, groups
from devenv.state.identity import Content
from devenv.state.ledger import VolumePolicy
from devenv.volumes.store import Store
from support.memory.command import Guard
from support.memory.compose import MemoryCompose
from support.memory.host import Container, Image, MemoryHost
from support.memory.machine import Machine, Site, mounted
from support.steps import opened

pytestmark = pytest.mark.anyio

ORDER = [step for group in STEPS.values() for step in group]
EVENTS = ["check", "images", "build", "restore", "create", "sync", "start", "healthy"]


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project in which `web` needs `db`, and `db` has a named volume."""
    depends = {"depends_on": {"db": {"condition": "service_started", "required": True}}}
    return machine.site("shop", db={"volumes": [mounted("data")]}, web=depends, other={})


def hook(moment: Moment, line: str) -> ProjectHook:
    return ProjectHook(moment, Hook((*SHELL, line)), where="compose.yml:7")


def states(machine: Machine) -> dict[str, str]:
    return {c.name: c.state for c in machine.host.containers.values()}


# --- the sequence -------------------------------------------------------------------------------------------------


def test_each_step_takes_what_the_step_before_returns() -> None:
    """The types of the tuple fit, which mypy cannot see."""
    before: type = Loaded
    for step in ORDER:
        hints = typing.get_type_hints(step)
        returned = hints.pop("return")
        _, taken = hints.values()
        assert issubclass(before, taken), (step, before)
        before = returned
    assert before is Active


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ((), EVENTS),
        ((Moment.BEFORE_UP,), ["check", "before_up", *EVENTS[1:]]),
        ((Moment.AFTER_HEALTHY,), [*EVENTS, "after_healthy"]),
        ((Moment.BEFORE_DOWN,), EVENTS),
    ],
    ids=["no hooks", "before up", "after healthy", "before down"],
)
def test_steps_are_reported_by_event(moments: tuple[Moment, ...], expected: list[str]) -> None:
    """Hooks are an event of their own only if there are some; no step is lost, and the order stays."""
    project = Project("p", "/p", (), (), hooks=tuple(hook(moment, "true") for moment in moments))
    batches = groups(project)
    assert list(batches) == expected
    assert [step for group in batches.values() for step in group] == ORDER


# --- check ----------------------------------------------------------------------------------------------------------


async def test_dependencies_are_selected_with_a_service(machine: Machine, shop: Site) -> None:
    """No other service is selected."""
    async with opened(machine, shop, "web") as run:
        assert (await run.after(steps.select_services)).names == {"web", "db"}


@pytest.mark.parametrize(
    ("services", "message"), [((), "every service has a scale of 0"), (("nope",), "nope")], ids=["scale", "unknown"]
)
async def test_a_run_of_no_service_is_refused(machine: Machine, services: tuple[str, ...], message: str) -> None:
    """Before anything else happens."""
    site = machine.site("shop", db={"scale": 0})
    async with opened(machine, site, *services) as run:
        with pytest.raises(UsageError, match=message):
            await run.after(steps.select_services)


async def test_host_commands_need_trust(machine: Machine, shop: Site) -> None:
    """Given once, it holds for the next run; no guardian has started by then."""
    hooks = (hook(Moment.BEFORE_UP, "true"),)
    async with opened(machine, shop, hooks=hooks) as run:
        with pytest.raises(RefusedError, match="nobody has allowed"):
            await run.after(steps.review)
        assert run.command.guard is None
    for trust in (True, False):
        async with opened(machine, shop, hooks=hooks, trust=trust) as run:
            assert await run.after(steps.review)


@pytest.mark.parametrize(("phase", "expected"), [("up", ["end", "record"]), ("detached", ["end", "record"])])
async def test_the_children_of_a_dead_run_end_first(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch, phase: str, expected: list[str]
) -> None:
    """So do those of a dead keeper. Their record is replaced after that, and the guardian starts last."""
    calls = list[str]()

    async def end(_: str) -> None:
        calls.append("end")

    await machine.run_up(shop, detach=True)
    async with opened(machine, shop) as run:
        ledger = run.context.run.read()
        assert ledger is not None
        run.context.run.write(replace(ledger, phase=phase))
        monkeypatch.setattr(process, "end_recorded", end)
        monkeypatch.setattr(process, "record_children", lambda _: calls.append("record"))
        guarded = await run.after(steps.start_guardian)
        assert calls == expected
        assert guarded.guardian is run.command.guard
        assert (guarded.earlier.began, guarded.earlier.phase) == (ledger.began, phase)


async def test_the_project_of_another_owner_is_not_taken_over(machine: Machine, shop: Site, tmp_path: Path) -> None:
    """The same project name from another state folder."""
    other = tmp_path / "other"
    other.mkdir()
    theirs = Machine(other, engines=machine.engines, address=machine.address)
    with theirs.installed():
        await theirs.run_up(theirs.site("shop", db={}), detach=True)
    with machine.installed():
        async with opened(machine, shop) as run:
            with pytest.raises(StateError, match="shop is up by "):
                await run.after(steps.take_over)


async def test_what_plain_compose_runs_is_not_planned(machine: Machine, shop: Site) -> None:
    """Its services are selected, and not ours."""
    machine.plain(shop).up("db")
    async with opened(machine, shop) as run:
        planned = await run.after(steps.plan)
        assert planned.desired.names == {"db", "web", "other"}
        assert planned.desired.own == {"web", "other"}
        assert planned.desired.owner == run.context.run.made.owner


async def test_a_port_that_is_in_use_stops_the_run(machine: Machine) -> None:
    """Before the ledger begins."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports = [{"mode": "ingress", "host_ip": "127.0.0.1", "target": 80, "published": str(port), "protocol": "tcp"}]
        async with opened(machine, machine.site("shop", web={"ports": ports})) as run:
            with pytest.raises(EngineError, match=str(port)):
                await run.after(steps.require_free_ports)
            assert run.context.run.read() is None


async def test_the_ledger_is_new_or_that_of_the_earlier_run(machine: Machine, shop: Site) -> None:
    """An unused volume policy of the earlier run does not apply to the next one."""
    async with opened(machine, shop) as run:
        run.context.run.ask(VolumePolicy.DROP)
        new = (await run.after(steps.begin_ledger)).ledger
        assert (new.project, new.place, new.volumes) == ("shop", run.context.place, ())
        assert run.context.run.asked() is None
    await machine.run_up(shop, detach=True)
    async with opened(machine, shop) as run:
        earlier = run.context.run.read()
        assert earlier is not None
        taken = (await run.after(steps.begin_ledger)).ledger
        assert [record.name for record in taken.volumes] == ["shop_data"]
        assert taken.volumes == earlier.volumes


async def test_a_hook_that_fails_before_up_ends_the_run(machine: Machine, shop: Site) -> None:
    """The last value is that of the check: `before_down` has nothing to undo."""
    hooks = (hook(Moment.BEFORE_UP, "exit 3"),)
    async with opened(machine, shop, hooks=hooks, trust=True) as run:
        checked = await run.after(steps.begin_ledger)
        with pytest.raises(DevenvError, match="exit code 3"):
            await steps.before_up(run.context, checked)
        assert not isinstance(checked, Entered)


# --- images ---------------------------------------------------------------------------------------------------------


async def test_missing_image_ends_the_run(machine: Machine) -> None:
    """Nothing is created."""
    async with opened(machine, machine.site("shop", web={"image": "nowhere.invalid/none:1"})) as run:
        with pytest.raises(DevenvError, match=r"nowhere\.invalid/none:1"):
            await run.after(steps.acquire_images)
    assert machine.host.containers == {}


@pytest.mark.parametrize("build", [True, False])
async def test_images_are_built_unless_no_build(machine: Machine, build: bool) -> None:
    """`--no-build` leaves them as they are."""
    site = machine.site("shop", web={"image": "shop-web", "build": {"context": ".", "dockerfile": "Dockerfile"}})
    (site.folder / "Dockerfile").write_text("FROM scratch\n")
    async with opened(machine, site, build=build) as run:
        await run.after(steps.build_images)
    assert any("shop-web" in str(image.tags) for image in machine.host.images.values()) == build


async def test_a_service_is_built_while_the_image_of_another_is_pulled(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is built once; the service that uses its image is built last."""
    machine.host.images = {}
    arrived = {name: anyio.Event() for name in ("fast:1", "slow:1")}
    sections = {"fast": "FROM fast:1", "slow": "FROM slow:1", "last": "FROM shop-fast\nCOPY --from=slow:1 / /"}
    services: dict[str, Any] = {
        name: {"build": {"context": ".", "dockerfile_inline": text}, "image": f"shop-{name}"}
        for name, text in sections.items()
    }
    site = machine.site("shop", **services)

    async def pull(_: Images, reference: str, **__: object) -> None:
        await arrived[reference].wait()
        machine.host.images[reference] = image = Image(f"sha256:{reference}")
        machine.host.tag(image, reference)

    def built() -> list[str]:
        labels = [image.labels.get(SERVICE_LABEL, "") for image in machine.host.images.values()]
        return [label for label in labels if label]

    monkeypatch.setattr(Images, "pull", pull)
    monkeypatch.setattr(early_builds, "TOGETHER", 0.0)
    async with opened(machine, site, build=True) as run, anyio.create_task_group() as tasks:
        tasks.start_soon(run.after, steps.build_images)
        await anyio.wait_all_tasks_blocked()
        assert built() == []
        arrived["fast:1"].set()
        await anyio.wait_all_tasks_blocked()
        assert built() == ["fast"]
        arrived["slow:1"].set()
    lines = [
        e.detail for e in run.command.events if isinstance(e, Step) and e.name == "build" and e.state == "detail"
    ]
    assert [line.partition("[")[2].split()[:2] for line in lines] == [
        ["fast", "1/1]"],
        ["slow", "1/1]"],
        ["last", "1/1]"],
    ]


@pytest.fixture
async def built_shop(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> tuple[Site, anyio.Event]:
    """A project with saved data of a service, of a built one, and of one with its image. An event ends builds."""
    build, image = {"context": ".", "dockerfile_inline": "FROM scratch"}, "shop-web"
    services: dict[str, Any] = {
        "db": {"volumes": [mounted("data")]},
        "web": {"image": image, "build": build, "volumes": [mounted("own", "/own")]},
        "worker": {"image": image, "volumes": [mounted("queue", "/queue")]},
    }
    site = machine.site("shop", **services)

    def write() -> None:
        for name in ("shop_data", "shop_own", "shop_queue"):
            machine.docker.write(name, "x", b"saved")

    await machine.run_up(site, then=write, build=True)
    assert machine.host.volumes == {}
    ended, of_memory = anyio.Event(), MemoryCompose.build

    async def slow(compose: MemoryCompose, *arguments: Any, **more: Any) -> None:
        await ended.wait()
        await of_memory(compose, *arguments, **more)

    monkeypatch.setattr(MemoryCompose, "build", slow)
    return site, ended


async def test_volumes_are_restored_while_an_image_is_built(
    machine: Machine, built_shop: tuple[Site, anyio.Event]
) -> None:
    """Those of services with that image follow: the image decides how a volume is restored."""
    site, ended = built_shop
    async with opened(machine, site, build=True) as run, anyio.create_task_group() as tasks:
        tasks.start_soon(run.after, steps.restore_volumes)
        await anyio.wait_all_tasks_blocked()
        assert {*machine.host.volumes} == {"shop_data"}
        assert machine.docker.read("shop_data", "x") == b"saved"
        ended.set()
    assert {*machine.host.volumes} == {"shop_data", "shop_own", "shop_queue"}
    assert machine.docker.read("shop_own", "x") == machine.docker.read("shop_queue", "x") == b"saved"


async def test_a_volume_of_somebody_else_is_reported_once(
    machine: Machine, built_shop: tuple[Site, anyio.Event]
) -> None:
    """Beside the builds, and not again after them."""
    site, ended = built_shop
    ended.set()
    machine.docker.create_volume("shop_data")
    async with opened(machine, site, build=True) as run:
        await run.after(steps.restore_volumes)
        assert len([line for line in run.notices() if "devenv did not create it" in line]) == 1


async def test_a_failed_build_removes_what_was_restored_meanwhile(
    machine: Machine, built_shop: tuple[Site, anyio.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is saved once more, and the next start has the data."""
    site, ended = built_shop
    seen = list[bytes | None]()
    before = [snapshot.id for snapshot in Store.at_home().all()]

    async def fails(*_: Any, **__: Any) -> None:
        await anyio.wait_all_tasks_blocked()
        assert {*machine.host.volumes} == {"shop_data"}
        raise BuildError("web", "no")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryCompose, "build", fails)
        command = await machine.run_up(site, build=True)
    assert "the build of `web` failed" in str(command.error)
    assert (machine.host.volumes, machine.host.containers) == ({}, {})
    assert [snapshot.id for snapshot in Store.at_home().all()] == before
    ended.set()
    await machine.run_up(site, build=True, then=lambda: seen.append(machine.docker.read("shop_data", "x")))
    assert seen == [b"saved"]


# --- the project on the engine -----------------------------------------------------------------------------------


async def test_nothing_exists_when_a_project_becomes_active(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guardian was waited for; the run continues without one, and says so."""
    monkeypatch.setattr(Guard, "wait_ready", lambda _: False)
    async with opened(machine, shop) as run:
        active = await run.after(steps.activate)
        assert isinstance(active, Active)
        assert run.notices() == ["the guardian did not start: after a crash, clean up with `devenv down`"]
    assert (states(machine), machine.host.volumes) == ({}, {})


async def test_a_new_volume_is_in_the_ledger_with_its_saved_content(machine: Machine, shop: Site) -> None:
    """No container mounts it yet."""
    await machine.run_up(shop, then=lambda: machine.docker.write("shop_data", "x", b"saved"))
    assert machine.host.volumes == {}
    async with opened(machine, shop) as run:
        await run.after(steps.restore_volumes)
        ledger = run.context.run.read()
        assert ledger is not None
        assert [(r.name, r.content) for r in ledger.volumes] == [("shop_data", Content.SETTLED)]
    assert machine.docker.read("shop_data", "x") == b"saved"
    assert states(machine) == {}


async def test_containers_are_created_and_nothing_runs(machine: Machine, shop: Site) -> None:
    """Without a build there is no line about watch rules."""
    async with opened(machine, shop) as run:
        await run.after(steps.create_containers)
        assert states(machine) == {f"shop-{name}-1": "created" for name in ("db", "web", "other")}
        assert not any("watch rules" in text for text in run.notices())


@pytest.mark.parametrize("watch", [True, False])
async def test_project_without_watch_rules_gets_a_notice(machine: Machine, *, watch: bool) -> None:
    """Once its containers are created, if something is built and its files are to be watched at all."""
    (machine.folder / "shop").mkdir()
    (machine.folder / "shop/Dockerfile").write_text("FROM scratch\n")
    site = machine.site("shop", web={"build": {"context": str(machine.folder / "shop")}})
    async with opened(machine, site, watch=watch) as run:
        await run.after(steps.create_containers)
        assert any("no service has watch rules" in text for text in run.notices()) == watch


async def test_containers_are_observed_from_the_sync_on(machine: Machine, shop: Site) -> None:
    """Still nothing runs."""
    async with opened(machine, shop) as run:
        active = await run.after(steps.sync_containers)
        assert set(states(machine).values()) == {"created"}
        assert {c.service for c in active.project.observer.project_state.containers} <= {"db", "web", "other"}
        assert run.context.tasks.cancel_scope.cancel_called is False


async def test_healthy_is_after_all_have_started(machine: Machine, shop: Site) -> None:
    """The start itself continues in the background."""
    async with opened(machine, shop) as run:
        active = await run.after(steps.begin_start)
        assert "running" not in states(machine).values()
        await steps.wait_until_healthy(run.context, active)
        assert set(states(machine).values()) == {"running"}


async def test_a_service_that_does_not_become_healthy_in_time_is_named(machine: Machine) -> None:
    """After the timeout of the command line."""

    def idle(_: MemoryHost, __: Container) -> None:
        """The health check does not succeed."""

    machine.host.program = idle
    check: Any = {"test": ["CMD", "true"], "interval": "1s"}
    async with opened(machine, machine.site("shop", web={"healthcheck": check}), timeout=0.2) as run:
        with pytest.raises(DevenvError, match="web"):
            await run.after(steps.wait_until_healthy)


async def test_hooks_after_healthy_run_last(machine: Machine, shop: Site) -> None:
    """They run in the project's folder, once every container runs."""
    hooks = (hook(Moment.AFTER_HEALTHY, "touch after"),)
    async with opened(machine, shop, hooks=hooks, trust=True) as run:
        await run.after(steps.wait_until_healthy)
        assert not (shop.folder / "after").exists()
    async with opened(machine, shop, hooks=hooks) as run:
        await run.after(steps.after_healthy)
    assert (shop.folder / "after").exists()
