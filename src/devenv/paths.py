"""Which path is below which: absolute, clean paths as text, of host or container; the project name of a folder."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator

PROJECT_NAME = "abcdefghijklmnopqrstuvwxyz0123456789_-"  # characters (Compose Specification, `name`)
FEW = 8  # folders that are compared with each path at once


def relative_to(path: str, folder: str) -> str | None:
    """The path below the folder, "" for the folder itself, None elsewhere."""
    if path == folder:
        return ""
    if not path.startswith(folder):
        return None
    at = len(folder)
    if path[at] == "/":
        return path[at + 1 :]
    return path[at:] if folder.endswith("/") else None


def normal(path: str) -> str:
    """The absolute path without `.`, `..` and repeated slashes, also at its start (where POSIX keeps two)."""
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")


def written(path: str, folder: str) -> str:
    """The path as people write it in a Compose file in the folder: `./src`, `.`, or absolute if it is elsewhere."""
    inside = relative_to(path, folder)
    return path if inside is None else f"./{inside}" if inside else "."


def is_within(path: str, *folders: str) -> bool:
    """Whether the path is one of the folders, or below one."""
    for folder in folders:  # noqa: SIM110 - quicker than `any`: it is asked for each path of a tree
        if relative_to(path, folder) is not None:
            return True
    return False


def is_below(path: str, folder: str) -> bool:
    """Whether the path is below the folder, and not the folder itself."""
    return bool(relative_to(path, folder))


def ancestors(path: str) -> Iterator[str]:
    """The folders above the path, nearest first, without the root."""
    cut = path.rfind("/")
    while cut > 0:
        path = path[:cut]
        yield path
        cut = path.rfind("/")


def with_parents(folders: Iterable[str]) -> set[str]:
    """The folders, and all folders above them without the root."""
    return {above for folder in set(folders) for above in (folder, *ancestors(folder))}


def below(folders: Collection[str]) -> Callable[[str], bool]:
    """A test of whether a path is below one of the folders: the same few steps, however many folders there are."""
    if len(folders) > FEW:
        folders = {folder for folder in folders if not any(above in folders for above in ancestors(folder))}
    if len(folders) <= FEW:
        prefixes = tuple(f"{folder.rstrip('/')}/" for folder in folders)
        return lambda path: path.startswith(prefixes)
    verdicts = {"": "/" in folders}

    def is_below_one(path: str) -> bool:
        above = path[: path.rfind("/")]
        verdict = verdicts.get(above)
        if verdict is None:
            verdict = verdicts[above] = above in folders or is_below_one(above)
        return verdict

    return is_below_one


def folder_project(folder: str) -> str:
    """The name that Compose gives to a project in the folder; empty if the folder's name has no usable character."""
    usable = (char for char in os.path.basename(folder).lower() if char in PROJECT_NAME)
    return "".join(usable).lstrip("_-")
