"""Git worktrees of small repositories: made by git, or by hand with the files that git writes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

WHO = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "protocol.file.allow=always"]


def git(folder: Path, *args: str) -> None:
    """Run git in the folder, with an author and without an outer repository."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", *WHO, *args], cwd=folder, env=env, check=True, capture_output=True)


def repository(folder: Path) -> Path:
    """Make the folder a repository with all its files committed."""
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "begin", "--allow-empty")
    return folder


def add(main: Path, tree: Path) -> Path:
    """Make `tree` a worktree of the repository, with a branch of its own."""
    git(main, "worktree", "add", "-q", "-b", f"branch/{tree.name}", str(tree))
    return tree


def linked(tree: Path, main: Path, name: str, *, relative: bool = False) -> Path:
    """Make `tree` a worktree of the repository in `main`, by hand."""
    own = main / ".git/worktrees" / name
    for folder in (tree, own):
        folder.mkdir(parents=True)
    (own / "commondir").write_text("../..\n")
    (tree / ".git").write_text(f"gitdir: {os.path.relpath(own, tree) if relative else own}\n")
    return tree
