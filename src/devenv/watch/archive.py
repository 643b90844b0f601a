"""A plan's files read whole, before anything is sent; and what a tar from a container holds."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO

from devenv.watch import tar
from devenv.watch.opened import Opened
from devenv.watch.tar import Entry

READ_TRIES = 5
CHUNK_BYTES = 8 * 1024 * 1024
CHUNK_FILES = 1000
DIGEST_BYTES = 16
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
GONE = os.strerror(errno.ENOENT)
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
    """What was read, and which sources could not be read as one consistent whole."""

    read: tuple[tuple[Item, Entry], ...]
    failed: tuple[tuple[Item, str], ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """What is inside."""
        return tuple(item for item, _ in self.read)

    @property
    def size(self) -> int:
        """Bytes of content."""
        return sum(len(entry.content) for _, entry in self.read)

    @property
    def links(self) -> frozenset[str]:
        """The paths of the symbolic links."""
        return frozenset(item.path for item, entry in self.read if entry.kind == tar.LINK)

    @property
    def data(self) -> bytes:
        """The tar."""
        return tar.packed(entry for _, entry in self.read)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry read back from a container: mode bits, link target or a digest of the content."""

    kind: bytes
    mode: int
    content: str


FOLDER = Found(b"d", PERMISSIONS, "")  # its mode is the container's own affair


def build(items: Iterable[Item], *, uid: int, gid: int, most: int = CHUNK_FILES) -> Iterator[Archive]:
    """Archives of at most 8 MiB or `most` entries each (a larger file has its own), one after the other. Blocking.

    Owners are the container's, never the host's. Links go as links. A file that changes while it is read is read
    again; one that never rests is reported in `failed` and not sent torn.
    """
    pending: list[tuple[Item, Entry]] = []
    failed: list[tuple[Item, str]] = []
    weight = 0
    with Opened() as opened:
        for item in items:
            try:
                entry = _read(item, opened, uid, gid)
            except OSError as error:
                failed.append((item, error.strerror or str(error)))
                continue
            size = len(entry.content)
            if pending and (weight + size > CHUNK_BYTES or len(pending) >= most):
                yield Archive(tuple(pending))
                pending, weight = [], 0
            pending.append((item, entry))
            weight += size
    if pending or failed:
        yield Archive(tuple(pending), tuple(failed))


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


def entries(file: BinaryIO, parent: str) -> Iterator[tuple[str, Found]]:
    """What a tar from the container holds, one after the other, by absolute container path. Blocking.

    `parent` is where its names begin.
    """
    with tarfile.open(fileobj=file, mode="r|", errors="surrogateescape") as archive:
        for info in archive:
            path = "/" + os.path.normpath(f"{parent}/{info.name}").lstrip("/")  # normpath leaves `//` as it is
            if info.isfile():
                inside = archive.extractfile(info)
                yield path, Found(b"f", info.mode & PERMISSIONS, _digest_of(inside) if inside else digest(b""))
            elif info.issym():
                yield path, Found(b"l", PERMISSIONS, info.linkname)
            elif info.isdir():
                yield path, FOLDER
            archive.members = []  # type: ignore[attr-defined] # it would remember every one, and is not in the stubs


def _digest_of(file: IO[bytes]) -> str:
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    while piece := file.read(CHUNK_BYTES):
        found.update(piece)
    return found.hexdigest()


def expected(item: Item, opened: Opened) -> Found | None:
    """What the host path should look like when it is read back; None where it cannot be read. Blocking."""
    try:
        entry = _read(item, opened)
    except OSError:
        return None
    if entry.kind == tar.LINK:
        return Found(b"l", PERMISSIONS, os.fsdecode(entry.link))
    return FOLDER if entry.kind == tar.FOLDER else Found(b"f", entry.mode, digest(entry.content))


def digest(content: bytes) -> str:
    """A fingerprint that tells two contents apart."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest()


def _read(item: Item, opened: Opened, uid: int = 0, gid: int = 0) -> Entry:
    folder, name = opened.place(item.source, item.root)
    found = os.lstat(name, dir_fd=folder)
    content = link = b""
    if stat.S_ISLNK(found.st_mode):
        kind, link = tar.LINK, os.fsencode(os.readlink(name, dir_fd=folder))
    elif item.folder and stat.S_ISDIR(found.st_mode):
        kind = tar.FOLDER
    elif item.folder or stat.S_ISDIR(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, GONE)  # what was planned is not there any more
    elif stat.S_ISREG(found.st_mode):
        kind = tar.FILE
        found, content = _read_file(os.open(name, READ, dir_fd=folder))
    else:
        raise OSError(0, "neither a file nor a folder nor a link")
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
    raise OSError(0, "it is being written all the time")


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
