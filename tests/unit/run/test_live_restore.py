"""`devenv snapshot restore` into a running project, on an engine in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.errors import RefusedError, StateError
from devenv.events import Event, Notice, Problem, Ready, Restored, ServiceState
from devenv.model.status import ENDED
from devenv.run import client, live_restore
from devenv.run.connection import ask, connected
from devenv.state.run_dir import Run
from devenv.volumes.lineages import Lineages
from devenv.volumes.store import Store
from support.memory.faults import Fails
from support.memory.host import BASE_IMAGE
from support.memory.machine import Command, Machine, Site, mounted, shown
from support.one_service import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project with a database with one named volume, and a service without one."""
    return machine.site("shop", db={"volumes": [mounted("data")]}, web={})


def write(machine: Machine, text: str) -> None:
    """Write a file into the volume."""
    machine.docker.write("shop_data", "x", text.encode())


def content(machine: Machine) -> bytes | None:
    """The file in the volume."""
    return machine.docker.read("shop_data", "x")


def ids(machine: Machine, service: str) -> list[str]:
    """The running containers of a service."""
    running = (c for c in machine.host.containers.values() if c.state == "running")
    return [c.id for c in running if c.name.startswith(f"shop-{service}-")]


async def saved(machine: Machine, site: Site, text: str) -> str:
    """The id of a snapshot with that content."""
    await machine.run_up(site, then=lambda: write(machine, text))
    return Store.at_home().all()[-1].id


async def restored(machine: Machine, site: Site, name: str) -> Command:
    """`devenv snapshot restore NAME`."""
    return await machine.call(
        lambda command: live_restore.restore(Selection(str(site.folder)), name, (), "", command.emit)
    )


@dataclass
class Live:
    """A run, the command that restored into it, and what existed after that."""

    run: Command
    command: Command
    content: bytes | None
    web: list[str]


async def live(machine: Machine, site: Site, name: str, first: Callable[[], object] = lambda: None) -> Live:
    """`up`, then `first`, then the restore, then the end of the run."""
    async with anyio.create_task_group() as tasks:
        run = await machine.up(site, tasks=tasks)
        write(machine, "bad")
        first()
        command = await restored(machine, site, name)
        result = Live(run, command, content(machine), ids(machine, "web"))
        run.interrupt()
        await run.over.wait()
    return result


def notices(command: Command) -> list[str]:
    """The messages of a command."""
    return [event.message for event in command.events if isinstance(event, Notice)]


async def test_a_run_restores_while_it_is_up(machine: Machine, shop: Site) -> None:
    """The old content is saved first, other services keep running, and nothing counts as an end of a service."""
    good, web = await saved(machine, shop, "good"), list[str]()
    result = await live(machine, shop, good, lambda: web.extend(ids(machine, "web")))
    assert result.command.code == 0, shown(result.command)
    assert (result.content, result.web, result.run.code) == (b"good", web, 130), shown(result.run)
    _, bad, last = Store.at_home().all()
    told = notices(result.run)
    assert "db is stopped for a restore of data" in told
    assert f"data: its previous content is saved as {bad.id}" in told
    assert [e.snapshot for e in result.run.events if isinstance(e, Restored)] == [good, good]
    assert not [e for e in result.run.events if isinstance(e, ServiceState) and e.state in ENDED]
    assert not [e for e in result.run.events if isinstance(e, Problem)]
    (line,) = Lineages.at_home().all()
    assert (line.asked, line.head[0], last.parent) == (None, last.id, good)
    await machine.run_up(shop, then=lambda: web.append(str(content(machine))))
    assert web[-1] == "b'good'"


async def test_a_detached_project_goes_on_with_the_restored_data(machine: Machine, shop: Site) -> None:
    """No process holds it: the command does it, and starts what was running."""
    good = await saved(machine, shop, "good")
    await machine.run_up(shop, detach=True)
    write(machine, "bad")
    web = ids(machine, "web")
    command = await restored(machine, shop, good)
    assert command.code == 0, shown(command)
    assert (content(machine), ids(machine, "web"), len(ids(machine, "db"))) == (b"good", web, 1)
    assert [e.project for e in command.events if isinstance(e, Ready)] == ["shop"]
    bad = Store.at_home().all()[-1]
    assert (await restored(machine, shop, bad.id)).code == 0
    assert content(machine) == b"bad"
    assert (await machine.down(shop)).code == 0


async def test_the_run_of_another_folder_is_left_alone(machine: Machine, shop: Site) -> None:
    """It has the same project name: nothing is stopped, and nothing is asked for."""
    good = await saved(machine, shop, "good")
    other = machine.site("shop", "other", db={"volumes": [mounted("data")]}, web={})
    await machine.run_up(other, detach=True)
    write(machine, "theirs")
    db = ids(machine, "db")
    command = await restored(machine, shop, good)
    assert isinstance(command.error, StateError), shown(command)
    assert command.error.message.startswith(f"the project shop is up from {other.folder}")
    assert (content(machine), ids(machine, "db")) == (b"theirs", db)
    assert {line.asked for line in Lineages.at_home().all()} == {None}


async def test_other_users_of_the_volume_are_not_stopped(machine: Machine, shop: Site) -> None:
    """The restore is refused, with their names, and nothing has changed."""
    good = await saved(machine, shop, "good")
    sleep = [BASE_IMAGE, "sleep", "inf"]
    result = await live(
        machine, shop, good, lambda: machine.docker.run(*sleep, name="mine", volumes=["shop_data:/data"])
    )
    assert isinstance(result.command.error, StateError), shown(result.command)
    assert result.command.error.message == "the volume shop_data is also used by mine"
    assert result.content == b"bad"


async def test_a_volume_that_plain_compose_created_stays(machine: Machine, shop: Site) -> None:
    """A detached run is on record, but its volume was removed by others, and created again."""
    good = await saved(machine, shop, "good")
    await machine.run_up(shop, detach=True)
    plain = machine.plain(shop)
    plain.down(volumes=True)
    machine.host.advance(2)
    plain.up()
    plain.down()
    write(machine, "theirs")
    command = await restored(machine, shop, good)
    assert isinstance(command.error, StateError), shown(command)
    assert "shop_data is not the one that devenv created" in command.error.message
    assert (content(machine), len(Store.at_home().all())) == (b"theirs", 1)


async def test_data_of_another_version_are_refused_before_anything_stops(machine: Machine) -> None:
    """As at a start."""
    for version in ("8", "9"):
        machine.host.add_image(f"sql:{version}", environment=[f"MYSQL_VERSION={version}"])
    old, new = (machine.site("shop", db={"image": f"sql:{v}", "volumes": [mounted("data")]}) for v in ("8", "9"))
    machine.place(old)
    good = await saved(machine, old, "good")
    machine.place(new)
    result = await live(machine, new, good)
    assert isinstance(result.command.error, RefusedError), shown(result.command)
    assert result.content == b"bad"
    assert not any("stopped for a restore" in message for message in notices(result.run))


async def test_content_that_cannot_be_saved_stays(machine: Machine, shop: Site) -> None:
    """The services are started again, and the command fails with the reason."""
    good = await saved(machine, shop, "good")
    async with anyio.create_task_group() as tasks:
        run = await machine.up(shop, tasks=tasks)
        write(machine, "bad")
        run.faults.on("GET containers/.*/archive", Fails())
        command = await restored(machine, shop, good)
        assert command.error is not None, shown(command)
        assert (content(machine), len(ids(machine, "db"))) == (b"bad", 1), shown(run)
        run.interrupt()
        await run.over.wait()
    assert run.code == 130
    (line,) = Lineages.at_home().all()
    assert line.asked is None


async def test_a_full_disk_does_not_end_the_run(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The services are started again with their own data, which was saved."""
    good = await saved(machine, shop, "good")
    monkeypatch.setattr(live_restore.VolumeExchange, "ask", Mock(side_effect=OSError(28, "No space left on device")))
    result = await live(machine, shop, good)
    assert result.command.error is not None, shown(result.command)
    assert "No space left on device" in str(result.command.error)
    assert (result.content, len(result.web), result.run.code) == (b"bad", 1, 130), shown(result.run)


def hidden() -> Run:
    """The run, which answers no requests any more: its socket has another name."""
    (run,) = Run.folders("shop")
    socket(run).rename(Path(run.path) / "hidden")
    return run


def socket(run: Run) -> Path:
    """The socket of a run."""
    return Path(run.path) / client.SOCKET


async def test_a_restore_waits_until_the_project_is_up(machine: Machine, shop: Site) -> None:
    """Right after `up -d`, the process that holds the project answers no requests yet; a message says what it is."""
    good = await saved(machine, shop, "good")
    async with anyio.create_task_group() as tasks:
        run = await machine.up(shop, tasks=tasks)
        folder = hidden()

        def answer(event: Event) -> None:
            if event == Notice("waiting until the project is up"):
                Path(folder.path, "hidden").rename(socket(folder))

        command = await machine.call(
            lambda _: live_restore.restore(Selection(str(shop.folder)), good, (), "", answer)
        )
        assert (command.code, content(machine)) == (0, b"good"), shown(command)
        run.interrupt()
        await run.over.wait()


async def test_a_run_that_does_not_answer_in_time_is_left_alone(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says why, and nothing has changed."""
    monkeypatch.setattr(live_restore, "PATIENCE", 0.1)
    result = await live(machine, shop, await saved(machine, shop, "good"), hidden)
    assert isinstance(result.command.error, StateError), shown(result.command)
    assert result.command.error.message == "the project is still starting after 0.1 s"
    assert result.content == b"bad"


async def test_a_run_that_ends_is_not_waited_for(machine: Machine, shop: Site) -> None:
    """It will not answer any more."""

    def end() -> None:
        hidden().lock.mark_ending()

    result = await live(machine, shop, await saved(machine, shop, "good"), end)
    assert isinstance(result.command.error, StateError), shown(result.command)
    assert (result.command.error.message, notices(result.command)) == ("the project is ending", [])


async def test_the_end_of_the_command_does_not_end_the_restore(machine: Machine, shop: Site) -> None:
    """Meanwhile, no other restore begins."""
    good = await saved(machine, shop, "good")
    words = (live_restore.VERB, f'volumes={{"data": ["{good}", "data"]}}')
    async with anyio.create_task_group() as tasks:
        run = await machine.up(shop, tasks=tasks)
        write(machine, "bad")
        (folder,) = Run.folders("shop")
        first, second = await connected(folder.path), await connected(folder.path)
        assert first is not None
        assert second is not None
        await first.send(client.request(words))
        await first.aclose()
        answer = await ask(second, *words)
        assert answer is not None
        assert (answer[0], "another restore is under way" in answer[1]) == (StateError.exit_code, True), answer
        await until(lambda: content(machine) == b"good")
        run.interrupt()
        await run.over.wait()
    assert run.code == 130
