"""Snapshots as one file for another machine: a plain tar with a note and an archive each, and an index at the end.

What is read back is somebody else's: the tar is read by the header, only entries of ours are known, each has its
place and its bounds, and nothing is in the store before all of it was read and verified.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import select
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote

from devenv import private_files
from devenv.errors import StateError
from devenv.model.snapshot import Snapshot, shown
from devenv.state.verified_archive import BLOCK, CHUNK, FILES, GZIP, TAR_END, TarWalk, header, records
from devenv.volumes import notes

if TYPE_CHECKING:
    from devenv.volumes.store import Store

INDEX = "index"
NOTE, ARCHIVE = ".json", ".tar.gz"
SCRATCH = ".in"  # what the name of a folder begins with that is being filled
MOST = 256  # volumes
LARGEST_INDEX = 256 * 1024  # bytes
LARGEST_HEADER = 16 * 1024  # bytes of what a pax header says of an entry
RATIO = 100  # bytes from one compressed byte, of volumes that are large
AHEAD = 300.0  # seconds that another machine's clock may be ahead of ours
SILENCE = 60.0  # seconds without a byte
AT_MOST = 3600.0  # seconds for all of it


class _ForeignError(ValueError):
    """It is no exported snapshot, or it is damaged."""


def pack(store: Store, snapshots: Iterable[Snapshot], out: IO[bytes]) -> None:
    """Write these snapshots as one tar: a note and an archive each, then an index, the digests of all notes.

    Raises StateError if an archive is damaged, OSError.
    """
    index = dict[str, str]()
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for snapshot in snapshots:
            store.check(snapshot)
            archive = store.archive(snapshot)
            note = archive.removesuffix(ARCHIVE) + NOTE
            index[notes.stem(snapshot.volume)] = hashlib.sha256(private_files.read_bytes(note) or b"").hexdigest()
            for path in (note, archive):
                tar.add(path, arcname=os.path.basename(path), recursive=False)
        content = json.dumps(index).encode()
        info = tarfile.TarInfo(INDEX)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def unpack(store: Store, source: IO[bytes], *, limit: int, single: int) -> tuple[Snapshot, ...]:
    """Store the snapshots of a packed tar, all or none, under an id of their own.

    In bytes: `limit` is what all of it may take in the store, and what a volume may hold; `single` what a volume may
    hold that is compressed beyond RATIO. Raises StateError if it is no such tar, damaged, or beyond a bound.
    """
    try:
        with _scratch(store.path) as scratch:
            found = _Reader(_Input(source), scratch, limit, single).read()
            return _commit(store, found, scratch)
    except (ValueError, zlib.error) as error:
        said = f"that is no exported snapshot, or it is damaged: {error}"
        raise StateError(said, hint="Export it again: devenv snapshot export NAME FILE") from error
    except OSError as error:
        said = f"it could not be stored: {error.strerror or error}"
        raise StateError(said, hint=f"df -h {store.path}") from error


def tidy(folder: str) -> None:
    """Remove what ended imports have left in the store's folder: all that no process holds a lock on."""
    for name in private_files.entries(folder):
        if name.startswith(SCRATCH):
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError, StateError), _locked(path):
                private_files.remove_tree(path)


@contextlib.contextmanager
def _scratch(folder: str) -> Iterator[str]:
    """A folder of our own in the store's, locked as long as we live, and gone afterwards."""
    path = tempfile.mkdtemp(dir=folder, prefix=SCRATCH)
    try:
        with _locked(path):
            yield path
    finally:
        private_files.remove_tree(path)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """The folder locked. Raises OSError if another process has it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _commit(store: Store, found: list[Snapshot], scratch: str) -> tuple[Snapshot, ...]:
    """The snapshots in the store: the folder gets its name once all in it is on the disk."""
    while True:
        set_id = store.new_id()
        place = os.path.join(store.path, set_id)
        taken = tuple(replace(one, id=set_id, automatic=False, lineage="", parent="") for one in found)
        try:
            for one in taken:
                private_files.replace(os.path.join(scratch, notes.stem(one.volume) + NOTE), json.dumps(asdict(one)))
            os.rename(scratch, place)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(place)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # somebody else has just taken the id
                continue
            raise
        descriptor = os.open(store.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return taken


class _Input:
    """What comes, in the size that is asked for, within the time that there is."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, AttributeError):
            self._descriptor = source.fileno()
        self._ends = time.monotonic() + AT_MOST

    def exactly(self, size: int) -> bytes:
        """So many bytes. Raises ValueError at an earlier end."""
        found = bytearray()
        while len(found) < size:
            piece = self.some(size - len(found))
            if not piece:
                raise _ForeignError("it ends too early")
            found += piece
        return bytes(found)

    def some(self, most: int) -> bytes:
        """The next bytes, at most so many; empty at the end. Raises ValueError if none arrive in time."""
        if time.monotonic() > self._ends:
            raise _ForeignError(f"it takes longer than {AT_MOST / 60:.0f} minutes")
        if self._descriptor is None:
            return self._source.read(min(most, CHUNK))
        if not select.select([self._descriptor], [], [], SILENCE)[0]:
            raise _ForeignError(f"nothing has come for {SILENCE:.0f} s")
        return os.read(self._descriptor, min(most, CHUNK))


@dataclass
class _Reader:
    """The entries of the tar one by one: note and archive of each volume, then the index."""

    source: _Input
    scratch: str
    limit: int
    single: int
    found: list[Snapshot] = field(default_factory=list)
    index: dict[str, str] = field(default_factory=dict)

    def read(self) -> list[Snapshot]:
        """The snapshots as their notes say; their archives are in the scratch folder, verified and on disk."""
        while (entry := self._entry()) is not None and entry.name != INDEX:
            if len(self.found) == MOST:
                raise _ForeignError(f"it holds more than {MOST} volumes")
            self._pair(entry)
        if entry is None or not self.found:
            raise _ForeignError("it has no index, or nothing but an index")
        if self._content(entry, LARGEST_INDEX) != json.dumps(self.index).encode():
            raise _ForeignError("the index does not match")
        if self._entry() is not None:
            raise _ForeignError("there is more behind the index")
        return self.found

    def _pair(self, entry: tarfile.TarInfo) -> None:
        """The note, and the archive that has to follow it."""
        name = entry.name.removesuffix(NOTE)
        if not entry.name.endswith(NOTE) or name in self.index or notes.stem(unquote(name)) != name:
            raise _ForeignError(f"unexpected entry {entry.name[:100]!r}")
        content = self._content(entry, notes.LARGEST)
        snapshot = notes.decode(content)
        self._require_bounds(snapshot, name)
        archive = self._entry()
        if archive is None or archive.name != f"{name}{ARCHIVE}" or archive.size != snapshot.stored:
            raise _ForeignError(f"the archive of {snapshot.volume!r} does not follow its note")
        self._store(snapshot, f"{name}{ARCHIVE}")
        self.index[name] = hashlib.sha256(content).hexdigest()
        self.found.append(snapshot)

    def _require_bounds(self, snapshot: Snapshot, name: str) -> None:
        if notes.stem(snapshot.volume) != name:
            raise _ForeignError(f"the note of {unquote(name)!r} is about another volume")
        if snapshot.created > time.time() + AHEAD:
            raise _ForeignError(f"{snapshot.volume!r} was saved in the future, by this machine's clock")
        stored = snapshot.stored + sum(one.stored for one in self.found)
        if max(stored, snapshot.size) > self.limit:
            raise _ForeignError(f"it is larger than {shown(self.limit)} (`snapshots_total`)")
        if snapshot.size > max(self.single, RATIO * snapshot.stored):
            raise _ForeignError(f"{snapshot.volume!r} holds {shown(snapshot.size)} in {shown(snapshot.stored)}")

    def _store(self, snapshot: Snapshot, name: str) -> None:
        """The archive written as it comes, and unpacked meanwhile to see that it is what the note says."""
        check = _Check(snapshot)
        with open(private_files.create(os.path.join(self.scratch, name)), "wb") as file:
            left = snapshot.stored
            while left:
                piece = self.source.exactly(min(left, CHUNK))
                check.take(piece)
                file.write(piece)
                left -= len(piece)
            file.flush()
            os.fsync(file.fileno())
        check.finish()
        self._skip_padding(snapshot.stored)

    def _content(self, entry: tarfile.TarInfo, most: int) -> bytes:
        if entry.size > most:
            raise _ForeignError(f"{entry.name[:100]!r} is too large")
        content = self.source.exactly(entry.size)
        self._skip_padding(entry.size)
        return content

    def _skip_padding(self, size: int) -> None:
        self.source.exactly(-size % BLOCK)

    def _entry(self) -> tarfile.TarInfo | None:
        """The next file of the tar, with what a pax header before it says of it; None at the end."""
        said = dict[str, bytes]()
        entry = header(self.source.exactly(BLOCK))
        if entry is not None and entry.type == tarfile.XHDTYPE:
            said = records(self._content(entry, LARGEST_HEADER))
            entry = header(self.source.exactly(BLOCK))
        if entry is None:
            if said:
                raise _ForeignError("it ends behind a header")
            return None
        if entry.type not in FILES:
            raise _ForeignError(f"unexpected entry {entry.name[:100]!r}")
        entry.name = said["path"].decode() if "path" in said else entry.name
        entry.size = int(said.get("size", entry.size))
        return entry


class _Check:
    """Looks at a compressed tar piece by piece, without keeping any of it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._digest = hashlib.sha256()
        self._zip = zlib.decompressobj(GZIP)
        self._walk = TarWalk()
        self._size = 0
        self._tail = b""

    def take(self, piece: bytes) -> None:
        """One more piece. Raises ValueError, zlib.error if it is no tar in gzip, or holds more than the note says."""
        self._digest.update(piece)
        while piece:
            if self._zip.eof:
                raise _ForeignError(f"the archive of {self._snapshot.volume!r} goes on behind its end")
            plain = self._zip.decompress(piece, CHUNK)
            self._size += len(plain)
            if self._size > self._snapshot.size:
                raise _ForeignError(f"the archive of {self._snapshot.volume!r} holds more than its note says")
            self._walk.take(plain)
            self._tail = (self._tail + plain)[-len(TAR_END) :]
            piece = self._zip.unconsumed_tail or self._zip.unused_data

    def finish(self) -> None:
        """Raises ValueError if it is not what the note says."""
        whole = self._zip.eof and self._size == self._snapshot.size and self._tail == TAR_END
        if not (whole and self._walk.is_over) or self._digest.hexdigest() != self._snapshot.digest:
            raise _ForeignError(f"the archive of {self._snapshot.volume!r} is not what its note says")
