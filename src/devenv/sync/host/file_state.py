"""The state of one path of the host, in as few bytes as it takes."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any, Self


class FileKind(StrEnum):
    """The kind of a path; OTHER are pipes, sockets, devices, and links that lead to themselves."""

    FILE = "file"
    DIR = "dir"
    LINK = "link"
    OTHER = "other"


_KINDS = tuple(FileKind)
_FILE, _FOLDER, _LINKED = map(_KINDS.index, (FileKind.FILE, FileKind.DIR, FileKind.LINK))
_WHOLE, _HEAD, _STATUS = struct.Struct("<bhqqqQ"), struct.Struct("<bh"), struct.Struct("<qqqQ")
SIZE = _WHOLE.size  # bytes of a state; a link is longer by its text
_CTIME = slice(_HEAD.size + 16, _HEAD.size + 24)
PLAIN = bytes((_FILE, _FOLDER))  # the first bytes of states that never have a text
_SIGN = 0x80  # of the mode
_TOP, _ALL = 1 << 63, (1 << 64) - 1


class FileState(bytes):
    """The lstat of one path: size in bytes, times in nanoseconds, `link` the text of a symbolic link.

    The values are packed: each path of a tree has such an object, which is half as large as one with attributes. Of a
    time or a number that needs more than 64 bits, only equality is kept.
    """

    __slots__ = ()

    def __new__(
        cls, kind: FileKind, mode: int, size: int, mtime_ns: int, ctime_ns: int, inode: int, link: str | None = None
    ) -> Self:
        """The state with these values."""
        try:
            packed = _WHOLE.pack(_KINDS.index(kind), mode, size, mtime_ns, ctime_ns, inode)
        except struct.error:
            packed = _HEAD.pack(_KINDS.index(kind), mode) + _status(size, mtime_ns, ctime_ns, inode)
        return bytes.__new__(cls, packed if link is None else packed + b"=" + os.fsencode(link))

    @property
    def kind(self) -> FileKind:
        """The kind."""
        return _KINDS[self[0]]

    @property
    def mode(self) -> int:
        """The permissions; -1 if the state in the container is unknown."""
        return int(_HEAD.unpack_from(self)[1])

    @property
    def size(self) -> int:
        """The size in bytes."""
        return int(_STATUS.unpack_from(self, _HEAD.size)[0])

    @property
    def ctime_ns(self) -> int:
        """The time of the last change."""
        return int.from_bytes(self[_CTIME], "little", signed=True)

    @property
    def inode(self) -> int:
        """The number of the inode."""
        return int(_STATUS.unpack_from(self, _HEAD.size)[3])

    @property
    def link(self) -> str | None:
        """The text of a link; None for others."""
        return os.fsdecode(self[SIZE + 1 :]) if len(self) > SIZE else None

    def __repr__(self) -> str:
        return f"FileState{self._values()}"

    def _values(self) -> tuple[Any, ...]:
        return (self.kind, self.mode, *_STATUS.unpack_from(self, _HEAD.size), self.link)

    def but(self, **changes: Any) -> FileState:
        """The state with these values instead of its own."""
        names = ("kind", "mode", "size", "mtime_ns", "ctime_ns", "inode", "link")
        return FileState(**{**dict(zip(names, self._values(), strict=True)), **changes})

    def has_status(self, size: int, mtime_ns: int, ctime_ns: int, inode: int) -> bool:
        """Whether all of these are the same."""
        return self[_HEAD.size : SIZE] == _status(size, mtime_ns, ctime_ns, inode)

    def is_same(self, other: FileState) -> bool:
        """Whether nothing has to be synced: a folder's mode, size and times are left to the container."""
        kind = self[0]
        if kind != other[0] or self.is_doubtful is not other.is_doubtful:
            return False
        if kind == _FILE:
            return self == other
        if kind == _LINKED:
            # A link that was created again is a change: something else may have been read in between.
            return self[_CTIME.start :] == other[_CTIME.start :]
        return kind == _FOLDER or self.link == other.link

    @property
    def is_doubtful(self) -> bool:
        """Whether the state in the container is unknown."""
        return bool(self[2] & _SIGN)

    def doubtful(self) -> FileState:
        """A state that differs from every possible state of the host: a folder, or any kind of file."""
        kind = FileKind.FILE if self.kind is FileKind.OTHER else self.kind
        return self.but(kind=kind, mode=-1, link=None)


packed_state: Callable[[bytes], FileState] = partial(bytes.__new__, FileState)  # the state with these bytes


def _status(size: int, mtime_ns: int, ctime_ns: int, inode: int) -> bytes:
    try:
        return _STATUS.pack(size, mtime_ns, ctime_ns, inode)
    except struct.error:  # a time after the year 2262
        saved, changed = ((time + _TOP & _ALL) - _TOP for time in (mtime_ns, ctime_ns))
        return _STATUS.pack(size, saved, changed, inode & _ALL)
