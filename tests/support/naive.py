"""A folder of the host and a folder of a container, both read directly, without any code of devenv.

`devenv sync --verify` must agree.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import os
import re
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from support.docker_cli import request

TARGET = "/app"
IGNORED = ".ignored"
STAGED = re.compile(rb"(^|/)\.devenv-\w+-\d+~(/|$)")


@dataclass(frozen=True)
class Entry:
    """A file, folder or link: `content` is its bytes or destination. A folder's mode does not count."""

    kind: str
    mode: int = 0
    content: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind} {self.mode:o} {len(self.content)} B {self.content[:24]!r}"


Tree = dict[bytes, Entry]


def on_host(folder: Path) -> Tree:
    """Everything below the folder that is to be synced, by relative path."""
    top = os.fsencode(folder)
    tree: Tree = {}
    for place, folders, files in os.walk(top):
        folders[:] = [name for name in folders if not name.endswith(IGNORED.encode())]  # with all that is below
        for name in (*folders, *files):
            path = os.path.join(place, name)
            entry = _look(path)
            if entry is not None and not name.endswith(IGNORED.encode()):
                tree[os.path.relpath(path, top)] = entry
    return tree


def _look(path: bytes) -> Entry | None:
    """The entry at the path; None if it cannot be copied: a pipe, a socket, a device, a link to itself."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        try:
            os.stat(path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
        return Entry("link", 0o777, os.readlink(path))
    if stat.S_ISDIR(mode):
        return Entry("folder")
    if not stat.S_ISREG(mode):
        return None
    with open(path, "rb") as file:
        return Entry("file", mode & 0o777, file.read())


def in_container(container: str, folder: str = TARGET) -> tuple[Tree, dict[bytes, tuple[int, int]]]:
    """Everything below the folder, by relative path, and its owners (the folder itself as `.`)."""
    tree: Tree = {}
    owners: dict[bytes, tuple[int, int]] = {}
    tar = _archive(container, folder)
    if tar is None:
        return tree, owners
    with (
        contextlib.suppress(tarfile.ReadError),  # the tree changed while the engine read it
        tarfile.open(fileobj=io.BytesIO(tar), errors="surrogateescape") as archive,
    ):
        for member in archive:
            path = os.fsencode(member.name).partition(b"/")[2].rstrip(b"/")
            owners[path or b"."] = (member.uid, member.gid)
            if not path:
                continue
            if member.issym():
                tree[path] = Entry("link", 0o777, os.fsencode(member.linkname))
            elif member.isdir():
                tree[path] = Entry("folder")
            elif member.isfile():
                file = archive.extractfile(member)
                tree[path] = Entry("file", member.mode & 0o777, file.read() if file else b"")
            else:
                tree[path] = Entry("special")
    return tree, owners


def _archive(container: str, folder: str) -> bytes | None:
    answer = request("GET", f"/containers/{container}/archive?path={quote(folder)}")
    if answer.status == 404:
        return None
    assert answer.status == 200, answer.body
    return answer.body


def different(source: Path, container: str) -> set[bytes] | None:
    """The relative paths that differ, without files that are being staged; None while anything changes.

    Two reads that differ show a change.
    """
    looks = []
    for _ in range(2):
        try:
            wanted, (actual, _) = on_host(source), in_container(container)
        except (AssertionError, OSError, http.client.HTTPException):
            return None
        paths = {path for path in wanted.keys() | actual.keys() if wanted.get(path) != actual.get(path)}
        looks.append({path for path in paths if not STAGED.search(path)})
    return looks[0] if looks[0] == looks[1] else None
