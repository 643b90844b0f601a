"""Host files read whole, and through no link: small ones at once, large ones in pieces, never all in memory."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio

from devenv.sync.container import tar
from devenv.sync.container.tar import Entry
from devenv.sync.planner import NO_FILE

LARGE_BYTES = 8 * 1024 * 1024  # a larger file is never in memory as a whole
READ_TRIES = 5
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)  # only Linux has O_PATH
KEPT = 64  # descriptors of folders
GONE = os.strerror(errno.ENOENT)
RESTLESS = "it is being written all the time"
REST = 0.004, 0.01  # seconds between two reads of a file: its writer may have lost its turn in the middle
REST_A_BYTE = 5e-9
SMALL_BYTES = 64 * 1024  # a larger file is read twice with a rest in between
PERMISSIONS = 0o777
PIECE = 1 << 20
LARGE_RESTS = 25
LARGE_REST = 0.02  # seconds without a change until a large file is read: nothing is sent of what is being written


@dataclass(frozen=True, slots=True)
class Item:
    """One host path, and the absolute container path that it is written to: the target, or a place beside it.

    The folders between `root`, which is above the source or the source itself, and the source are no links. `folder`
    says what the source is expected to be.
    """

    source: str
    path: str
    root: str = ""
    folder: bool = False
    target: str = ""


class DirFds:
    """Descriptors of folders below roots, kept while it lasts; a context manager."""

    def __init__(self) -> None:
        self._folders: dict[str, int] = {}

    def place(self, path: str, root: str) -> tuple[int, str]:
        """The descriptor of the folder that the path is in, and the path's name there.

        `root` itself is above the path, or is the path; "" stands for its folder. OSError where a folder between
        them is a link or is not there.
        """
        if len(self._folders) > KEPT:
            self.close()
        folder, name = os.path.split(path)
        return self._at(folder, root if root and root != path else folder), name

    def _at(self, folder: str, root: str) -> int:
        found = self._folders.get(folder)
        if found is None:
            if folder == root:
                found = os.open(folder, FOLDER)
            else:
                above, name = os.path.split(folder)
                found = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=self._at(above, root))
            self._folders[folder] = found
        return found

    def close(self) -> None:
        """Every descriptor closed."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every descriptor closed."""
        self.close()


def read(item: Item, opened: DirFds, uid: int = 0, gid: int = 0) -> Entry | None:
    """The source as an entry of an archive; None for a large file. Blocking.

    Raises OSError if it is not there, is of another kind than planned, or never rests.
    """
    folder, name = opened.place(item.source, item.root)
    found = os.lstat(name, dir_fd=folder)
    content = link = b""
    if stat.S_ISLNK(found.st_mode):
        kind, link = tar.LINK, os.fsencode(os.readlink(name, dir_fd=folder))
    elif item.folder and stat.S_ISDIR(found.st_mode):
        kind = tar.FOLDER
    elif item.folder or stat.S_ISDIR(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, GONE)  # what was planned is not there any more
    elif not stat.S_ISREG(found.st_mode):
        raise OSError(0, NO_FILE)
    elif found.st_size > LARGE_BYTES:
        return None
    else:
        kind = tar.FILE
        found, content = _read_file(os.open(name, READ, dir_fd=folder))
    return entry(item, kind, found, uid, gid, content, link)


def entry(
    item: Item, kind: bytes, status: os.stat_result, uid: int, gid: int, content: bytes = b"", link: bytes = b""
) -> Entry:
    """The entry for an item with this status on the host."""
    mode = status.st_mode & PERMISSIONS
    return Entry(os.fsencode(item.path.lstrip("/")), kind, mode, status.st_mtime_ns, uid, gid, content, link)


def _read_file(descriptor: int) -> tuple[os.stat_result, bytes]:
    """The content between two equal looks at size and times, so that it was once the file's content.

    In the middle of one write the times say nothing, so it has to be the same twice, a large file after a rest.
    """
    try:
        for _ in range(READ_TRIES):
            before = os.fstat(descriptor)
            if before.st_size > LARGE_BYTES:
                break  # it has grown since it was looked at
            content = _content(descriptor, before.st_size)
            if len(content) > SMALL_BYTES:
                time.sleep(min(max(REST[0], len(content) * REST_A_BYTE), REST[1]))
            is_whole = _content(descriptor, len(content)) == content
            after = os.fstat(descriptor)
            same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
            if is_whole and same and len(content) == after.st_size:
                return after, content
    finally:
        os.close(descriptor)
    raise OSError(0, RESTLESS)


def _content(descriptor: int, size: int) -> bytes:
    """All that is in a file that is thought to be so large; of a larger one so much that it shows."""
    content = os.pread(descriptor, size + 1, 0)
    while len(content) < size and (more := os.pread(descriptor, size, len(content))):
        content += more  # one call reads 2 GiB at most
    return content


class LargeFile:
    """One file opened for reading, as an entry of its own archive; an async context manager.

    Raises OSError on entry if it cannot be opened as a file, or is being written.
    """

    def __init__(self, item: Item, *, uid: int = 0, gid: int = 0) -> None:
        self.item = item
        self._owner = uid, gid
        self._descriptor = -1
        self._found: os.stat_result
        self._hash = hashlib.sha256()  # many processors have instructions for it
        self.size = 0  # bytes of content

    async def __aenter__(self) -> Self:
        """The file, opened."""
        await anyio.to_thread.run_sync(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The file closed."""
        os.close(self._descriptor)

    @property
    def entry(self) -> Entry:
        """What the archive says of it."""
        return entry(self.item, tar.FILE, self._found, *self._owner)

    async def packed(self) -> AsyncIterator[bytes]:
        """The archive with this file alone. Raises OSError as `content` does."""
        yield tar.head(self.entry, self.size)
        async for piece in self.content():
            yield piece
        yield tar.tail(self.size)

    async def content(self) -> AsyncIterator[bytes]:
        """All `size` bytes. Raises OSError if there are less by now."""
        self._hash, at = hashlib.sha256(), 0
        while at < self.size:
            piece = await anyio.to_thread.run_sync(self._piece, at)
            if not piece:
                raise OSError(0, RESTLESS)
            at += len(piece)
            yield piece

    async def verify(self) -> None:
        """Raises OSError unless the file is still, and was all the time, what `content` has given."""
        await anyio.to_thread.run_sync(self._verify)

    def _open(self) -> None:
        self._descriptor = open_file(self.item)
        try:
            self._found = _at_rest(self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.size = self._found.st_size

    def _piece(self, at: int) -> bytes:
        piece = os.pread(self._descriptor, min(PIECE, self.size - at), at)
        self._hash.update(piece)
        return piece

    def _verify(self) -> None:
        # In the middle of one write the times say nothing: it has to be the same twice.
        is_same = digest_of(self._descriptor, self.size) == self._hash.hexdigest()
        if not is_same or _look(os.fstat(self._descriptor)) != _look(self._found):
            raise OSError(0, RESTLESS)


def open_file(item: Item) -> int:
    """A descriptor of the source, no link followed below its root. Blocking. Raises OSError if it is no file."""
    with DirFds() as opened:
        folder, name = opened.place(item.source, item.root)
        descriptor = os.open(name, READ, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, GONE)
    return descriptor


def digest_of(descriptor: int, size: int) -> str:
    """A fingerprint of the first `size` bytes; of less if there are less. Blocking."""
    found, at = hashlib.sha256(), 0
    while at < size and (piece := os.pread(descriptor, min(PIECE, size - at), at)):
        found.update(piece)
        at += len(piece)
    return found.hexdigest()


def _at_rest(descriptor: int) -> os.stat_result:
    before = os.fstat(descriptor)
    for _ in range(LARGE_RESTS):
        time.sleep(LARGE_REST)
        now = os.fstat(descriptor)
        if _look(now) == _look(before):
            return now
        before = now
    raise OSError(0, RESTLESS)


def _look(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_mode
