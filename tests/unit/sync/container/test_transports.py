"""The effect of each transport, and its result for failures."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from devenv.docker.transport import CallError
from devenv.model.sync_plan import Delete
from devenv.sync.container import host_files, shell_commands, transports
from devenv.sync.container.host_files import DirFds, Item, open_large
from devenv.sync.container.journal import StagedPaths, SyncJournal
from devenv.sync.container.shell import Shell
from devenv.sync.container.tar import TarEntry
from devenv.sync.container.transports import AnyTransport, ArchiveTransport, HelperTransport, ShellTransport
from support.local_container import MARK, LocalContainer, LocalEngine, shell_without_perl

pytestmark = pytest.mark.anyio

OWNER = os.getuid(), os.getgid()


class Place:
    """A folder of the host, a folder of a container, and one transport between them."""

    def __init__(self, folder: Path, transport: AnyTransport) -> None:
        self.source, self.app = folder / "src", folder / "app"
        self.source.mkdir()
        self.app.mkdir()
        self.transport = transport

    def entry(self, name: str, content: bytes = b"new") -> tuple[Item, TarEntry]:
        """A file of the host as it is put."""
        path, target = self.source / os.path.basename(name), str(self.app / name)
        path.write_bytes(content)
        is_direct = isinstance(self.transport, ArchiveTransport)
        place = target if is_direct else f"{os.path.dirname(target)}/.{os.path.basename(name)}~"
        item = Item(str(path), place, target=target)
        with DirFds() as opened:
            entry = host_files.read(item, opened, OWNER)
        assert entry is not None
        return item, entry

    def there(self) -> list[str]:
        """All paths of the container."""
        return sorted(str(path.relative_to(self.app)) for path in self.app.rglob("*"))


@pytest.fixture(params=["helper", "shell", "archive"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Each transport in turn."""
    if request.param == "archive":
        container: Any = LocalContainer([])
        yield Place(tmp_path, ArchiveTransport(container, "c", OWNER))
        return
    argv = ["sh"] if request.param == "helper" else shell_without_perl(tmp_path / "bin")
    engine: Any = LocalEngine(argv)
    shell = await Shell.open(engine, "c", MARK)
    assert shell is not None
    assert shell.has_helper is (request.param == "helper")
    by_shell = ShellTransport(shell, OWNER, StagedPaths(SyncJournal()), as_root=not OWNER[0])
    yield Place(tmp_path, HelperTransport(shell, OWNER) if request.param == "helper" else by_shell)
    await shell.close()


async def test_files_are_put(place: Place) -> None:
    """Files arrive in their places, and nothing is left beside them."""
    (place.app / "sub").mkdir()
    assert await place.transport.put([place.entry("a"), place.entry("sub/b", b"2")]) == {}
    assert place.there() == ["a", "sub", "sub/b"]
    assert (place.app / "sub/b").read_bytes() == b"2"


async def test_failed_puts_are_returned(place: Place) -> None:
    """It is returned; an archive request fails as a whole."""
    (place.app / "folder").mkdir()
    good, bad = place.entry("good"), place.entry("folder")
    failed = await place.transport.put([bad, good])
    if isinstance(place.transport, ArchiveTransport):
        assert failed.keys() == {bad[0], good[0]}
        assert "cannot overwrite directory" in failed[good[0]]
    else:
        reason = "" if isinstance(place.transport, HelperTransport) else "a folder is there in the container"
        assert failed == {bad[0]: reason}
        assert place.there() == ["folder", "good"]


async def test_put_large(place: Place) -> None:
    """Put a file in pieces, until it is complete."""
    content = os.urandom(100_000)
    item, _ = place.entry("large", content)
    async with open_large(item, OWNER) as file:
        await place.transport.put_large(file)
    assert place.there() == ["large"]
    assert (place.app / "large").read_bytes() == content


async def test_a_large_file_that_changes_fails(place: Place) -> None:
    """The bytes that were read are not those of the file."""
    item, _ = place.entry("large", os.urandom(1000))
    async with open_large(item, OWNER) as file:
        Path(item.source).write_bytes(os.urandom(1000))
        os.utime(item.source, ns=(0, 0))
        with pytest.raises(OSError, match="being written"):
            await place.transport.put_large(file)


async def test_make_folders(place: Place) -> None:
    """Make missing folders, the outer ones first, and return those that cannot be made."""
    (place.app / "there").mkdir()
    folders = [str(place.app / name) for name in ("new", "new/deep", "there")]
    assert await place.transport.make_folders(folders) == {}
    if isinstance(place.transport, ArchiveTransport) and not OWNER[0]:
        assert place.there() == ["there"]  # root's folders come with their files
        return
    assert place.there() == ["new", "new/deep", "there"]
    if not isinstance(place.transport, ArchiveTransport):
        (place.app / "file").write_text("x")
        folder = str(place.app / "file/no")
        assert (await place.transport.make_folders([folder])).keys() == {folder}


async def test_remove(place: Place) -> None:
    """Files and empty folders, in this order; the archive request can remove nothing."""
    for name in ("a", "kept/x"):
        (place.app / name).parent.mkdir(exist_ok=True)
        (place.app / name).write_text("old")
    (place.app / "empty").mkdir()
    deletes = [Delete(str(place.app / name), name) for name in ("a", "missing")]
    deletes += [Delete(str(place.app / name), name, directory=True) for name in ("empty", "kept")]
    failed = await place.transport.remove(deletes)
    if isinstance(place.transport, ArchiveTransport):
        assert failed == dict.fromkeys(deletes, transports.NO_SHELL)
    else:
        assert failed == {}
        assert place.there() == ["kept", "kept/x"]


async def test_an_archive_request_to_a_container_that_has_gone() -> None:
    """The request fails as a whole, not for single paths."""

    class Gone:
        async def put(self, *_: object) -> None:
            raise CallError(404, "No such container: c", "writing")

    engine: Any = Gone()
    with pytest.raises(CallError):
        await ArchiveTransport(engine, "c", OWNER).put([])


async def test_folders_of_a_user_are_made_before_their_files(tmp_path: Path) -> None:
    """The engine would make them with root as their owner."""
    container: Any = LocalContainer([])
    folder = str(tmp_path / "app")
    assert await ArchiveTransport(container, "c", (0, 1)).make_folders([folder]) == {}
    assert os.path.isdir(folder)


def test_a_group_is_as_long_as_a_command_line_takes() -> None:
    """Files that are staged together are renamed by few commands; a file that is staged alone is in no group."""
    names = [f"f{number:03}" for number in range(shell_commands.MV_ARGUMENTS + 1)]
    items = [Item("", f"/c/.1~/{name}", target=f"/c/{name}") for name in names]
    groups = transports._groups([Item("", "/c/.2~", target="/c/x"), *items])
    assert [len(group) for group in groups] == [shell_commands.MV_ARGUMENTS, 1]
    assert shell_commands.rename_group([item.path for item in groups[1]]) == b"g '/c/.1~' '/c' 'f500'"
