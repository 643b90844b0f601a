"""A tar kept compressed: written, and read back before it counts."""

from __future__ import annotations

import hashlib
import io
import math
import os
import tarfile
import zlib
from collections.abc import Callable
from typing import BinaryIO

from devenv.errors import DevenvError
from devenv.model.snapshot import shown

CHUNK = 1 << 20
FASTEST = 1
GZIP = 31  # zlib's window bits for a gzip header around the best window
TAR_END = bytes(1024)


class TooLargeError(DevenvError):
    """There is more of it than there may be."""


class UnverifiedError(DevenvError):
    """What was stored is not what was read."""


class Draft(io.RawIOBase):
    """An archive being written: takes a tar, stores it compressed, and counts until it is verified."""

    def __init__(self, file: BinaryIO, limit: float) -> None:
        super().__init__()
        self._file = file
        self._begin = file.tell()
        self._limit = limit
        self._zip = zlib.compressobj(FASTEST, wbits=GZIP)
        self._raw = hashlib.sha256()
        self._stored = hashlib.sha256()
        self._tail = b""
        self.size = 0
        self.stored = 0
        self.is_given_up = False

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        """Raises TooLargeError beyond the limit, OSError where the disk is full."""
        self.size += len(chunk)
        if self.size > self._limit:
            raise TooLargeError(f"larger than {shown(self._limit)}")
        self._raw.update(chunk)
        self._tail = (self._tail + chunk)[-len(TAR_END) :]
        self._out(self._zip.compress(chunk))
        return len(chunk)

    def finish(self, path: str) -> str:
        """All of it on disk and read back; the digest of what is stored. Raises UnverifiedError, OSError."""
        self._out(self._zip.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._tail != TAR_END:
            raise UnverifiedError("the engine's archive ends too early")
        with open(path, "rb") as file:
            file.seek(self._begin)
            reader = Unpacked(file, is_given_up=lambda: self.is_given_up)
            try:
                with tarfile.open(fileobj=reader, mode="r|") as archive:
                    for _ in archive:
                        pass
                while reader.read(CHUNK):
                    pass
            except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
                raise UnverifiedError(f"what was stored cannot be read back: {error}") from error
            if (reader.raw.digest(), reader.stored.digest()) != (self._raw.digest(), self._stored.digest()):
                raise UnverifiedError("what was stored reads back different")
        return self._stored.hexdigest()

    def _out(self, packed: bytes) -> None:
        self._file.write(packed)
        self._stored.update(packed)
        self.stored += len(packed)


class Unpacked(io.RawIOBase):
    """What lies packed in a file from where it stands, with the digests of both its forms so far.

    Raises EOFError once it is given up, zlib.error for what cannot be unpacked.
    """

    def __init__(
        self, file: BinaryIO, length: float = math.inf, *, is_given_up: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__()
        self._file = file
        self._length = length
        self._is_given_up = is_given_up
        self._zip = zlib.decompressobj(GZIP)
        self._left = b""
        self.raw = hashlib.sha256()
        self.stored = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; at the end, none."""
        while not self._left and (packed := self._zip.unconsumed_tail or self._packed()):
            self._left = self._zip.decompress(packed, CHUNK)
            self.raw.update(self._left)
        chunk = self._left[:size] if size >= 0 else self._left
        self._left = self._left[len(chunk) :]
        return chunk

    def _packed(self) -> bytes:
        if self._is_given_up():
            raise EOFError("nobody waits for it")
        packed = self._file.read(int(min(CHUNK, self._length)))
        self._length -= len(packed)
        self.stored.update(packed)
        return packed
