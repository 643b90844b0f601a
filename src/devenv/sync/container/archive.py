"""A plan's files read whole before anything is sent, except for large ones, which are sent while they are read."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from devenv.sync.container import tar
from devenv.sync.container.dir_fds import DirFds
from devenv.sync.container.tar import Entry
from devenv.sync.planner import NO_FILE

READ_TRIES = 5
CHUNK_BYTES = 8 * 1024 * 1024
LARGE_BYTES = CHUNK_BYTES  # a larger file is never in memory as a whole
CHUNK_FILES = 1000
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
GONE = os.strerror(errno.ENOENT)
RESTLESS = "it is being written all the time"
REST = 0.004, 0.01  # seconds between two reads of a large file: its writer may have lost its turn in the middle
REST_A_BYTE = 5e-9
SMALL_FILES = 8
SMALL_BYTES = 64 * 1024
PERMISSIONS = 0o777
NEW_FOLDER = 0o755


@dataclass(frozen=True, slots=True)
class Item:
    """One host path and the absolute container path under which the archive carries it.

    The folders between `root`, which is above the source or the source itself, and the source are no links. `folder`
    says what the source is expected to be.
    """

    source: str
    path: str
    root: str = ""
    folder: bool = False


@dataclass(frozen=True, slots=True)
class Archive:
    """What was read, and which sources could not be read as one consistent whole.

    `large` is a file that is still to be read, and then the only item.
    """

    read: tuple[tuple[Item, Entry], ...]
    failed: tuple[tuple[Item, str], ...] = ()
    large: Item | None = None

    @property
    def items(self) -> tuple[Item, ...]:
        """What is inside."""
        return (self.large,) if self.large is not None else tuple(item for item, _ in self.read)

    @property
    def size(self) -> int:
        """Bytes of content, as far as it was read."""
        return sum(len(entry.content) for _, entry in self.read)

    @property
    def links(self) -> frozenset[str]:
        """The paths of the symbolic links."""
        return frozenset(item.path for item, entry in self.read if entry.kind == tar.LINK)

    @property
    def data(self) -> bytes:
        """The tar."""
        return tar.packed(entry for _, entry in self.read)


def build(items: Iterable[Item], *, uid: int, gid: int, most: int = CHUNK_FILES) -> Iterator[Archive]:
    """Archives of at most 8 MiB or `most` entries each, one after the other; then each larger file alone. Blocking.

    Owners are the container's, never the host's. Links go as links. A file that changes while it is read is read
    again; one that never rests is reported in `failed` and not sent torn.
    """
    pending: list[tuple[Item, Entry]] = []
    failed: list[tuple[Item, str]] = []
    large: list[Item] = []
    weight = 0
    with DirFds() as opened:
        for item in items:
            try:
                found = read(item, opened, uid, gid)
            except OSError as error:
                failed.append((item, error.strerror or str(error)))
                continue
            if found is None:
                large.append(item)
                continue
            size = len(found.content)
            if pending and (weight + size > CHUNK_BYTES or len(pending) >= most):
                yield Archive(tuple(pending))
                pending, weight = [], 0
            pending.append((item, found))
            weight += size
    if pending or failed:
        yield Archive(tuple(pending), tuple(failed))
    for item in large:
        yield Archive((), large=item)


def is_small(items: Sequence[Item]) -> bool:
    """Whether they are read faster than a worker thread is woken."""
    if len(items) > SMALL_FILES:
        return False
    with contextlib.suppress(OSError):
        return sum(os.lstat(item.source).st_size for item in items) <= SMALL_BYTES
    return False


def folders(paths: Iterable[str], *, uid: int, gid: int) -> bytes:
    """A tar of folders with their owner, for container paths where nothing is yet."""
    now = time.time_ns()
    return tar.packed(Entry(_name(path), tar.FOLDER, NEW_FOLDER, now, uid, gid) for path in paths)


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
    item: Item, kind: bytes, found: os.stat_result, uid: int, gid: int, content: bytes = b"", link: bytes = b""
) -> Entry:
    """What the archive says of an item that was found so."""
    mode = found.st_mode & PERMISSIONS
    return Entry(_name(item.path), kind, mode, found.st_mtime_ns, uid, gid, content, link)


def _name(path: str) -> bytes:
    return os.fsencode(path.lstrip("/"))


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


def first_file(data: bytes) -> bytes:
    """The content of the first plain file in a tar, empty where there is none."""
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isfile() else None
            if file is not None:
                return file.read()
    return b""
