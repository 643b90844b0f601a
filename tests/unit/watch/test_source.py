"""Host events from a real file system: whatever is done below a root is told of, and nothing else."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from devenv.watch import source

WATCHERS = [True, False] if sys.platform == "linux" else [True]
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("portable", WATCHERS, indirect=True)]


@pytest.fixture(autouse=True)
def portable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every promise holds for both watchers: the system's own, and the portable one."""
    monkeypatch.setattr(source, "changes", functools.partial(source.changes, portable=request.param))


def nothing(_folder: str) -> bool:
    """Ignore no folder."""
    return False


@contextlib.asynccontextmanager
async def watching(*roots: Path) -> AsyncIterator[set[str]]:
    """The set into which every path goes that is told of, once the watcher stands."""
    told: set[str] = set()
    standing = anyio.Event()

    async def watch() -> None:
        async for paths in source.changes([str(r) for r in roots], nothing, print):
            told.update(paths)
            standing.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        with anyio.fail_after(5):
            await standing.wait()
        assert told == {str(r) for r in roots}
        told.clear()
        yield told
        tasks.cancel_scope.cancel()


async def until(met: Callable[[], bool]) -> None:
    """Return once it is so."""
    with anyio.fail_after(5):
        while not met():  # noqa: ASYNC110 - the world tells no event
            await anyio.sleep(0.005)


async def test_every_kind_of_change_is_told(tmp_path: Path) -> None:
    """Made, written, renamed, removed, made executable: the path comes."""
    (tmp_path / "old").write_text("x")
    async with watching(tmp_path) as told:
        for act in (
            lambda: (tmp_path / "new").write_text("x"),
            lambda: (tmp_path / "old").write_text("xx"),
            lambda: (tmp_path / "old").chmod(0o755),
            lambda: (tmp_path / "old").rename(tmp_path / "renamed"),
            (tmp_path / "new").unlink,
        ):
            told.clear()
            act()
            await until(lambda: bool(told))
        assert told <= {f"{tmp_path}/new", f"{tmp_path}/renamed", str(tmp_path)}


async def test_new_folders_are_watched_too(tmp_path: Path) -> None:
    """A tree that is made at once is told of, at least by its top; what is saved in it later by name."""
    async with watching(tmp_path) as told:
        (tmp_path / "a/b").mkdir(parents=True)
        await until(lambda: any(t.startswith(f"{tmp_path}/a") for t in told))
        await anyio.sleep(0.1)
        told.clear()
        (tmp_path / "a/b/f").write_text("x")
        await until(lambda: bool({f"{tmp_path}/a/b/f", f"{tmp_path}/a/b"} & told))


async def test_nothing_is_missed_from_the_first_word_on(tmp_path: Path) -> None:
    """What is changed the moment the roots were told is told as well."""
    for index in range(3):
        async with watching(tmp_path) as told:
            (tmp_path / f"f{index}").write_text("x")
            await until(lambda index=index: f"{tmp_path}/f{index}" in told)  # type: ignore[misc]


async def test_a_single_file(tmp_path: Path) -> None:
    """Only it is told of, also when an editor replaces it; its neighbours are not."""
    (tmp_path / "f").write_text("x")
    async with watching(tmp_path / "f") as told:
        (tmp_path / "other").write_text("x")
        (tmp_path / "f.tmp").write_text("xx")
        (tmp_path / "f.tmp").rename(tmp_path / "f")
        await until(lambda: bool(told))
        told.clear()
        (tmp_path / "f").write_text("again")
        await until(lambda: bool(told))
        assert told == {f"{tmp_path}/f"}


async def test_a_root_that_comes_later(tmp_path: Path) -> None:
    """A folder that did not exist is told of as a whole when it appears, and watched from then on."""
    root = tmp_path / "x/later"
    async with watching(root) as told:
        root.mkdir(parents=True)
        (root / "f").write_text("x")
        await until(lambda: str(root) in told)
        told.clear()
        (root / "g").write_text("x")
        await until(lambda: bool({f"{root}/g", str(root)} & told))


async def test_a_root_that_goes_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git checkout` may take a folder away: it is told of, and what comes in its place is watched."""
    monkeypatch.setattr(source, "RETRY_SECONDS", 0.05)
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    async with watching(root) as told:
        shutil.rmtree(root)
        await until(lambda: str(root) in told)
        told.clear()
        root.mkdir()
        (root / "f").write_text("x")
        await until(lambda: bool({f"{root}/f", str(root)} & told))
        told.clear()
        await anyio.sleep(0.2)
        (root / "g").write_text("x")
        await until(lambda: bool({f"{root}/g", str(root)} & told))


async def test_a_name_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not UTF-8 may cost the watcher a new beginning, but nothing is lost."""
    monkeypatch.setattr(source, "RETRY_SECONDS", 0.05)
    async with watching(tmp_path) as told:
        with open(os.fsencode(tmp_path) + b"/\xff", "wb"):  # noqa: ASYNC230 - what the test itself does
            pass
        await until(lambda: bool(told))
        await anyio.sleep(0.2)
        told.clear()
        (tmp_path / "f").write_text("x")
        await until(lambda: bool({f"{tmp_path}/f", str(tmp_path)} & told))


async def test_a_cancel_ends_it_at_once(tmp_path: Path) -> None:
    """The watcher's thread does not hold the way down up."""
    with anyio.fail_after(2), anyio.move_on_after(0.1):
        async for _ in source.changes([str(tmp_path)], nothing, print):
            pass


async def test_a_parent_that_goes_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root is found again although the folder that it lay in went with it."""
    monkeypatch.setattr(source, "RETRY_SECONDS", 0.05)
    root = tmp_path / "a/b/root"
    root.mkdir(parents=True)
    async with watching(root) as told:
        shutil.rmtree(tmp_path / "a")
        await until(lambda: str(root) in told)
        await anyio.sleep(0.2)
        told.clear()
        root.mkdir(parents=True)
        await until(lambda: str(root) in told)
        await anyio.sleep(0.2)
        told.clear()
        (root / "f").write_text("x")
        await until(lambda: bool({f"{root}/f", str(root)} & told))
