"""A large file sent while it is read, in pieces: it is never in memory as a whole."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import anyio

from devenv.sync.container import archive, tar
from devenv.sync.container.archive import Item
from devenv.sync.container.dir_fds import DirFds
from devenv.sync.container.tar import Entry

PIECE = 1 << 20
RESTS = 25
REST = 0.02  # seconds without a change until it is read: nothing is sent of what is being written


class Large:
    """One file opened for reading, as an entry of its own archive; an async context manager.

    Raises OSError on entry if it cannot be opened as a file, or is being written.
    """

    def __init__(self, item: Item, *, uid: int = 0, gid: int = 0) -> None:
        self._item = item
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
        return archive.entry(self._item, tar.FILE, self._found, *self._owner)

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
                raise OSError(0, archive.RESTLESS)
            at += len(piece)
            yield piece

    async def verify(self) -> None:
        """Raises OSError unless the file is still, and was all the time, what `content` has given."""
        await anyio.to_thread.run_sync(self._verify)

    def _open(self) -> None:
        self._descriptor = open_file(self._item)
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
            raise OSError(0, archive.RESTLESS)


def open_file(item: Item) -> int:
    """A descriptor of the source, no link followed below its root. Blocking. Raises OSError if it is no file."""
    with DirFds() as opened:
        folder, name = opened.place(item.source, item.root)
        descriptor = os.open(name, archive.READ, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, archive.GONE)
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
    for _ in range(RESTS):
        time.sleep(REST)
        now = os.fstat(descriptor)
        if _look(now) == _look(before):
            return now
        before = now
    raise OSError(0, archive.RESTLESS)


def _look(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_mode
