"""Whether a volume whose restore was cut off holds only what was being restored."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from devenv.state.verified_archive import CHUNK, Unpacked


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an archive: what it is, and the digest of its content."""

    kind: bytes
    link: str
    size: int
    digest: bytes


def is_part(part: str, whole: str) -> bool:
    """Whether each entry of the archive at path `part` is in the archive `whole`.

    A file may be the beginning of the saved file: the engine was writing it. Modes, owners and times are set last, so
    they are not compared. Blocking. Raises OSError, EOFError, tarfile.TarError, zlib.error.
    """
    saved = dict(_entries(whole))
    cut = dict[str, Entry]()
    for name, entry in _entries(part):
        other = saved.get(name)
        if other is None or other.kind != entry.kind:
            return False
        if entry.kind == tarfile.DIRTYPE or other == entry:
            continue
        if entry.kind != tarfile.REGTYPE or entry.size >= other.size:
            return False
        cut[name] = entry
    return not cut or _begin(whole, cut)


def is_empty(path: str) -> bool:
    """Whether the archive has no entry but the volume's own folder. Blocking. Raises as `is_part`."""
    return all(entry.kind == tarfile.DIRTYPE and "/" not in name for name, entry in _entries(path))


def _begin(whole: str, cut: dict[str, Entry]) -> bool:
    """Whether the saved files of these names begin with these contents."""
    with open(whole, "rb") as file, tarfile.open(fileobj=Unpacked(file), mode="r|") as archive:
        for member in archive:
            entry = cut.get(_plain(member.name))
            if entry is not None and _digest(archive, member, entry.size) != entry.digest:
                return False
    return True


def _entries(path: str) -> Iterator[tuple[str, Entry]]:
    with open(path, "rb") as file, tarfile.open(fileobj=Unpacked(file), mode="r|") as archive:
        for member in archive:
            kind = tarfile.REGTYPE if member.isreg() else member.type
            yield (
                _plain(member.name),
                Entry(kind, member.linkname, member.size, _digest(archive, member, member.size)),
            )


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo, size: int) -> bytes:
    """The digest of the first `size` bytes of a member's content, of nothing if it is no file."""
    digest = hashlib.sha256()
    content = archive.extractfile(member) if member.isreg() else None
    while content is not None and size > 0 and (chunk := content.read(min(size, CHUNK))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.digest()


def _plain(name: str) -> str:
    return name.rstrip("/")


UNREADABLE = (OSError, EOFError, tarfile.TarError, zlib.error)
