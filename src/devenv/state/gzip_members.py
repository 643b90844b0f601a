"""Gzip files of many small members, which threads compress and decompress in parallel; any gzip program reads them.

The length of each member is in an extra field of its header (RFC 1952, 2.3.1.1), so that a reader finds the next one
without decompressing this one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import IO

fast: ModuleType = zlib
with contextlib.suppress(ImportError):  # on a platform without a wheel, zlib writes the same format, but takes longer
    from isal import isal_zlib

    fast = isal_zlib

BLOCK = 1 << 20  # bytes; the content of a member is less than twice that
THREADS = min(os.cpu_count() or 1, 4)
AHEAD = THREADS + 2  # blocks that are in memory
HELD = 2 * AHEAD * BLOCK  # bytes
LEVEL = 1
RAW, GZIP = -15, 31  # zlib's window bits for the largest window: without a header, and as gzip
SAMPLES, SAMPLE = 4, 4096  # pieces of a block, and bytes of each, that show whether compression is worth its time
WORTH = 0.95  # ratio of compression
LARGEST = 3 * BLOCK  # bytes of a member
MAGIC = b"\x1f\x8b\x08\x04"  # gzip, deflate, with an extra field
HEADER = struct.Struct("<4sIBBH2sHI")  # magic, time, flags, system, length of the fields, id, length, content
UNKNOWN_SYSTEM = 255
EXTRA, EXTRA_ID = 8, b"dv"  # bytes of the extra field, and its id
TRAILER = struct.Struct("<II")  # CRC-32 and length of the content
MEMBER = struct.Struct("<II")  # its length and CRC-32
STORED = struct.Struct("<BHH")  # before a part that is not compressed: whether it is the last, its length, ~length
STORED_MOST = 0xFFFF  # bytes of such a part
EASY = 0.1  # ratio of compression of what compresses in less time than it takes to write


def member(block: bytes) -> bytes:
    """The block as a gzip member, which was decompressed again and compared. Raises zlib.error if it differs."""
    packed = _deflated(block)
    if _inflated(packed, len(block)) != block:
        raise zlib.error("the compressed data differs")
    return b"".join((_head(len(packed)), packed, _trailer(block)))


def stored_member(block: memoryview) -> list[bytes | memoryview]:
    """The parts of a gzip member that holds the block as it is, without a copy of it."""
    parts = list[bytes | memoryview]()
    for start in range(0, len(block), STORED_MOST):
        part = block[start : start + STORED_MOST]
        is_last = start + STORED_MOST >= len(block)
        parts += (STORED.pack(is_last, len(part), len(part) ^ STORED_MOST), part)
    return [_head(sum(map(len, parts))), *parts, _trailer(block)]


def compresses_well(block: bytes | bytearray) -> bool:
    """Whether compressing the block probably takes less time than writing it."""
    return _sampled(block) < EASY


def crc32(content: bytes | memoryview, so_far: int = 0) -> int:
    """The CRC-32 of content that follows content with the CRC-32 `so_far`."""
    return int(fast.crc32(content, so_far))


def _head(length: int) -> bytes:
    size = HEADER.size + length + TRAILER.size
    return HEADER.pack(MAGIC, 0, 0, UNKNOWN_SYSTEM, EXTRA, EXTRA_ID, EXTRA - 4, size)


def _trailer(block: bytes | memoryview) -> bytes:
    return TRAILER.pack(crc32(block), len(block))


def content(body: bytes) -> bytes:
    """The content of a member that is given without its header. Raises zlib.error if it is damaged."""
    crc, size = TRAILER.unpack_from(body, len(body) - TRAILER.size)
    block = _inflated(memoryview(body)[: -TRAILER.size], size)
    if (fast.crc32(block), len(block)) != (crc, size):
        raise zlib.error("the content of a member differs from its checksum")
    return block


def blocks(file: io.BufferedReader) -> Generator[bytes]:
    """The content of a gzip file from its position on, in pieces; ahead and in parallel if `member` wrote the file.

    Raises zlib.error or EOFError if the data is damaged.
    """
    if file.peek(len(MAGIC))[: len(MAGIC)] == MAGIC:
        with contextlib.closing(InOrder(content)) as work:
            for packed in _members(file):
                if work.is_full:
                    yield work.next()
                work.add(packed)
            while work.is_busy:
                yield work.next()
        return
    reader = Gunzip()
    while packed := file.read(BLOCK):
        yield from reader.pieces(packed)
    if not reader.is_complete:
        raise EOFError("the data ends too early")


def _members(file: IO[bytes]) -> Iterator[bytes]:
    """Each member, without its header."""
    while head := file.read(HEADER.size):
        if len(head) < HEADER.size:
            raise EOFError("the data ends too early")
        magic, _, _, _, _, extra_id, _, size = HEADER.unpack(head)
        if (magic, extra_id) != (MAGIC, EXTRA_ID) or not HEADER.size + TRAILER.size <= size <= LARGEST:
            raise zlib.error("the header of a member is damaged")
        rest = file.read(size - HEADER.size)
        if len(rest) < size - HEADER.size:
            raise EOFError("the data ends too early")
        yield rest


def _deflated(block: bytes) -> bytes:
    is_worth = _sampled(block) < WORTH
    return bytes(fast.compress(block, LEVEL, RAW)) if is_worth else zlib.compress(block, 0, RAW)


def _sampled(block: bytes | bytearray) -> float:
    """The ratio of compression of a few pieces of the block."""
    step = max(len(block) // SAMPLES, 1)
    sample = b"".join(block[at : at + SAMPLE] for at in range(0, len(block), step))
    return len(fast.compress(sample, LEVEL, RAW)) / len(sample) if sample else 1.0


def _inflated(packed: bytes | memoryview, size: int) -> bytes:
    try:
        return bytes(fast.decompress(packed, RAW, size or 1))
    except fast.error as error:
        raise zlib.error(str(error)) from error


class StoredDigest:
    """The digest of a gzip file that arrives in pieces.

    If `member` wrote the file: the SHA-256 of the lengths and checksums of its members, which are read several times
    as fast as a SHA-256 of all bytes. Of another file, such as one of devenv 0.1, it is the SHA-256 of all bytes.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._head = bytearray()  # of the next member
        self._size = self._left = self._checksum = 0  # of the current member
        self._is_plain = False

    @classmethod
    def of(cls, members: Iterable[tuple[int, int]]) -> str:
        """The digest of a file whose members have these lengths and checksums (CRC-32)."""
        return hashlib.sha256(b"".join(MEMBER.pack(*member) for member in members)).hexdigest()

    def update(self, piece: bytes | memoryview) -> None:
        """Add the next piece."""
        view = memoryview(piece)
        while view and not self._is_plain:
            if self._left:
                part = view[: self._left]
                self._checksum = crc32(part, self._checksum)
                self._left -= len(part)
                if not self._left:
                    self._sha256.update(MEMBER.pack(self._size, self._checksum))
            else:
                part = view[: HEADER.size - len(self._head)]
                self._head += part
                if len(self._head) == HEADER.size:
                    self._begin(bytes(self._head))
            view = view[len(part) :]
        self._sha256.update(view)

    def _begin(self, head: bytes) -> None:
        """Begin a member. If the data is not a member, all its bytes from here on are hashed."""
        self._head.clear()
        magic, _, _, _, _, extra_id, _, size = HEADER.unpack(head)
        if (magic, extra_id) == (MAGIC, EXTRA_ID) and size > HEADER.size:
            self._size, self._left, self._checksum = size, size - HEADER.size, crc32(head)
        else:
            self._is_plain = True
            self._sha256.update(head)

    def hexdigest(self) -> str:
        """The digest of all pieces."""
        whole = self._sha256.copy()
        whole.update(self._head)
        if self._left:  # cut off
            whole.update(MEMBER.pack(self._left, self._checksum))
        return whole.hexdigest()


class InOrder:
    """Work on items in a few threads, with the results in the order of the items."""

    def __init__(self, work: Callable[[bytes], bytes]) -> None:
        bytes(HELD)  # glibc: large blocks go back to the system, which is slow, until a larger one was freed
        self._work = work
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gzip")
        self._results = deque[Future[bytes]]()

    @property
    def is_busy(self) -> bool:
        """Whether there are results to take."""
        return bool(self._results)

    @property
    def is_full(self) -> bool:
        """Whether a result has to be taken before the next item, to bound the memory."""
        return len(self._results) >= AHEAD

    def add(self, item: bytes) -> None:
        """Begin to work on the item."""
        self._results.append(self._threads.submit(self._work, item))

    def next(self) -> bytes:
        """Wait for the next result. Raises what the work raised."""
        return self._results.popleft().result()

    def close(self) -> None:
        """Drop all work; what a thread has begun, it ends."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._results.clear()


class Gunzip:
    """Decompresses gzip data of one or more members that arrives in pieces."""

    def __init__(self) -> None:
        self._zip = zlib.decompressobj(GZIP)
        self._is_empty = True

    @property
    def is_complete(self) -> bool:
        """Whether the data so far ends with a member."""
        return self._zip.eof

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """The content of the next piece, in pieces of limited size. Raises zlib.error for other or damaged data."""
        while packed:
            if self._zip.eof:
                self._zip, self._is_empty = zlib.decompressobj(GZIP), True
            if plain := self._zip.decompress(packed, BLOCK):
                self._is_empty = False
                yield plain
            if self._zip.eof and self._is_empty:  # many empty members would take long to read
                raise zlib.error("a member is empty")
            packed = self._zip.unconsumed_tail or self._zip.unused_data
