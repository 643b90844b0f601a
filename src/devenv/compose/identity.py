"""The name of a project by its git worktree. Git itself is not run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from devenv.compose import yaml
from devenv.compose.files import Source, setting, upward
from devenv.model.project import folder_project

LONGEST = 40  # characters of a name that is derived from a folder
SIZE_LIMIT = 8192
_NAME = "COMPOSE_PROJECT_NAME"


def project_name(sources: Sequence[Source]) -> str | None:
    """The name for `-p`; None outside worktrees, or if a file or the environment names the project."""
    folder = sources[0].folder
    place = worktree(folder)
    if place is None or setting(folder, _NAME) or any(yaml.at(source.node, ["name"]) for source in sources):
        return None
    return worktree_project(*place)


def worktree(folder: str) -> tuple[str, str] | None:
    """The name of the folder in the main tree, and the name of its git worktree; None if it is in no worktree.

    A submodule has a `.git` file too, but no common folder: the tree that contains it counts.
    """
    for above in upward(folder):
        path = os.path.join(above, ".git")
        if os.path.isdir(path):
            return None
        git = _named(path, above, "gitdir: ")
        common = git and _named(os.path.join(git, "commondir"), git)
        if git and common:
            name = repository(common) if above == folder else os.path.basename(folder)
            return name, os.path.basename(git)
    return None


def worktree_project(project: str, worktree: str) -> str:
    """A name that Compose accepts: the project's and the worktree's, or only the latter if it starts with the former.

    If the name of the worktree is not valid (capitals, dots, too long), a short hash replaces what is lost. So two
    worktrees of one repository never have the same name, and never share data.
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


def _named(path: str, folder: str, before: str = "") -> str | None:
    """The path in a file of one line, which is relative to `folder`; None if there is none."""
    if not os.path.isfile(path):  # opening a pipe could block
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            line = file.read(SIZE_LIMIT)
    except OSError:
        return None
    named = line.removeprefix(before).rstrip("\n")
    return os.path.normpath(os.path.join(folder, named)) if line.startswith(before) and named else None
