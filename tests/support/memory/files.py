"""Files in memory, and tars of them."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from support.memory.refusal import Refused

Kind = Literal["file", "folder", "link", "fifo", "device"]

_KINDS: Mapping[bytes, Kind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
}
_TYPES = {kind: letter for letter, kind in _KINDS.items()} | {"file": tarfile.REGTYPE}


@dataclass(frozen=True, slots=True)
class Node:
    """A file, folder or other entry; `content` is for a file, `target` for a link."""

    kind: Kind
    content: bytes = b""
    target: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0


FOLDER = Node("folder", mode=0o755)


@dataclass(slots=True)
class Tree:
    """A file system by paths relative to its root, which is the path ""."""

    nodes: dict[str, Node] = field(default_factory=lambda: {"": FOLDER})

    def copy(self) -> Tree:
        """An independent tree with the same entries."""
        return Tree(dict(self.nodes))

    def write(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file; missing folders are created."""
        self.put(path, Node("file", content, mode=mode))

    def put(self, path: str, node: Node) -> None:
        """Put the entry at that path; missing folders are created."""
        parent = path.rpartition("/")[0]
        if parent not in self.nodes:
            self.put(parent, FOLDER)
        self.nodes[path] = node

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if there is no file."""
        node = self.nodes.get(path)
        return node.content if node is not None and node.kind == "file" else None

    def remove(self, path: str) -> None:
        """Remove everything at that path and below it."""
        for entry in [p for p in self.nodes if p and (p == path or p.startswith(f"{path}/"))]:
            del self.nodes[entry]

    def clear(self) -> None:
        """Remove everything but the root."""
        self.nodes = {"": FOLDER}

    def contents(self) -> dict[str, bytes]:
        """The content of every file by its path."""
        return {path: node.content for path, node in self.nodes.items() if node.kind == "file"}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but the root."""
        return len(self.nodes) == 1

    def below(self, path: str) -> Iterator[tuple[str, Node]]:
        """The entry and everything below it, folders first, by paths relative to it."""
        for entry in sorted(self.nodes):
            if entry == path or not path:
                yield entry[len(path) :], self.nodes[entry]
            elif entry.startswith(f"{path}/"):
                yield entry[len(path) + 1 :], self.nodes[entry]

    def extract(self, entries: Mapping[str, Node], at: str = "") -> None:
        """Put the entries below `at`. Raises Refused if a file is to replace a folder, as the engine does."""
        for name, node in entries.items():
            path = f"{at}/{name}".strip("/")
            there = self.nodes.get(path)
            if there is not None and there.kind == "folder" and node.kind != "folder":
                raise Refused(400, f'cannot overwrite directory "/{path}" with non-directory "/"')
            self.put(path, node) if path else self.nodes.update({"": node})


def pack(entries: Mapping[str, Node]) -> bytes:
    """A tar of the entries by their names."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, node in entries.items():
            info = tarfile.TarInfo(f"{name}/" if node.kind == "folder" else name)
            info.type, info.mode, info.mtime = _TYPES[node.kind], node.mode, node.mtime
            info.uid, info.gid, info.linkname = node.uid, node.gid, node.target
            info.size = len(node.content)
            tar.addfile(info, io.BytesIO(node.content) if node.content else None)
    return out.getvalue()


def unpack(body: bytes) -> dict[str, Node]:
    """The entries of a tar, compressed or not. Raises Refused if it is not a tar."""
    entries: dict[str, Node] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:*") as tar:
            for info in tar:
                name = info.name.removeprefix("./").strip("/")
                if info.islnk():
                    entries[name] = entries[info.linkname.removeprefix("./").strip("/")]
                    continue
                reader = tar.extractfile(info) if info.isreg() else None
                entries[name] = Node(
                    _KINDS[info.type],
                    reader.read() if reader else b"",
                    info.linkname,
                    info.mode,
                    info.uid,
                    info.gid,
                    int(info.mtime),
                )
    except (tarfile.TarError, zlib.error, EOFError, OSError, KeyError) as error:
        raise Refused(500, f"Error processing tar file: {error}") from error
    return entries


def renamed(entries: Iterator[tuple[str, Node]], name: str) -> dict[str, Node]:
    """Entries with names that begin with `name`, as an archive request has them."""
    return {f"{name}/{path}".rstrip("/"): replace(node) for path, node in entries}
