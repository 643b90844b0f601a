"""How the host's files changed: states remembered, states seen now, and the difference."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from devenv.paths import below


class Kind(StrEnum):
    """What a path is; OTHER are pipes, sockets, devices, and links that lead to themselves."""

    FILE = "file"
    DIR = "dir"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class FileState:
    """The lstat of one path: size in bytes, times in nanoseconds, `link` the text of a symbolic link."""

    kind: Kind
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    link: str | None = None

    def is_same(self, other: FileState) -> bool:
        """Whether nothing has to be synced: a folder's own mode, size and times are left to the container."""
        if self.kind is not other.kind or self.is_doubtful is not other.is_doubtful:
            return False
        if self.kind is Kind.FILE:
            return self == other
        if self.kind is Kind.LINK:
            # The same link created again is a change: something else may have been read in between.
            return (self.link, self.ctime_ns, self.inode) == (other.link, other.ctime_ns, other.inode)
        return self.kind is Kind.DIR or self.link == other.link

    @property
    def is_doubtful(self) -> bool:
        """Whether it is unknown what the container has there."""
        return self.mode < 0

    def doubtful(self) -> FileState:
        """A state that equals none that the host can have: a folder, or what may be any kind of file."""
        kind = Kind.FILE if self.kind is Kind.OTHER else self.kind
        return replace(self, kind=kind, mode=-1, link=None)


Manifest = dict[str, FileState]


@dataclass(frozen=True, slots=True)
class Changes:
    """`present`: new or different, folders before what they hold. `gone`: with the last known state, deepest first.

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
    """The difference for the touched paths in `now` (None: not there); all other paths are as before.

    All that was known below a folder is gone with it. A folder that is still there says nothing about its content:
    the caller has to look at what was known below it, too.
    """
    present: Manifest = {}
    gone: Manifest = {}
    for path, state in now.items():
        old = before.get(path)
        if old is not None and (state is None or state.kind is not old.kind):
            gone[path] = old
        if state is not None and (old is None or not state.is_same(old)):
            present[path] = state
            if old is not None and old.is_doubtful and state.kind in (Kind.FILE, Kind.LINK):
                gone[path] = replace(old, kind=Kind.DIR)  # what is put replaces a file; a folder may be in its way
    for path in _below_gone(gone, before, now):
        gone[path] = before[path]
        if (state := now.get(path)) is not None:
            present[path] = state
    return Changes(tuple(sorted(present.items())), tuple(sorted(gone.items(), key=_deepest_first)))


def _below_gone(
    gone: Mapping[str, FileState], before: Mapping[str, FileState], now: Mapping[str, FileState | None]
) -> list[str]:
    """What was known below the folders that have gone, or that may be folders in the container."""
    folders = {path for path, state in gone.items() if state.kind is Kind.DIR or _may_be_folder(state, now.get(path))}
    if not folders:
        return []
    is_inside = below(folders)
    return [path for path in before if is_inside(path)]


def _may_be_folder(old: FileState, now: FileState | None) -> bool:
    """Whether it may be a folder in the container while the host has none there."""
    return old.is_doubtful and (now is None or now.kind is not Kind.DIR)


def apply(manifest: Manifest, changes: Changes) -> Manifest:
    """The manifest after the changes: the same dict, changed in place, since it may hold a large tree."""
    for path, _ in changes.gone:
        manifest.pop(path, None)
    manifest.update(changes.present)
    return manifest


def _deepest_first(item: tuple[str, FileState]) -> tuple[int, str]:
    return -item[0].count("/"), item[0]
