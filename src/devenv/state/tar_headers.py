"""The headers of a tar of any origin, which is checked while it arrives."""

from __future__ import annotations

import tarfile

BLOCK = 512
TAR_END = bytes(2 * BLOCK)
LARGEST = 1 << 20  # bytes of a header about the next entry: its long name, its extended attributes
MOST_DIGITS = 7  # of a record's length in an extended header
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
EXTRAS = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
BARE = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)


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
