"""Linux's own events through ctypes: one watch a folder that no rule ignores, and word of it when events are lost.

A portable watcher can neither leave ignored trees out nor tell of an overflow, and pays for latency with idle time.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass

import anyio

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
IN_DONT_FOLLOW = 0x2000000
IN_EXCL_UNLINK = 0x4000000
IN_ISDIR = 0x40000000

WATCHED = (
    IN_MODIFY
    | IN_ATTRIB
    | IN_CLOSE_WRITE
    | IN_MOVED_FROM
    | IN_MOVED_TO
    | IN_CREATE
    | IN_DELETE
    | IN_DELETE_SELF
    | IN_MOVE_SELF
    | IN_ONLYDIR
    | IN_DONT_FOLLOW
    | IN_EXCL_UNLINK
)
HEADER = struct.Struct("iIII")
READ_BYTES = 1 << 20
WRITE_REST = 0.02  # seconds: a file that is open and written to is looked at when it was quiet for so long
WRITE_LIMIT = 0.2  # or, if it never is, after so long

Prune = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one read told: paths that rest, paths that are being written, and whether events were lost."""

    settled: frozenset[str]
    writing: frozenset[str]
    lost: bool = False


class Inotify:
    """Watches on folder trees. Every method but `read` may block on the disk: call them in a worker thread.

    Raises OSError (ENOSPC, EMFILE) where the kernel has no watches or instances left.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise _error("inotify_init1")
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}

    def close(self) -> None:
        """All watches gone."""
        os.close(self.descriptor)

    def add_tree(self, folder: str, prune: Prune) -> None:
        """Watches on the folder and on every folder below it that is not ignored, links not followed."""
        todo = [folder]
        while todo:
            path = todo.pop()
            if prune(path) or not self.add(path):
                continue
            try:
                with os.scandir(path) as entries:
                    todo.extend(e.path for e in entries if e.is_dir(follow_symlinks=False))
            except OSError:
                continue

    def add(self, folder: str) -> bool:
        """Whether the folder is watched now; it is not where it has gone or may not be read."""
        watch = self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), WATCHED)
        if watch < 0:
            error = _error(folder)
            if isinstance(error, (FileNotFoundError, NotADirectoryError, PermissionError)):
                return False
            raise error
        self._paths[watch] = folder
        self._watches[folder] = watch
        return True

    def __len__(self) -> int:
        return len(self._paths)

    def read(self) -> tuple[Batch, tuple[str, ...]]:
        """What happened since the last read, and the folders that came or went, watches included. Never blocks."""
        settled: set[str] = set()
        writing: set[str] = set()
        new: list[str] = []
        lost = False
        for watch, mask, name in self._events():
            lost = lost or bool(mask & IN_Q_OVERFLOW)
            folder = self._paths.get(watch)
            if folder is None:
                continue
            path = f"{folder}/{os.fsdecode(name)}" if name else folder
            if mask & IN_IGNORED:
                self._forget(watch, folder)
            elif mask & IN_MODIFY:
                writing.add(path)
            else:
                settled.add(path)
                writing.discard(path)
            if (mask & IN_ISDIR and mask & (IN_CREATE | IN_MOVED_TO)) or mask & IN_DELETE_SELF:
                new.append(path)
            if mask & IN_ISDIR and mask & IN_MOVED_FROM:
                self._drop_tree(path)
        return Batch(frozenset(settled), frozenset(writing), lost), tuple(new)

    def _events(self) -> Iterator[tuple[int, int, bytes]]:
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, length = HEADER.unpack_from(data, at)
            at += HEADER.size
            yield watch, mask, data[at : at + length].rstrip(b"\0")
            at += length

    def _drop_tree(self, folder: str) -> None:
        """A folder that moved away keeps its watches under a name that is not its own any more."""
        prefix = f"{folder}/"
        for path in [p for p in self._watches if p == folder or p.startswith(prefix)]:
            self._libc.inotify_rm_watch(self.descriptor, self._watches[path])
            self._forget(self._watches[path], path)

    def _forget(self, watch: int, folder: str) -> None:
        self._paths.pop(watch, None)
        if self._watches.get(folder) == watch:
            del self._watches[folder]


async def changes(roots: tuple[str, ...], prune: Prune) -> AsyncGenerator[frozenset[str], None]:
    """Sets of paths at or below the roots that may have changed; all roots once it stands, or if events were lost.

    Raises OSError where the kernel has no watches or instances left.
    """
    watches = Inotify()
    rest = _Rest()
    try:
        await anyio.to_thread.run_sync(_stand, watches, roots, prune)
        yield frozenset(roots)
        while True:
            with anyio.move_on_after(rest.seconds()):
                await anyio.wait_readable(watches.descriptor)
            batch, new = watches.read()
            if batch.lost:
                await anyio.to_thread.run_sync(_stand, watches, roots, prune)
            elif new:
                await anyio.to_thread.run_sync(_extend, watches, new, roots, prune)
            found = batch.settled | rest.over(batch) | {*new, *_begun_anew(new, roots)}
            told = frozenset(roots) if batch.lost else frozenset(p for p in found if below(p, roots))
            if told:
                yield told
    finally:
        watches.close()


def nearest(root: str) -> str:
    """The folder whose events tell of a root that is a file, a link, or not there."""
    folder = os.path.dirname(root)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def below(path: str, roots: Iterable[str]) -> bool:
    """Whether the path is one of the roots or lies in one."""
    return any(path == root or path.startswith(f"{root.rstrip('/')}/") for root in roots)


class _Rest:
    """Paths that are open and written to, until they rest: a file cut to nothing and not yet filled is no news."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, float]] = {}  # path -> first and last write

    def seconds(self) -> float | None:
        """How long to wait at most; None while nobody writes."""
        dues = [self._due(*times) for times in self._since.values()]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def over(self, batch: Batch) -> set[str]:
        """The paths that rest by now; those that were closed or renamed are settled anyway."""
        now = time.monotonic()
        for path in batch.writing:
            self._since[path] = (self._since.get(path, (now, now))[0], now)
        for path in batch.settled - batch.writing:
            self._since.pop(path, None)
        done = {path for path, times in self._since.items() if now >= self._due(*times)}
        for path in done:
            del self._since[path]
        return done

    @staticmethod
    def _due(begun: float, last: float) -> float:
        return min(last + WRITE_REST, begun + WRITE_LIMIT)


def _stand(watches: Inotify, roots: Iterable[str], prune: Prune) -> None:
    """Watches on every root and, for the day when it goes or comes back, on the folder that it lies in."""
    for root in roots:
        watches.add(nearest(root))
        if not os.path.islink(root):
            watches.add_tree(root, prune)


def _extend(watches: Inotify, new: Iterable[str], roots: tuple[str, ...], prune: Prune) -> None:
    for folder in new:
        if below(folder, roots):
            watches.add_tree(folder, prune)
    _stand(watches, _begun_anew(new, roots), prune)


def _begun_anew(changed: Iterable[str], roots: Iterable[str]) -> list[str]:
    """The roots that came or went with the folders that they are or lie in."""
    return [root for root in roots if below(root, changed)]


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
