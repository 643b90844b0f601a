"""Linked git worktrees: which one contains a folder, its folder in the main worktree, and a project's name there."""

from __future__ import annotations

import os

from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.paths import ancestors, folder_project

with LazyImports():  # few names need it
    import hashlib

LONGEST = 40  # characters of a name that is derived from a folder
SIZE_LIMIT = 8192
SHORT = 7  # characters of a commit's id


@dataclass(frozen=True, slots=True)
class Worktree:
    """The linked git worktree of a folder. `project`: the folder's name in the main worktree; `name`: the worktree's.

    `root`: the root of the worktree; `main`: that of the main worktree, empty if the repository is bare.
    """

    project: str
    name: str
    root: str
    main: str

    def in_main(self, path: str) -> str:
        """The same path in the main worktree; empty if there is no main worktree."""
        return os.path.normpath(os.path.join(self.main, os.path.relpath(path, self.root))) if self.main else ""


def upward(folder: str) -> tuple[str, ...]:
    """The folder, then its parents."""
    return (folder, *ancestors(folder), "/")


def git_worktree(folder: str) -> Worktree | None:
    """The git worktree that contains the folder; None for the main worktree, or without git.

    A submodule has a `.git` file too, but no common folder: the search goes on in the tree that contains it.
    """
    for above in upward(folder):
        path = os.path.join(above, ".git")
        if os.path.isdir(path):
            return None
        git = _named(path, above, "gitdir: ")
        common = git and _named(os.path.join(git, "commondir"), git)
        if git and common:
            project = repository(common) if above == folder else os.path.basename(folder)
            main = os.path.dirname(common) if common.endswith("/.git") else ""
            return Worktree(project, os.path.basename(git), above, main)
    return None


def branch(folder: str) -> str | None:
    """The git branch of the folder, or the short id of the commit; None if it is in no repository."""
    for above in upward(folder):
        path = os.path.join(above, ".git")
        git = path if os.path.isdir(path) else _named(path, above, "gitdir: ")
        if git is not None:
            head = os.path.join(git, "HEAD")
            return _named(head, "", "ref: refs/heads/") or (_named(head, "") or "")[:SHORT] or None
    return None


def worktree_project(project: str, worktree: str) -> str:
    """A name that Compose accepts: the project's and the worktree's, or only the latter if it starts with the former.

    If the name of the worktree is not valid (capitals, dots, too long), a short hash is appended. So two worktrees of
    a repository never have the same name, and never share data.
    """
    base, own = plain(project), plain(worktree)
    if own != worktree:
        own = f"{own}-{hashlib.sha256(os.fsencode(worktree)).hexdigest()[:4]}".lstrip("-")
    return own if not base or own.startswith((f"{base}-", f"{base}_")) else f"{base}-{own}"


def repository(common: str) -> str:
    """The name of the repository with this git folder: `shop` for /home/me/shop/.git and for /srv/shop.git."""
    name = os.path.basename(common)
    return (os.path.basename(os.path.dirname(common)) if name.startswith(".") else name).removesuffix(".git")


def plain(name: str) -> str:
    """The name that Compose derives from a folder's, with a limit on its length."""
    return folder_project(name)[:LONGEST]


def _named(path: str, folder: str, prefix: str = "") -> str | None:
    """The path, relative to `folder`, after `prefix` in a file of one line; None if there is none."""
    if not os.path.isfile(path):  # opening a pipe could block
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            line = file.read(SIZE_LIMIT)
    except OSError:
        return None
    named = line.removeprefix(prefix).rstrip("\n")
    return os.path.normpath(os.path.join(folder, named)) if line.startswith(prefix) and named else None
