"""Folders opened one below the other, so that nothing is ever reached through a link inside the tree."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

KEPT = 64
FOLDER = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)  # only Linux has O_PATH


class DirFds:
    """Descriptors of folders below roots, kept while it lasts; a context manager."""

    def __init__(self) -> None:
        self._folders: dict[str, int] = {}

    def place(self, path: str, root: str) -> tuple[int, str]:
        """The descriptor of the folder that the path is in, and the path's name there.

        `root` itself is above the path, or is the path; "" stands for its folder. OSError where a folder between
        them is a link or is not there.
        """
        if len(self._folders) > KEPT:
            self.close()
        folder, name = os.path.split(path)
        return self._at(folder, root if root and root != path else folder), name

    def _at(self, folder: str, root: str) -> int:
        found = self._folders.get(folder)
        if found is None:
            if folder == root:
                found = os.open(folder, FOLDER)
            else:
                above, name = os.path.split(folder)
                found = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=self._at(above, root))
            self._folders[folder] = found
        return found

    def close(self) -> None:
        """Every descriptor closed."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every descriptor closed."""
        self.close()
