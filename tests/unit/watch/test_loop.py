"""What the corridor remembers of containers that came or failed while files changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest

from devenv.engine.api import Engine
from devenv.errors import EngineError
from devenv.model.events import Event, Problem
from devenv.model.observed import Container
from devenv.model.plan import Delete, Sync
from devenv.model.project import Action, Project, Service, WatchRule
from devenv.watch import lane, rules, scan
from devenv.watch.apply import Outcome
from devenv.watch.loop import Corridor
from devenv.watch.puts import Puts

pytestmark = pytest.mark.anyio


class FakeTarget:
    """A container that keeps the deletes it is asked for; `during` runs while files are on their way."""

    def __init__(self, number: str, during: Callable[[], None] = lambda: None) -> None:
        self.container = Container(id=number, name=number, service="web", state="created", ours=True)
        self.during = during
        self.strays: set[str] = set()
        self.deleted: list[str] = []
        self.failed: dict[str, str] = {}
        self.is_lost = False

    async def differing(self, syncs: Sequence[Sync], _: Any) -> list[Sync]:
        """Everything, as in a new container."""
        return list(syncs)

    async def deliver(self, deletes: Sequence[Delete], _: Sequence[Sync], __: Collection[str]) -> Outcome:
        """Done, unless it was told to fail."""
        self.during()
        if self.is_lost:
            raise EngineError("gone away")
        self.deleted += [d.target for d in deletes]
        return Outcome(failed=dict(self.failed))


class Site:
    """A corridor on a folder of its own, without watcher and engine: it looks when it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.said: list[Event] = []
        rule = WatchRule(str(folder), Action.SYNC, "/src")
        project = Project("p", str(folder.parent), (), (Service("web", watch=(rule,)),))
        bound = rules.bind(project, {})
        self.corridor = Corridor(
            cast("Engine", self),
            project,
            bound,
            emit=self.said.append,
            rebuild=self.rebuild,
            ending=lambda _: nullcontext(),
            mark="m",
            puts=str(folder.parent / "puts"),
        )
        self.lane = self.corridor.lanes["web"]
        self.targets: dict[str, FakeTarget] = {}
        monkeypatch.setattr(lane, "Target", self)

    async def rebuild(self, _: str, __: str) -> None:
        """Nothing is built here."""

    async def reach(self, _: Engine, container: Container, __: str, ___: Puts, ____: Sequence[str]) -> FakeTarget:
        """The fake for a container."""
        return self.targets[container.id]

    async def inspect(self, number: str) -> Container:
        """The container is as it was."""
        return self.targets[number].container

    async def adopt(self, target: FakeTarget) -> None:
        """The container served from now on."""
        self.targets[target.container.id] = target
        await self.corridor.adopt(target.container)

    async def look(self) -> None:
        """What the watcher would tell, and the lane's turn after it."""
        await self.notice()
        for path in self.lane.failed:
            self.lane.waiting.add(path, gone=path not in self.corridor._site.now)
        self.lane.failed = await self.lane.advance()

    async def notice(self) -> None:
        """The host looked at, nothing carried out."""
        known = {p for p in self.corridor._site.now if p.startswith(str(self.folder))}
        seen = scan.scan([str(self.folder)], lambda _: False)
        await self.corridor._look({*known, *seen})


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
    del site.corridor._site.now[str(site.folder / "a/b")]
    await site.lane.advance()
    await site.lane.advance()
    assert "/src/a/b" in one.deleted
