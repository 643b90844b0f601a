"""Write blocks as gzip members in a thread, compressed by other threads as far as that delays nothing."""

from __future__ import annotations

import os
import queue
import threading
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from io import RawIOBase
from typing import BinaryIO

from devenv.state.gzip_members import (
    BLOCK,
    LARGEST,
    THREADS,
    StoredDigest,
    compresses_well,
    crc32,
    member,
    stored_member,
)

ALWAYS = 64 * BLOCK  # bytes at the beginning that are compressed, however long it takes
SPARE = max((os.cpu_count() or 1) - 2, 0)  # cores besides those of the engine and of the thread that reads its answer
AHEAD = 2 * THREADS + 4  # blocks in memory
PATIENCE = 1.0  # seconds between two looks whether the work was given up

Filled = tuple[bytearray, int]  # a buffer, and the number of bytes in it


class GivenUpError(Exception):
    """Nobody waits for the file any more."""


class MemberWriter:
    """A gzip file that is being written, from where the file is.

    A compressed member was decompressed again and compared; a block that only a busy core could compress is stored.
    """

    def __init__(self, file: BinaryIO) -> None:
        file.flush()
        self.stored = 0  # bytes that were written
        self._members = list[tuple[int, int]]()  # the length and the CRC-32 of each, in order
        self._descriptor = file.fileno()
        self._given = 0
        self._queues = _Queues()
        self._compressing = ThreadPoolExecutor(THREADS, thread_name_prefix="gzip")
        self._begun = self._ended = 0  # compressions; each is counted by one thread alone
        self._error: Exception | None = None
        self._is_given_up = False
        self._thread = threading.Thread(target=self._write, name="gzip members", daemon=True)
        self._thread.start()

    def buffer(self) -> bytearray:
        """A buffer of `BLOCK` bytes, to fill and to pass to `add`."""
        try:
            return self._queues.free.get_nowait()
        except queue.Empty:
            return bytearray(BLOCK)

    def add(self, buffer: bytearray, size: int) -> None:
        """Write the first `size` bytes of the buffer as the next member, later; waits if too much is in memory.

        Raises OSError or zlib.error if an earlier member could not be written, GivenUpError.
        """
        while not self._queues.room.acquire(timeout=PATIENCE):
            self.require()
        self.require()
        self._given += size
        if self._given <= ALWAYS or self._begun - self._ended < SPARE or compresses_well(buffer):
            block = bytes(memoryview(buffer)[:size])
            self._queues.free.put(buffer)
            self._begun += 1
            self._queues.work.put(self._compressing.submit(member, block))
        else:
            self._queues.work.put((buffer, size))

    def finish(self) -> None:
        """Write what was added, and flush it to disk. Raises as `add`."""
        self._queues.work.put(None)
        self._thread.join()
        self.require()
        os.fsync(self._descriptor)

    @property
    def digest(self) -> str:
        """The digest of the file, from where it was."""
        return StoredDigest.of(self._members)

    def is_in(self, file: RawIOBase) -> bool:
        """Whether the file holds the members from its position to its end. Raises GivenUpError."""
        buffer = memoryview(bytearray(LARGEST))
        for length, checksum in self._members:
            self.require()
            view = buffer[:length]
            if file.readinto(view) != length or crc32(view) != checksum:
                return False
        return not file.read(1)

    def close(self) -> None:
        """End the threads, without waiting for them."""
        self._is_given_up = True
        self._queues.work.put(None)
        self._compressing.shutdown(wait=False, cancel_futures=True)

    def require(self) -> None:
        """Raise the error of an earlier member, or GivenUpError."""
        if self._error is not None:
            raise self._error
        if self._is_given_up:
            raise GivenUpError

    def _write(self) -> None:
        """The thread: write all members in their order; after an error, take the rest without writing it."""
        while (work := self._queues.work.get()) is not None:
            try:
                if self._error is None and not self._is_given_up:
                    self._put(work)
            except (OSError, zlib.error) as error:
                self._error = error
            if isinstance(work, Future):
                self._ended += 1
            else:
                self._queues.free.put(work[0])
            self._queues.room.release()

    def _put(self, work: Filled | Future[bytes]) -> None:
        if isinstance(work, Future):
            parts: list[bytes | memoryview] = [work.result()]
        else:
            parts = stored_member(memoryview(work[0])[: work[1]])
        length, checksum = sum(map(len, parts)), 0
        for part in parts:
            checksum = crc32(part, checksum)
        written = os.writev(self._descriptor, parts)
        if written < length:
            rest = memoryview(b"".join(parts))
            while written < length:
                written += os.write(self._descriptor, rest[written:])
        self._members.append((length, checksum))
        self.stored += length


class _Queues:
    """What the threads pass to each other."""

    def __init__(self) -> None:
        self.work = queue.SimpleQueue[Filled | Future[bytes] | None]()
        self.free = queue.SimpleQueue[bytearray]()
        self.room = threading.Semaphore(AHEAD)
