"""The source tree kept up to date, on a real folder."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import anyio
import pytest

from devenv.model.project import Action, Project, Service, WatchRule
from devenv.sync.host import tree as host_tree
from devenv.sync.host.tree import HostTree
from devenv.sync.rules import rules

pytestmark = pytest.mark.anyio


class Reports:
    """A tree below `src`, and its reports."""

    def __init__(self, folder: Path, watcher: str = "auto") -> None:
        self.source = folder / "src"
        self.source.mkdir()
        self.known = 0
        self.changed: set[str] = set()
        self.messages: list[str] = []
        rule = WatchRule(str(self.source), Action.SYNC, "/src", ignore=("*.log",))
        bound = rules.bind(Project("p", str(folder), (), (Service("web", watch=(rule,)),)), {})
        self.tree = HostTree(
            str(folder),
            bound,
            changed=self._change,
            say=lambda text, _: self.messages.append(text),
            watcher=watcher,
        )

    def know(self) -> None:
        """Scan the whole tree, so that nothing has changed since."""
        assert not self.changed
        self.known += 1
        assert str(self.source) in self.tree.now

    def _change(self, paths: Collection[str]) -> None:
        self.changed |= {Path(path).name for path in paths}


async def until(is_met: Callable[[], object]) -> None:
    """Returns once that is so."""
    with anyio.fail_after(20):
        while not is_met():  # noqa: ASYNC110 - the tree reports no event
            await anyio.sleep(0.005)


@pytest.mark.parametrize("watcher", ["auto", "poll"])
async def test_what_was_saved_before_is_known_after_catching_up(tmp_path: Path, watcher: str) -> None:
    """At once, whatever was done to the files, and in a folder that did not exist before."""
    reports = Reports(tmp_path, watcher)
    async with anyio.create_task_group() as tasks:
        await tasks.start(reports.tree.run, reports.know)
        for number in range(60):
            folder = reports.source / f"{number % 7}" / f"{number}"
            folder.mkdir(parents=True)
            (folder / "a").write_text("x" * number)
            (folder / "b").touch()
            (folder / "a").rename(folder / "c")
            with anyio.fail_after(20):
                await reports.tree.catch_up()
            assert {str(folder / "b"), str(folder / "c")} <= reports.tree.now.keys()
            assert str(folder / "a") not in reports.tree.now
            assert reports.tree.now[str(folder / "c")].size == number
        tasks.cancel_scope.cancel()


async def test_existing_files_are_known_and_changes_reported(tmp_path: Path) -> None:
    """An existing file is not a change; a new file and a whole new folder are."""
    reports = Reports(tmp_path)
    reports.source.joinpath("old").write_text("1")
    async with anyio.create_task_group() as tasks:
        await tasks.start(reports.tree.run, reports.know)
        assert (reports.known, reports.changed) == (1, set())
        assert str(reports.source / "old") in reports.tree.now
        reports.source.joinpath("new").write_text("1")
        await until(lambda: "new" in reports.changed)
        reports.source.joinpath("a/b").mkdir(parents=True)
        reports.source.joinpath("a/b/deep").write_text("1")
        await until(lambda: "deep" in reports.changed)
        reports.source.joinpath("old").unlink()
        await until(lambda: "old" in reports.changed)
        assert str(reports.source / "old") not in reports.tree.now
        tasks.cancel_scope.cancel()
    assert reports.known == 1


async def test_a_root_that_goes_is_reported_once_and_nothing_counts_as_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may only be moved away for a moment keeps its files; back with other files, they count."""
    monkeypatch.setattr(host_tree, "MISSING_ROOT_CHECK", 0.02)
    reports = Reports(tmp_path)
    reports.source.joinpath("kept").write_text("1")
    async with anyio.create_task_group() as tasks:
        await tasks.start(reports.tree.run, reports.know)
        reports.source.rename(tmp_path / "away")
        await until(lambda: reports.messages)
        await anyio.sleep(0.1)
        assert reports.messages == ["src is missing or replaced: nothing is deleted in containers until it is back"]
        assert str(reports.source / "kept") in reports.tree.now
        assert "kept" not in reports.changed
        (tmp_path / "away").rename(reports.source)
        reports.source.joinpath("new").write_text("1")
        await until(lambda: "new" in reports.changed)
        tasks.cancel_scope.cancel()


async def test_a_tree_is_at_rest_unless_git_works_in_it_or_a_look_is_due(tmp_path: Path) -> None:
    """The lock file of a running git command counts; an old lock file does not."""
    git = tmp_path / ".git"
    git.mkdir()
    reports = Reports(tmp_path)
    assert not reports.tree.is_at_rest()
    async with anyio.create_task_group() as tasks:
        await tasks.start(reports.tree.run, reports.know)
        await until(reports.tree.is_at_rest)
        lock = git / "index.lock"
        lock.touch()
        assert not reports.tree.is_at_rest()
        lock.unlink()
        assert reports.tree.is_at_rest()
        tasks.cancel_scope.cancel()
