"""A tar archive written: the standard library's writer takes longer over a small file than the engine does.

POSIX.1-2017 pax: a `ustar` header, before it a record for what that cannot hold (fractions of a second, long names).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

BLOCK = 512
NAME_BYTES = 100
FILE, LINK, FOLDER, EXTENDED = b"0", b"2", b"5", b"x"
MOST_ID = 0o7777777
MOST_SIZE = 0o77777777777
NANO = 10**9
_UNSUMMED = b" " * 8
_END = bytes(2 * BLOCK)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, link or folder: its name as bytes, relative; `link` is what a link points to; times in ns."""

    name: bytes
    kind: bytes
    mode: int
    mtime_ns: int
    uid: int
    gid: int
    content: bytes = b""
    link: bytes = b""


def packed(entries: Iterable[Entry]) -> bytes:
    """The archive of these entries, in their order."""
    return b"".join([*(part for entry in entries for part in _parts(entry)), _END])


def _parts(entry: Entry) -> Iterator[bytes]:
    if records := b"".join(_record(key, value) for key, value in _extended(entry)):
        yield _header(replace(entry, name=b"pax", kind=EXTENDED, link=b"", uid=0, gid=0), len(records))
        yield _padded(records)
    yield _header(entry, len(entry.content))
    if entry.content:
        yield _padded(entry.content)


def _extended(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    """What the plain header cannot hold. Dev servers compare times to the nanosecond."""
    if entry.mtime_ns % NANO or not 0 <= entry.mtime_ns // NANO <= MOST_SIZE:
        sign = b"-" if entry.mtime_ns < 0 else b""
        yield b"mtime", sign + b"%d.%09d" % divmod(abs(entry.mtime_ns), NANO)
    for key, value in ((b"path", entry.name), (b"linkpath", entry.link)):
        if len(value) > NAME_BYTES or not value.isascii():
            yield key, value
    for key, number, most in (
        (b"uid", entry.uid, MOST_ID),
        (b"gid", entry.gid, MOST_ID),
        (b"size", len(entry.content), MOST_SIZE),
    ):
        if number > most:
            yield key, b"%d" % number


def _record(key: bytes, value: bytes) -> bytes:
    """`length key=value`, where the length counts its own digits."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _header(entry: Entry, size: int) -> bytes:
    seconds = min(max(entry.mtime_ns // NANO, 0), MOST_SIZE)
    numbers = (entry.mode, min(entry.uid, MOST_ID), min(entry.gid, MOST_ID), min(size, MOST_SIZE), seconds)
    start = entry.name[:NAME_BYTES].ljust(NAME_BYTES, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % numbers
    rest = entry.kind + entry.link[:NAME_BYTES].ljust(NAME_BYTES, b"\0") + b"ustar\x0000"
    checksum = sum(start) + sum(_UNSUMMED) + sum(rest)
    return (start + b"%06o\0 " % checksum + rest).ljust(BLOCK, b"\0")


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)
