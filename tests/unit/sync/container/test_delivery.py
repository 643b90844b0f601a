"""Which transport a delivery chooses for each folder, and what it counts. Whole deliveries: see `test_target`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from devenv.model.containers import Container
from devenv.model.sync_plan import Delete, Sync
from devenv.sync.container import host_files, perl_helper
from devenv.sync.container.access import Access
from devenv.sync.container.delivery import Delivery
from devenv.sync.container.journal import StagedPaths, SyncJournal
from devenv.sync.container.shell import Shell
from support.local_container import MARK, LocalContainer, shell_without_perl

pytestmark = pytest.mark.anyio


class PartlyRoots(Access):
    """Of a container in which only root can change the folder `roots`, unlike /tmp of this machine."""

    async def root_only(self, shell: Shell, folders: Iterable[str]) -> set[str]:
        """Those of the folders that are named so."""
        assert not shell.broken
        return {folder for folder in folders if os.path.basename(folder) == "roots"}


class Box:
    """A container of this machine's files, in which only root can change `app/roots`."""

    def __init__(self, folder: Path, *, has_helper: bool) -> None:
        self.has_helper = has_helper
        self.source, self.app = folder / "src", folder / "app"
        self.source.mkdir()
        (self.app / "roots").mkdir(parents=True)
        self.engine = LocalContainer(["sh"] if has_helper else shell_without_perl(folder / "bin"))
        owner = os.getuid(), os.getgid()
        self.container = Container(id="c", name="c", service="web", state="running", ours=True)
        engine: Any = self.engine
        self.access = PartlyRoots(engine, self.container, owner, MARK, ())
        self.known = {"/"}
        self.new: set[str] = set()
        self.staged = StagedPaths(SyncJournal())

    async def delivery(self) -> Delivery:
        """A delivery by the open shell."""
        engine: Any = self.engine
        shell = await self.access.open(self.container)
        return Delivery(engine, self.container, self.access, shell, self.known, self.new, self.staged)

    def write(self, name: str, content: bytes = b"new") -> Sync:
        """A file on the host, to be put below `app`."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Sync(str(path), str(self.app / name), root=str(self.source))

    @property
    def archived_in(self) -> set[str]:
        """The folders that archive requests have written files into."""
        return {os.path.relpath(os.path.dirname(path), self.app) for path in self.engine.archived}


@pytest.fixture(params=["helper", "shell"])
async def box(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Box]:
    """A box with the helper, and one with a shell alone."""
    made = Box(tmp_path, has_helper=request.param == "helper")
    yield made
    await made.access.close()


async def test_the_call_between_reading_and_the_end_is_made_for_many_files(box: Box) -> None:
    """Not for a single save, which has no such time."""
    calls: list[int] = []
    await (await box.delivery()).put([box.write("one")], lambda: calls.append(1))
    assert calls == []
    await (await box.delivery()).put([box.write(f"many/{n}") for n in range(60)], lambda: calls.append(1))
    assert calls


async def test_a_folder_that_others_can_change_gets_no_archive_request(box: Box) -> None:
    """The helper puts files into any folder; without it, archive requests put files only into folders of root."""
    delivery = await box.delivery()
    await delivery.put([box.write("roots/a"), box.write("others/b")])
    assert (delivery.outcome.failed, delivery.outcome.files, delivery.outcome.bytes) == ({}, 2, 6)
    assert box.archived_in == (set() if box.has_helper else {"roots"})
    assert sorted(os.listdir(box.app / "roots")) == ["a"]
    assert sorted(os.listdir(box.app / "others")) == ["b"]


async def test_large_entries_are_sent_by_archive(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a folder of root alone gets an archive; elsewhere the helper gets the file in pieces."""
    monkeypatch.setattr(perl_helper, "MOST_BYTES", 1000)
    delivery = await box.delivery()
    heavy = os.urandom(3000)
    await delivery.put([box.write("roots/heavy", heavy), box.write("others/heavy", heavy), box.write("roots/light")])
    assert (delivery.outcome.failed, delivery.outcome.files) == ({}, 3)
    assert box.archived_in == {"roots"}
    assert {(box.app / name / "heavy").read_bytes() for name in ("roots", "others")} == {heavy}
    assert len(box.engine.archived) == (1 if box.has_helper else 2)


async def test_large_files_by_folder(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archive requests are for folders of root alone, the shell for others; each file is counted once."""
    monkeypatch.setattr(host_files, "LARGE_BYTES", 1000)
    delivery = await box.delivery()
    content = os.urandom(5000)
    await delivery.put([box.write("roots/large", content), box.write("others/large", content)])
    assert (delivery.outcome.failed, delivery.outcome.files, delivery.outcome.bytes) == ({}, 2, 10_000)
    assert box.archived_in == {"roots"}
    for name in ("roots", "others"):
        assert (box.app / name / "large").read_bytes() == content
        assert os.listdir(box.app / name) == ["large"]


async def test_folders_are_made_once(box: Box) -> None:
    """Existing and created folders are known to the next delivery; removed folders are not."""
    await (await box.delivery()).put([box.write("others/deep/a")])
    assert {str(box.app / "others"), str(box.app / "others/deep")} <= box.known
    (box.app / "others/deep/a").unlink()
    delivery = await box.delivery()
    await delivery.remove([Delete(str(box.app / "others/deep"), "deep", directory=True)])
    assert delivery.outcome.failed == {}
    assert str(box.app / "others/deep") not in box.known
    assert not (box.app / "others/deep").exists()


async def test_nothing_staged_is_left(box: Box) -> None:
    """Only staged files that may still exist are remembered."""
    (box.app / "roots/folder").mkdir()
    delivery = await box.delivery()
    await delivery.put([box.write("roots/folder"), box.write("roots/a"), box.write("others/b")])
    assert delivery.outcome.failed.keys() == {str(box.app / "roots/folder")}
    assert [os.path.dirname(path) for path in box.staged.paths] == [str(box.app / "roots")]
    assert sorted(os.listdir(box.app / "roots")) == ["a", "folder"]
