"""Changes of the host's files: the difference of remembered and current states; loops of links, missing roots."""

from __future__ import annotations

import os
import posixpath
import struct
from collections.abc import Container, Iterable, Mapping
from enum import StrEnum
from typing import Any, Self

from devenv.lazy_dataclass import dataclass
from devenv.paths import below, is_below, is_within

MOST_LINKS = 40  # links that the kernel follows for one path (path_resolution(7))


class FileKind(StrEnum):
    """The kind of a path; OTHER are pipes, sockets, devices, and links that lead to themselves."""

    FILE = "file"
    DIR = "dir"
    LINK = "link"
    OTHER = "other"


_KINDS = tuple(FileKind)
_FILE, _FOLDER, _LINKED = map(_KINDS.index, (FileKind.FILE, FileKind.DIR, FileKind.LINK))
_HEAD, _STATUS = struct.Struct("<bh"), struct.Struct("<qqqQ")
_LINK = _HEAD.size + _STATUS.size  # where the text of a link begins
_CTIME = slice(_HEAD.size + 16, _HEAD.size + 24)
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
        packed = _HEAD.pack(_KINDS.index(kind), mode) + _status(size, mtime_ns, ctime_ns, inode)
        return super().__new__(cls, packed if link is None else packed + b"=" + os.fsencode(link))

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
        return os.fsdecode(self[_LINK + 1 :]) if len(self) > _LINK else None

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
        return self[_HEAD.size : _LINK] == _status(size, mtime_ns, ctime_ns, inode)

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


def _status(size: int, mtime_ns: int, ctime_ns: int, inode: int) -> bytes:
    try:
        return _STATUS.pack(size, mtime_ns, ctime_ns, inode)
    except struct.error:  # a time after the year 2262
        saved, changed = ((time + _TOP & _ALL) - _TOP for time in (mtime_ns, ctime_ns))
        return _STATUS.pack(size, saved, changed, inode & _ALL)


Manifest = dict[str, FileState]
Fresh = dict[str, FileState | None]  # the result of a look; None: the path does not exist


@dataclass(frozen=True, slots=True)
class Changes:
    """`present`: new or different, parents first. `gone`: with the last known state, deepest first.

    A path that changed its kind, or that came back with its folder, is in both: gone first, then present.
    """

    present: tuple[tuple[str, FileState], ...] = ()
    gone: tuple[tuple[str, FileState], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.present or self.gone)

    def without(self, paths: Container[str]) -> Changes:
        """The changes of all other paths."""
        return Changes(
            present=tuple((path, state) for path, state in self.present if path not in paths),
            gone=tuple((path, state) for path, state in self.gone if path not in paths),
        )


def diff(before: Mapping[str, FileState], now: Mapping[str, FileState | None]) -> Changes:
    """The difference for the touched paths in `now` (None: does not exist); all other paths are unchanged.

    All that was known below a removed folder is gone, too. An existing folder says nothing about its content: the
    caller has to look at what was known below it.
    """
    present: Manifest = {}
    gone: Manifest = {}
    for path, state in now.items():
        old = before.get(path)
        if old is not None and (state is None or state.kind is not old.kind):
            gone[path] = old
        if state is not None and (old is None or not state.is_same(old)):
            present[path] = state
            if old is not None and old.is_doubtful and state.kind in (FileKind.FILE, FileKind.LINK):
                gone[path] = old.but(kind=FileKind.DIR)  # a put replaces a file, but a folder may be in its way
    for path in _below_gone(gone, before, now):
        gone[path] = before[path]
        if (state := now.get(path)) is not None:
            present[path] = state
    return Changes(tuple(sorted(present.items())), tuple(sorted(gone.items(), key=deepest_first)))


def _below_gone(gone: Manifest, before: Mapping[str, FileState], now: Mapping[str, FileState | None]) -> list[str]:
    """Known paths below the folders that are gone, or that may be folders in the container."""
    folders = {path for path, old in gone.items() if old.kind is FileKind.DIR or _may_be_folder(old, now.get(path))}
    is_inside = below(folders)
    return [path for path in before if is_inside(path)] if folders else []


def _may_be_folder(old: FileState, now: FileState | None) -> bool:
    """Whether the path may be a folder in the container while the host has none there."""
    return old.is_doubtful and (now is None or now.kind is not FileKind.DIR)


def apply(manifest: Manifest, changes: Changes) -> Manifest:
    """The manifest after the changes: the same dict, changed in place, since it may be large."""
    for path, _ in changes.gone:
        manifest.pop(path, None)
    manifest.update(changes.present)
    return manifest


def deepest_first(item: tuple[str, FileState]) -> tuple[int, str]:
    """A sort key that puts folders after their content."""
    return -item[0].count("/"), item[0]


def loops(states: Mapping[str, FileState]) -> frozenset[str]:
    """The links among these states that lead to themselves, or to a loop, through other links."""
    texts = {path: state.link for path, state in states.items() if state.link is not None}
    return frozenset(path for path in texts if _is_loop(path, texts))


def with_loops(now: Mapping[str, FileState], fresh: dict[str, FileState | None]) -> dict[str, FileState | None]:
    """`fresh` with each loop as FileKind.OTHER and every other link as FileKind.LINK; `now` are the known states.

    An unchanged link is added if it has become a loop, or is no longer a loop. A loop keeps its text.
    """
    if not any(_is_link(state) or _is_link(now.get(path)) for path, state in fresh.items()):
        return fresh
    links = {path: state for path, state in now.items() if state.link is not None and path not in fresh}
    links |= {path: state for path, state in fresh.items() if state is not None and state.link is not None}
    looping = loops(links)
    kinds = {path: FileKind.OTHER if path in looping else FileKind.LINK for path in links}
    changed = {path: s.but(kind=kinds[path]) for path, s in links.items() if s.kind is not kinds[path]}
    return {**fresh, **changed}


def mark_loops(states: dict[str, FileState]) -> dict[str, FileState]:
    """Mark each loop among the states of a first look as FileKind.OTHER; the dict is changed in place."""
    states.update((path, states[path].but(kind=FileKind.OTHER)) for path in loops(states))
    return states


def _is_link(state: FileState | None) -> bool:
    return state is not None and state.link is not None


def _is_loop(path: str, texts: Mapping[str, str]) -> bool:
    """Whether following the path, component by component like the kernel, does not end."""
    left = path.split("/")[:0:-1]
    place, followed = "/", 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        place = posixpath.dirname(place) if name == ".." else f"{place.rstrip('/')}/{name}"
        text = texts.get(place)
        if text is None:
            continue
        followed += 1
        if followed > MOST_LINKS:
            return True
        left += text.split("/")[::-1]
        place = "/" if text.startswith("/") else posixpath.dirname(place)
    return False


def suppress_root_loss(
    before: Mapping[str, FileState], fresh: Fresh, roots: Iterable[str], held: frozenset[str]
) -> tuple[Fresh, frozenset[str]]:
    """`fresh` without the paths that disappeared together with a rule's root, and the roots that are held now.

    A root is held if it does not exist, if it is no longer a folder, or if it is another folder (by inode) that lacks
    more than half of the known content. It is held until a look finds otherwise: an unmounted folder is not deleted.
    (Mutagen halts if a root was emptied, deleted or changed its type; here everything else continues.)
    """
    now_held = set(held)
    for root in roots:
        if root not in before or (root not in fresh and root not in held):
            continue
        if root in fresh and _is_back(before, fresh, root):
            now_held.discard(root)
            continue
        now_held.add(root)
        gone = {path for path, state in fresh.items() if path == root or (state is None and is_within(path, root))}
        fresh = {path: state for path, state in fresh.items() if path not in gone}
    return fresh, frozenset(now_held)


def _is_back(before: Mapping[str, FileState], fresh: Fresh, root: str) -> bool:
    old, now = before[root], fresh[root]
    if now is None or old.kind is not FileKind.DIR:
        return now is not None
    if now.kind is not FileKind.DIR or now.inode == old.inode:
        return now.kind is FileKind.DIR
    known = [path for path in before if is_below(path, root)]
    lost = sum(1 for path in known if path in fresh and fresh[path] is None)
    return 2 * lost <= len(known)
