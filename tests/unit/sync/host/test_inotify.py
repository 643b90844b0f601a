"""Linux's inotify: what only it can do, and what happens if watches run out."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from devenv.sync.host import inotify, scan, watcher
from devenv.sync.host.inotify import EventBatch, Inotify
from support.watched import kernel_watches, watching

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="there is no inotify on this system"),
]
RENAME_EXCHANGE = 2


@pytest.fixture(autouse=True)
def _no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at everything comes too late to make up for an event that is missed."""
    monkeypatch.setattr(watcher, "SLOW", (600.0, 0.1))


@pytest.fixture
def watches() -> Iterator[Inotify]:
    """An instance without watches."""
    with contextlib.closing(Inotify()) as instance:
        yield instance


def folders(root: Path) -> int:
    """How many there are, the root included."""
    return 1 + sum(path.is_dir() and not path.is_symlink() for path in root.rglob("*"))


async def test_ignored_folders_and_links_cost_no_watch(tmp_path: Path) -> None:
    """Neither an ignored folder nor the target of a link is watched, at the start or when it appears."""
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("src")
    for index in range(50):
        (tmp_path / f"node_modules/p{index}").mkdir(parents=True)
    async with watching(tmp_path, prune=lambda folder: folder.endswith("node_modules")) as site:
        (tmp_path / "src/node_modules/more").mkdir(parents=True)
        await site.until_right()
        assert kernel_watches() == 1 + 3  # the folder above


@pytest.mark.parametrize("seed", [1, 2])
async def test_watches_follow_moves(tmp_path: Path, seed: int) -> None:
    """After moves in, out, within, over and across, each folder has exactly one watch."""
    rng = random.Random(seed)
    root, outside = tmp_path / "root", tmp_path / "outside"
    for top in (root, outside):
        for index in range(5):
            (top / f"d{index}/s/t").mkdir(parents=True)
    exchange = ctypes.CDLL(None).renameat2
    async with watching(root) as site:
        for step in range(150):
            all_folders = [path for top in (root, outside) for path in top.rglob("*")]
            a, b = rng.sample(all_folders, 2)
            if rng.random() < 0.4:
                exchange(-100, os.fsencode(a), -100, os.fsencode(b), RENAME_EXCHANGE)
            else:
                with contextlib.suppress(OSError):
                    a.rename(rng.choice((b, b / f"n{step}", root / f"n{step}", outside / f"n{step}")))
            if step % 5 == 0:
                await anyio.sleep(rng.random() / 50)
        await site.until_right()
        await anyio.sleep(0.2)
        assert kernel_watches() == folders(root) + 1  # the folder above
        for folder in [root, *root.rglob("*")]:
            (folder / "last").touch()
        await site.until_right()


async def test_lost_events_mean_look_at_everything(tmp_path: Path) -> None:
    """If the kernel's queue overflows, all changes are found soon after, with one report, and events continue."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20000:
        pytest.skip("the queue is too long to fill it")
    for index in range(50):
        (tmp_path / f"d{index}").mkdir()
    (tmp_path / "d7/gone").touch()
    async with watching(tmp_path) as site:
        for index in range(limit + 10):  # one event each, unlike the one before, while nothing is read
            os.chmod(tmp_path / f"d{index % 2}", 0o700)
        for index in range(200):
            (tmp_path / f"d{index % 50}/f{index}").touch()
        (tmp_path / "d7/gone").unlink()
        await site.until(lambda: len(site.known) == 251, 60)
        await site.until_right(30)
        assert [said for said in site.messages if "events lost" in said] == site.messages
        assert len(site.messages) == 1
        (tmp_path / "d3/one more").write_text("x")
        await site.until(lambda: f"{tmp_path}/d3/one more" in site.known, 1)
        assert kernel_watches() == 52


async def test_a_save_leaves_at_once(tmp_path: Path) -> None:
    """After open, write and close it is reported once, complete, and without a delay."""
    file = tmp_path / "f"
    file.write_text("old")
    async with watching(tmp_path) as site:
        waits = []
        for number in range(20):
            saves = site.seen.get(str(file), 0)
            file.write_text(f"save {number}")
            began = time.monotonic()
            while site.seen.get(str(file), 0) == saves:
                await anyio.lowlevel.checkpoint()
            waits.append(time.monotonic() - began)
            await anyio.sleep(0.01)
        assert site.seen[str(file)] == 20
        assert sorted(waits)[10] < inotify.REST / 2


@pytest.mark.parametrize("is_new", [False, True])
async def test_a_file_cut_to_nothing_is_no_news_yet(tmp_path: Path, is_new: bool) -> None:
    """Between truncate (or create) and write it is not reported; after close it is, at once."""
    path = tmp_path / "f"
    if not is_new:
        path.write_text("old")
    async with watching(tmp_path) as site:
        with path.open("w") as file:
            await anyio.sleep(0.01)
            assert not site.reported
            file.write("new")
        await site.until_right(1)
        assert site.seen == {str(path): 1}


async def test_a_file_that_stays_open_is_seen_all_the_same(tmp_path: Path) -> None:
    """A log file is never closed: it is reported while it is written."""
    async with watching(tmp_path) as site:
        with (tmp_path / "log").open("w", buffering=1) as log, anyio.fail_after(20):
            while site.seen.get(f"{tmp_path}/log", 0) < 3:
                log.write("line\n")
                await anyio.sleep(0.001)


async def test_removed_and_written_anew_is_one_save(tmp_path: Path) -> None:
    """A container does not lose the file in between."""
    path = tmp_path / "f"
    path.write_text("old")
    async with watching(tmp_path) as site:
        path.unlink()
        await anyio.sleep(0.005)
        path.write_text("new")
        await site.until_right(1)
        await anyio.sleep(2 * inotify.REST)
        assert site.seen == {str(path): 1}


async def test_reading_causes_no_events(tmp_path: Path) -> None:
    """Other processes open and read all files all the time: the watcher gets no event."""
    (tmp_path / "f").write_text("x")

    def read_much() -> None:
        for _ in range(10000):
            os.close(os.open(tmp_path / "f", os.O_RDONLY))

    async with watching(tmp_path) as site:
        begun = time.thread_time()
        await anyio.to_thread.run_sync(read_much)
        assert time.thread_time() - begun < 0.1
        assert not site.reported


async def test_a_mapped_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write through memory has no event: the slow scan finds it."""
    monkeypatch.setattr(watcher, "SLOW", (0.1, 0.1))
    path = tmp_path / "f"
    path.write_bytes(b"x" * 4096)
    async with watching(tmp_path) as site:
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[0:3] = b"new"
            mapped.flush()
            if not site.wrong():
                pytest.skip("this file system does not note when a mapped file was written")
            await site.until_right(3)
        assert site.seen[str(path)] >= 1


@pytest.mark.parametrize("after", [0, 30])
async def test_without_watches_all_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """If the limit of watches is reached, one report has the command that raises it, and no change is missed."""
    monkeypatch.setattr(watcher, "FAST", (0.05, 0.5))
    real, count = Inotify.add, 0

    def refuse(watches: Inotify, folder: str, mask: int = inotify.INSIDE) -> bool:
        nonlocal count
        count += 1
        if count > after:
            raise OSError(28, "No space left on device")
        return real(watches, folder, mask)

    monkeypatch.setattr(Inotify, "add", refuse)
    async with watching(tmp_path) as site:
        for index in range(60):
            (tmp_path / f"d{index}").mkdir()
        await site.until_right(5)
        for index in range(60):
            (tmp_path / f"d{index}/f").write_text("x")
        await site.until_right(5)
        assert len(site.messages) == 1
        assert "fs.inotify.max_user_watches" in site.messages[0]


async def test_without_an_instance_all_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without inotify, it is reported, and saves are found."""
    monkeypatch.setattr(watcher, "FAST", (0.05, 0.5))
    monkeypatch.setattr(watcher, "Inotify", lambda: os.open("/proc/self/mem/no", 0))
    async with watching(tmp_path) as site:
        (tmp_path / "f").write_text("x")
        await site.until_right(3)
        assert len(site.messages) == 1


async def test_a_file_system_without_events_is_looked_at_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported once, and a change is found without an event."""
    monkeypatch.setattr(scan, "eventless_filesystem", lambda _: "9p")
    monkeypatch.setattr(watcher, "FAST", (0.05, 0.5))
    monkeypatch.setattr(Inotify, "read", lambda _: EventBatch())
    async with watching(tmp_path) as site:
        for index in range(3):
            (tmp_path / f"f{index}").write_text("x")
            await site.until_right(3)
        assert len(site.messages) == 1
        assert "9p" in site.messages[0]
