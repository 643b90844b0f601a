"""The variables of added services: set in .env, listed in .env.example, and kept out of git and images."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection, Sequence

from devenv.docker import process
from devenv.errors import RefusedError
from devenv.paths import is_within
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.proposal import FileEdit, MainFile

_ASSIGNED = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*[=:][ \t]*("(?:\\.|[^"\\])*"|'[^']*'|[^#\r\n]*)""",
    re.MULTILINE | re.DOTALL,
)


async def edits(file: MainFile, variables: Sequence[str]) -> Collection[FileEdit]:
    """Edits that set the variables in .env, list them in .env.example, and let git ignore .env."""
    if not variables:
        return ()
    folder = file.source.folder
    env, example, git, docker = (
        proposals.read(os.path.join(folder, name)) or b""
        for name in (".env", ".env.example", ".gitignore", ".dockerignore")
    )
    new = _unset(variables, env)
    file.notes += [f"{name} is in .env already and stays as it is" for name in variables if name not in new]
    if await process.git(folder, "ls-files", "--error-unmatch", ".env") is not None:
        if not new:  # it is shared as it is
            return ()
        file.notes.append(".env is in git, where passwords do not belong: git rm --cached .env")
    is_listed = re.search(rb"^/?\.env\s*$", git, re.MULTILINE) is not None
    is_ignored = is_listed or await process.git(folder, "check-ignore", "-q", ".env") is not None
    lines = {
        ".env": [f"{name}={secrets.token_hex(16)}" for name in new],
        ".env.example": [f"{name}=" for name in _unset(variables, example, may_be_empty=True)],
        ".gitignore": [] if is_ignored else [".env"],
        ".dockerignore": [".env"] if _is_sent(file, docker) else [],
    }
    return [_appended(folder, name, added_lines) for name, added_lines in lines.items() if added_lines]


def _unset(variables: Sequence[str], data: bytes, *, may_be_empty: bool = False) -> list[str]:
    """The variables that a file does not set."""
    values = assigned(data)
    return [name for name in variables if not (name in values if may_be_empty else values.get(name))]


def assigned(data: bytes) -> dict[str, str]:
    """The variables that an env file sets; the last value of a variable counts."""
    return {name: value.strip("\"' \t") for name, value in _ASSIGNED.findall(data.decode(errors="replace"))}


def _appended(folder: str, name: str, lines: Sequence[str]) -> FileEdit:
    """The edit that appends lines to a file of the project. Raises RefusedError for a link out of the project."""
    path = os.path.realpath(os.path.join(folder, name))
    if not is_within(path, os.path.realpath(folder)):
        hint = f"Write it into that file yourself, then try again: {lines[0].partition('=')[0]}"
        raise RefusedError(f"{name} is a link out of the project; nothing was written", hint=hint)
    before = proposals.read(path)
    data = before or b""
    end = b"\r\n" if b"\r\n" in data else b"\n"
    gap = end if data and not data.endswith(b"\n") else b""
    return FileEdit(
        path, before, data + gap + b"".join(line.encode() + end for line in lines), private=name == ".env"
    )


def _is_sent(file: MainFile, ignores: bytes) -> bool:
    """Whether a build of the project's folder would receive .env, so that an image may contain it."""
    builds = [model.get("build") for model in file.services.values() if isinstance(model, dict)]
    contexts = [build.get("context") if isinstance(build, dict) else build for build in builds]
    whole = any(isinstance(context, str) and os.path.normpath(context) == "." for context in contexts)
    return whole and not re.search(rb"^(/?(\*\*/)?\.env\*?|\*\*?)\s*$", ignores, re.MULTILINE)
