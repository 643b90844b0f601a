"""Compressed tars: written and read back before they count, and compared."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple, Self

from devenv.errors import DevenvError
from devenv.model.snapshot import shown
from devenv.state.gzip_members import BLOCK as MEMBER
from devenv.state.gzip_members import Gunzip, StoredDigest
from devenv.state.member_writer import GivenUpError, MemberWriter
from devenv.state.tar_headers import TAR_END, TarWalk

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

CHUNK = 1 << 20
UNREADABLE = (OSError, EOFError, tarfile.TarError, zlib.error)


class TooLargeError(DevenvError):
    """The archive would be larger than its limit."""


class UnverifiedError(DevenvError):
    """The stored data differs from what was read."""


class Draft:
    """An archive that is being written: takes a tar and stores it as a gzip file, in threads."""

    def __init__(self, file: BinaryIO, limit: float) -> None:
        self._begin = file.tell()
        self._limit = limit
        self._members = MemberWriter(file)
        self._buffer = self._members.buffer()
        self._filled = 0
        self._walk = TarWalk()
        self._tail = b""
        self.size = 0

    @property
    def stored(self) -> int:
        """Bytes that are written."""
        return self._members.stored

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the tar; waits if the disk is slower than their source.

        Raises TooLargeError beyond the limit, UnverifiedError if it is no tar, OSError if the disk is full.
        """
        self.size += len(chunk)
        if self.size > self._limit:
            raise TooLargeError(f"larger than {shown(self._limit)}")
        view = memoryview(chunk)
        while view:
            part = view[: MEMBER - self._filled]
            self._buffer[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            view = view[len(part) :]
            if self._filled == MEMBER:
                self._add()

    def finish(self, path: str) -> str:
        """Flush the archive to disk and read it back; return the digest of the stored data.

        Raises UnverifiedError, OSError.
        """
        if self._filled:
            self._add()
        with _named():
            self._members.finish()
        if self._tail != TAR_END or not self._walk.is_over:
            raise UnverifiedError("the engine's archive ends too early")
        with open(path, "rb", buffering=0) as file:
            file.seek(self._begin)
            if not self._members.is_in(file):
                raise UnverifiedError("what was stored reads back different")
        return self._members.digest

    def close(self) -> None:
        """End the threads; the file stays open."""
        self._members.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self) -> None:
        view = memoryview(self._buffer)[: self._filled]
        try:
            self._walk.take(view)
        except ValueError as error:
            raise UnverifiedError(f"the engine's archive cannot be read: {error}") from error
        self._tail = (self._tail + bytes(view[-len(TAR_END) :]))[-len(TAR_END) :]
        with _named():
            self._members.add(self._buffer, self._filled)
        self._buffer, self._filled = self._members.buffer(), 0


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Raise UnverifiedError for a block that cannot be compressed, and if nobody waits for the archive."""
    try:
        yield
    except zlib.error as error:
        raise UnverifiedError(f"an archive cannot be compressed: {error}") from error
    except GivenUpError as error:
        raise UnverifiedError("what was stored is not read back: nobody waits for it") from error


class Hashed(io.RawIOBase):
    """A file that is read once, and the digest of what was read so far."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.digest = StoredDigest()

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read into the buffer; return the number of bytes, 0 at the end."""
        view = memoryview(buffer)
        size = self._file.readinto(view)  # type: ignore[attr-defined] # all files of bytes have it
        self.digest.update(view[:size])
        return int(size)


class Unpacked(io.RawIOBase):
    """The unpacked content of a file from its position on, with the digest of what was read so far.

    Raises zlib.error for invalid data.
    """

    def __init__(self, file: IO[bytes], length: float = math.inf) -> None:
        super().__init__()
        self._file = file
        self._length = length
        self._pieces = self._unpack()
        self._left = b""
        self.stored = StoredDigest()

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty at the end."""
        if not self._left:
            self._left = next(self._pieces, b"")
        chunk = self._left[:size] if size >= 0 else self._left
        self._left = self._left[len(chunk) :]
        return chunk

    def _unpack(self) -> Iterator[bytes]:
        reader = Gunzip()
        while packed := self._file.read(int(min(CHUNK, self._length))):
            self._length -= len(packed)
            self.stored.update(packed)
            yield from reader.pieces(packed)


def is_within_volume(file: IO[bytes]) -> bool:
    """Whether the paths in the archive begin at the volume, as in those of Podman; the file is read from its start.

    In Docker's, they begin with the name of the folder at which the volume was mounted. Raises UNREADABLE.
    """
    first = Unpacked(file).read(1)
    file.seek(0)
    return first == b"/"


def is_part(part: str, whole: str) -> bool:
    """Whether each entry of the archive at path `part` is in the archive `whole`.

    A file may be the beginning of the saved file, since the engine was writing it. Modes, owners and times are set
    last, so they are not compared. Blocking. Raises UNREADABLE.
    """
    saved = dict(_entries(whole))
    cut = dict[str, EntryDigest]()
    for name, entry in _entries(part):
        other = saved.get(name)
        if other is None or other.kind != entry.kind:
            return False
        if entry.kind == tarfile.DIRTYPE or other == entry:
            continue
        if entry.kind != tarfile.REGTYPE or entry.size >= other.size:
            return False
        cut[name] = entry
    if not cut:
        return True
    with open(whole, "rb") as file, tarfile.open(fileobj=Unpacked(file), mode="r|") as archive:
        for member in archive:
            beginning = cut.get(member.name.rstrip("/"))
            if beginning is not None and _digest(archive, member, beginning.size) != beginning.digest:
                return False
    return True


def is_empty(path: str) -> bool:
    """Whether the archive has no entry but the volume's own folder. Blocking. Raises UNREADABLE."""
    return all(entry.kind == tarfile.DIRTYPE and "/" not in name for name, entry in _entries(path))


class EntryDigest(NamedTuple):
    """An entry of an archive: its kind, and the digest of its content."""

    kind: bytes
    link: str
    size: int
    digest: bytes


def _entries(path: str) -> Iterator[tuple[str, EntryDigest]]:
    with open(path, "rb") as file, tarfile.open(fileobj=Unpacked(file), mode="r|") as archive:
        for member in archive:
            kind, digest = tarfile.REGTYPE if member.isreg() else member.type, _digest(archive, member, member.size)
            yield member.name.rstrip("/"), EntryDigest(kind, member.linkname, member.size, digest)


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo, size: int) -> bytes:
    """The digest of the first `size` bytes of a member's content; of no bytes if it is not a file."""
    digest = hashlib.sha256()
    content = archive.extractfile(member) if member.isreg() else None
    while content is not None and size > 0 and (chunk := content.read(min(size, CHUNK))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.digest()
