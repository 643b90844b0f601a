"""Sequences of commands, crashes and plain Compose that once lost data, in memory: no engine, whole commands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.docker.client import Volumes
from devenv.errors import RefusedError, StateError
from devenv.events import Kept, Notice, Problem, Saved
from devenv.run import live_restore, up
from devenv.run.preload import UpOptions
from devenv.state.ledger import VolumePolicy
from devenv.volumes import commands, exported, store
from devenv.volumes.lineages import Lineages
from devenv.volumes.store import Store
from support.engine import Crash, Fault, MemoryHost
from support.memory.machine import Command, Machine, Site, mounted, shown

pytestmark = pytest.mark.anyio

VOLUME = {"volumes": [mounted("data")]}


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project with one service and one named volume."""
    return machine.site("shop", db=VOLUME)


def write(machine: Machine, text: str, volume: str = "shop_data") -> None:
    machine.docker.write(volume, "x", text.encode())


def read(machine: Machine, volume: str = "shop_data") -> str | None:
    content = machine.docker.read(volume, "x")
    return None if content is None else content.decode()


async def session(machine: Machine, site: Site, text: str, volume: str = "shop_data", **options: Any) -> str | None:
    """Run `up`: return what was in the volume, write the text, and end with Ctrl-C."""
    contents = list[str | None]()

    def work() -> None:
        contents.append(read(machine, volume))
        write(machine, text, volume)

    command = await machine.run_up(site, then=work, **options)
    assert contents, shown(command)
    assert command.code == 130, shown(command)
    return contents[0]


async def both_killed(machine: Machine, site: Site, text: str, **options: Any) -> None:
    """A run that wrote the text is killed, and its guardian, too."""
    async with anyio.create_task_group() as tasks:
        command = await machine.up(site, tasks=tasks, **options)
        assert not command.over.is_set(), shown(command)
        write(machine, text)
        await command.killed()


def notices(command: Command) -> str:
    return "\n".join(str(e) for e in command.events if isinstance(e, Notice | Problem | Kept))


def names(host: MemoryHost) -> list[str]:
    return sorted(c.name for c in host.containers.values())


# --- D: data lost, or an older state wins -----------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [False, True], ids=["next-up", "guardian"])
async def test_data_written_after_a_crash_in_a_restore_are_never_removed_unsaved(
    machine: Machine, shop: Site, guarded: bool
) -> None:
    """D1: plain Compose writes to the half-restored volume; the next `up` refuses, and offers both states."""
    await session(machine, shop, "saved")
    crashed = Command(machine)
    crashed.faults.on("PUT containers/.*/archive", Fault.KILLED_BEFORE)
    await crashed.serve(lambda: _up(machine, shop, crashed))
    assert isinstance(crashed.error, Crash)
    for container in [c for c in machine.host.containers.values() if c.name.startswith("devenv-")]:
        machine.docker.remove(container.id)
    machine.plain(shop).up()
    write(machine, "precious")
    machine.plain(shop).down()
    if guarded:
        await machine.guard(crashed)
    refused = await machine.run_up(shop)
    assert isinstance(refused.error, StateError), shown(refused)
    hint = str(refused.error.hint)
    first, second = [part.split()[0] for part in hint.split("devenv up --from ")[1:]]
    assert await session(machine, shop, "again", source=second) == "precious"
    assert await session(machine, shop, "once more", source=first.rstrip(",")) == "saved"
    assert await session(machine, shop, "end") == "once more"


async def _up(machine: Machine, site: Site, command: Command) -> int:
    options = UpOptions(Selection(str(site.folder)), watch=False, logs=False, build=False)
    return await up._up(options, command.emit, command.ending, None)


async def test_a_restore_that_was_cut_off_is_done_again(machine: Machine, shop: Site) -> None:
    """A partial restore asks no question, and no snapshot of it is kept."""
    await session(machine, shop, "saved")
    for fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
        crashed = Command(machine)
        crashed.faults.on("PUT containers/.*/archive", fault)
        await crashed.serve(lambda one=crashed: _up(machine, shop, one))  # type: ignore[misc]
        assert isinstance(crashed.error, Crash)
        assert await session(machine, shop, "saved") == "saved"
    assert all(s.settled for s in Store.at_home().all())


async def test_a_container_of_a_copied_image_is_never_touched(machine: Machine, shop: Site) -> None:
    """D2: `docker commit` copies every label; the container of a stranger and its volumes stay, and are listed."""

    def strange() -> None:
        machine.docker.commit("shop-db-1", "dbg")
        made = machine.docker.run("dbg", name="my-own-debug", volumes=["/mine"])
        assert made

    command = await machine.run_up(shop, then=strange)
    assert names(machine.host) == ["my-own-debug"], shown(command)
    assert any(e.name == "my-own-debug" for e in command.events if isinstance(e, Kept)), notices(command)
    anonymous = [v for v in machine.host.volumes if len(v) == 64]
    assert len(anonymous) == 1
    assert (await machine.gc()).code == 0
    assert names(machine.host) == ["my-own-debug"]


async def test_the_container_of_a_stranger_is_not_replaced_with_the_service(machine: Machine, shop: Site) -> None:
    """D2: Compose would count it as the service's, so that a run does not let Compose create that service."""
    machine.plain(shop).up()
    machine.docker.commit("shop-db-1", "dbg")
    machine.plain(shop).down(volumes=True)
    machine.docker.run("dbg", name="my-own-debug")
    command = await machine.run_up(shop)
    assert names(machine.host) == ["my-own-debug"], shown(command)


async def test_two_folders_of_one_name_have_their_own_data(machine: Machine) -> None:
    """D3: what a dead run of the other folder left is saved for that folder."""
    a, b = machine.site("shop", "a", db=VOLUME), machine.site("shop", "b", db=VOLUME)
    await session(machine, a, "v1")
    await both_killed(machine, a, "v2")
    assert await session(machine, b, "b1") is None
    assert await session(machine, a, "v3") == "v2"
    assert await session(machine, b, "b2") == "b1"


async def test_a_run_that_another_folder_left_running_is_not_taken_over(machine: Machine) -> None:
    """D3: `up -d` in one folder, `up` in another: exit 3, with the folder and the command."""
    a, b = machine.site("shop", "a", db=VOLUME), machine.site("shop", "b", db=VOLUME)
    await machine.run_up(a, detach=True)
    write(machine, "v1")
    refused = await machine.run_up(b)
    assert isinstance(refused.error, StateError), shown(refused)
    assert str(a.folder) in refused.error.message
    assert "-p " in str(refused.error.hint)
    assert read(machine) == "v1"
    assert (await machine.down(a)).code == 0
    assert await session(machine, a, "v2") == "v1"


async def test_an_imported_state_never_wins_by_itself(machine: Machine, shop: Site, tmp_path: Path) -> None:
    """D4: it is restored by name alone, whatever its time is."""
    await session(machine, shop, "theirs")
    store = Store.at_home()
    (theirs,) = store.all()
    with (tmp_path / "x.tar").open("wb") as file:
        exported.pack(store, [theirs], file)
    await session(machine, shop, "mine")
    with (tmp_path / "x.tar").open("rb") as file:
        taken = exported.unpack(store, file, limit=10**9, single=10**9)
    assert await session(machine, shop, "mine-2") == "mine"
    assert await session(machine, shop, "end", source=taken[0].id) == "theirs"


@pytest.mark.parametrize("damage", ["truncated", "empty", "removed", "folder", "link", "archive gone", "archive cut"])
async def test_an_unreadable_head_is_an_error(machine: Machine, shop: Site, damage: str, tmp_path: Path) -> None:
    """D5: nothing older is restored without `--from`, and no archive is removed."""
    await session(machine, shop, "v1")
    await session(machine, shop, "v2")
    store = Store.at_home()
    old, head = store.all()
    archive = Path(store.archive(head))
    note = archive.with_name(archive.name.replace(".tar.gz", ".json"))
    if damage == "truncated":
        note.write_text(note.read_text()[:40])
    elif damage == "empty":
        note.write_text("")
    elif damage == "archive gone":
        archive.unlink()
    elif damage == "archive cut":
        archive.write_bytes(archive.read_bytes()[:-3])
    else:
        note.rename(tmp_path / "note")
        if damage == "folder":
            note.mkdir()
        if damage == "link":
            note.symlink_to(tmp_path / "nowhere")
    refused = await machine.run_up(shop)
    assert refused.code is None, shown(refused)
    assert isinstance(refused.error, StateError), shown(refused)
    assert f"--from {old.id}" in str(refused.error.hint)
    for file in Path(store.path).rglob("*"):
        os.utime(file, (1, 1), follow_symlinks=False)
    store.tidy()
    assert archive.exists() == (damage != "archive gone")
    assert await session(machine, shop, "v3", source=old.id) == "v1"
    assert await session(machine, shop, "v4") == "v3"


async def test_a_folder_is_the_same_through_a_link(machine: Machine, shop: Site) -> None:
    """D6: both paths have one history."""
    link = machine.folder / "link"
    link.symlink_to(shop.folder)
    linked = Site(link, shop.name, shop.model)
    await session(machine, shop, "v1")
    assert await session(machine, linked, "v2") == "v1"
    assert await session(machine, shop, "v3") == "v2"


async def test_an_engine_is_the_same_at_another_address(machine: Machine, shop: Site) -> None:
    """D7: both addresses have one history and one lock."""
    machine.engines["unix:///run/other.sock"] = machine.host
    await session(machine, shop, "v1")
    first = machine.address
    machine.address = "unix:///run/other.sock"
    assert await session(machine, shop, "v2") == "v1"
    async with anyio.create_task_group() as tasks:
        running = await machine.up(shop, tasks=tasks)
        machine.address = first
        refused = await machine.run_up(shop)
        assert isinstance(refused.error, StateError), shown(refused)
        running.interrupt()
    assert await session(machine, shop, "v3") == "v2"


async def test_two_engines_with_one_id_are_two(machine: Machine, shop: Site) -> None:
    """A copied machine has the same id; its data folder tells them apart."""
    await session(machine, shop, "v1")
    other = MemoryHost()
    other.root = "/srv/docker"
    machine.engines["unix:///run/copy.sock"] = other
    machine.address = "unix:///run/copy.sock"
    assert await session(machine, shop, "w1") is None


async def test_a_shared_volume_has_one_history(machine: Machine) -> None:
    """D8: `name: shared` in two projects is one volume, whichever used it last."""
    a, b = machine.site("a", db=VOLUME), machine.site("b", db=VOLUME)
    for site in (a, b):
        site.model["volumes"]["data"]["name"] = "shared"
    await session(machine, a, "v1", "shared")
    assert await session(machine, b, "v2", "shared") == "v1"
    assert await session(machine, a, "v3", "shared") == "v2"
    assert await session(machine, b, "v4", "shared") == "v3"


async def test_a_renamed_folder_keeps_its_data_and_a_clone_begins_its_own(machine: Machine) -> None:
    """D9: it is known by device and inode if the old path is gone; a clone gets a notice, and the data on request."""
    shop = machine.site("shop", db=VOLUME)
    await session(machine, shop, "v1")
    shop.folder.rename(machine.folder / "shop-old")
    moved = machine.site("shop-old", db=VOLUME)
    assert await session(machine, moved, "v2", "shop-old_data") == "v1"
    clone = machine.site("shop-old", "clone", db=VOLUME)
    contents = list[str | None]()
    command = await machine.run_up(clone, then=lambda: contents.append(read(machine, "shop-old_data")))
    assert contents == [None]
    assert str(moved.folder) in notices(command)
    (hint,) = [str(e.hint) for e in command.events if isinstance(e, Notice) and "starts empty" in e.message]
    name = hint.partition("devenv snapshot restore ")[2]
    assert await restored(machine, clone, name) == 0
    assert await session(machine, clone, "w1", "shop-old_data") == "v2"
    assert await session(machine, moved, "v3", "shop-old_data") == "v2"


async def restored(machine: Machine, site: Site, name: str, source: str = "") -> int | None:
    """The exit code of `snapshot restore NAME`, or of `snapshot restore --from SOURCE`."""
    command = Command(machine)
    await command.serve(lambda: live_restore.restore(Selection(str(site.folder)), name, (), source, command.emit))
    return command.code


async def test_another_major_version_is_not_given_old_data(machine: Machine) -> None:
    """The volume begins empty with a notice; a restore by name is refused; the old version has the data again."""

    def version(text: str) -> Site:
        tag = f"sql:{text}"
        machine.host.add_image(tag, environment=[f"MYSQL_VERSION={text}"])
        check = {"test": ["CMD", "true"]}  # without a snapshot, a database is not trusted at once
        return machine.site("shop", db={**VOLUME, "image": tag, "healthcheck": check})

    assert await session(machine, version("8.4.3"), "eight") is None
    newer = version("9.1.0")
    command = await machine.run_up(newer)
    assert "by mysql 8; db is mysql 9 and could not read it: it starts empty" in notices(command)
    eight = next(s for s in Store.at_home().all() if s.database == "mysql 8")
    assert await restored(machine, newer, eight.id) == 0
    refused = await machine.run_up(newer)
    assert isinstance(refused.error, RefusedError), shown(refused)
    assert "was written by mysql 8, and db is mysql 9" in refused.error.message
    assert (names(machine.host), machine.host.volumes) == ([], {})
    assert await session(machine, version("8.4.3"), "more") == "eight"


async def test_state_of_a_run_that_was_never_up_is_not_restored(machine: Machine) -> None:
    """Its first start was interrupted: the state is saved and reported, and can be restored by name."""
    site = machine.site("shop", db={**VOLUME, "healthcheck": {"test": ["CMD", "test", "-e", "/data/well"]}})

    async def broken_off(text: str) -> tuple[str | None, str]:
        command, started = Command(machine), anyio.Event()
        machine.host.program = lambda _host, _container: started.set()  # no check ever comes to an end
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(command.serve, lambda: _up(machine, site, command))
            await started.wait()
            there = read(machine)
            write(machine, text)
            command.interrupt()
        assert command.code == 130, shown(command)
        return there, notices(command)

    await broken_off("half")
    (half,) = Store.at_home().all()
    there, message = await broken_off("other")
    assert there is None
    assert "before db was up for the first time: it starts empty" in message
    assert await restored(machine, site, half.id) == 0
    assert (await broken_off("end"))[0] == "half"


async def test_a_fresh_start_has_nothing_and_loses_nothing(machine: Machine, shop: Site) -> None:
    """`up --fresh`; the state before it can be restored."""
    await session(machine, shop, "old")
    assert await session(machine, shop, "new", fresh=True) is None
    assert len(Store.at_home().all()) == 2
    assert await session(machine, shop, "new") == "new"


async def test_a_volume_that_was_kept_is_the_users(machine: Machine, shop: Site) -> None:
    """After `down --keep-volumes` the next run uses it, and leaves it; nothing is saved."""
    await machine.run_up(shop, detach=True)
    write(machine, "kept")
    assert (await machine.down(shop, VolumePolicy.KEEP)).code == 0
    assert await session(machine, shop, "more") == "kept"
    assert read(machine) == "more"
    assert not Store.at_home().all()


async def test_a_snapshot_is_cloned_into_another_project(machine: Machine, shop: Site) -> None:
    """`snapshot restore --from` copies the newest state of that project, which keeps it."""
    await session(machine, shop, "v1")
    await session(machine, shop, "v2")
    other = machine.site("other", db=VOLUME)
    assert await restored(machine, other, "", "shop") == 0
    assert await session(machine, other, "w1", "other_data") == "v2"
    assert await session(machine, shop, "v3") == "v2"
    assert [s.project for s in commands.listed(["other"])] == ["other"]


@pytest.mark.parametrize("how", ["gc", "down", "drop", "fresh", "up"])
async def test_a_volume_that_plain_compose_created_again_stays(machine: Machine, shop: Site, how: str) -> None:
    """D10: a stale ledger names a volume that no longer exists; a new volume with that name is not removed."""
    await both_killed(machine, shop, "ours")
    machine.host.advance(10)
    machine.plain(shop).down(volumes=True)
    machine.plain(shop).up()
    write(machine, "theirs")
    machine.plain(shop).down()
    if how == "gc":
        await machine.gc()
    elif how in ("down", "drop"):
        await machine.down(shop, VolumePolicy.DROP if how == "drop" else VolumePolicy.SAVE)
    else:
        command = await machine.run_up(shop, fresh=how == "fresh")
        assert command.code == 130, shown(command)
    assert read(machine) == "theirs"
    assert names(machine.host) == []


async def test_a_volume_created_again_within_the_same_second_is_saved_before_it_goes(
    machine: Machine, shop: Site
) -> None:
    """Equal times prove nothing: even `down --volumes` saves the volume first."""
    await both_killed(machine, shop, "ours")
    machine.plain(shop).down(volumes=True)
    machine.plain(shop).up()
    write(machine, "theirs")
    machine.plain(shop).down()
    await machine.down(shop, VolumePolicy.DROP)
    assert "theirs" in [await session(machine, shop, "x", source=s.id) for s in Store.at_home().all()]


async def test_a_moved_data_folder_is_said_and_names_are_trusted(machine: Machine, shop: Site) -> None:
    """All volumes have new times: none is taken for a volume of others."""
    machine.docker.create_volume("somebody-elses")
    await both_killed(machine, shop, "ours")
    machine.host.advance(10)
    for container in list(machine.host.containers.values()):
        machine.docker.remove(container.id)
    machine.host.move_root(machine.host.root)
    command = await machine.down(shop)
    assert "moved" in notices(command), notices(command)
    assert "shop_data" not in machine.host.volumes
    assert await session(machine, shop, "end") == "ours"


# --- W ----------------------------------------------------------------------------------------------------------


async def test_requested_snapshot_waits_for_its_volume(machine: Machine) -> None:
    """W1: an `up` of another service in between changes nothing."""
    site = machine.site("shop", db=VOLUME, web={})
    await session(machine, site, "v1")
    await machine.run_up(site, detach=True)
    await machine.down(site, VolumePolicy.DROP)
    await machine.run_up(site, "web")
    assert await session(machine, site, "v2") is None
    good = Store.at_home().all()[0]
    assert await session(machine, site, "bad") == "v2"
    asked = Command(machine)
    await asked.serve(lambda: live_restore.restore(Selection(str(site.folder)), good.id, (), "", asked.emit))
    assert asked.code == 0, shown(asked)
    await machine.run_up(site, "web")
    assert await session(machine, site, "end") == "v1"


async def test_a_requested_snapshot_is_restored_once_after_a_crash(machine: Machine) -> None:
    """The next run takes over the volume that the crashed run had restored; a later state continues it."""
    site = machine.site("shop", db=VOLUME)
    for text in ("v1", "v2"):
        await session(machine, site, text)
    assert await restored(machine, site, Store.at_home().all()[0].id) == 0
    crashed = Command(machine)
    crashed.faults.on("compose POST containers/create", Fault.KILLED_BEFORE)
    await crashed.serve(lambda: _up(machine, site, crashed))
    assert isinstance(crashed.error, Crash)
    assert await session(machine, site, "v3") == "v1"
    assert await session(machine, site, "end") == "v3"


@pytest.mark.parametrize("is_known", [True, False], ids=["measured", "while-saving"])
async def test_a_volume_that_takes_long_to_save_waits_for_the_next_run(
    machine: Machine, shop: Site, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names it, and it is no failure; `down --snapshot` saves it, as does `up --fresh`."""
    if not is_known:
        monkeypatch.setattr(Volumes, "sizes", AsyncMock(return_value={}))
    monkeypatch.setattr(store, "ASSUMED_RATE", 1000.0)
    monkeypatch.setattr(store, "SLOWEST_RATE", 1000.0)
    large = "x" * 20_000
    first = await machine.run_up(shop, then=lambda: write(machine, large))
    (kept,) = [event for event in first.events if isinstance(event, Kept)]
    size = "20 KB" if is_known else "larger than 10 KB"
    assert kept.reason == f"too large to be saved at each end ({size}); the next `devenv up` goes on with it"
    assert kept.command == "devenv down --snapshot   (saves and removes it)"
    assert first.code == 130
    assert not [event for event in first.events if isinstance(event, Problem | Saved)]
    assert (await machine.gc()).code == 0
    assert (await machine.down(shop)).code == 0
    assert Store.at_home().all() == ()
    assert await session(machine, shop, large + "2") == large
    down = await machine.down(shop, VolumePolicy.SNAPSHOT)
    assert (down.code, "shop_data" in machine.host.volumes) == (0, False), shown(down)
    assert await session(machine, shop, large + "3") == large + "2"
    fresh = await machine.run_up(shop, fresh=True)
    before, after = [event.size for event in fresh.events if isinstance(event, Saved)]
    assert before > len(large) > after


async def test_a_renamed_volume_does_not_stick(machine: Machine, shop: Site) -> None:
    """W2: two volumes of one key are both saved, under ids of their own."""
    await both_killed(machine, shop, "old name")
    shop.model["volumes"]["data"]["name"] = "renamed"
    machine.place(shop)
    command = await machine.run_up(shop, then=lambda: write(machine, "new name", "renamed"))
    assert command.code == 130, shown(command)
    assert not [v for v in machine.host.volumes if v in ("renamed", "shop_data")], shown(command)
    assert len({s.id for s in Store.at_home().all()}) == 2


# --- owners, beyond.md D3 -----------------------------------------------------------------------------------------


async def test_a_second_owner_is_refused_and_touches_nothing(machine: Machine, shop: Site, tmp_path: Path) -> None:
    """Two state folders, one engine, one project name: exit 3 with owner and time; the first run continues."""
    other = tmp_path / "other"
    other.mkdir()
    second = Machine(other, engines=machine.engines, address=machine.address)
    async with anyio.create_task_group() as tasks:
        first = await machine.up(shop, tasks=tasks)
        write(machine, "v1")
        before = {c.id for c in machine.host.containers.values()}
        with second.installed():
            theirs = second.site("shop", db=VOLUME)
            refused = await second.run_up(theirs)
            assert isinstance(refused.error, StateError), shown(refused)
            assert refused.error.exit_code == 3
            assert "shop is up by " in str(refused.error)
            assert "-p shop-2" in str(refused.error.hint)
            assert (await second.gc()).code == 0
            assert (await second.down(theirs)).code == 0
        assert {c.id for c in machine.host.containers.values()} == before
        os.environ["XDG_STATE_HOME"] = str(machine.folder / "state")
        first.interrupt()
    assert first.code == 130
    assert await session(machine, shop, "v2") == "v1"


# --- nothing is left ----------------------------------------------------------------------------------------------


async def test_a_crash_at_any_request_leaves_nothing_and_loses_nothing(machine: Machine, shop: Site) -> None:
    """`kill -9` before and after each request; the guardian, or the next `up`, finds all that was created."""
    await session(machine, shop, "v0")
    probe = Command(machine)
    await probe.serve(lambda: _until_ready(machine, shop, probe))
    total = len(probe.faults.asked)
    assert total > 15
    value = 0
    for number in range(1, total + 1):
        for fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)[number % 2 : number % 2 + 1]:
            crashed = Command(machine)
            crashed.faults.at(number, fault)
            await crashed.serve(lambda one=crashed: _until_ready(machine, shop, one))  # type: ignore[misc]
            if number % 2 and isinstance(crashed.error, Crash):
                await machine.guard(crashed)
                assert names(machine.host) == [], (number, fault)
            assert await session(machine, shop, f"v{value + 1}") == f"v{value}", (number, fault, shown(crashed))
            value += 1
            assert (names(machine.host), [n.name for n in machine.host.networks.values() if "shop" in n.name]) == (
                [],
                [],
            ), (number, fault)
    for line in Path(Lineages.at_home().path).glob("*.json"):
        assert json.loads(line.read_text())["live"] is None


async def _until_ready(machine: Machine, site: Site, command: Command) -> int:
    async with anyio.create_task_group() as tasks:

        async def interrupt() -> None:
            await command.ready.wait()
            command.interrupt()

        tasks.start_soon(interrupt)
        code = await _up(machine, site, command)
        tasks.cancel_scope.cancel()
    return code


async def test_other_data_outlast_a_wish_for_the_state_that_was_being_restored(machine: Machine, shop: Site) -> None:
    """`snapshot restore`, a crash in it, plain Compose, `gc`: the next `up` asks, and the wish after that counts."""
    await session(machine, shop, "saved")
    (saved,) = Store.at_home().all()
    asked = Command(machine)
    wish = Selection(str(shop.folder)), saved.id, (), ""
    await asked.serve(lambda: live_restore.restore(*wish, asked.emit))
    crashed = Command(machine)
    crashed.faults.on("PUT containers/.*/archive", Fault.KILLED_BEFORE)
    await crashed.serve(lambda: _up(machine, shop, crashed))
    machine.plain(shop).up()
    write(machine, "precious")
    machine.plain(shop).down()
    await machine.gc()
    refused = await machine.run_up(shop)
    assert isinstance(refused.error, StateError), shown(refused)
    assert saved.id in str(refused.error.hint)
    await asked.serve(lambda: live_restore.restore(*wish, asked.emit))
    assert await session(machine, shop, "end") == "saved"
