"""Whether a project lies in a git worktree, and what it is called there. Git itself is not run."""

from __future__ import annotations

import os
from collections.abc import Sequence

from devenv.compose import identity, yaml
from devenv.compose.files import Source, setting, upward

SIZE_LIMIT = 8192
_NAME = "COMPOSE_PROJECT_NAME"


def project_name(sources: Sequence[Source]) -> str | None:
    """The name for `-p`; None in no worktree, and where the file or the environment names the project."""
    folder = sources[0].folder
    found = worktree(folder)
    if found is None or setting(folder, _NAME) or any(yaml.at(source.node, ["name"]) for source in sources):
        return None
    return identity.worktree_project(*found)


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
            name = identity.repository(common) if above == folder else os.path.basename(folder)
            return name, os.path.basename(git)
    return None


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
