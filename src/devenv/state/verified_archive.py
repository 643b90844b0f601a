"""Compressed tars: written and read back before they count, compared, and checked if they come from elsewhere."""

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

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

CHUNK = 1 << 20
TAR_END = bytes(1024)
UNREADABLE = (OSError, EOFError, tarfile.TarError, zlib.error)
BLOCK = 512
LARGEST = 1 << 20  # bytes of a header about the next entry: its long name, its extended attributes
MOST_DIGITS = 7  # of a record's length in an extended header
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
EXTRAS = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
BARE = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)


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

    def __init__(self, file: BinaryIO, length: float = math.inf) -> None:
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


def header(block: bytes) -> tarfile.TarInfo | None:
    """The entry that begins with this block of 512 bytes; None at the end. Raises ValueError for other data."""
    if not any(block):
        return None
    try:
        entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise ValueError(f"that is not a tar ({error})") from None
    if entry.size < 0:
        raise ValueError("an entry has no size")
    return entry


def records(content: bytes) -> dict[str, bytes]:
    """The keys and values of a pax header, one line `LENGTH KEY=VALUE` each. Raises ValueError."""
    values = {}
    while content:
        length, _, _ = content[: MOST_DIGITS + 1].partition(b" ")
        size = int(length) if length.isdigit() else 0
        record, content = content[:size], content[size:]
        key, sign, value = record[len(length) + 1 :].partition(b"=")
        if not sign or len(record) != size or not value.endswith(b"\n"):
            raise ValueError("a header is malformed")
        values[key.decode(errors="surrogateescape")] = value[:-1]
    return values


class TarWalk:
    """Checks the headers of a tar of any origin that arrives in pieces; no content is stored."""

    def __init__(self) -> None:
        self._gathered = bytearray()
        self._wanted = BLOCK  # bytes to gather now: a header, or the content of an extended header
        self._extra: tarfile.TarInfo | None = None
        self._size: int | None = None
        self._skip = 0
        self.is_over = False

    def take(self, piece: bytes | memoryview) -> None:
        """Take the next piece. Raises ValueError if it is not a tar, or contains entries that no engine writes."""
        at = 0
        while at < len(piece) and not self.is_over:
            if self._skip:
                step = min(self._skip, len(piece) - at)
                self._skip -= step
            else:
                step = min(self._wanted - len(self._gathered), len(piece) - at)
                self._gathered += piece[at : at + step]
                if len(self._gathered) == self._wanted:
                    block, self._gathered, self._wanted = bytes(self._gathered), bytearray(), BLOCK
                    self._enter(block)
            at += step

    def _enter(self, block: bytes) -> None:
        if self._extra is not None:
            extra, self._extra = self._extra, None
            values = records(block[: extra.size]) if extra.type == tarfile.XHDTYPE else {}
            self._size = int(values["size"]) if "size" in values else self._size
            return
        entry = header(block)
        if entry is None:
            self.is_over = True
        elif entry.type in EXTRAS and 0 < entry.size <= LARGEST:
            self._extra, self._wanted = entry, _padded(entry.size)
        elif entry.type in (*FILES, *BARE):
            size, self._size = entry.size if self._size is None else self._size, None
            self._skip = _padded(size) if entry.type in FILES else 0
        else:
            raise ValueError(f"unexpected entry {entry.name[:100]!r}")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
