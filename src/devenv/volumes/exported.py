"""Snapshots as one file for another machine: a plain tar with a note and an archive per volume, then an index.

An imported file is untrusted: the tar is read by its headers, only our own entries are accepted, each has its place
and its limits, and nothing is put into the store before the whole file was read and verified.
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
from dataclasses import asdict, field, replace
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote

from devenv import private_files
from devenv.errors import StateError
from devenv.lazy_dataclass import dataclass
from devenv.model.snapshot import Snapshot, shown
from devenv.state.gzip_members import Gunzip, StoredDigest
from devenv.state.tar_headers import BLOCK, FILES, TAR_END, TarWalk, header, records
from devenv.state.verified_archive import CHUNK
from devenv.volumes.lineage import LARGEST_NOTE, decode, stem

if TYPE_CHECKING:
    from devenv.volumes.store import Store

INDEX = "index"
NOTE, ARCHIVE = ".json", ".tar.gz"
SCRATCH = ".in"  # prefix of the names of folders that are being filled
MOST = 256  # volumes
LARGEST_INDEX = 256 * 1024  # bytes
LARGEST_HEADER = 16 * 1024  # bytes of the values in a pax header
RATIO = 100  # maximum ratio of compression for large volumes
AHEAD = 300.0  # seconds by which the other machine's clock may be ahead
SILENCE = 60.0  # seconds without a byte
AT_MOST = 3600.0  # seconds for the whole file


def pack(store: Store, snapshots: Iterable[Snapshot], out: IO[bytes]) -> None:
    """Write these snapshots as one tar: a note and an archive each, then an index with the digests of all notes.

    Raises StateError if an archive is damaged, OSError.
    """
    index = dict[str, str]()
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for snapshot in snapshots:
            store.check(snapshot)
            archive = store.archive(snapshot)
            note = archive.removesuffix(ARCHIVE) + NOTE
            index[stem(snapshot.volume)] = hashlib.sha256(private_files.read_bytes(note) or b"").hexdigest()
            for path in (note, archive):
                tar.add(path, arcname=os.path.basename(path), recursive=False)
        content = json.dumps(index).encode()
        info = tarfile.TarInfo(INDEX)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))


def unpack(store: Store, source: IO[bytes], *, limit: int, single: int) -> tuple[Snapshot, ...]:
    """Store the snapshots of a packed tar, all or none, under a new id.

    In bytes: `limit` bounds the whole import in the store, and the content of each volume; `single` bounds the
    content of a volume that is compressed by more than RATIO. Raises StateError if the file is not such a tar,
    damaged, or beyond a limit.
    """
    try:
        with _scratch(store.path) as scratch:
            snapshots = _Reader(_Input(source), scratch, limit, single).read()
            return _commit(store, snapshots, scratch)
    except (ValueError, zlib.error) as error:
        message = f"that is not an exported snapshot, or it is damaged: {error}"
        raise StateError(message, hint="Export it again: devenv snapshot export NAME FILE") from error
    except OSError as error:
        message = f"it could not be stored: {error.strerror or error}"
        raise StateError(message, hint=f"df -h {store.path}") from error


def described(path: str) -> tuple[Snapshot, ...]:
    """The snapshots that the notes of a packed tar describe. Raises OSError, ValueError or tarfile.TarError."""
    with tarfile.open(path, "r:") as tar:
        notes = [e for e in tar if e.name.endswith(NOTE) and e.isreg() and e.size <= LARGEST_NOTE]
        return tuple(decode(content.read()) for note in notes if (content := tar.extractfile(note)))


def tidy(folder: str) -> None:
    """Remove the folders of ended imports from the store's folder: all that no process has locked."""
    for name in private_files.entries(folder):
        if name.startswith(SCRATCH):
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError, StateError), _locked(path):
                private_files.remove_tree(path)


@contextlib.contextmanager
def _scratch(folder: str) -> Iterator[str]:
    """A new folder in the store's folder, locked as long as this process lives, and removed afterwards."""
    path = tempfile.mkdtemp(dir=folder, prefix=SCRATCH)
    try:
        with _locked(path):
            yield path
    finally:
        private_files.remove_tree(path)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Lock the folder. Raises OSError if another process has locked it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _commit(store: Store, snapshots: list[Snapshot], scratch: str) -> tuple[Snapshot, ...]:
    """Move the snapshots into the store: the folder is renamed once all its files are on disk."""
    while True:
        set_id = store.new_id()
        place = os.path.join(store.path, set_id)
        taken = tuple(replace(s, id=set_id, automatic=False, lineage="", parent="") for s in snapshots)
        try:
            for snapshot in taken:
                note = os.path.join(scratch, stem(snapshot.volume) + NOTE)
                private_files.replace(note, json.dumps(asdict(snapshot)))
            os.rename(scratch, place)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(place)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # otherwise another process has just taken the id
                raise
        else:
            private_files.sync_folder(store.path)
            return taken


class _Input:
    """Reads exact sizes, within time limits."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, AttributeError):
            self._descriptor = source.fileno()
        self._ends = time.monotonic() + AT_MOST

    def exactly(self, size: int) -> bytes:
        """Read `size` bytes. Raises ValueError if the input ends earlier."""
        content = bytearray()
        while len(content) < size:
            piece = self._some(size - len(content))
            if not piece:
                raise ValueError("it ends too early")
            content += piece
        return bytes(content)

    def _some(self, most: int) -> bytes:
        if time.monotonic() > self._ends:
            raise ValueError(f"it takes longer than {AT_MOST / 60:.0f} minutes")
        if self._descriptor is None:
            return self._source.read(min(most, CHUNK))
        if not select.select([self._descriptor], [], [], SILENCE)[0]:
            raise ValueError(f"no data for {SILENCE:.0f} s")
        return os.read(self._descriptor, min(most, CHUNK))


@dataclass
class _Reader:
    """Reads the entries of the tar one by one: note and archive of each volume, then the index."""

    source: _Input
    scratch: str
    limit: int
    single: int
    snapshots: list[Snapshot] = field(default_factory=list)
    index: dict[str, str] = field(default_factory=dict)

    def read(self) -> list[Snapshot]:
        """The snapshots described by the notes; their archives are in the scratch folder, verified and on disk."""
        while (entry := self._entry()) is not None and entry.name != INDEX:
            if len(self.snapshots) == MOST:
                raise ValueError(f"it holds more than {MOST} volumes")
            self._pair(entry)
        if entry is None or not self.snapshots:
            raise ValueError("it has no index, or nothing but an index")
        if self._content(entry, LARGEST_INDEX) != json.dumps(self.index).encode():
            raise ValueError("the index does not match")
        if self._entry() is not None:
            raise ValueError("there is more after the index")
        return self.snapshots

    def _pair(self, entry: tarfile.TarInfo) -> None:
        """Read a note, and the archive that must follow it."""
        name = entry.name.removesuffix(NOTE)
        if not entry.name.endswith(NOTE) or name in self.index or stem(unquote(name)) != name:
            raise ValueError(f"unexpected entry {entry.name[:100]!r}")
        content = self._content(entry, LARGEST_NOTE)
        snapshot = decode(content)
        self._require_bounds(snapshot, name)
        archive = self._entry()
        if archive is None or archive.name != f"{name}{ARCHIVE}" or archive.size != snapshot.stored:
            raise ValueError(f"the archive of {snapshot.volume!r} does not follow its note")
        self._store(snapshot, f"{name}{ARCHIVE}")
        self.index[name] = hashlib.sha256(content).hexdigest()
        self.snapshots.append(snapshot)

    def _require_bounds(self, snapshot: Snapshot, name: str) -> None:
        if stem(snapshot.volume) != name:
            raise ValueError(f"the note of {unquote(name)!r} is about another volume")
        if snapshot.created > time.time() + AHEAD:
            raise ValueError(f"{snapshot.volume!r} was saved in the future, by this machine's clock")
        stored = snapshot.stored + sum(s.stored for s in self.snapshots)
        if max(stored, snapshot.size) > self.limit:
            raise ValueError(f"it is larger than {shown(self.limit)} (`snapshots_total`)")
        if snapshot.size > max(self.single, RATIO * snapshot.stored):
            raise ValueError(f"{snapshot.volume!r} holds {shown(snapshot.size)} in {shown(snapshot.stored)}")

    def _store(self, snapshot: Snapshot, name: str) -> None:
        """Write the archive while it is read, and unpack it to compare it with its note."""
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
        self.source.exactly(-snapshot.stored % BLOCK)

    def _content(self, entry: tarfile.TarInfo, most: int) -> bytes:
        if entry.size > most:
            raise ValueError(f"{entry.name[:100]!r} is too large")
        return self.source.exactly(entry.size + -entry.size % BLOCK)[: entry.size]

    def _entry(self) -> tarfile.TarInfo | None:
        """The next file of the tar, with the values of a pax header before it; None at the end."""
        values = dict[str, bytes]()
        entry = header(self.source.exactly(BLOCK))
        if entry is not None and entry.type == tarfile.XHDTYPE:
            values = records(self._content(entry, LARGEST_HEADER))
            entry = header(self.source.exactly(BLOCK))
        if entry is None and values:
            raise ValueError("it ends after a header")
        if entry is None:
            return None
        if entry.type not in FILES:
            raise ValueError(f"unexpected entry {entry.name[:100]!r}")
        entry.name = values["path"].decode() if "path" in values else entry.name
        entry.size = int(values.get("size", entry.size))
        return entry


class _Check:
    """Checks a compressed tar piece by piece, without storing any of it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._digest = StoredDigest()
        self._zip = Gunzip()
        self._walk = TarWalk()
        self._size = 0
        self._tail = b""

    def take(self, piece: bytes) -> None:
        """Take the next piece. Raises ValueError or zlib.error if it is not a tar in gzip, or larger than noted."""
        self._digest.update(piece)
        for plain in self._zip.pieces(piece):
            self._size += len(plain)
            if self._size > self._snapshot.size:
                raise ValueError(f"the archive of {self._snapshot.volume!r} holds more than its note says")
            self._walk.take(plain)
            self._tail = (self._tail + plain)[-len(TAR_END) :]

    def finish(self) -> None:
        """Raise ValueError if the archive differs from its note."""
        whole = self._zip.is_complete and self._size == self._snapshot.size and self._tail == TAR_END
        if not (whole and self._walk.is_over) or self._digest.hexdigest() != self._snapshot.digest:
            raise ValueError(f"the archive of {self._snapshot.volume!r} is not what its note says")
