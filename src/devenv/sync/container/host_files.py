"""Read host files consistently and without following links: small files in batches, large ones in pieces."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import NamedTuple

import anyio

from devenv.lazy_dataclass import dataclass
from devenv.sync.container import tar
from devenv.sync.container.tar import TarEntry
from devenv.sync.planner import NO_FILE

LARGE_BYTES = 8 * 1024 * 1024  # a larger file is never completely in memory
READ_TRIES = 5
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)  # only Linux has O_PATH
KEPT = 64  # descriptors of folders
GONE = os.strerror(errno.ENOENT)
CHANGING = "it is constantly being written"
PAUSE = 0.004, 0.01  # seconds between two reads of a file: its writer may be suspended in the middle of a write
PAUSE_A_BYTE = 5e-9
SMALL_BYTES = 64 * 1024  # a larger file is read twice, with a pause in between
PERMISSIONS = 0o777
EXECUTABLE = 0o111
PIECE = 1 << 20
LARGE_TRIES = 25
CHUNK_BYTES = LARGE_BYTES
CHUNK_FILES = 1000
FIRST_FILES = 50  # they are put while the next ones are read
SMALL_FILES = 8
LARGE_PAUSE = 0.02  # seconds without a change before a large file is read: a file that is being written is not sent


class Item(NamedTuple):
    """A host path, and the container path to write to: its target, or a path that is then renamed to `target`.

    No link is followed between `root`, which is the source or a parent of it, and the source. `folder`: the source is
    expected to be a folder. `executable`: as in its `Sync`.
    """

    source: str
    path: str
    root: str = ""
    folder: bool = False
    target: str = ""
    executable: bool = False

    def mode(self, status: os.stat_result) -> int:
        """The permissions in the container."""
        return status.st_mode & PERMISSIONS | (EXECUTABLE if self.executable else 0)


class DirFds(contextlib.AbstractContextManager["DirFds"]):
    """Open descriptors of folders below roots; a context manager that closes them."""

    def __init__(self) -> None:
        self._folders: dict[str, int] = {}

    def place(self, path: str, root: str) -> tuple[int, str]:
        """The descriptor of the path's folder, and the path's name in it.

        `root` is the path or a parent of it; "" stands for its folder. Raises OSError if a folder between them is a
        link or does not exist.
        """
        if len(self._folders) > KEPT:
            self.close()
        folder, _, name = path.rpartition("/")
        return self._at(folder or "/", root if root and root != path else folder or "/"), name

    def _at(self, folder: str, root: str) -> int:
        descriptor = self._folders.get(folder)
        if descriptor is None:
            if folder == root:
                descriptor = os.open(folder, FOLDER)
            else:
                above, name = os.path.split(folder)
                descriptor = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=self._at(above, root))
            self._folders[folder] = descriptor
        return descriptor

    def close(self) -> None:
        """Close every descriptor."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    def __exit__(self, *_: object) -> None:
        self.close()


def read(item: Item, opened: DirFds, owner: tuple[int, int] = (0, 0)) -> TarEntry | None:
    """The source as an entry of an archive; None for a large file. Blocking.

    Raises OSError if the source does not exist, is of another kind than planned, or changes all the time.
    """
    folder, name = opened.place(item.source, item.root)
    status = os.lstat(name, dir_fd=folder)
    content = link = b""
    if stat.S_ISLNK(status.st_mode):
        kind, link = tar.LINK, os.fsencode(os.readlink(name, dir_fd=folder))
    elif item.folder and stat.S_ISDIR(status.st_mode):
        kind = tar.FOLDER
    elif item.folder or stat.S_ISDIR(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, GONE)  # the planned source is gone
    elif not stat.S_ISREG(status.st_mode):
        raise OSError(0, NO_FILE)
    elif status.st_size > LARGE_BYTES:
        return None
    else:
        kind = tar.FILE
        status, content = _read_file(os.open(name, READ, dir_fd=folder))
    return _entry(item, kind, status, owner, content, link)


def _entry(
    item: Item, kind: bytes, status: os.stat_result, owner: tuple[int, int], content: bytes = b"", link: bytes = b""
) -> TarEntry:
    return TarEntry(
        os.fsencode(item.path.lstrip("/")), kind, item.mode(status), status.st_mtime_ns, *owner, content, link
    )


def _read_file(descriptor: int) -> tuple[os.stat_result, bytes]:
    """The status and the content, which was the whole content of the file at one moment.

    Size and times must be the same before and after. During a write the times do not change, so the content must be
    the same when it is read twice, with a pause in between if it is large.
    """
    try:
        for _ in range(READ_TRIES):
            before = os.fstat(descriptor)
            if before.st_size > LARGE_BYTES:
                break  # it has grown since it was planned
            content = _content(descriptor, before.st_size)
            if len(content) > SMALL_BYTES:
                time.sleep(min(max(PAUSE[0], len(content) * PAUSE_A_BYTE), PAUSE[1]))
            is_whole = _content(descriptor, len(content)) == content
            after = os.fstat(descriptor)
            same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
            if is_whole and same and len(content) == after.st_size:
                return after, content
    finally:
        os.close(descriptor)
    raise OSError(0, CHANGING)


def _content(descriptor: int, size: int) -> bytes:
    """The content of a file with this expected size; one byte more if it is larger."""
    content = os.pread(descriptor, size + 1, 0)
    while len(content) < size and (more := os.pread(descriptor, size, len(content))):
        content += more  # one call reads at most 2 GiB
    return content


class LargeFile:
    """A large file that is open for reading, also as an archive that contains only it; `size` bytes of content."""

    def __init__(self, item: Item, descriptor: int, status: os.stat_result, owner: tuple[int, int]) -> None:
        self.item = item
        self.entry = _entry(item, tar.FILE, status, owner)  # without its content
        self.size = status.st_size
        self._descriptor = descriptor
        self._status = status
        self._hash = hashlib.sha256()  # many processors have instructions for it

    async def packed(self) -> AsyncIterator[bytes]:
        """The pieces of an archive with only this file. Raises OSError like `content`."""
        yield tar.head(self.entry, self.size)
        async for piece in self.content():
            yield piece
        yield tar.tail(self.size)

    async def content(self) -> AsyncIterator[bytes]:
        """The pieces of all `size` bytes. Raises OSError if the file has become shorter."""
        self._hash, at = hashlib.sha256(), 0
        while at < self.size:
            piece = await anyio.to_thread.run_sync(self._piece, at)
            if not piece:
                raise OSError(0, CHANGING)
            at += len(piece)
            yield piece

    async def verify(self) -> None:
        """Raise OSError unless the file is, and was all the time, what `content` has returned."""
        # During a write the times do not change: the content must be the same twice.
        digest = await anyio.to_thread.run_sync(digest_of, self._descriptor, self.size)
        is_same = digest == self._hash.hexdigest()
        if not is_same or _identity(os.fstat(self._descriptor)) != _identity(self._status):
            raise OSError(0, CHANGING)

    def _piece(self, at: int) -> bytes:
        piece = os.pread(self._descriptor, min(PIECE, self.size - at), at)
        self._hash.update(piece)
        return piece


@contextlib.asynccontextmanager
async def open_large(item: Item, owner: tuple[int, int] = (0, 0)) -> AsyncIterator[LargeFile]:
    """Open the source. Raises OSError if it cannot be opened as a file, or is being written."""
    descriptor = await anyio.to_thread.run_sync(open_file, item)
    try:
        yield LargeFile(item, descriptor, await anyio.to_thread.run_sync(_unchanged, descriptor), owner)
    finally:
        os.close(descriptor)


def open_file(item: Item) -> int:
    """A descriptor of the source; links below its root are not followed. Blocking. Raises OSError for other kinds."""
    with DirFds() as opened:
        folder, name = opened.place(item.source, item.root)
        descriptor = os.open(name, READ, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, GONE)
    return descriptor


def digest_of(descriptor: int, size: int) -> str:
    """The SHA-256 of the first `size` bytes, or of the whole file if it is shorter. Blocking."""
    digest, at = hashlib.sha256(), 0
    while at < size and (piece := os.pread(descriptor, min(PIECE, size - at), at)):
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()


def _unchanged(descriptor: int) -> os.stat_result:
    before = os.fstat(descriptor)
    for _ in range(LARGE_TRIES):
        time.sleep(LARGE_PAUSE)
        now = os.fstat(descriptor)
        if _identity(now) == _identity(before):
            return now
        before = now
    raise OSError(0, CHANGING)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_mode


Entries = Sequence[tuple[Item, TarEntry]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Items that were read, and items that could not be read, with reasons; or a `large` item, not read yet."""

    entries: Entries
    failed: tuple[tuple[Item, str], ...] = ()
    large: Item | None = None


def batches(items: Iterable[Item], owner: tuple[int, int], *, most: int = CHUNK_FILES) -> Iterator[Batch]:
    """Batches of at most 8 MiB and `most` entries each, then each larger file separately. Blocking.

    The owner is the container's user, never the host's. Links remain links. A file that changes while it is read is
    read again; if it changes all the time, it is in `failed`.
    """
    pending: list[tuple[Item, TarEntry]] = []
    failed: list[tuple[Item, str]] = []
    large: list[Item] = []
    weight, limit = 0, min(most, FIRST_FILES)
    with DirFds() as opened:
        for item in items:
            try:
                entry = read(item, opened, owner)
            except OSError as error:
                failed.append((item, error.strerror or str(error)))
                continue
            if entry is None:
                large.append(item)
                continue
            size = len(entry.content)
            if pending and (weight + size > CHUNK_BYTES or len(pending) >= limit):
                yield Batch(tuple(pending))
                pending, weight, limit = [], 0, most
            pending.append((item, entry))
            weight += size
    if pending or failed:
        yield Batch(tuple(pending), tuple(failed))
    for item in large:
        yield Batch((), large=item)


def is_small(items: Sequence[Item]) -> bool:
    """Whether reading the items takes less time than waking a worker thread."""
    if len(items) > SMALL_FILES:
        return False
    with contextlib.suppress(OSError):
        return sum(os.lstat(item.source).st_size for item in items) <= SMALL_BYTES
    return False
