"""Changes on the host arrive in each container of a service, even if containers are added or fail meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase

import anyio
import anyio.lowlevel
import pytest

from devenv.errors import EngineError
from devenv.events import Restarted, Solved, Synced
from devenv.model.project import Action, Settings
from devenv.sync import queue
from devenv.sync import service as services
from devenv.sync.container import host_files
from devenv.sync.container.host_files import GONE
from devenv.sync.container.transports import NO_SHELL
from support.one_service import FakeTarget, OneService, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def service(tmp_path: Path) -> Iterator[OneService]:
    """A service whose containers are fakes."""
    with OneService(tmp_path).with_fakes() as service:
        yield service


async def test_a_file_that_came_with_a_new_container_and_went_at_once_is_deleted(service: OneService) -> None:
    """The container got the file in the adoption, before its own sync; it is deleted when the host loses it."""
    service.write("brief")
    service.look()
    fake = FakeTarget("one")
    await service.adopt(fake)
    service.folder.joinpath("brief").unlink()
    await service.step()
    assert fake.deleted == ["/src/brief"]


async def test_file_in_one_replica_is_deleted_in_both(service: OneService) -> None:
    """One replica got the file, the other was lost: later the file is deleted in both."""
    fake, other = FakeTarget("one"), FakeTarget("two")
    await service.adopt(fake)
    await service.adopt(other)
    other.is_lost = True
    path = service.write("half")
    assert path in await service.step()
    other.is_lost = False
    os.unlink(path)
    await service.step()
    assert (fake.deleted, other.deleted) == (["/src/half"], ["/src/half"])


async def test_file_missing_in_one_replica_is_put_again(service: OneService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path has failed although another replica has it; lost calls are reported after a while."""
    fake, other = FakeTarget("one"), FakeTarget("two")
    await service.adopt(fake)
    await service.adopt(other)
    service.write("file")
    other.is_lost = True
    await service.step()
    assert service.problems == []
    await service.step()
    assert service.problems == []
    monkeypatch.setattr(services, "LOST_FOR", 0.0)
    await service.step()
    assert service.problems == ["gone away"]
    other.is_lost = False
    assert await service.step() == set()
    assert other.put == ["/src/file"]
    assert [event.path for event in service.events if isinstance(event, Solved)] == ["web"]
    assert await service.step() == set()
    assert other.put == ["/src/file"]


async def test_a_machine_that_is_away_is_reported_by_others(
    service: OneService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for which a container cannot be reached counts from its return."""
    monkeypatch.setattr(services, "LOST_FOR", 0.05)
    fake, is_away = FakeTarget("one"), True
    await service.adopt(fake)
    service.engine.is_away = lambda: is_away
    service.write("file")
    fake.is_lost = True
    await service.step()
    await anyio.sleep(0.1)
    await service.step()
    is_away = False
    await service.step()
    assert service.problems == []
    await anyio.sleep(0.1)
    await service.step()
    assert service.problems == ["gone away"]


async def test_a_container_that_is_another_one_by_now_is_not_reported(service: OneService) -> None:
    """It was started again, and is about to be adopted."""
    fake = FakeTarget("one")
    await service.adopt(fake)
    fake.is_lost = True
    service.write("file")
    await service.step()
    service.fakes["one"] = FakeTarget("one")
    service.fakes["one"].container = replace(fake.container, started_at="later")
    await service.step()
    assert service.problems == []


async def test_many_failures_of_one_kind_are_one_line_with_the_container_path(service: OneService) -> None:
    """If nothing can be deleted in a container, one line says so for all files, with the path in the container."""
    paths = [service.write(name) for name in "abc"]
    service.look()
    fake = FakeTarget("one")
    await service.adopt(fake)
    await service.step()
    fake.failed = dict.fromkeys(("/src/a", "/src/b", "/src/c"), NO_SHELL)
    for path in paths:
        os.unlink(path)
    assert await service.step() == {*paths}
    assert await service.step() == {*paths}
    assert service.problems == ["/src/a (+2 more): cannot be deleted: its image has no shell"]


async def test_failed_deletes_lead_to_a_recreation(tmp_path: Path) -> None:
    """If the project asks for it, the containers are recreated once nothing changes any more."""
    with OneService(tmp_path, settings=Settings(deletes_recreate=True)).with_fakes() as service:
        path = service.write("a")
        service.begin()
        fake = FakeTarget("one")
        await service.adopt(fake)
        fake.failed = {"/src/a": NO_SHELL}
        os.unlink(path)
        service.sync.open()
        async with service.serving():
            service.look()
            await until(lambda: bool(service.replaced))
        assert service.replaced == [("recreate", "web", "src/a")]
        assert service.problems == []


async def test_a_folder_that_was_never_seen_goes_with_its_file(service: OneService) -> None:
    """The folder vanished while its file was sent, which created it in the container: there it is removed, too."""
    fake = FakeTarget("one")
    await service.adopt(fake)
    service.write("a/b/inside")
    service.look()
    del service.context.now[str(service.folder / "a/b")]
    await service.sync.advance()
    await service.sync.advance()
    assert "/src/a/b" in fake.deleted


async def flood(service: OneService, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write a file for each letter in `src/new`, which are synced in slices of six. Return the files' paths."""
    monkeypatch.setattr(queue, "SLICE", 6)
    monkeypatch.setattr(queue, "WHOLE", 6)
    monkeypatch.setattr(queue, "SMALLEST", 6)
    service.state.waiting = queue.SyncQueue()
    return [service.write(f"new/{name}") for name in ascii_lowercase]


async def rest(service: OneService) -> None:
    """Carry out what waits."""
    while service.pending or service.sync.ahead:
        await service.sync.advance()


async def test_the_next_slice_of_a_flood_is_planned_while_the_last_one_is_written(
    service: OneService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is put once."""
    fake = FakeTarget("one")
    await service.adopt(fake)
    await flood(service, monkeypatch)
    await service.step()
    assert service.sync.ahead
    await rest(service)
    assert fake.put == [f"/src/new/{name}" for name in ascii_lowercase]


async def test_a_file_of_a_flood_that_is_deleted_while_it_is_written_is_deleted_in_the_container(
    service: OneService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared with what was delivered before, it would not have changed."""
    fake = FakeTarget("one")
    await service.adopt(fake)
    first, *_ = await flood(service, monkeypatch)

    def during() -> None:
        fake.during = lambda: None
        os.unlink(first)
        service.look()

    fake.during = during
    await service.step()
    await rest(service)
    assert fake.deleted == ["/src/new/a"]


async def test_a_container_that_comes_in_place_of_another_during_a_flood_loses_files_that_the_host_loses(
    service: OneService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It got all files in its adoption, those of the slice that was planned ahead as well."""
    fake, other = FakeTarget("one"), FakeTarget("two")
    await service.adopt(fake)
    paths = await flood(service, monkeypatch)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.step)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(service.adopt, other)
    await service.sync.adoption.drop("one")
    targets = [f"/src/new/{name}" for name in ascii_lowercase]
    assert sorted(other.put) == targets
    for path in paths:
        os.unlink(path)
    other.failed = dict.fromkeys(targets, GONE)
    await service.step()
    other.failed = {}
    await service.step()
    await rest(service)
    assert {*targets} <= {*other.deleted}


async def test_what_cannot_be_synced_is_one_problem_from_the_beginning(service: OneService) -> None:
    """A pipe and a loop that were there before, and those that come; each is reported again only if it comes back."""
    os.mkfifo(service.folder / "pipe")
    loop = service.folder / "loop"
    loop.symlink_to("loop")
    service.write("file")
    service.begin()
    fake = FakeTarget("one")
    await service.adopt(fake)
    message = "src/loop: a link that leads to itself: not synced"
    assert service.problems == [message, "src/pipe: neither a file, a folder nor a link: not synced"]
    assert fake.put == ["/src/file"]
    await service.step()
    assert len(service.problems) == 2
    loop.unlink()
    await service.step()
    loop.symlink_to("loop")
    await service.step()
    assert service.problems[2:] == [message]
    loop.unlink()
    loop.symlink_to("file")
    await service.step()
    assert fake.put == ["/src/file", "/src/loop"]
    assert len(service.problems) == 3


async def test_failed_delete_of_a_link_that_became_a_loop_is_tried_again(service: OneService) -> None:
    """The host still has a path there, but nothing that belongs into the container."""
    path = service.folder.joinpath("a")
    path.symlink_to("b")
    service.begin()
    fake = FakeTarget("one")
    await service.adopt(fake)
    service.folder.joinpath("b").symlink_to("a")
    fake.failed = {"/src/a": "not now"}
    assert await service.step() == {str(path)}
    fake.failed = {}
    assert await service.step() == set()
    assert fake.deleted == ["/src/a", "/src/a"]


async def test_a_link_becomes_a_problem_when_another_one_closes_the_loop(service: OneService) -> None:
    """The container's copy is deleted; once the loop is open again, the link is put back."""
    service.folder.joinpath("a").symlink_to("b")
    service.begin()
    fake = FakeTarget("one")
    await service.adopt(fake)
    assert fake.put == ["/src/a"]
    service.folder.joinpath("b").symlink_to("a")
    await service.step()
    assert service.problems == ["src/a (+1 more): a link that leads to itself: not synced"]
    assert fake.deleted == ["/src/a"]
    service.folder.joinpath("b").unlink()
    await service.step()
    assert fake.put == ["/src/a", "/src/a"]


async def test_a_sync_is_reported_with_its_counts(service: OneService) -> None:
    """Paths are relative to the project; nothing is reported if nothing arrived."""
    fake = FakeTarget("one")
    await service.adopt(fake)
    service.write("a")
    path = service.write("b")
    fake.failed = {"/src/b": "no space left on device"}
    assert await service.step() == {path}
    assert await service.step() == {path}
    synced = [(event.files, event.deleted, event.paths) for event in service.events_of(Synced)]
    assert synced == [(1, 0, ("src/a", "src/b"))]


async def test_a_rebuild_takes_what_was_saved_with_it(tmp_path: Path) -> None:
    """Nothing is put into containers that are replaced."""
    with OneService(tmp_path, action=Action.REBUILD).with_fakes() as service:
        fake = FakeTarget("one")
        await service.adopt(fake)
        service.write("Dockerfile")
        assert await service.step() == set()
        assert service.replaced == [("rebuild", "web", "src/Dockerfile")]
        assert fake.put == []
        assert await service.step() == set()
        assert len(service.replaced) == 1


async def test_the_edit_after_a_rebuild_that_failed_builds_again(tmp_path: Path) -> None:
    """The same edit does not: it would fail in the same way."""
    with OneService(tmp_path, action=Action.REBUILD).with_fakes() as service:
        service.replace_fails = EngineError("the build failed")
        service.write("Dockerfile")
        await service.step()
        await service.step()
        assert service.replaced == [("rebuild", "web", "src/Dockerfile")]
        service.write("Dockerfile", "FROM scratch")
        await service.step()
        assert service.replaced == [("rebuild", "web", "src/Dockerfile")] * 2


async def test_nothing_is_carried_out_before_it_is_open(service: OneService) -> None:
    """Changes are gathered until then, and counted."""
    fake = FakeTarget("one")
    await service.adopt(fake)
    async with service.serving():
        service.write("a")
        service.look()
        await anyio.sleep(0.05)
        assert (fake.put, service.pending) == ([], 2)
        service.sync.open()
        await until(lambda: not service.pending)
        service.write("b")
        service.look()
        await until(lambda: not service.pending)
    assert fake.put == ["/src/a", "/src/b"]


async def test_other_rules_are_carried_out_if_a_rebuild_fails(tmp_path: Path) -> None:
    """The old containers run on."""
    with OneService(tmp_path, action=Action.REBUILD, over="over").with_fakes() as service:
        fake = FakeTarget("one")
        await service.adopt(fake)
        service.replace_fails = EngineError("the build failed")
        service.write("over/a")
        assert await service.step() == set()
        assert fake.put == ["/src/a"]


async def test_follow_ups_are_kept_when_the_rules_change(service: OneService) -> None:
    service.sync.followups.recreation = "src/a"
    now = service.again()
    now.begin(service.sync)
    assert now.followups.recreation == "src/a"


async def test_failed_paths_are_tried_again(service: OneService) -> None:
    """It does not wait for the next save."""
    fake = FakeTarget("one")
    await service.adopt(fake)
    fake.failed = {"/src/a": "no space left on device"}
    service.sync.open()
    async with service.serving():
        service.write("a")
        service.look()
        await until(lambda: bool(service.state.retries.paths))
        assert service.sync.progress == ("src/a: no space left on device", False)
        fake.failed = {}
        await until(lambda: not service.pending)
    assert fake.put == ["/src/a", "/src/a"]
    assert service.problems == ["src/a: no space left on device"]


async def test_a_restart_follows_the_sync(tmp_path: Path) -> None:
    """Once, after all files of the save."""
    with OneService(tmp_path, action=Action.SYNC_RESTART).with_fakes() as service:
        fake = FakeTarget("one")
        await service.adopt(fake)
        service.sync.open()
        async with service.serving():
            for name in "ab":
                service.write(name)
                service.look()
                await until(lambda name=name: f"/src/{name}" in fake.put)  # type: ignore[misc]
            await until(lambda: bool(service.events_of(Restarted)))
    assert [event.cause for event in service.events_of(Restarted)] == ["src/a"]


async def test_a_file_that_gets_its_place_back_is_tried_again_if_that_fails(tmp_path: Path) -> None:
    """The file itself did not change: a file of a later rule at its target was deleted."""
    with OneService(tmp_path, over="over").with_fakes() as service:
        path = service.write("a")
        above = service.write("over/a")
        service.begin()
        fake = FakeTarget("one")
        await service.adopt(fake)
        os.unlink(above)
        fake.failed = {"/src/a": "no space left on device"}
        assert path in await service.step()
        fake.failed, fake.put = {}, []
        assert await service.step() == set()
        assert fake.put == ["/src/a"]


async def test_a_restart_waits_until_each_container_has_the_files(tmp_path: Path) -> None:
    with OneService(tmp_path, action=Action.SYNC_RESTART).with_fakes() as service:
        fake = FakeTarget("one")
        await service.adopt(fake)
        service.write("a")
        fake.is_lost = True
        await service.step()
        assert not service.sync.followups.are_owed
        fake.is_lost = False
        await service.step()
        assert service.sync.followups.are_owed


async def test_close_closes_each_target(service: OneService) -> None:
    fake, other = FakeTarget("one"), FakeTarget("two")
    await service.adopt(fake)
    await service.adopt(other)
    await service.sync.close()
    assert (fake.is_closed, other.is_closed, service.state.targets) == (True, True, {})


@pytest.mark.parametrize(("size", "is_put_off"), [(3, False), (host_files.LARGE_BYTES + 1, True)])
async def test_a_large_file_that_fails_is_not_tried_all_the_time(
    service: OneService, size: int, *, is_put_off: bool
) -> None:
    """It waits for ten times as long as the try took."""
    fake = FakeTarget("one", during=lambda: time.sleep(0.2))
    await service.adopt(fake)
    os.truncate(service.write("f"), size)
    fake.failed = {"/src/f": "no space left on device"}
    service.sync.open()
    async with service.serving():
        service.look()
        await until(lambda: bool(service.state.retries.paths))
        assert (service.state.retries.due - anyio.current_time() > 1.5) is is_put_off
