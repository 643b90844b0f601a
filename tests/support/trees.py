"""A folder on the host and one in a container, each as path -> entry."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from support import docker_cli


@dataclass(frozen=True)
class Entry:
    """A file, folder or link; `content` is its text, or the destination of a link. A folder's mode does not count."""

    kind: str
    mode: int
    content: str


def on_host(folder: Path) -> dict[str, Entry]:
    """Everything below the folder, by relative path, except links to themselves, which are not synced."""
    tree = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) and _is_loop(path):
            continue
        if stat.S_ISLNK(mode):
            entry = Entry("link", 0o777, os.readlink(path))
        elif stat.S_ISDIR(mode):
            entry = Entry("folder", 0, "")
        else:
            entry = Entry("file", mode & 0o777, path.read_text("utf-8"))
        tree[str(path.relative_to(folder))] = entry
    return tree


def _is_loop(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def in_container(container: str, folder: str) -> dict[str, Entry]:
    """Everything below the folder, by relative path; empty if there is no such folder."""
    return {path: _entry(archive, member) for archive, path, member in _members(container, folder)}


def owners(container: str, folder: str) -> dict[str, tuple[int, int]]:
    """Uid and gid of everything below the folder, by relative path, the folder itself as `.`."""
    return {path or ".": (member.uid, member.gid) for _, path, member in _members(container, folder, top=True)}


def _members(container: str, folder: str, *, top: bool = False) -> list[tuple[tarfile.TarFile, str, tarfile.TarInfo]]:
    answer = docker_cli.request("GET", f"/containers/{container}/archive?path={quote(folder)}")
    if answer.status != 200:
        return []
    archive = tarfile.open(fileobj=io.BytesIO(answer.body))  # noqa: SIM115 - it holds memory, no file
    try:
        members = archive.getmembers()
    except tarfile.ReadError:
        return []  # the tree changed while docker read it
    parted = ((member, member.name.partition("/")[2].rstrip("/")) for member in members)
    return [(archive, path, member) for member, path in parted if path or top]


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    if member.issym():
        return Entry("link", 0o777, member.linkname)
    if member.isdir():
        return Entry("folder", 0, "")
    file = archive.extractfile(member)
    return Entry("file", member.mode & 0o777, file.read().decode() if file else "")


def tar(path: str = "tmp/file", size: int = 200) -> bytes:
    """A tar of one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(path)
        entry.size = size
        archive.addfile(entry, io.BytesIO(b"x" * size))
    return out.getvalue()
