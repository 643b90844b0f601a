"""The name of a project by the git worktree that it lies in. Git itself is not run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from devenv.compose import yaml
from devenv.compose.files import Source, setting, upward
from devenv.model.project import folder_project

LONGEST = 40  # characters of a name that is made of a folder's
SIZE_LIMIT = 8192
_NAME = "COMPOSE_PROJECT_NAME"


def project_name(sources: Sequence[Source]) -> str | None:
    """The name for `-p`; None in no worktree, and where the file or the environment names the project."""
    folder = sources[0].folder
    found = worktree(folder)
    if found is None or setting(folder, _NAME) or any(yaml.at(source.node, ["name"]) for source in sources):
        return None
    return worktree_project(*found)


def worktree(folder: str) -> tuple[str, str] | None:
    """What the folder is called in the main tree, and the worktree that it lies in; None where it lies in none.

    A submodule has a `.git` file, too, but nothing in common with another tree: what counts is what holds it.
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
    """A name that Compose accepts: the project's, then the worktree's, once where that begins with the project's.

    A worktree whose name a project cannot have (capitals, dots, too long) gets a mark of its own instead of what is
    lost, so that two of one repository never share a name and with it their data.
    """
    base, own = plain(project), plain(worktree)
    if own != worktree:
        own = f"{own}-{hashlib.sha256(os.fsencode(worktree)).hexdigest()[:4]}".lstrip("-")
    return own if not base or own.startswith((f"{base}-", f"{base}_")) else f"{base}-{own}"


def repository(common: str) -> str:
    """What the repository with this git folder is called: `shop` for /home/me/shop/.git and for /srv/shop.git."""
    name = os.path.basename(common)
    return (os.path.basename(os.path.dirname(common)) if name.startswith(".") else name).removesuffix(".git")


def plain(name: str) -> str:
    """As Compose makes a project's name of a folder's, but no longer than it is good for."""
    return folder_project(name)[:LONGEST]


def _named(path: str, folder: str, before: str = "") -> str | None:
    """The path that a file of one line names, relative to `folder`."""
    if not os.path.isfile(path):  # a pipe would hold us
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            line = file.read(SIZE_LIMIT)
    except OSError:
        return None
    named = line.removeprefix(before).rstrip("\n")
    return os.path.normpath(os.path.join(folder, named)) if line.startswith(before) and named else None
