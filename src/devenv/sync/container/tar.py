"""Write and read tar archives: for a small file, the standard library takes more time than the engine.

POSIX.1-2017 pax: a `ustar` header, preceded by a record for values that do not fit (fractions of a second, long
names). The reader also supports GNU's long names and large numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

from devenv.lazy_dataclass import dataclass

BLOCK = 512
NAME_BYTES = 100
FILE, LINK, FOLDER, EXTENDED = b"0", b"2", b"5", b"x"
LONG_NAME, LONG_LINK, GLOBAL, OLD_FILE = b"L", b"K", b"g", b"\0"
DESCRIBING = frozenset((EXTENDED, LONG_NAME, LONG_LINK, GLOBAL))
MOST_ID = 0o7777777
MOST_SIZE = 0o77777777777
NANO = 10**9
END = bytes(2 * BLOCK)
_MAGIC = b"ustar\x0000"
_UNSUMMED = b" " * 8  # in place of the checksum
_CONSTANT_SUM = sum(_UNSUMMED + _MAGIC)


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A file, link or folder to write. `name` is relative, `link` the text of a link, times in nanoseconds."""

    name: bytes
    kind: bytes
    mode: int
    mtime_ns: int
    uid: int
    gid: int
    content: bytes = b""
    link: bytes = b""


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of an archive being read; `size` is the length of its content in bytes."""

    name: bytes
    kind: bytes
    mode: int
    size: int
    link: bytes


def packed(entries: Iterable[TarEntry]) -> bytes:
    """The archive with these entries, in their order."""
    return body(entries) + END


def body(entries: Iterable[TarEntry]) -> bytes:
    """These entries as a part of an archive, which ends with `END`."""
    parts: list[bytes] = []
    for entry in entries:
        content = entry.content
        parts += (*_heads(entry, len(content)), content, bytes(-len(content) % BLOCK))
    return b"".join(parts)


def head(entry: TarEntry, size: int) -> bytes:
    """The header of an entry with `size` bytes of content that are not in memory."""
    return b"".join(_heads(entry, size))


def tail(size: int) -> bytes:
    """The end of an archive whose last content has `size` bytes."""
    return bytes(-size % BLOCK) + END


def content(data: bytes) -> bytes:
    """The content of all files in an archive, concatenated. Raises ValueError if it is not an archive."""
    return b"".join(piece for member, piece, _ in TarReader().feed(data) if member.kind == FILE)


def _heads(entry: TarEntry, size: int) -> Iterator[bytes]:
    if records := b"".join(_record(key, value) for key, value in _extended(entry, size)):
        yield _extended_header(len(records))
        yield _padded(records)
    yield _header(entry, size)


def _extended(entry: TarEntry, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Values that do not fit into the plain header. Dev servers compare times in nanoseconds."""
    seconds, fraction = divmod(entry.mtime_ns, NANO)
    if fraction or not 0 <= seconds <= MOST_SIZE:
        sign = b"-" if entry.mtime_ns < 0 else b""
        yield b"mtime", sign + b"%d.%09d" % divmod(abs(entry.mtime_ns), NANO)
    for key, value in ((b"path", entry.name), (b"linkpath", entry.link)):
        if len(value) > NAME_BYTES or not value.isascii():
            yield key, value
    if entry.uid > MOST_ID:
        yield b"uid", b"%d" % entry.uid
    if entry.gid > MOST_ID:
        yield b"gid", b"%d" % entry.gid
    if size > MOST_SIZE:
        yield b"size", b"%d" % size


@lru_cache(maxsize=BLOCK)
def _extended_header(size: int) -> bytes:
    """The header of records with `size` bytes: the same for almost all files of a tree."""
    return _header(TarEntry(b"pax", EXTENDED, 0o644, 0, 0, 0), size)


def _record(key: bytes, value: bytes) -> bytes:
    """`length key=value`; the length includes its own digits."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _header(entry: TarEntry, size: int) -> bytes:
    seconds = min(max(entry.mtime_ns // NANO, 0), MOST_SIZE)
    name, link = entry.name[:NAME_BYTES], entry.link[:NAME_BYTES]
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        entry.mode,
        min(entry.uid, MOST_ID),
        min(entry.gid, MOST_ID),
        min(size, MOST_SIZE),
        seconds,
    )
    checksum = _CONSTANT_SUM + sum(name + numbers + entry.kind + link)  # zeros add nothing
    start = name.ljust(NAME_BYTES, b"\0") + numbers
    return (b"%b%06o\0 %b%b" % (start, checksum, entry.kind, link.ljust(NAME_BYTES, b"\0") + _MAGIC)).ljust(
        BLOCK, b"\0"
    )


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


class TarReader:
    """Reads an archive in pieces of any size; it never holds more than one piece and a header."""

    def __init__(self) -> None:
        self.ended = False  # whether the end of the archive was read, so that it is complete
        self._buffer = b""
        self._member: Member | None = None
        self._left = 0  # bytes of content
        self._padding = 0
        self._described: dict[bytes, bytes] = {}

    def feed(self, data: bytes) -> Iterator[tuple[Member, bytes, bool]]:
        """(entry, piece of its content, whether it is the last). Raises ValueError if this is not an archive."""
        data, at = self._buffer + data, 0
        while not self.ended:
            if self._member is not None:
                piece = data[at : at + self._left]
                at, self._left = at + len(piece), self._left - len(piece)
                if piece or not self._left:
                    yield self._member, piece, not self._left
                if self._left:
                    break
                self._member = None
            skipped = min(self._padding, len(data) - at)
            at, self._padding = at + skipped, self._padding - skipped
            needed = BLOCK + self._described_size(data, at)
            if self._padding or len(data) - at < needed:
                break
            self._header(data[at : at + needed])
            at += needed
        self._buffer = data[at:]

    def _described_size(self, data: bytes, at: int) -> int:
        """The number of bytes after the header that belong to it because they describe the next entry."""
        if len(data) - at < BLOCK or data[at + 156 : at + 157] not in DESCRIBING:
            return 0
        size = _number(data[at + 124 : at + 136])
        return size + -size % BLOCK

    def _header(self, data: bytes) -> None:
        if not data.strip(b"\0"):
            self.ended = True
            return
        if sum(data[:148]) + sum(_UNSUMMED) + sum(data[156:BLOCK]) != _number(data[148:156]):
            raise ValueError("no tar header")
        kind, size = data[156:157], _number(data[124:136])
        if kind in DESCRIBING:
            self._describe(kind, data[BLOCK : BLOCK + size])
            return
        name, link = _text(data[:NAME_BYTES]), _text(data[157:257])
        if data[257:263] == b"ustar\0" and (prefix := _text(data[345:500])):
            name = prefix + b"/" + name
        described, self._described = self._described, {}
        size = int(described.get(b"size", size)) if kind in (FILE, OLD_FILE) else 0
        self._member = Member(
            name=described.get(b"path", name),
            kind=FILE if kind == OLD_FILE else kind,
            mode=_number(data[100:108]),
            size=size,
            link=described.get(b"linkpath", link),
        )
        self._left, self._padding = size, -size % BLOCK

    def _describe(self, kind: bytes, text: bytes) -> None:
        if kind in (LONG_NAME, LONG_LINK):
            self._described[b"path" if kind == LONG_NAME else b"linkpath"] = text.rstrip(b"\0")
        while kind == EXTENDED and text:
            length, _, rest = text.partition(b" ")
            end = int(length)
            key, _, value = rest[: end - len(length) - 2].partition(b"=")
            self._described[key] = value
            text = text[end:]


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """A number, in octal or in GNU's base 256."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    with contextlib.suppress(ValueError):
        return int(field.strip(b" \0") or b"0", 8)
    return 0
