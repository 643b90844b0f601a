"""The end of runs on the engine of another machine, with complete commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.docker.endpoint import Endpoint
from devenv.errors import RefusedError
from devenv.events import Kept, Notice, Problem, VolumesStay
from devenv.model.containers import PROJECT_LABEL, SERVICE_LABEL
from devenv.run.cleanup import down
from devenv.run.cleanup.down import Question
from devenv.state.ledger import VolumePolicy
from devenv.state.run_dir import Run
from devenv.volumes.store import Store
from support.memory.host import MemoryHost
from support.memory.machine import Command, Machine, Site, mounted, shown

pytestmark = pytest.mark.anyio

FAR = "tcp://far:2375"


@pytest.fixture
def far(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine, which uses the engine of another one."""
    monkeypatch.setenv("DOCKER_HOST", FAR)
    machine.address = FAR
    machine.engines[FAR] = MemoryHost()
    return machine


@pytest.fixture
def shop(far: Machine) -> Site:
    """A project with one service and one named volume."""
    return far.site("shop", db={"volumes": [mounted("data")]})


async def session(far: Machine, shop: Site, text: str, **options: bool) -> tuple[str | None, Command]:
    """Run `up`, write the text, and end with Ctrl-C; return what was in the volume, and the command."""
    contents = list[str | None]()

    def work() -> None:
        before = far.docker.read("shop_data", "x")
        contents.append(None if before is None else before.decode())
        far.docker.write("shop_data", "x", text.encode())
        far.host.advance(10)

    command = await far.run_up(shop, then=work, **options)
    assert command.code == 130, shown(command)
    return contents[0], command


def stays(command: Command) -> list[VolumesStay]:
    """Its events about volumes that stay."""
    return [event for event in command.events if isinstance(event, VolumesStay)]


async def test_the_next_run_goes_on_with_the_volume(far: Machine, shop: Site) -> None:
    """Nothing is saved at the ends between; `down --snapshot` saves it once, and the next run restores that."""
    assert (await session(far, shop, "one"))[0] is None
    before, command = await session(far, shop, "two")
    assert before == "one"
    assert stays(command) == [VolumesStay("far", ("shop_data",), "devenv down --snapshot", "devenv down -v")]
    assert (far.host.containers, [*far.host.volumes], Store.at_home().all()) == ({}, ["shop_data"], ())
    assert len(stays(await far.down(shop))) == 1
    assert (await far.down(shop, VolumePolicy.SNAPSHOT)).code == 0
    assert ([*far.host.volumes], len(Store.at_home().all())) == ([], 1)
    assert (await session(far, shop, "three"))[0] == "two"


async def test_up_with_snapshot_saves_at_its_end(far: Machine, shop: Site) -> None:
    """As a run on this machine does."""
    _, command = await session(far, shop, "one", snapshot=True)
    assert (stays(command), [*far.host.volumes], len(Store.at_home().all())) == ([], [], 1)
    assert (await session(far, shop, "two"))[0] == "one"


async def test_the_guardian_leaves_the_volume(far: Machine, shop: Site) -> None:
    """After `kill -9`, the containers go and the volume stays."""
    async with anyio.create_task_group() as tasks:
        dead = await far.up(shop, tasks=tasks)
        far.docker.write("shop_data", "x", b"one")
        await dead.killed()
    assert len(stays(await far.guard(dead))) == 1
    assert (far.host.containers, [*far.host.volumes], Store.at_home().all()) == ({}, ["shop_data"], ())
    assert (await session(far, shop, "two"))[0] == "one"


async def asked(far: Machine, shop: Site, ask: Callable[[Question], object], policy: VolumePolicy) -> Command:
    """Run `down` with a function that asks."""
    selection = Selection(str(shop.folder))
    return await far.call(lambda command: down.down(selection, command.emit, policy, ask=ask))


async def test_down_asks_before_it_removes_data_on_another_machine(far: Machine, shop: Site) -> None:
    """Without an agreement, nothing happens; only `-v` asks, and only if there is a volume."""
    await session(far, shop, "one")
    questions = list[Question]()

    def refuse(question: Question) -> None:
        questions.append(question)
        raise RefusedError("no")

    command = await asked(far, shop, refuse, VolumePolicy.DROP)
    assert isinstance(command.error, RefusedError)
    assert questions == [Question("shop", "far", ("shop_data",))]
    assert questions[0].text == "the volume shop_data on far would be lost"
    assert (await asked(far, shop, refuse, VolumePolicy.SAVE)).code == 0
    assert [*far.host.volumes] == ["shop_data"]
    assert (await session(far, shop, "two"))[0] == "one"
    assert (await asked(far, shop, questions.append, VolumePolicy.DROP)).code == 0
    assert (len(questions), [*far.host.volumes]) == (2, [])
    assert (await asked(far, shop, questions.append, VolumePolicy.DROP)).code == 0
    assert len(questions) == 2
    assert (await session(far, shop, "three"))[0] is None


async def test_nobody_is_asked_on_this_machine(far: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, `-v` removes at once, as `docker compose down -v` does."""
    monkeypatch.setattr(Endpoint, "machine", "")
    await far.run_up(shop, detach=True)
    questions = list[Question]()
    assert (await asked(far, shop, questions.append, VolumePolicy.DROP)).code == 0
    assert (questions, far.host.volumes) == ([], {})


async def test_a_lost_engine_is_left_to_the_guardian(far: Machine, shop: Site) -> None:
    """Ctrl-C says what stays where, and never that there was nothing to remove."""
    command = await far.run_up(shop, then=far.host.stop_engine)
    assert command.code == 130
    assert command.guard is not None
    assert not command.guard.dismissed
    (problem,) = [event for event in command.events if isinstance(event, Problem)]
    assert "left as they are on far: container shop-db-1," in problem.message
    assert "a guardian ends the run as soon as far answers" in problem.message
    far.host.start_engine()
    await far.guard(command)
    assert (far.host.containers, [*far.host.volumes]) == ({}, ["shop_data"])


async def test_gc_reports_images_of_projects_that_are_not_up(far: Machine, shop: Site) -> None:
    """With the command that removes them; not those of others with the same label, and none on this machine."""
    await session(far, shop, "one")
    (run,) = Run.folders("shop")
    labels = {PROJECT_LABEL: "shop", SERVICE_LABEL: "db"}
    ours = far.host.add_image("shop-db", labels=labels)
    far.host.add_image(labels=labels)
    run.remember({**run.last(), "images": {"db": ours.id}})

    async def images() -> list[str]:
        command = await far.gc()
        assert not [event for event in command.events if isinstance(event, Kept)]
        notices = (event for event in command.events if isinstance(event, Notice))
        return [f"{event.message}: {event.hint}" for event in notices if " image" in event.message]

    (line,) = await images()
    assert line.startswith("far has 1 image (")
    assert line.endswith(f") of shop, which is not up: docker --host {FAR} rmi shop-db:latest")
    ledger = run.read()
    assert ledger is not None
    run.write(replace(ledger, phase="detached"))
    assert await images() == []
