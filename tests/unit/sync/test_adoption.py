"""A container with unknown content is brought up to date, and synced from then on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from devenv.errors import EngineError
from devenv.model.project import Action, Hook, Settings
from devenv.sync.service_state import process_mark
from support.engine import Fails
from support.one_service import FakeTarget, OneService

pytestmark = pytest.mark.anyio


@pytest.fixture
def service(tmp_path: Path) -> OneService:
    """A service whose containers are on an engine in memory; their images have no shell."""
    return OneService(tmp_path)


@pytest.fixture
def faked(tmp_path: Path) -> Iterator[OneService]:
    """A service whose containers are fakes."""
    with OneService(tmp_path).with_fakes() as service:
        yield service


async def test_a_new_container_gets_all_files_and_the_journal_knows_them(service: OneService) -> None:
    service.write("a", "first")
    service.write("b/c", "second")
    service.begin()
    assert await service.sync.adoption.adopt(await service.place()) == 2
    assert service.files() == {"src/a": b"first", "src/b/c": b"second"}
    assert service.journal("id-web-1").read().placed == {"/src/a", "/src/b/", "/src/b/c"}
    assert not service.pending


async def test_only_what_differs_is_put(service: OneService) -> None:
    service.write("a", "first")
    service.write("b", "second")
    service.begin()
    container = await service.place()
    await service.sync.adoption.adopt(container)
    service.host.containers[container.id].files.write("src/b", b"other")
    assert await service.sync.adoption.adopt(container) == 1
    assert service.files() == {"src/a": b"first", "src/b": b"second"}


async def test_the_first_start_of_a_container_that_was_prepared_reads_nothing_back(service: OneService) -> None:
    """It was brought up to date before its first process ran; the next start has to look again."""
    service.write("a")
    service.begin()
    await service.sync.adoption.adopt(await service.place())
    for reads, life in ((False, 1), (True, 2)):
        files = service.files()
        started = await service.place("running", life=life)
        for path, content in files.items():
            service.host.containers[started.id].files.write(path, content)
        service.engine.faults.asked.clear()
        assert await service.sync.adoption.adopt(started) == 0
        asked = [request for request in service.engine.faults.asked if request.startswith("devenv GET")]
        assert any("archive" in request for request in asked) is reads, asked


async def test_an_adoption_that_fails_is_looked_at_again_as_a_whole(service: OneService) -> None:
    """A container that was prepared is not taken to be up to date after that."""
    service.write("a")
    service.begin()
    await service.sync.adoption.adopt(await service.place())
    started = await service.place("running")  # a new container without files
    service.engine.faults.on("exec", Fails(500, "too many processes"))
    with pytest.raises(EngineError):
        await service.sync.adoption.adopt(started)
    assert service.state.targets == {}
    service.engine.faults.clear()
    assert await service.sync.adoption.adopt(started) == 1
    assert service.files() == {"src/a": b"x"}


async def test_a_target_is_closed_if_it_cannot_be_brought_up_to_date(faked: OneService) -> None:
    faked.write("a")
    faked.begin()
    fake = FakeTarget("one")
    fake.is_lost = True
    with pytest.raises(EngineError):
        await faked.adopt(fake)
    assert fake.is_closed
    assert faked.state.targets == {}


async def test_the_target_of_an_earlier_start_is_closed(faked: OneService) -> None:
    before, now = FakeTarget("one"), FakeTarget("one")
    await faked.adopt(before)
    await faked.adopt(now)
    assert (before.is_closed, now.is_closed) == (True, False)
    await faked.sync.adoption.drop("one")
    assert now.is_closed
    await faked.sync.adoption.drop("one")


async def test_files_deleted_while_not_watched_are_deleted(faked: OneService) -> None:
    """They are in the journal and in the container; the rest of the journal does not matter."""
    faked.begin()
    faked.journal("one").note(placed=["/src/a", "/src/b"])
    fake = FakeTarget("one", "running")
    fake.present = {"/src/a"}
    await faked.adopt(fake)
    assert faked.journal("one").read().placed == {"/src/a"}
    await faked.step()
    assert fake.deleted == ["/src/a"]


async def test_a_new_container_loses_what_is_no_file_on_the_host_any_more(faked: OneService) -> None:
    """A file became a pipe while no run watched: the journal names it, so it is deleted."""
    os.mkfifo(faked.folder / "a")
    faked.begin()
    faked.journal("one").note(placed=["/src/a"])
    fake = FakeTarget("one")
    fake.present = {"/src/a"}
    await faked.adopt(fake)
    await faked.step()
    assert fake.deleted == ["/src/a"]


async def test_what_takes_the_place_of_another_kind_waits_for_the_delete(faked: OneService) -> None:
    """A file became a folder: its files are put after the delete, all others at once."""
    faked.write("a/inside")
    faked.write("b")
    faked.begin()
    faked.journal("one").note(placed=["/src/a"])
    fake = FakeTarget("one")
    fake.present = {"/src/a"}
    await faked.adopt(fake)
    assert fake.put == ["/src/b"]
    await faked.step()
    assert fake.deleted == ["/src/a"]
    assert fake.put == ["/src/b", "/src/a/inside"]


async def test_failed_paths_of_a_new_container_are_tried_again(faked: OneService) -> None:
    """A file that vanished meanwhile is not reported."""
    path = faked.write("a")
    faked.write("b")
    faked.begin()
    fake = FakeTarget("one")
    fake.failed = {"/src/a": "no space left on device", "/src/b": "No such file or directory"}
    await faked.adopt(fake)
    assert faked.state.retries.paths == {path, str(faked.folder / "b")}
    assert 0 < faked.state.retries.due - anyio.current_time() <= 0.25
    assert faked.problems == ["src/a: no space left on device"]
    fake.failed = {}
    assert await faked.step() == set()
    assert fake.put == ["/src/a", "/src/b", "/src/a", "/src/b"]


@pytest.mark.parametrize(("state", "expected"), [("running", [0, 2, 4]), ("created", [0])])
async def test_many_files_go_in_slices(
    faked: OneService, monkeypatch: pytest.MonkeyPatch, state: str, expected: list[int]
) -> None:
    """Files for a container that does not run need as few requests as possible."""
    monkeypatch.setattr("devenv.sync.adoption.AT_ONCE", 2)
    for name in "abcde":
        faked.write(name)
    faked.begin()
    slices: list[int] = []
    fake = FakeTarget("one", state, during=lambda: slices.append(len(fake.put)))
    assert await faked.adopt(fake) == 5
    assert slices == expected


async def test_a_rule_without_initial_sync_puts_nothing_into_a_new_container(tmp_path: Path) -> None:
    """The project follows the Compose specification; a save is synced."""
    for is_initial, expected in ((False, []), (True, ["/src/a"])):
        settings = Settings(initial_sync_spec=True)
        with OneService(tmp_path, settings=settings, initial_sync=is_initial).with_fakes() as service:
            service.write("a")
            service.begin()
            fake = FakeTarget("one")
            await service.adopt(fake)
            assert fake.put == expected
            service.write("a", f"saved {is_initial}")
            await service.step()
            assert fake.put == [*expected, "/src/a"]


async def test_commands_that_an_earlier_run_left_behind_are_ended(tmp_path: Path) -> None:
    """They are ended in a running container, for each user of a command in a rule."""
    service = OneService(tmp_path, action=Action.SYNC_EXEC, exec=Hook(("migrate",), user="app"))
    users: list[str] = []

    async def end_leftovers(container_id: str, *, user: str, privileged: bool, mark: str) -> None:
        users.append(f"{container_id} {user} {privileged} {mark == process_mark(service.project)}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.engine.exec, "end_leftovers", end_leftovers)
        await service.sync.adoption.adopt(await service.place())
        assert users == []
        await service.sync.adoption.adopt(await service.place("running"))
    assert users == ["id-web-1 app False True"]
