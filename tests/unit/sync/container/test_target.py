"""Deletes and syncs in one container, by each transport: shells with and without perl, and archive requests."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.model.containers import Container
from devenv.model.project import Action, Project, Service, WatchRule
from devenv.model.sync_plan import Delete, Sync
from devenv.sync.container import delivery, host_files, shell_commands, tar, transports
from devenv.sync.container.access import Access
from devenv.sync.container.journal import JournalRecord, SyncJournal
from devenv.sync.container.shell import BrokenShellError
from devenv.sync.container.target import Target
from devenv.sync.container.transports import NO_SHELL, HelperTransport
from devenv.sync.rules import rules
from support.engine import Container as MemoryContainer
from support.engine import MemoryEngine, MemoryHost, Node
from support.local_container import MARK, LocalContainer, shell_without_perl

pytestmark = pytest.mark.anyio

USER = f"{os.getuid()}:{os.getgid()}"
IN_FOLDER = "a folder is there in the container"
# helper, shell: other users could put a link into the folders. archive: only root can change them, so that files are
# put by archive requests, and renamed by shell commands.
TRANSPORTS = ["helper", "shell", "archive"]


class Box:
    """A container of this machine's files with a folder `src` on the host and a folder `app` in the container."""

    def __init__(self, folder: Path, transport: str) -> None:
        self.source, self.app = folder / "src", folder / "app"
        self.source.mkdir()
        self.app.mkdir()
        argv = ["sh"] if transport == "helper" else shell_without_perl(folder / "bin")
        self.transport = transport
        self.engine = LocalContainer(argv)
        self.journal = SyncJournal(str(folder / "journal"))
        self.container = Container(id="c", name="c", service="web", state="running", ours=True, user=USER)

    async def reach(self) -> Target:
        """A target for the container."""
        engine: Any = self.engine
        return await Target.reach(engine, self.container, MARK, self.journal, [str(self.app)])

    def write(self, name: str, content: bytes = b"new", mode: int = 0o640) -> Sync:
        """A file on the host, to be put below the folder of the container."""
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return Sync(str(path), str(self.app / name), root=str(self.source))

    def delete(self, name: str, *, directory: bool = False) -> Delete:
        """The removal of a path below the folder of the container."""
        return Delete(str(self.app / name), name, directory)

    def there(self) -> list[str]:
        """All paths below the folder of the container."""
        return sorted(str(path.relative_to(self.app)) for path in self.app.rglob("*"))


@pytest.fixture
def by_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root can change the folders."""

    async def root_only(_self: Access, _shell: object, folders: Iterable[str]) -> set[str]:
        return set(folders)

    monkeypatch.setattr(Access, "root_only", root_only)


@pytest.fixture(params=TRANSPORTS)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    """A container whose files go by this transport."""
    if request.param == "archive":
        request.getfixturevalue("by_archive")
    return Box(tmp_path, request.param)


@pytest.fixture
async def target(box: Box) -> AsyncIterator[Target]:
    """A target that is closed at the end."""
    reached = await box.reach()
    yield reached
    await reached.close()


async def test_files_links_and_folders_are_put_and_replaced(box: Box, target: Target) -> None:
    """Content, mode and time; a link over a file and a file over a link; an empty folder; nothing staged is left."""
    (box.app / "old").write_text("old")
    (box.app / "was-link").symlink_to("old")
    (box.app / "was-file").write_text("old")
    (box.source / "was-file").symlink_to("nowhere")
    (box.source / "empty").mkdir()
    files = [box.write("old"), box.write("was-link"), box.write("deep/er/run.sh", b"#!/bin/sh\n" * 2, 0o755)]
    os.utime(files[2].source, ns=(1, 1_700_000_000_123_456_789))
    link = Sync(str(box.source / "was-file"), str(box.app / "was-file"), root=str(box.source))
    folder = Sync(str(box.source / "empty"), str(box.app / "more/empty"), folder=True)
    outcome = await target.deliver((), [*files, link, folder])
    assert (outcome.failed, outcome.files, outcome.deleted, outcome.atomic) == ({}, 5, 0, True)
    assert outcome.bytes == sum(os.path.getsize(sync.source) for sync in files)
    assert box.there() == ["deep", "deep/er", "deep/er/run.sh", "more", "more/empty", "old", "was-file", "was-link"]
    assert (box.app / "old").read_text() == (box.app / "was-link").read_text() == "new"
    assert not (box.app / "was-link").is_symlink()
    assert os.readlink(box.app / "was-file") == "nowhere"
    put = (box.app / "deep/er/run.sh").stat()
    assert (stat.S_IMODE(put.st_mode), put.st_uid) == (0o755, os.getuid())
    assert abs(put.st_mtime_ns - 1_700_000_000_123_456_789) < 1000  # the archive is extracted with times as floats
    assert bool(box.engine.archived) is (box.transport == "archive")
    assert target.staged.paths == set()


def many(box: Box, folder: str) -> list[Sync]:
    """So many files of the folder that it is staged as a whole if the container lacks it."""
    return [box.write(f"{folder}/f{number:02}", b"%d" % number) for number in range(shell_commands.BULK + 3)]


async def test_many_files_of_one_folder(box: Box, target: Target) -> None:
    """They are renamed by one command; a file whose place has become a folder fails alone, with the reason."""
    syncs = many(box, "sub")
    (box.app / "sub/f05").mkdir(parents=True)
    outcome = await target.deliver((), syncs)
    assert outcome.failed == {str(box.app / "sub/f05"): IN_FOLDER}
    assert outcome.files == len(syncs) - 1
    assert {path.name for path in (box.app / "sub").iterdir()} == {os.path.basename(s.target) for s in syncs}
    assert all((box.app / f"sub/f{n:02}").read_bytes() == b"%d" % n for n in range(len(syncs)) if n != 5)


async def test_a_new_folder_of_many_files(box: Box, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper creates it under another name and renames it once; links and large files in it are put as usual."""
    renamed: list[list[str]] = []
    rename = HelperTransport.rename_folders

    async def counted(self: HelperTransport, places: Mapping[str, str]) -> dict[str, str]:
        renamed.append([os.path.relpath(folder, box.app) for folder in places])
        assert not any(os.path.exists(folder) for folder in places)
        return await rename(self, places)

    monkeypatch.setattr(HelperTransport, "rename_folders", counted)
    syncs = [*many(box, "new"), *many(box, "new/inner"), box.write("new/inner/big", b"x" * (2 << 20), 0o755)]
    (box.source / "new/inner/link").symlink_to("nowhere")
    syncs.append(Sync(str(box.source / "new/inner/link"), str(box.app / "new/inner/link"), root=str(box.source)))
    outcome = await target.deliver((), syncs)
    assert (outcome.failed, outcome.files) == ({}, len(syncs))
    assert box.there() == sorted(["new", "new/inner", *(os.path.relpath(s.target, box.app) for s in syncs)])
    assert all((box.app / f"new/inner/f{n:02}").read_bytes() == b"%d" % n for n in range(shell_commands.BULK + 3))
    assert os.readlink(box.app / "new/inner/link") == "nowhere"
    assert stat.S_IMODE((box.app / "new/inner/big").stat().st_mode) == 0o755
    assert renamed == ([["new/inner"]] if box.transport == "helper" else [])
    assert target.staged.paths == set()
    await target.deliver((), [*many(box, "new"), *many(box, "new/inner")])
    assert len(renamed) <= 1  # it exists


@pytest.mark.parametrize("box", ["helper"], indirect=True)
async def test_a_folder_that_appears_while_it_is_staged(
    box: Box, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the container put into a folder of that name stays; the files are put into that folder."""
    rename = HelperTransport.rename_folders

    async def late(self: HelperTransport, places: Mapping[str, str]) -> dict[str, str]:
        (box.app / "new").mkdir(exist_ok=True)
        (box.app / "new/own").write_text("own")
        return await rename(self, places)

    monkeypatch.setattr(HelperTransport, "rename_folders", late)
    syncs = many(box, "new")
    outcome = await target.deliver((), syncs)
    assert (outcome.failed, outcome.files) == ({}, len(syncs))
    assert box.there() == sorted(["new", "new/own", *(os.path.relpath(s.target, box.app) for s in syncs)])
    assert (box.app / "new/own").read_text() == "own"
    assert target.staged.paths == set()


async def test_a_source_that_is_lost_fails_alone_in_a_new_folder(box: Box, target: Target) -> None:
    """The folder gets its other files."""
    syncs = many(box, "new")
    os.remove(syncs[3].source)
    outcome = await target.deliver((), syncs)
    assert ([*outcome.failed], outcome.files) == ([syncs[3].target], len(syncs) - 1)
    assert len(box.there()) == len(syncs)


@pytest.mark.parametrize("box", ["helper"], indirect=True)
async def test_a_staged_folder_whose_shell_ends(box: Box, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next delivery, of another process with the same journal, removes it."""

    async def lost(*_: object) -> dict[str, str]:
        raise BrokenShellError

    syncs = many(box, "new")
    with monkeypatch.context() as patch:
        patch.setattr(HelperTransport, "rename_folders", lost)
        with pytest.raises(EngineError):
            await target.deliver((), syncs)
    (staged,) = box.there()[:1]
    assert staged.startswith(".devenv-")
    await target.close()
    again = await box.reach()
    again.staged.add(box.journal.read().staged)
    assert (await again.deliver((), syncs)).failed == {}
    assert box.there() == ["new", *(f"new/f{number:02}" for number in range(shell_commands.BULK + 3))]
    await again.close()


async def test_files_and_folders_are_deleted(box: Box, target: Target) -> None:
    """Files and empty folders go, in the same delivery also a file that makes room for a folder; the rest stays."""
    for name in ("gone", "sub/gone", "kept/own", "makes-room"):
        (box.app / name).parent.mkdir(exist_ok=True)
        (box.app / name).write_text("old")
    deletes = [
        box.delete("gone"),
        box.delete("never-there"),
        box.delete("sub/gone"),
        box.delete("sub", directory=True),
        box.delete("kept", directory=True),
        box.delete("makes-room"),
    ]
    outcome = await target.deliver(deletes, [box.write("makes-room/x")])
    assert (outcome.failed, outcome.deleted, outcome.files) == ({}, 6, 1)
    assert box.there() == ["kept", "kept/own", "makes-room", "makes-room/x"]


async def test_what_was_taken_for_a_file_may_be_a_folder(box: Box, target: Target) -> None:
    """The content is removed first, then the folder."""
    (box.app / "was-file").mkdir()
    (box.app / "was-file/x").write_text("old")
    outcome = await target.deliver([box.delete("was-file/x"), box.delete("was-file")], ())
    assert (outcome.failed, outcome.deleted, box.there()) == ({}, 2, [])


async def test_a_delete_makes_room_for_a_file(box: Box, target: Target) -> None:
    """A folder is deleted in the same delivery; that delete is not counted."""
    (box.app / "it").mkdir()
    outcome = await target.deliver([box.delete("it", directory=True)], [box.write("it")])
    assert (outcome.failed, outcome.deleted, outcome.files) == ({}, 0, 1)
    assert (box.app / "it").read_text() == "new"


async def test_a_failed_path_stops_no_other(box: Box, target: Target) -> None:
    """The source is missing, a folder is in its place, or its folder cannot be made: each has its reason."""
    (box.app / "folder").mkdir()
    (box.app / "file").write_text("own")
    gone = Sync(str(box.source / "gone"), str(box.app / "gone"))
    syncs = [gone, box.write("folder"), box.write("file/x"), box.write("fine")]
    outcome = await target.deliver((), syncs)
    assert outcome.files == 1
    assert outcome.failed.keys() == {s.target for s in syncs[:3]}
    assert outcome.failed[gone.target] == host_files.GONE
    assert outcome.failed[syncs[1].target] == IN_FOLDER
    assert (box.app / "fine").read_text() == "new"
    assert (box.app / "file").read_text() == "own"
    assert box.there() == ["file", "fine", "folder"]
    assert (await target.deliver((), [box.write("fine", b"2")])).failed == {}


async def test_a_folder_that_has_gone_is_made_again(box: Box, target: Target) -> None:
    """Though the target knew it."""
    sync = box.write("sub/deep/x")
    assert (await target.deliver((), [sync])).failed == {}
    (box.app / "sub/deep/x").unlink()
    (box.app / "sub/deep").rmdir()
    for _ in range(2):
        outcome = await target.deliver((), [sync])
    assert outcome.failed == {}
    assert (box.app / "sub/deep/x").read_text() == "new"


async def test_a_large_file(box: Box, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent in pieces; if one fails, no temporary file is left."""
    monkeypatch.setattr(host_files, "LARGE_BYTES", 1000)
    content = os.urandom(1_300_000)
    (box.app / "folder").mkdir()
    syncs = [box.write("large", content, 0o600), box.write("folder", content), box.write("small")]
    outcome = await target.deliver((), syncs)
    assert outcome.failed == {str(box.app / "folder"): outcome.failed[str(box.app / "folder")]}
    assert (outcome.files, outcome.bytes >= len(content)) == (2, True)
    assert (box.app / "large").read_bytes() == content
    assert stat.S_IMODE((box.app / "large").stat().st_mode) == 0o600
    assert box.there() == ["folder", "large", "small"]


async def test_the_journal_knows_before_and_after(box: Box, target: Target) -> None:
    """New files are placed in the journal, deleted files are removed from it, and no file stays staged."""
    first, two = box.write("sub/one"), box.write("two")
    await target.deliver((), [first, two])
    placed = frozenset({first.target, two.target, str(box.app / "sub") + "/"})
    assert box.journal.read() == JournalRecord(placed, frozenset())
    await target.deliver([box.delete("sub/one"), box.delete("sub", directory=True)], ())
    assert box.journal.read() == JournalRecord(frozenset({two.target}), frozenset())


async def test_the_journal_keeps_a_path_that_is_deleted_and_put_again(box: Box, target: Target) -> None:
    """A file that came back with its folder; a file that became a folder, and a file again."""
    sync, folder = box.write("sub/x"), str(box.app / "sub")
    for _ in range(2):
        await target.deliver([box.delete("sub/x"), box.delete("sub", directory=True)], [sync])
        assert box.journal.read().placed == {sync.target, f"{folder}/"}
        assert box.there() == ["sub", "sub/x"]
    await target.deliver([box.delete("sub/x")], [sync._replace(folder=True)])
    assert box.journal.read().placed == {f"{sync.target}/", f"{folder}/"}
    await target.deliver([box.delete("sub/x", directory=True)], [sync])
    assert box.journal.read().placed == {sync.target, f"{folder}/"}


async def test_the_journal_knows_what_is_under_way(box: Box, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written before the container is asked for anything: a crash must not leave unknown files."""
    known: list[JournalRecord] = []

    async def lost(*_: Any, **__: Any) -> None:
        known.append(box.journal.read())
        raise EngineError("gone away")

    sync = box.write("new")
    monkeypatch.setattr(delivery.Delivery, "put", lost)
    with pytest.raises(EngineError):
        await target.deliver((), [sync])
    assert [record.placed for record in known] == [{sync.target}]


async def test_staged_file_that_root_cannot_remove_is_tried_once(
    box: Box, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell of root with each save would take longer than the save."""
    tried: list[int] = []

    async def as_root(_self: Access, _number: str, commands: Iterable[bytes]) -> dict[int, str]:
        tried.append(len(list(commands)))
        return {0: "cannot remove"}

    monkeypatch.setattr(Access, "is_root", property(lambda _: False))
    monkeypatch.setattr(Access, "run_as_root", as_root)
    monkeypatch.setattr(shell_commands, "unstage", lambda _: b"false")
    target.staged.paths |= {"/app/.devenv-a1-1~", "/app/.devenv-a1-2~"}
    await target.open_shell()
    await target.open_shell()
    assert (tried, target.staged.paths) == ([2], {"/app/.devenv-a1-1~"})


async def test_what_an_earlier_run_staged_is_removed(box: Box, target: Target) -> None:
    """When the shell opens, before anything is put."""
    (box.app / ".devenv-a1-7~").write_text("half")
    (box.app / ".devenv-a1-8~").mkdir(mode=0o700)
    (box.app / ".devenv-a1-8~/x").write_text("half")
    places = {str(box.app / ".devenv-a1-7~"), str(box.app / ".devenv-a1-8~")}
    box.journal.note(staged=places)
    target.staged.paths |= places
    await target.open_shell()
    assert (box.there(), target.staged.paths, box.journal.read()) == ([], set(), JournalRecord())


async def test_a_shell_that_ends_is_opened_again(box: Box, target: Target) -> None:
    """The delivery during which it ends fails as a whole, and the next one succeeds."""
    sync = box.write("x")
    assert (await target.deliver((), [sync])).failed == {}
    box.engine.children[-1].kill()
    await box.engine.children[-1].wait()
    with pytest.raises(EngineError, match="shell"):
        await target.deliver((), [sync])
    assert (await target.deliver((), [box.write("x", b"2")])).failed == {}
    assert (box.app / "x").read_text() == "2"
    assert box.there() == ["x"]


async def test_after_close_nothing_is_delivered(box: Box) -> None:
    """Another target serves the container."""
    target = await box.reach()
    await target.deliver((), [box.write("x")])
    await target.close()
    with pytest.raises(EngineError):
        await target.deliver((), [box.write("x", b"2")])
    assert (box.app / "x").read_text() == "new"


async def test_an_x_bit_of_the_image_is_kept(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """`RUN chmod +x` after the COPY: the program starts, and starts again after it was edited; a later run knows."""
    sync, path = box.write("run.sh", mode=0o644), box.app / "run.sh"
    path.write_bytes(b"new")
    path.chmod(0o755)
    watch = (WatchRule(str(box.source), Action.SYNC, str(box.app)),)
    bound = rules.bind(Project("p", "/", (), (Service("web", watch=watch),)), {})

    async def save(_id: str, path: str, take: Any) -> None:
        await take(pack_folder(Path(path)))

    monkeypatch.setattr(box.engine, "save", save, raising=False)
    target = await box.reach()
    try:
        assert (await target.compare([sync], bound, (), (str(path),))).missing == (sync,)  # it was put by a sync
        assert (await target.compare([sync], bound, (), ())).missing == ()
        box.write("run.sh", b"edited", 0o644)
        (missing,) = (await target.compare([sync], bound, (), ())).missing
        assert (await target.deliver((), [missing])).failed == {}
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"edited", 0o755)
        assert box.journal.read().executable == {str(path)}
        box.write("run.sh", b"again", 0o644)
        await target.deliver((), [sync])
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"again", 0o755)
        await target.deliver([box.delete("run.sh")], ())
        await target.deliver((), [sync])  # as a checkout of another branch does
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
        assert box.journal.read().executable == {str(path)}
    finally:
        await target.close()


async def test_compare_reads_the_container(box: Box, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which files differ is read from the container, without its shell."""
    same, other = box.write("same"), box.write("other")
    await target.deliver((), [same, other])
    (box.app / "other").write_text("changed")
    watch = (WatchRule(str(box.source), Action.SYNC, str(box.app)),)
    bound = rules.bind(Project("p", "/", (), (Service("web", watch=watch),)), {})
    looked: list[str] = []

    async def save(_id: str, path: str, take: Any) -> None:
        looked.append(path)
        await take(pack_folder(Path(path)))

    monkeypatch.setattr(box.engine, "save", save, raising=False)
    seen = await target.compare([same, other], bound)
    assert [sync.target for sync in seen.missing] == [other.target]
    assert looked == sorted(map(str, (box.app / "other", box.app / "same")))


def pack_folder(path: Path) -> bytes:
    """Return an archive of one file, as the engine does."""
    info = os.stat(path)
    entry = tar.TarEntry(
        path.name.encode(), tar.FILE, info.st_mode & 0o777, info.st_mtime_ns, 0, 0, path.read_bytes()
    )
    return tar.packed([entry])


async def test_one_bad_entry_of_an_archive_fails_alone(
    by_archive: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine refuses the whole archive: each file is sent again alone, and only the bad one fails."""
    box = Box(tmp_path, "archive")
    target = await box.reach()
    syncs = [box.write(name) for name in ("a", "bad", "c")]
    put = box.engine.put

    async def refusing(number: str, data: Any, *, size: int = 0) -> None:
        if any(content == b"poison" for _, content, _ in tar.TarReader().feed(data)):
            raise CallError(500, "no space left on device", "writing")
        await put(number, data, size=size)

    monkeypatch.setattr(box.engine, "put", refusing)
    syncs[1] = box.write("bad", b"poison")
    outcome = await target.deliver((), syncs)
    assert outcome.failed == {syncs[1].target: "no space left on device"}
    assert (outcome.files, box.there()) == (2, ["a", "c"])
    await target.close()


async def test_a_container_that_has_gone_is_no_failed_path(
    by_archive: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole delivery fails."""
    box = Box(tmp_path, "archive")
    target = await box.reach()

    async def gone(*_: object, **__: object) -> None:
        raise CallError(404, "No such container: c", "writing")

    monkeypatch.setattr(box.engine, "put", gone)
    with pytest.raises(CallError):
        await target.deliver((), [box.write("a")])
    await target.close()


async def test_root_shell_is_used_if_permission_is_denied(tmp_path: Path) -> None:
    """What the shell of the service's user may not do is tried again by root's shell."""
    box = Box(tmp_path, "shell")
    denied = tmp_path / "denied"
    user_argv = shell_without_perl(denied)
    (denied / "mv").unlink()
    (denied / "mv").write_text("#!/bin/sh\necho 'mv: Permission denied'\nexit 1\n")
    (denied / "mv").chmod(0o755)
    box.engine = LocalContainer(shell_without_perl(tmp_path / "bin"), user_argv)
    box.container = Container(id="c", name="c", service="web", state="running", ours=True, user="1000")

    target = await box.reach()
    outcome = await target.deliver([box.delete("gone")], [box.write("a"), box.write("b")])
    assert (outcome.failed, outcome.files) == ({}, 2)
    assert box.there() == ["a", "b"]
    assert len(box.engine.children) == 2
    await target.close()


# --- without a shell, on the engine in memory ---------------------------------------------------------------------


class Shellless:
    """A container of the engine in memory, whose image has no shell."""

    def __init__(self, folder: Path, *, user: str, is_running: bool) -> None:
        self.folder = folder
        self.host = MemoryHost()
        self.engine = MemoryEngine(self.host)
        self.files = MemoryContainer("c" * 64, "web-1", "image", {}, {}, 0)
        self.host.containers[self.files.id] = self.files
        state = "running" if is_running else "created"
        self.files.state = state
        self.container = Container(id=self.files.id, name="web-1", service="web", state=state, ours=True, user=user)
        self.journal = SyncJournal(str(folder / "journal"))

    async def reach(self) -> Target:
        """A target for the container."""
        return await Target.reach(self.engine, self.container, "m", self.journal, ["/app"])

    def write(self, name: str, content: bytes = b"new") -> Sync:
        """A file on the host, to be put below `/app`."""
        path = self.folder / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Sync(str(path), f"/app/{name}", root=str(self.folder / "src"))

    def owner(self, path: str) -> tuple[int, int]:
        """The owner of a path in the container."""
        node = self.files.files.nodes[path]
        return node.uid, node.gid


@pytest.mark.parametrize("is_running", [False, True])
async def test_files_without_a_shell(tmp_path: Path, *, is_running: bool) -> None:
    """Files are put by one archive request; missing folders get the service's owner."""
    box = Shellless(tmp_path, user="7:8", is_running=is_running)
    target = await box.reach()
    (tmp_path / "src/empty").mkdir(parents=True)
    folder = Sync(str(tmp_path / "src/empty"), "/app/empty", folder=True, root=str(tmp_path / "src"))
    outcome = await target.deliver((), [box.write("deep/x"), folder])
    assert (outcome.failed, outcome.files, outcome.bytes, outcome.atomic) == ({}, 2, 3, not is_running)
    assert box.files.files.read("app/deep/x") == b"new"
    owners = {path: box.owner(path) for path in ("app", "app/deep", "app/deep/x", "app/empty")}
    assert owners == dict.fromkeys(owners, (7, 8))
    await target.close()


async def test_deletes_wait_for_the_start(tmp_path: Path) -> None:
    """In a container that does not run nothing is deleted or reported."""
    box = Shellless(tmp_path, user="", is_running=False)
    box.files.files.write("app/old", b"old")
    outcome = await (await box.reach()).deliver([Delete("/app/old", "old")], [box.write("x")])
    assert (outcome.failed, outcome.deleted, outcome.files) == ({}, 0, 1)
    assert box.files.files.contents() == {"app/old": b"old", "app/x": b"new"}


async def test_deletes_without_a_shell(tmp_path: Path) -> None:
    """They fail with the reason, unless a file takes the place of the file; not of a folder, which stays."""
    box = Shellless(tmp_path, user="", is_running=True)
    for name in ("old", "replaced", "folder/x"):
        box.files.files.write(f"app/{name}", b"old")
    deletes = [Delete("/app/old", "old"), Delete("/app/replaced", "r"), Delete("/app/folder", "f", directory=True)]
    syncs = [box.write("replaced"), box.write("folder"), box.write("fine")]
    outcome = await (await box.reach()).deliver(deletes, syncs)
    assert outcome.failed == {"/app/old": NO_SHELL, "/app/folder": NO_SHELL}
    assert (outcome.deleted, outcome.files) == (0, 2)
    contents = {"app/old": b"old", "app/replaced": b"new", "app/folder/x": b"old", "app/fine": b"new"}
    assert box.files.files.contents() == contents


async def test_no_link_is_followed_without_a_shell(tmp_path: Path) -> None:
    """Files behind a link fail, the others arrive."""
    box = Shellless(tmp_path, user="7", is_running=True)
    box.files.files.put("app", Node("folder", mode=0o755))
    box.files.files.put("app/link", Node("link", target="/etc"))
    bad, fine = box.write("link/deep/x"), box.write("fine")
    outcome = await (await box.reach()).deliver((), [bad, fine])
    assert (outcome.failed, outcome.files) == ({bad.target: shell_commands.LINK}, 1)
    assert box.files.files.contents() == {"app/fine": b"new"}


@pytest.mark.parametrize("user", ["7", "0"])
@pytest.mark.parametrize("is_running", [True, False])
async def test_a_link_of_the_same_delivery_is_not_followed(tmp_path: Path, user: str, is_running: bool) -> None:
    """Rules may overlap: one has a link where another has a folder."""
    box = Shellless(tmp_path, user=user, is_running=is_running)
    box.files.files.put("app", Node("folder", mode=0o755))
    (tmp_path / "src/other").mkdir(parents=True)
    os.symlink("/etc", tmp_path / "src/other/link")
    link = Sync(str(tmp_path / "src/other/link"), "/app/link", root=str(tmp_path / "src"))
    behind, fine = box.write("link/x"), box.write("fine")
    outcome = await (await box.reach()).deliver((), [fine, link, behind])
    assert (outcome.failed, outcome.files) == ({behind.target: shell_commands.LINK}, 2)
    assert box.files.files.contents() == {"app/fine": b"new"}


async def test_known_folders_are_not_asked_about_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked about once while the container does not run: nobody can exchange them."""
    box = Shellless(tmp_path, user="7", is_running=False)
    box.files.files.put("app/sub", Node("folder", mode=0o755))
    target = await box.reach()
    await target.deliver((), [box.write("sub/x")])
    asked: list[str] = []

    async def is_link(_id: str, path: str) -> bool | None:
        asked.append(path)
        return False

    monkeypatch.setattr(box.engine.archive, "is_link", is_link)
    await target.deliver((), [box.write("sub/x", b"2")])
    assert asked == []
    await target.deliver((), [box.write("sub/more/x", b"2")])
    assert asked == ["/app/sub/more"]


async def test_new_folders_are_not_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was created before the first start has only our files, unless a link was put into it, or a put failed."""
    box = Shellless(tmp_path, user="7", is_running=False)
    target = await box.reach()
    asked: list[str] = []
    is_link = box.engine.archive.is_link

    async def ask(container_id: str, path: str) -> bool | None:
        asked.append(path)
        return await is_link(container_id, path)

    monkeypatch.setattr(box.engine.archive, "is_link", ask)
    await target.deliver((), [box.write("a/x")])
    outcome = await target.deliver((), [box.write("a/x"), box.write("a/b/x"), box.write("a/b/c/x"), box.write("d/x")])
    assert (asked, outcome.failed) == (["/app"], {})
    os.symlink("/etc", tmp_path / "src/a/link")
    link = Sync(str(tmp_path / "src/a/link"), "/app/a/link", root=str(tmp_path / "src"))
    await target.deliver((), [link])
    (tmp_path / "src/a/link").unlink()
    behind = box.write("a/link/x")
    outcome = await target.deliver((), [behind, box.write("d/e/x")])
    assert outcome.failed == {behind.target: shell_commands.LINK}
    assert asked == ["/app", "/app/a/link"]
    del asked[:]
    await target.deliver((), [box.write("d/f/x")._replace(source=str(tmp_path / "src/missing")), box.write("d/e/y")])
    await target.deliver((), [box.write("d/g/x")])
    assert "/app/d/g" in asked


async def test_folders_of_a_container_that_has_run_are_asked_about(tmp_path: Path) -> None:
    """Its processes may have put a link into a folder that was known."""
    box = Shellless(tmp_path, user="7", is_running=True)
    target = await box.reach()
    await target.deliver((), [box.write("a/x")])
    box.files.files.put("app/a/link", Node("link", target="/etc"))
    box.files.state = "exited"
    target.has_changed(replace(box.container, state="exited"))
    behind = box.write("a/link/x")
    outcome = await target.deliver((), [behind, box.write("a/b/x")])
    assert outcome.failed == {behind.target: shell_commands.LINK}
    assert box.files.files.read("app/a/b/x") == b"new"


async def test_a_large_file_without_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put by one archive request, in pieces."""
    monkeypatch.setattr(host_files, "LARGE_BYTES", 1000)
    box = Shellless(tmp_path, user="", is_running=False)
    content = os.urandom(5000)
    outcome = await (await box.reach()).deliver((), [box.write("large", content)])
    assert (outcome.failed, outcome.files, outcome.bytes) == ({}, 1, 5000)
    assert box.files.files.read("app/large") == content


class Requests:
    """Counts the archive requests that write into a container of the engine in memory."""

    def __init__(self, box: Shellless, patch: pytest.MonkeyPatch) -> None:
        self.streamed = self.whole = 0
        archive: Any = box.engine.archive
        upload, put = archive.upload, archive.put

        async def counted_upload(*args: Any) -> None:
            self.streamed += 1
            await upload(*args)

        async def counted_put(*args: Any) -> None:
            self.whole += 1
            await put(*args)

        patch.setattr(archive, "upload", counted_upload)
        patch.setattr(archive, "put", counted_put)


async def test_many_files_are_put_by_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its archive is made while the engine reads it; from a number of files on, another request follows."""
    monkeypatch.setattr(transports, "PIECE_FILES", 7)
    box = Shellless(tmp_path, user="", is_running=False)
    requests = Requests(box, monkeypatch)
    target = await box.reach()
    syncs = [box.write(f"d{number % 3}/f{number}", b"%d" % number) for number in range(40)]
    outcome = await target.deliver((), syncs)
    assert (outcome.failed, outcome.files, outcome.bytes) == ({}, 40, 10 + 2 * 30)
    assert {box.files.files.read(sync.target[1:]) for sync in syncs} == {b"%d" % number for number in range(40)}
    assert (requests.streamed, requests.whole) == (1, 0)
    monkeypatch.setattr(transports, "STREAM_FILES", 14)
    assert (await target.deliver((), syncs[:28])).files == 28
    assert requests.streamed == 3
    monkeypatch.setattr(transports, "STREAM_BYTES", 10)
    assert (await target.deliver((), syncs[:28])).files == 28
    assert requests.streamed == 6


async def test_a_refused_request_fails_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine does not name the file: all of the request are put again, in smaller groups."""
    monkeypatch.setattr(host_files, "CHUNK_FILES", 5)
    monkeypatch.setattr(transports, "PIECE_FILES", 5)
    box = Shellless(tmp_path, user="", is_running=False)
    box.files.files.put("app/f07/inside", Node("file", b"the image's"))
    syncs = [box.write(f"f{number:02}") for number in range(20)]
    missing = box.write("gone")._replace(source=str(tmp_path / "src/missing"))
    requests = Requests(box, monkeypatch)
    outcome = await (await box.reach()).deliver((), [missing, *syncs])
    assert outcome.failed.keys() == {"/app/f07", "/app/gone"}
    assert (outcome.files, outcome.bytes) == (19, 19 * 3)
    assert all(box.files.files.read(sync.target[1:]) == b"new" for sync in syncs if sync.target != "/app/f07")
    assert (requests.streamed, requests.whole) == (1, 4 + 5)


async def test_large_files_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file has a request of its own, after the others."""
    monkeypatch.setattr(host_files, "LARGE_BYTES", 1000)
    box = Shellless(tmp_path, user="", is_running=False)
    content = os.urandom(5000)
    syncs = [box.write("large", content), *(box.write(f"f{number}") for number in range(12))]
    outcome = await (await box.reach()).deliver((), syncs)
    assert (outcome.failed, outcome.files, outcome.bytes) == ({}, 13, 5000 + 12 * 3)
    assert box.files.files.read("app/large") == content


async def test_a_link_among_many_files_is_not_followed(tmp_path: Path) -> None:
    """A folder that has got a link is asked about before the next put."""
    box = Shellless(tmp_path, user="7", is_running=False)
    target = await box.reach()
    (tmp_path / "src/d").mkdir(parents=True)
    (tmp_path / "src/d/link").symlink_to("/etc")
    link = Sync(str(tmp_path / "src/d/link"), "/app/d/link", root=str(tmp_path / "src"))
    await target.deliver((), [link, *(box.write(f"d/f{number}") for number in range(12))])
    (tmp_path / "src/d/link").unlink()
    behind = box.write("d/link/x")
    assert (await target.deliver((), [behind])).failed == {behind.target: shell_commands.LINK}
