"""The name of a project by the folder or the git worktree that it lies in. Pure."""

from __future__ import annotations

import hashlib
import os
import re

LONGEST = 40


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


def folder_project(folder: str) -> str:
    """The name that Compose gives to a project in that folder, empty where it can make none of the folder's."""
    return re.sub(r"[^a-z0-9_-]", "", os.path.basename(folder).lower()).lstrip("_-")


def plain(name: str) -> str:
    """As Compose makes a project's name of a folder's, but no longer than it is good for."""
    return folder_project(name)[:LONGEST]
