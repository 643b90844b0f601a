"""The variables of an added service: values in .env, names in .env.example, .env kept out of git and images."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence

from devenv.docker import process
from devenv.errors import EngineError, RefusedError
from devenv.paths import is_within
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.main_file import MainFile
from devenv.scaffold.add.proposal import FileEdit

_ASSIGNED = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*[=:][ \t]*("(?:\\.|[^"\\])*"|'[^']*'|[^#\r\n]*)""",
    re.MULTILINE | re.DOTALL,
)


async def env_edits(file: MainFile, variables: Sequence[str]) -> list[FileEdit]:
    """The variables in .env, with values where it has none; their names in .env.example; .env ignored by git."""
    folder = file.source.folder
    if not variables:
        return []
    names = (".env", ".env.example", ".gitignore", ".dockerignore")
    written = {one: os.path.join(folder, one) for one in names}
    before = {one: proposals.read(path) for one, path in written.items()}
    said = _variables(before[".env"])
    new = [name for name in variables if not said.get(name)]
    named = _variables(before[".env.example"])
    lines = {
        ".env": [f"{name}={secrets.token_hex(16)}" for name in new],
        ".env.example": [f"{name}=" for name in variables if name not in named],
        ".gitignore": [] if await _ignored(folder, before[".gitignore"]) else [".env"],
        ".dockerignore": [".env"] if _is_sent(file, before[".dockerignore"]) else [],
    }
    file.notes += [f"{name} is in .env already and stays as it is" for name in variables if name not in new]
    if new and await _git(folder, "ls-files", "--error-unmatch", ".env"):
        file.notes.append(".env is in git, where passwords do not belong: git rm --cached .env")
    for one, path in written.items():
        if lines[one] and not is_within(os.path.realpath(path), os.path.realpath(folder)):
            hint = f"Write it into that file yourself, then try again: {lines[one][0].partition('=')[0]}"
            raise RefusedError(f"{one} is a link out of the project; nothing was written", hint=hint)
    return [
        FileEdit(os.path.realpath(path), before[one], _appended(before[one], lines[one]), private=one == ".env")
        for one, path in written.items()
        if lines[one]
    ]


def _variables(data: bytes | None) -> dict[str, str]:
    """Name -> value of what a file of variables sets, without its quotes; the last one counts."""
    found = _ASSIGNED.findall((data or b"").decode(errors="replace"))
    return {name: value.strip("\"' \t") for name, value in found}


def _appended(data: bytes | None, lines: Sequence[str]) -> bytes:
    data = data or b""
    end = b"\r\n" if b"\r\n" in data else b"\n"
    gap = end if data and not data.endswith(b"\n") else b""
    return data + gap + b"".join(line.encode() + end for line in lines)


def _is_sent(file: MainFile, ignores: bytes | None) -> bool:
    """Whether a build of the project's folder would get .env, and an image could keep it."""
    builds = [model.get("build") for model in file.services.values() if isinstance(model, dict)]
    contexts = [build.get("context") if isinstance(build, dict) else build for build in builds]
    whole = any(isinstance(one, str) and os.path.normpath(one) == "." for one in contexts)
    return whole and not re.search(rb"^(/?(\*\*/)?\.env\*?|\*\*?)\s*$", ignores or b"", re.MULTILINE)


async def _ignored(folder: str, ignores: bytes | None) -> bool:
    if re.search(rb"^/?\.env\s*$", ignores or b"", re.MULTILINE):
        return True
    return await _git(folder, "check-ignore", "-q", ".env")


async def _git(folder: str, *arguments: str) -> bool:
    """Whether git says yes; without a repository it says no."""
    try:
        done = await process.run(["git", "-C", folder, *arguments])
    except EngineError:  # there is no git
        return False
    return done.returncode == 0
