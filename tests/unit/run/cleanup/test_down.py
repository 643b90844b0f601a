"""`devenv down` next to a process that holds the project, and after it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import AsyncMock

import anyio
import pytest

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError
from devenv.events import Kept, Notice
from devenv.run.cleanup import down, gc
from devenv.state.identity import Place
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.volumes.lineages import Lineages
from devenv.volumes.store import Store
from support.memory.client import MemoryEngine
from support.memory.machine import Command, Machine, Site, mounted, shown

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project with one service and one named volume."""
    return machine.site("shop", db={"volumes": [mounted("data")]})


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that `down` has sent: process and number. They do not arrive."""
    sent = list[tuple[int, int]]()
    monkeypatch.setattr(down.os, "kill", lambda pid, sign: sent.append((pid, sign)))  # type: ignore[attr-defined]
    return sent


async def beside(machine: Machine, shop: Site, *, is_ending: bool, policy: VolumePolicy) -> tuple[Command, Run]:
    """`down` while a detached run of the project is held for half a second by a process."""
    await machine.run_up(shop, detach=True)
    (run,) = Run.folders("shop")
    command = Command(machine)
    async with anyio.create_task_group() as tasks:
        with run.lock.hold():
            if is_ending:
                run.lock.mark_ending()
            work = partial(down.down, Selection(str(shop.folder)), command.emit, policy)
            tasks.start_soon(command.serve, work)
            await anyio.sleep(0.5)
            assert not command.over.is_set(), shown(command)
    assert command.code == 0, shown(command)
    return command, run


async def test_a_run_that_goes_on_is_asked_to_end(
    machine: Machine, shop: Site, signals: list[tuple[int, int]]
) -> None:
    """It gets one signal; the volume policy is written first."""
    await beside(machine, shop, is_ending=False, policy=VolumePolicy.DROP)
    assert signals == [(os.getpid(), signal.SIGINT)]


async def test_a_run_that_is_ending_is_not_hurried(
    machine: Machine, shop: Site, signals: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second signal would skip hooks and kill containers. The volume policy still counts, if it comes in time."""
    asked = list[VolumePolicy]()
    ask = Run.ask

    def listen(run: Run, policy: VolumePolicy) -> None:
        asked.append(policy)
        ask(run, policy)

    monkeypatch.setattr(Run, "ask", listen)
    await beside(machine, shop, is_ending=True, policy=VolumePolicy.DROP)
    assert signals == []
    assert asked == [VolumePolicy.DROP]
    assert machine.host.containers == {}


async def test_down_without_a_run_succeeds(machine: Machine, shop: Site) -> None:
    """It is reported in one line."""
    command = await machine.down(shop)
    assert command.code == 0
    assert [e.message for e in command.events if isinstance(e, Notice)] == ["nothing of devenv's is up in shop"]


@pytest.mark.parametrize("has_hooks", [True, False])
async def test_compose_is_run_only_for_a_project_with_hooks(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch, has_hooks: bool
) -> None:
    """The name in the files and the records of the run say the rest."""
    if has_hooks:
        block = {"hooks": {"before_down": [{"command": "true", "service": "db"}]}}
        shop = machine.place(replace(shop, model={**shop.model, "x-devenv": block}))
    await machine.run_up(shop, detach=True)
    load = AsyncMock(side_effect=resolve.load)
    monkeypatch.setattr(resolve, "load", load)
    assert (await machine.down(shop)).code == 0
    assert load.await_count == int(has_hooks)
    assert machine.host.containers == {}


async def test_the_engine_is_asked_for_its_identity_once(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command asks once; the very first asks twice, to see whether the answer is stable."""
    asked, identity = list[str](), MemoryEngine.identity

    async def counted(engine: MemoryEngine) -> tuple[str, str]:
        asked.append("info")
        return await identity(engine)

    monkeypatch.setattr(MemoryEngine, "identity", counted)
    await machine.run_up(shop, detach=True)
    assert len(asked) == 2
    await machine.run_up(shop, detach=True)
    await machine.down(shop)
    assert len(asked) == 4


async def test_gc_ends_a_dead_run(machine: Machine, shop: Site) -> None:
    """A dry run only counts the remains; then they are removed, and the volume is saved."""
    await machine.run_up(shop, detach=True)
    (run,) = Run.folders("shop")
    ledger = run.read()
    assert ledger is not None
    run.write(replace(ledger, phase="up"))
    command = await machine.call(lambda command: gc.gc(command.emit, dry_run=True))
    assert (command.code, "shop: 1 container, 1 network, 1 volume of a dead run" in shown(command)) == (0, True)
    assert run.read() is not None
    command = await machine.gc()
    assert (command.code, run.read(), machine.host.containers) == (0, None, {}), shown(command)
    assert "ending what a dead run left of shop" in shown(command)


@pytest.mark.parametrize("is_held", [True, False])
async def test_gc_leaves_alone_what_has_begun_since_it_looked(
    machine: Machine, shop: Site, signals: list[tuple[int, int]], *, is_held: bool
) -> None:
    """A new run has taken the dead one over, in the foreground or in the background."""
    await machine.run_up(shop, detach=True)
    (run,) = Run.folders("shop")
    ledger = run.read()
    assert ledger is not None
    dead = replace(ledger, phase="up", began=ledger.began - 60.0)
    with run.lock.hold() if is_held else contextlib.nullcontext():
        command = await machine.call(lambda command: gc._end_dead(run, dead, command.emit, dry_run=False))
    assert (signals, command.events, run.read()) == ([], [], ledger)
    assert len(machine.host.containers) == 1


async def test_gc_leaves_alone_a_folder_that_has_come_back(machine: Machine, shop: Site) -> None:
    """Such as a worktree that was added again."""
    await machine.run_up(shop, detach=True)
    (run,) = Run.folders("shop")
    ledger = run.read()
    assert ledger is not None
    await machine.call(lambda command: gc._end_dead(run, ledger, command.emit, dry_run=False))
    assert run.read() == ledger
    assert len(machine.host.containers) == 1


async def test_down_by_name_ends_a_run_of_another_folder(machine: Machine, shop: Site, tmp_path: Path) -> None:
    """From a folder without a project, and on the engine of the run."""
    await machine.run_up(shop, detach=True)
    (other := tmp_path / "other").mkdir()
    selection = Selection(str(other))
    command = await machine.call(lambda command: down.down(selection, command.emit, project="shop"))
    assert (command.code, machine.host.containers) == (0, {}), shown(command)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("none", "no run of none found", "devenv ls"),
        (
            "db",
            "no run of db found; it is a service of this project",
            "devenv stop db   (the service of this folder)",
        ),
        (
            "web",
            "web is a project, and a service of this folder",
            "devenv down -p web, or devenv stop web   (the service of this folder)",
        ),
        ("far", "far runs on several engines: ssh://a, ssh://b", "DOCKER_HOST=ssh://a devenv down far"),
    ],
)
async def test_names_that_down_refuses(machine: Machine, tmp_path: Path, name: str, message: str, hint: str) -> None:
    """A service is not a project, and nothing is ended by guess."""
    (folder := tmp_path / "here").mkdir()
    (folder / "compose.yml").write_text("services: {db: {image: a}, web: {image: a}}")
    for project, host in (("web", "unix:///x"), ("far", "ssh://a"), ("far", "ssh://b")):
        run = Run.open(host, Endpoint(host), project)
        run.write(Ledger(project, Place("/p"), host, host, None, 1.0, 1, "detached"))
    selection = Selection(str(folder))
    with pytest.raises(DevenvError) as caught:
        await down.down(selection, lambda _: None, project=name)
    assert (caught.value.message, caught.value.hint) == (message, hint)


async def test_gc_ends_what_was_left_running_in_a_removed_folder(machine: Machine, shop: Site) -> None:
    """Its volume is saved, and the snapshot stays until it is asked for; the records go at once."""
    await machine.run_up(shop, detach=True)
    command = await machine.gc()
    assert [e.message for e in command.events if isinstance(e, Notice)] == ["no dead run left anything"]
    shutil.rmtree(shop.folder)
    command = await machine.call(lambda command: gc.gc(command.emit, dry_run=True))
    assert "shop: 1 container, 1 network, 1 volume of a run in a removed folder" in shown(command)
    command = await machine.gc()
    assert (command.code, machine.host.containers) == (0, {}), shown(command)
    assert list(Run.folders()) == []
    (saved,) = Store.at_home().all()
    (line,) = Lineages.at_home().all()
    await machine.call(lambda command: gc.gc(command.emit, dry_run=True, with_snapshots=True))
    assert Store.at_home().all() == (saved,)
    store = Store.at_home()
    named = replace(saved, id="named", automatic=False, title="mine")
    os.makedirs(os.path.join(store.path, "named"))
    shutil.copy(store.archive(saved), draft := os.path.join(store.path, "named", "draft"))
    store.commit(named, draft)
    command = await machine.call(lambda command: gc.gc(command.emit, dry_run=False, with_snapshots=True))
    assert "removed 1 snapshot (" in shown(command)
    assert store.all() == (named,)
    assert Lineages.at_home().all() == (line,)
    store.remove(named)
    await machine.gc()
    assert Lineages.at_home().all() == ()


async def test_gc_names_volumes_that_a_removed_folder_has_kept(machine: Machine, shop: Site) -> None:
    """With the command that removes them: they were kept on request."""
    await machine.run_up(shop, keep_volumes=True)
    shutil.rmtree(shop.folder)
    command = await machine.gc()
    assert [(e.name, e.command) for e in command.events if isinstance(e, Kept)] == [
        ("shop_data", "docker volume rm shop_data")
    ]
    assert list(Run.folders()) == []
    assert len(Lineages.at_home().all()) == 1
