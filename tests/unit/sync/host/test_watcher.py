"""Host events from a real file system: every change below a root is reported, with each watcher."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from devenv.errors import UsageError
from devenv.sync.host import watcher
from devenv.sync.host.manifest import Manifest
from devenv.sync.host.watcher import TreeWatcher
from support import watched
from support.watched import Watched

WATCHERS = ["inotify", "watchfiles", "poll"] if sys.platform == "linux" else ["watchfiles", "poll"]
pytestmark = pytest.mark.anyio

Watching = Callable[..., AbstractAsyncContextManager[Watched]]


@pytest.fixture(params=WATCHERS)
def watching(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Watching:
    """A running watcher of this kind, with short intervals."""
    monkeypatch.setattr(watcher, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(watcher, "FAST", (0.05, 0.5))
    monkeypatch.setattr(watcher, "SLOW", (0.5, 0.1) if request.param == "watchfiles" else (60.0, 0.1))
    monkeypatch.setattr(watcher, "AT_ONCE", 3)
    return lambda *roots, **more: watched.watching(*roots, watcher=request.param, **more)


async def test_every_kind_of_change_is_told(tmp_path: Path, watching: Watching) -> None:
    """Made, written, made executable, renamed, removed: the path comes, and no other."""
    (tmp_path / "old").write_text("x")
    async with watching(tmp_path) as site:
        for act in (
            lambda: (tmp_path / "new").write_text("x"),
            lambda: (tmp_path / "old").write_text("xx"),
            lambda: (tmp_path / "old").chmod(0o755),
            lambda: (tmp_path / "link").symlink_to("nowhere"),
            lambda: os.mkfifo(tmp_path / "pipe"),
            lambda: (tmp_path / "old").rename(tmp_path / "renamed"),
            (tmp_path / "new").unlink,
        ):
            act()
            assert site.wrong()
            await site.until_right()
        names = {os.path.basename(path) for path in site.seen}
        assert names <= {"new", "old", "link", "pipe", "renamed"}


async def test_no_change_is_missed_after_the_start(tmp_path: Path, watching: Watching) -> None:
    """A change right after the start is reported."""
    for index in range(3):
        async with watching(tmp_path) as site:
            (tmp_path / f"f{index}").write_text("x")
            await site.until_right()


async def test_a_single_file(tmp_path: Path, watching: Watching) -> None:
    """Only this file is reported, also if an editor replaces it; its neighbours are not."""
    (tmp_path / "f").write_text("x")
    async with watching(tmp_path / "f") as site:
        (tmp_path / "other").write_text("x")
        (tmp_path / "f.tmp").write_text("xx")
        (tmp_path / "f.tmp").rename(tmp_path / "f")
        await site.until_right()
        (tmp_path / "f").write_text("again")
        await site.until_right()
        assert site.reported <= {f"{tmp_path}/f"}


async def test_a_root_that_comes_later(tmp_path: Path, watching: Watching) -> None:
    """A folder that did not exist is scanned when it appears, and watched from then on."""
    root = tmp_path / "x/later"
    async with watching(root) as site:
        root.mkdir(parents=True)
        (root / "f").write_text("x")
        await site.until(lambda: f"{root}/f" in site.known)
        (root / "g").write_text("x")
        await site.until_right()


@pytest.mark.parametrize("top", ["a/b/root", "a"])
async def test_a_root_that_goes_and_comes_back(tmp_path: Path, watching: Watching, top: str) -> None:
    """If a folder or its parent is removed, its replacement is watched."""
    root = tmp_path / "a/b/root"
    (root / "sub").mkdir(parents=True)
    async with watching(root) as site:
        shutil.rmtree(tmp_path / top)
        await site.until_right()
        root.mkdir(parents=True)
        (root / "f").write_text("x")
        await site.until_right()
        await anyio.sleep(0.1)
        (root / "g").write_text("x")
        await site.until_right()


async def test_a_root_beyond_a_link(tmp_path: Path, watching: Watching) -> None:
    """The parent of the root may be a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "project").symlink_to("real")
    root = tmp_path / "project/src"
    async with watching(root) as site:
        root.mkdir()
        (root / "f").write_text("x")
        await site.until(lambda: f"{root}/f" in site.known)


async def test_unusual_names_are_reported(tmp_path: Path, watching: Watching) -> None:
    """A name may be anything but `/` and NUL: no text, a line break, an option, too long for a path."""
    if sys.platform == "darwin":
        pytest.skip("its file systems take text only")
    rng = random.Random(9)
    names = [b"\xff", b"a\nb", b"-rf", b"\x80" * 255, "\u00e9".encode(), "e\u0301".encode(), b"x" * 255]
    names += [bytes(b for b in rng.randbytes(40) if b not in b"/\0") or b"_" for _ in range(50)]
    async with watching(tmp_path) as site:
        for name in names:
            with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:  # noqa: ASYNC230 - the test's own deed
                file.write(b"1")
            if name in (b"\xff", b"-rf"):
                await anyio.sleep(0.1)
        await site.until_right()
        os.mkdir(os.fsencode(tmp_path) + b"/dir\xfe")
        await anyio.sleep(0.1)
        (tmp_path / "f").write_text("x")
        with open(os.fsencode(tmp_path) + b"/dir\xfe/\xfd", "wb"):  # noqa: ASYNC230 - as above
            pass
        await site.until_right()


async def test_files_in_new_folders(tmp_path: Path, watching: Watching) -> None:
    """Of 500 files in deep new folders that are filled at once, none is missed."""
    async with watching(tmp_path) as site:
        for index in range(500):
            folder = tmp_path / f"a{index}/b/c"
            folder.mkdir(parents=True)
            (folder / "f").write_text("x")
            if index % 50 == 0:
                await anyio.lowlevel.checkpoint()
        await site.until_right()
        assert len(site.known) == 500 * 4 + 1


@pytest.mark.parametrize("how", ["tar", "cp", "git"])
async def test_whole_trees_arrive(tmp_path: Path, watching: Watching, how: str) -> None:
    """Unpacked, copied or cloned into the root."""
    made = tmp_path / "made"
    for index in range(200):
        folder = made / f"d{index % 20}/e{index % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{index}").write_text("x" * index)
    with tarfile.open(tmp_path / "made.tar", "w") as archive:
        archive.add(made, "made")
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for args in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        await anyio.run_process(["git", *args], cwd=made)
    acts = {
        "tar": ["tar", "xf", "../made.tar"],
        "cp": ["cp", "-r", "../made", "."],
        "git": ["git", "clone", "-q", "../made", "clone"],
    }
    root = tmp_path / "root"
    root.mkdir()
    async with watching(root) as site:
        await anyio.run_process(acts[how], cwd=root)
        await site.until_right()
        assert sum("/.git/" not in path for path in site.known) > 220


async def test_random_moves(tmp_path: Path, watching: Watching) -> None:
    """After random renames of folders in, out, within and over empty ones, with edits, all changes are known."""
    rng = random.Random(3)
    root, outside = tmp_path / "root", tmp_path / "outside"
    for top, index in itertools.product((root, outside), range(6)):
        (top / f"d{index}/s").mkdir(parents=True)
        (top / f"d{index}/s/f").write_text("x")
    async with watching(root) as site:
        for step in range(150):
            folders = [path for top in (root, outside) for path in top.rglob("*") if path.is_dir()]
            a, b = rng.sample(folders, 2)
            act = rng.random()
            with contextlib.suppress(OSError):  # into itself, or over a folder that is not empty: refused
                if act < 0.4:
                    a.rename(b / f"n{step}")
                elif act < 0.6:
                    a.rename(rng.choice((root, outside)) / f"n{step}")
                elif act < 0.8:
                    a.rename(b)
                else:
                    (a / f"n{step}").mkdir()
            with contextlib.suppress(OSError):
                (b / f"f{step % 7}").write_text("x" * step)
            if step % 20 == 0:
                await anyio.sleep(rng.random() / 20)
        await site.until_right()
        for folder in [path for path in root.rglob("*") if path.is_dir()]:
            (folder / "last").write_text("x")
        await site.until_right()


async def test_editors(tmp_path: Path, watching: Watching) -> None:
    """However an editor saves, the last content is known."""
    file = tmp_path / "file.txt"
    beside = tmp_path / "beside"

    def vim(text: str) -> None:
        (tmp_path / "4913").touch()
        (tmp_path / "4913").unlink()
        file.rename(tmp_path / "file.txt~")
        file.write_text(text)
        (tmp_path / "file.txt~").unlink()

    def emacs(text: str) -> None:
        lock = tmp_path / ".#file.txt"
        lock.symlink_to("user@host.1:2")
        file.write_text(text)
        lock.unlink()

    def jetbrains(text: str) -> None:
        (tmp_path / "file.txt___jb_tmp___").write_text(text)
        file.rename(tmp_path / "file.txt___jb_old___")
        (tmp_path / "file.txt___jb_tmp___").rename(file)
        (tmp_path / "file.txt___jb_old___").unlink()

    def truncate(text: str) -> None:
        file.write_text(text)

    def sed(text: str) -> None:
        subprocess.run(["sed", "-i.bak", f"s/.*/{text}/", file], check=True)

    def linked(text: str) -> None:
        number = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
        os.write(number, text.encode())
        beside.unlink(missing_ok=True)
        os.link(f"/proc/self/fd/{number}", beside, src_dir_fd=number)  # this way links are followed
        os.close(number)
        beside.rename(file)

    file.write_text("begin\n")
    async with watching(tmp_path) as site:
        for number in range(5):
            for save in (vim, emacs, jetbrains, truncate, sed, *([linked] if sys.platform == "linux" else [])):
                save(f"{save.__name__}{number}\n".strip())
                with anyio.move_on_after(0.05 * (number == 0)):
                    await site.until_right()
        await site.until_right()


async def test_changes_are_found_regardless_of_times(tmp_path: Path, watching: Watching) -> None:
    """Same size, old time put back; times before 1970 and after 2100: each save is seen."""
    file = tmp_path / "f"
    file.write_text("0000")
    async with watching(tmp_path) as site:
        for number in range(1, 20):
            saves = site.seen.get(str(file), 0)
            before = file.stat()
            file.write_text(f"{number:04}")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
            await site.until(lambda saves=saves: site.seen.get(str(file), 0) > saves)  # type: ignore[misc]
        for seconds in (-315619200, 4102444800):
            file.write_text(str(seconds))
            os.utime(file, (seconds, seconds))
            await site.until_right()


async def test_a_cancel_ends_it_at_once(tmp_path: Path, watching: Watching) -> None:
    """The watcher's thread does not hold the way down up."""
    async with watching(tmp_path):
        began = time.monotonic()
    assert time.monotonic() - began < 2


def test_inotify_is_linux_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems the error names the alternative."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="no inotify"):
        TreeWatcher([], watched.everything, print, Manifest(), "inotify")
