"""The skill file for coding agents: the documentation's page for them, where their tools look for it."""

from __future__ import annotations

import os
import re

from devenv import docs_folder
from devenv.errors import StateError
from devenv.scaffold.new.place import place, taken
from devenv.scaffold.new.template import File

SKILL = "skills/devenv/SKILL.md"
STANDARD = ".agents"  # the folder that all tools share
OWN = (".claude", ".codex", ".cursor", ".gemini", ".opencode")  # tools with folders of their own
ABOUT = """---
name: devenv
description: Run this Docker Compose project with devenv - start it, prove that an edit is live, read failures, use
  snapshots of data, work in parallel git worktrees. Use it for any task that starts, tests or debugs services.
---
"""


def skill() -> str:
    """The text of the skill file. Links to other pages are their names, for `devenv help`."""
    with open(os.path.join(docs_folder(), "guides", "agents.md"), encoding="utf-8") as file:
        text = file.read()
    return ABOUT + re.sub(r"\[([^\]]+)\]\((?:[./\w-]*/)?(\w[\w-]*)\.md\)", r"\1 (`devenv help \2`)", text)


def init(folder: str, *, overwrite: bool) -> list[str]:
    """Write the skill file into the folder, also for each tool that has a folder there; return the changed files.

    Raises StateError if a file with another text exists, unless `overwrite`; RefusedError if a link leads elsewhere.
    """
    tools = (name for name in OWN if os.path.isdir(os.path.join(folder, name)))
    paths = [f"{name}/{SKILL}" for name in (STANDARD, *tools)]
    content = skill().encode()
    other = [path for path in taken(paths, folder) if _content(os.path.join(folder, path)) != content]
    if other and not overwrite:
        raise StateError(f"{other[0]} exists and has another text", hint="devenv agent init --overwrite")
    changed = [path for path in paths if path in other or not os.path.lexists(os.path.join(folder, path))]
    if changed:
        place({path: File(content) for path in changed}, folder)
    return changed


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
