"""What the sync of a service remembers of containers that came or failed while files changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.events import Event, Problem
from devenv.model.containers import Container
from devenv.model.project import Action, Project, Service, WatchRule
from devenv.model.sync_plan import Delete, Sync
from devenv.sync import service
from devenv.sync.container import host_files
from devenv.sync.container.journal import StagedPaths, SyncJournal
from devenv.sync.container.outcome import Outcome
from devenv.sync.container.readback import Seen
from devenv.sync.host import scan
from devenv.sync.host.tree import HostTree
from devenv.sync.rules import rules
from devenv.sync.service import ServiceSync, SyncContext

pytestmark = pytest.mark.anyio


class FakeTarget:
    """A container that keeps the deletes it is asked for; `during` runs while files are on their way."""

    def __init__(self, number: str, during: Callable[[], None] = lambda: None) -> None:
        self.container = Container(id=number, name=number, service="web", state="created", ours=True)
        self.during = during
        self.staged = StagedPaths(SyncJournal())
        self.deleted: list[str] = []
        self.put: list[str] = []
        self.present: set[str] = set()
        self.failed: dict[str, str] = {}
        self.is_lost = False

    async def compare(self, syncs: Sequence[Sync], _: Any, placed: Collection[str]) -> Seen:
        """Everything is missing, as in a new container; of the journal's names it has those in `present`."""
        return Seen(tuple(syncs), frozenset(self.present & set(placed)))

    async def deliver(self, deletes: Sequence[Delete], syncs: Sequence[Sync], _: Collection[str]) -> Outcome:
        """Done, unless it was told to fail."""
        self.during()
        if self.is_lost:
            raise EngineError("gone away")
        self.deleted += [d.target for d in deletes]
        self.put += [s.target for s in syncs]
        return Outcome(failed=dict(self.failed))


class Site:
    """The sync of one service on a folder of its own, without watcher and engine: it looks when it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.said: list[Event] = []
        rule = WatchRule(str(folder), Action.SYNC, "/src")
        project = Project("p", str(folder.parent), (), (Service("web", watch=(rule,)),))
        bound = rules.bind(project, {})
        self.journals = str(folder.parent / "journals")
        self.tree = HostTree(project.directory, bound, changed=self.changed, say=lambda _, __: None)
        context = SyncContext(
            cast("Engine", self), project, self.said.append, self, self.journals, self.tree.is_at_rest, self.tree.now
        )
        self.service_sync = ServiceSync(context, "web", bound)
        self.targets: dict[str, FakeTarget] = {}
        self.containers = SimpleNamespace(inspect=self.inspect)
        monkeypatch.setattr(service, "Target", self)

    async def rebuild(self, _: str, __: str) -> None:
        """Nothing is built here."""

    recreate = rebuild

    def restarting(self, _: Sequence[Container]) -> AbstractAsyncContextManager[None]:
        """Nothing else has to know of a restart."""
        return nullcontext()

    def changed(self, paths: Collection[str]) -> None:
        """What the look has found changed."""
        self.service_sync.notice(paths)

    async def reach(
        self, _: Engine, container: Container, __: str, ___: SyncJournal, ____: Sequence[str]
    ) -> FakeTarget:
        """The fake for a container."""
        return self.targets[container.id]

    async def inspect(self, number: str) -> Container:
        """The container is as it was."""
        return self.targets[number].container

    async def adopt(self, target: FakeTarget) -> None:
        """The container served from now on."""
        self.targets[target.container.id] = target
        await self.service_sync.adopt(target.container)

    async def begin(self) -> None:
        """As a run begins: what is there is known, and nothing waits."""
        await self.notice()
        self.service_sync.waiting.take_all()
        self.service_sync.begin(None)

    async def look(self) -> None:
        """What the watcher would tell, and the lane's turn after it."""
        await self.notice()
        for path in self.service_sync.failed:
            self.service_sync.waiting.add(path, gone=path not in self.tree.now)
        self.service_sync.failed = await self.service_sync.advance()

    async def notice(self) -> None:
        """The host looked at, nothing carried out."""
        known = {p for p in self.tree.now if p.startswith(str(self.folder))}
        seen = scan.scan([str(self.folder)], lambda _: False)
        await self.tree.look({*known, *seen})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A rule on an empty folder."""
    folder = tmp_path / "src"
    folder.mkdir()
    return Site(folder, monkeypatch)


async def test_a_file_that_came_with_a_new_container_and_went_at_once_is_deleted(site: Site) -> None:
    """What a container got when it was adopted, before the file had its turn, is deleted when the host loses it."""
    site.folder.joinpath("brief").write_text("x")
    await site.notice()
    one = FakeTarget("one")
    await site.adopt(one)
    site.folder.joinpath("brief").unlink()
    await site.look()
    assert one.deleted == ["/src/brief"]


async def test_what_only_one_replica_got_is_deleted_in_both(site: Site) -> None:
    """One replica got the file, the other was lost: when the file goes, it goes from both."""
    one, two = FakeTarget("one"), FakeTarget("two")
    await site.adopt(one)
    await site.adopt(two)
    two.is_lost = True
    site.folder.joinpath("half").write_text("x")
    await site.look()
    two.is_lost = False
    site.folder.joinpath("half").unlink()
    await site.look()
    assert (one.deleted, two.deleted) == (["/src/half"], ["/src/half"])


async def test_many_failures_of_one_kind_are_one_line_with_the_container_path(site: Site) -> None:
    """A container where nothing can be deleted says so once for all files, and names the path as it is there."""
    for name in "abc":
        site.folder.joinpath(name).write_text("x")
    await site.notice()
    one = FakeTarget("one")
    await site.adopt(one)
    await site.look()
    one.failed = dict.fromkeys(("/src/a", "/src/b", "/src/c"), "cannot be deleted: its image has no shell")
    for name in "abc":
        site.folder.joinpath(name).unlink()
    await site.look()
    await site.look()
    told = [one.message for one in site.said if isinstance(one, Problem)]
    assert told == ["/src/a (+2 more): cannot be deleted: its image has no shell"]


async def test_a_folder_that_was_never_seen_goes_with_its_file(site: Site) -> None:
    """It vanished while its file was on the way, which made it in the container: there it is removed, too."""
    one = FakeTarget("one")
    await site.adopt(one)
    site.folder.joinpath("a/b").mkdir(parents=True)
    site.folder.joinpath("a/b/inside").write_text("x")
    await site.notice()
    del site.tree.now[str(site.folder / "a/b")]
    await site.service_sync.advance()
    await site.service_sync.advance()
    assert "/src/a/b" in one.deleted


def told(site: Site) -> list[str]:
    """Every problem so far."""
    return [one.message for one in site.said if isinstance(one, Problem)]


async def test_what_cannot_be_synced_is_one_problem_from_the_beginning(site: Site) -> None:
    """A pipe and a loop that were there before, and those that come; each is said again only if it comes back."""
    os.mkfifo(site.folder / "pipe")
    site.folder.joinpath("loop").symlink_to("loop")
    site.folder.joinpath("file").write_text("x")
    await site.begin()
    one = FakeTarget("one")
    await site.adopt(one)
    loop = "src/loop: a link that leads to itself: not synced"
    assert told(site) == [loop, "src/pipe: neither a file, a folder nor a link: not synced"]
    assert one.put == ["/src/file"]
    await site.look()
    assert len(told(site)) == 2
    site.folder.joinpath("loop").unlink()
    await site.look()
    site.folder.joinpath("loop").symlink_to("loop")
    await site.look()
    assert told(site)[2:] == [loop]
    site.folder.joinpath("loop").unlink()
    site.folder.joinpath("loop").symlink_to("file")
    await site.look()
    assert one.put == ["/src/file", "/src/loop"]
    assert len(told(site)) == 3


async def test_a_link_becomes_a_problem_when_another_one_closes_the_loop(site: Site) -> None:
    """What the container has of it goes; once the loop is open again the link is back."""
    site.folder.joinpath("a").symlink_to("b")
    await site.begin()
    one = FakeTarget("one")
    await site.adopt(one)
    assert one.put == ["/src/a"]
    site.folder.joinpath("b").symlink_to("a")
    await site.look()
    assert told(site) == ["src/a (+1 more): a link that leads to itself: not synced"]
    assert one.deleted == ["/src/a"]
    site.folder.joinpath("b").unlink()
    await site.look()
    assert one.put == ["/src/a", "/src/a"]


async def test_a_new_container_loses_what_is_no_file_on_the_host_any_more(site: Site) -> None:
    """A file that has become a pipe while nobody watched: what the journal says was put is deleted."""
    os.mkfifo(site.folder / "a")
    await site.begin()
    SyncJournal.of(site.journals, "one").note(placed=["/src/a"])
    one = FakeTarget("one")
    one.present = {"/src/a"}
    await site.adopt(one)
    await site.look()
    assert one.deleted == ["/src/a"]


@pytest.mark.parametrize(("size", "is_put_off"), [(3, False), (host_files.LARGE_BYTES + 1, True)])
async def test_a_large_file_that_fails_is_not_tried_all_the_time(site: Site, size: int, is_put_off: bool) -> None:
    """It waits for ten times as long as the try took."""
    one = FakeTarget("one", during=lambda: time.sleep(0.2))
    await site.adopt(one)
    path = site.folder / "f"
    path.touch()
    os.truncate(path, size)
    one.failed = {"/src/f": "no space left on device"}
    site.service_sync.open()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(site.service_sync.serve, tasks)
        await site.notice()
        with anyio.fail_after(5):
            while not site.service_sync.failed:  # noqa: ASYNC110 - the lane tells no event
                await anyio.sleep(0.01)
        assert (site.service_sync.retry_at - anyio.current_time() > 1.5) is is_put_off
        tasks.cancel_scope.cancel()
