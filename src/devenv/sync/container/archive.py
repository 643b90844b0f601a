"""Batches of host files, for any transport; archives of folders, and the first file of an archive."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from devenv.sync.container import host_files, tar
from devenv.sync.container.host_files import SMALL_BYTES, DirFds, Item
from devenv.sync.container.tar import Entry

CHUNK_BYTES = host_files.LARGE_BYTES
CHUNK_FILES = 1000
SMALL_FILES = 8
NEW_FOLDER = 0o755
Entries = Sequence[tuple[Item, Entry]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Items that were read, and those that could not be read consistently, with the reasons.

    `large` is a file that is not read yet; it is then the only item.
    """

    entries: Entries
    failed: tuple[tuple[Item, str], ...] = ()
    large: Item | None = None


def build(items: Iterable[Item], *, uid: int, gid: int, most: int = CHUNK_FILES) -> Iterator[Batch]:
    """Batches of at most 8 MiB and `most` entries each, then each larger file by itself. Blocking.

    The owner is the container's user, never the host's. Links stay links. A file that changes while it is read is
    read again; one that changes all the time is in `failed`.
    """
    pending: list[tuple[Item, Entry]] = []
    failed: list[tuple[Item, str]] = []
    large: list[Item] = []
    weight = 0
    with DirFds() as opened:
        for item in items:
            try:
                entry = host_files.read(item, opened, uid, gid)
            except OSError as error:
                failed.append((item, error.strerror or str(error)))
                continue
            if entry is None:
                large.append(item)
                continue
            size = len(entry.content)
            if pending and (weight + size > CHUNK_BYTES or len(pending) >= most):
                yield Batch(tuple(pending))
                pending, weight = [], 0
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


def folders(paths: Iterable[str], *, uid: int, gid: int) -> bytes:
    """A tar of folders with their owner, for missing container paths."""
    now = time.time_ns()
    return tar.packed(Entry(os.fsencode(path.lstrip("/")), tar.FOLDER, NEW_FOLDER, now, uid, gid) for path in paths)


def first_file(data: bytes) -> bytes:
    """The content of the first regular file in a tar, b"" if there is none."""
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isfile() else None
            if file is not None:
                return file.read()
    return b""
