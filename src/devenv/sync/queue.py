"""The paths that wait to be synced, in the order in which they are taken; and failed paths until their next try."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import field

from devenv.lazy_dataclass import dataclass

SLICE = 400  # paths at once, until their duration is known
SMALLEST, LARGEST = 40, 2000
SLICE_SECONDS = 0.12  # a file saved during a flood waits for little more than two slices
FEW = 11  # waiting paths of a folder that count as an edit, not as a flood
EXPRESS = 64
WHOLE = 200  # waiting paths of a folder that are taken together, if a slice has so many
FIRST_PAUSE = 0.25  # seconds until the next try; doubled after each failure
LAST_PAUSE = 4.0


class SyncQueue:
    """A set of absolute host paths that is taken in slices: deleted paths, folders with few paths, then the flood."""

    def __init__(self) -> None:
        self._gone: dict[str, None] = {}
        self._folders: dict[str, dict[str, None]] = {}
        self._count = 0
        self._slice = SLICE

    def took(self, paths: int, seconds: float) -> None:
        """Adapt the size of the next slices to the duration of this one."""
        if paths >= SMALLEST:
            self._slice = max(SMALLEST, min(LARGEST, int(paths * SLICE_SECONDS / seconds)))

    @property
    def has_many(self) -> bool:
        """Whether it is worth while to plan the next slice ahead."""
        return len(self) > SMALLEST

    def __len__(self) -> int:
        return len(self._gone) + self._count

    def __contains__(self, path: str) -> bool:
        return path in self._gone or path in self._folders.get(_folder(path), ())

    def __iter__(self) -> Iterator[str]:
        yield from self._gone
        for paths in self._folders.values():
            yield from paths

    def add(self, path: str, *, gone: bool) -> None:
        """Queue the path; the newest path of a folder is the last."""
        self._discard(path)
        if gone:
            self._gone[path] = None
        else:
            self._folders.setdefault(_folder(path), {})[path] = None
            self._count += 1

    def take(self) -> set[str]:
        """Take the next slice, or all paths if they are few.

        A slice has all deleted paths, since a folder is only removed when it is empty; and with each path its waiting
        parent folders, since they may have been files. A folder waits for its content: new files in a new folder are
        the fastest to put.
        """
        if len(self) <= self._slice:
            return self.take_all()
        taken = set(self._gone)
        self._gone.clear()
        tried: set[str] = set()
        small = [folder for folder, paths in reversed(self._folders.items()) if len(paths) <= FEW]
        for path in [path for folder in small for path in self._innermost(folder)][:EXPRESS]:
            self._move(path, taken, tried)
        for folder in [*self._folders]:
            if (left := self._slice - len(taken)) <= 0:
                break
            inside = self._innermost(folder)
            for path in inside if len(inside) <= min(WHOLE, self._slice) else inside[:left]:
                self._move(path, taken, tried)
        return taken

    def take_all(self) -> set[str]:
        """Take all paths."""
        taken = {*self._gone, *(path for paths in self._folders.values() for path in paths)}
        self._gone.clear()
        self._folders.clear()
        self._count = 0
        return taken

    def _innermost(self, folder: str) -> list[str]:
        return [path for path in self._folders.get(folder, ()) if path not in self._folders]

    def _move(self, path: str, taken: set[str], tried: set[str]) -> None:
        """Take the path, and its waiting parent folders."""
        while path and path not in tried:
            tried.add(path)
            if path in self:
                self._discard(path)
                taken.add(path)
            path = _folder(path)

    def _discard(self, path: str) -> None:
        self._gone.pop(path, None)
        folder = _folder(path)
        paths = self._folders.get(folder, {})
        if path in paths:
            del paths[path]
            self._count -= 1
            if not paths:
                del self._folders[folder]


@dataclass(slots=True)
class Retries:
    """Failed paths, and the time at which all of them are tried again."""

    paths: set[str] = field(default_factory=set)
    due: float = math.inf
    _pause: float = FIRST_PAUSE

    def add(self, failed: set[str], now: float, *, at_least: float = 0.0) -> None:
        """Let these paths wait. `at_least` seconds count only if nothing is due earlier: all are tried together."""
        self.paths |= failed
        self.due = min(self.due, now + max(self._pause, at_least))
        self._pause = min(2 * self._pause, LAST_PAUSE)

    def take(self, now: float) -> set[str]:
        """The paths that are due; they are removed."""
        if now < self.due:
            return set()
        paths, self.paths, self.due = self.paths, set(), math.inf
        return paths

    def relax(self) -> None:
        """Reset the pause to the shortest one unless paths are waiting: a plan has succeeded."""
        if not self.paths:
            self._pause = FIRST_PAUSE

    def hasten(self, now: float) -> None:
        """Try again after the shortest pause: a container has been added."""
        self._pause = FIRST_PAUSE
        if self.paths:
            self.due = now + self._pause


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
