"""Linux's own events: what only they can do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest

from devenv.watch import inotify, source
from devenv.watch.inotify import Inotify

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="there is no inotify on this system"),
]


def nothing(_folder: str) -> bool:
    """Ignore no folder."""
    return False


def test_ignored_folders_cost_no_watch(tmp_path: Path) -> None:
    """Neither an ignored folder nor anything below it is watched."""
    (tmp_path / "src/deep").mkdir(parents=True)
    for index in range(50):
        (tmp_path / f"node_modules/p{index}").mkdir(parents=True)
    watches = Inotify()
    watches.add_tree(str(tmp_path), lambda folder: folder.endswith("node_modules"))
    found = len(watches)
    watches.close()

    assert found == 3


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link to a folder is not a folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    watches = Inotify()
    watches.add_tree(str(tmp_path), nothing)
    found = len(watches)
    watches.close()

    assert found == 2


def test_watches_follow_moves(tmp_path: Path) -> None:
    """A folder that moved away is not watched under its old name, and its watches are given back."""
    (tmp_path / "root/a/b").mkdir(parents=True)
    watches = Inotify()
    watches.add_tree(str(tmp_path / "root"), nothing)
    (tmp_path / "root/a").rename(tmp_path / "away")
    watches.read()
    (tmp_path / "away/b/f").write_text("x")
    batch, _ = watches.read()
    left = len(watches)
    watches.close()

    assert left == 1
    assert not batch.settled


async def test_lost_events_mean_look_at_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an overflow of the kernel's queue the roots themselves are told."""
    lost = inotify.HEADER.pack(-1, inotify.IN_Q_OVERFLOW, 0, 0)
    real = os.read
    faked = iter([lost])
    monkeypatch.setattr(os, "read", lambda fd, size: next(faked, None) or real(fd, size))
    told = []
    with anyio.fail_after(5):
        async for paths in inotify.changes((str(tmp_path),), nothing):
            told.append(paths)
            if len(told) == 2:
                break
            (tmp_path / "f").write_text("x")

    assert told == [frozenset({str(tmp_path)})] * 2


async def test_a_file_cut_to_nothing_is_no_news_yet(tmp_path: Path) -> None:
    """Between truncate and write nobody looks; once it is closed, at once."""
    path = tmp_path / "f"
    path.write_text("old")
    told: list[frozenset[str]] = []
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            async for paths in inotify.changes((str(tmp_path),), nothing):
                told.append(paths)  # noqa: PERF401 - others read it meanwhile

        tasks.start_soon(watch)
        while not told:  # noqa: ASYNC110 - the world tells no event
            await anyio.sleep(0.005)
        with path.open("w") as file:
            await anyio.sleep(0.01)
            before = len(told)
            file.write("new")
        with anyio.fail_after(1):
            while len(told) == 1:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.001)
        tasks.cancel_scope.cancel()

    assert before == 1
    assert told[1] == {str(path)}


async def test_a_file_that_stays_open_is_seen_all_the_same(tmp_path: Path) -> None:
    """A log file is never closed: it is told of while it is written."""
    told: set[str] = set()
    with (tmp_path / "log").open("w", buffering=1) as log:
        with anyio.move_on_after(1):
            async for paths in inotify.changes((str(tmp_path),), nothing):
                told = set(paths)
                if f"{tmp_path}/log" in told:
                    break
                log.write("line\n")

    assert told == {f"{tmp_path}/log"}


async def test_without_watches_the_portable_one_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's limit is said once, with the command that raises it, and nothing is missed."""

    def refuse(_self: Inotify, _folder: str) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Inotify, "add", refuse)
    said: list[str] = []
    told: set[str] = set()
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            watcher = source.changes([str(tmp_path)], nothing, lambda *words: said.extend(words), portable=False)
            async for paths in watcher:
                told.update(paths)

        tasks.start_soon(watch)
        with anyio.fail_after(5):
            while not told:  # noqa: ASYNC110 - the world tells no event
                await anyio.sleep(0.01)
            (tmp_path / "f").write_text("x")
            while f"{tmp_path}/f" not in told:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    assert "no more watches" in said[0]
    assert "max_user_watches" in said[1]
