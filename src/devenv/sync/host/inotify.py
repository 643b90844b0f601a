"""Linux's inotify through ctypes: one watch per folder, detection of lost events, paths reported when quiet."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import field

from devenv.lazy_dataclass import dataclass

IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE = 0x2, 0x4, 0x8
IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x800
IN_Q_OVERFLOW, IN_IGNORED, IN_ISDIR = 0x4000, 0x8000, 0x40000000
IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_MASK_ADD = 0x1000000, 0x2000000, 0x4000000, 0x20000000
CHANGES = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
INSIDE = CHANGES | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD
ABOVE = (INSIDE | IN_MOVE_SELF) & ~IN_DONT_FOLLOW  # for a folder whose parent is not watched
HEADER = struct.Struct("iIII")
READ_BYTES = 1 << 17  # some 3,000 events: a flood blocks the event loop for a few milliseconds only
REST = 0.02  # seconds for which a written or removed path has to be quiet before it is looked at
REST_LIMIT = 0.2  # seconds after which it is looked at in any case


@dataclass(slots=True)
class EventBatch:
    """The result of one read: quiet paths, paths that may change again at once, and whether events were lost."""

    settled: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    lost: bool = False


class Inotify:
    """Watches on folders. `add` may be called from any thread. Raises OSError if the kernel has no instance left."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise _error()
        self._turn = threading.Lock()  # no event is read before the name of its watch is known
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}

    def close(self) -> None:
        """Remove all watches."""
        with self._turn:
            os.close(self.descriptor)
            self.descriptor = -1

    def add(self, folder: str, mask: int = INSIDE) -> bool:
        """Watch the folder; False if it was removed or cannot be read. Raises OSError if no watches are left."""
        with self._turn:
            watch = self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), mask)
            if watch >= 0:
                self._paths[watch] = folder
                self._watches[folder] = watch
            elif ctypes.get_errno() == errno.ENOSPC:
                raise _error()
        return bool(watch >= 0)

    def has_unread(self) -> bool:
        """Whether the kernel has events for the next `read`; it has them before a call that changes a file ends."""
        return fcntl.ioctl(self.descriptor, termios.FIONREAD, bytes(4)) != bytes(4)

    def __len__(self) -> int:
        return len(self._paths)

    def read(self) -> EventBatch:
        """Read the events since the last read, without blocking."""
        batch = EventBatch()
        moved: set[str] = set()
        created: set[str] = set()
        with self._turn:
            for watch, mask, name in self._events():
                batch.lost = batch.lost or bool(mask & IN_Q_OVERFLOW)
                folder = self._paths.get(watch)
                if folder is None:
                    continue
                path = f"{folder}/{os.fsdecode(name)}" if name else folder
                _note(batch, path, mask, created)
                if mask & IN_IGNORED:
                    self._forget(watch, folder)
                elif mask & IN_ISDIR and mask & (IN_MOVED_FROM | IN_MOVE_SELF):
                    moved.add(path)
            if moved:
                self._drop_trees(moved)
        whole = {path for path in created & batch.pending if not _is_empty(path)}  # a link, or renamed
        return EventBatch(batch.settled | whole, batch.pending - whole, batch.lost)

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

    def _drop_trees(self, folders: set[str]) -> None:
        """Remove the watches of folders that were moved away: their names are no longer valid.

        The event at the new place leads to a look, which watches the folders again.
        """
        prefixes = tuple(f"{folder}/" for folder in folders)
        for path in [p for p in self._watches if p in folders or p.startswith(prefixes)]:
            watch = self._watches[path]
            if self._paths.get(watch) == path:
                self._libc.inotify_rm_watch(self.descriptor, watch)
            self._forget(watch, path)

    def _forget(self, watch: int, folder: str) -> None:
        if self._paths.get(watch) == folder:
            del self._paths[watch]
        if self._watches.get(folder) == watch:
            del self._watches[folder]


class Debouncer:
    """Holds paths that may change again at once until they are quiet: an emptied file is about to be filled."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, float]] = {}  # path -> first and last event

    def seconds(self) -> float | None:
        """The maximum seconds until the next path is quiet; None if none is pending."""
        dues = [self._due(*times) for times in self._since.values()]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def over(self, batch: EventBatch) -> set[str]:
        """All paths that are quiet now: those closed or renamed at once, the others after a time without events."""
        now = time.monotonic()
        for path in batch.pending:
            self._since[path] = (self._since.get(path, (now, now))[0], now)
        for path in batch.settled:
            self._since.pop(path, None)
        quiet = {path for path, times in self._since.items() if now >= self._due(*times)}
        for path in quiet:
            del self._since[path]
        return batch.settled | quiet

    @staticmethod
    def _due(begun: float, last: float) -> float:
        return min(last + REST, begun + REST_LIMIT)


def _note(batch: EventBatch, path: str, mask: int, created: set[str]) -> None:
    """Record an event. The last event of a path counts; a changed mode says nothing about a path being written."""
    if mask & IN_CREATE and not mask & IN_ISDIR:
        created.add(path)
    elif not mask & IN_ATTRIB:
        created.discard(path)
    if path in created or mask & (IN_MODIFY | IN_DELETE):
        batch.pending.add(path)
        batch.settled.discard(path)
    elif not mask & IN_ATTRIB or path not in batch.pending:
        batch.settled.add(path)
        batch.pending.discard(path)


def _is_empty(path: str) -> bool:
    """Whether the path is an empty file, which is probably about to be filled."""
    try:
        state = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and not state.st_size


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
