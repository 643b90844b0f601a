"""Where snapshots lie: an archive and a note beside it, which is written last and makes it count."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import itertools
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import IO
from urllib.parse import quote, unquote

from devenv.errors import StateError
from devenv.lifecycle.home import state_folder
from devenv.model.snapshot import Snapshot, expendable
from devenv.packed import CHUNK, Draft

PART = ".part"
LATER = 24 * 3600.0  # seconds; a clock that was set back by more is not made up for
END_OF_TIME = 253402300800.0  # the year 10000, which no date can show
INDEX = "index"


@dataclass(frozen=True, slots=True)
class Store:
    """All snapshots of this user, in one folder that is private to them."""

    path: str

    @classmethod
    def at_home(cls) -> Store:
        """The store in the state folder. Raises StateError where that cannot be used."""
        path = os.path.join(state_folder(), "snapshots")
        os.makedirs(path, mode=0o700, exist_ok=True)
        return cls(path)

    def all(self) -> tuple[Snapshot, ...]:
        """Every snapshot that counts, the oldest first; what cannot be understood does not."""
        found = list[Snapshot]()
        for folder in _entries(self.path):
            for name in _entries(os.path.join(self.path, folder)):
                if name.endswith(".json"):
                    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                        snapshot = _read(note := os.path.join(self.path, folder, name))
                        found += [snapshot] if self._beside(snapshot.id, snapshot.volume, ".json") == note else []
        return tuple(sorted(found, key=lambda s: (s.created, s.volume)))

    def damaged(self) -> tuple[tuple[str, str], ...]:
        """(id, volume) of each archive without a note that can be read: kept, but no snapshot."""
        known = {self.archive(snapshot) for snapshot in self.all()}
        return tuple(
            (folder, unquote(name.removesuffix(".tar.gz")))
            for folder in _entries(self.path)
            for name in _entries(os.path.join(self.path, folder))
            if name.endswith(".tar.gz") and os.path.join(self.path, folder, name) not in known
        )

    def archive(self, snapshot: Snapshot) -> str:
        """The path of its archive."""
        return self._beside(snapshot.id, snapshot.volume, ".tar.gz")

    def check(self, snapshot: Snapshot) -> None:
        """Raises StateError where the archive is not the one that was stored."""
        digest = hashlib.sha256()
        try:
            with open(self.archive(snapshot), "rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        except OSError as error:
            said = f"the snapshot {snapshot.id} of {snapshot.volume} cannot be read: {error.strerror}"
            raise StateError(said, hint=self._instead(snapshot)) from error
        if digest.hexdigest() != snapshot.digest:
            said = f"the snapshot {snapshot.id} of {snapshot.volume} is damaged on disk"
            raise StateError(said, hint=self._instead(snapshot))

    def _instead(self, snapshot: Snapshot) -> str:
        earlier = [s for s in self.all() if s.line == snapshot.line and s.created < snapshot.created]
        older = [f"devenv up --from {s.id}   (an older state), or: " for s in earlier[-1:]]
        return f"{''.join(older)}devenv up --fresh   (begins empty)"

    def now(self) -> float:
        """The time, but later than every snapshot: a clock that was set back makes the last one no older."""
        now = time.time()
        return max((now, *(one.created + 0.001 for one in self.all() if one.created < now + LATER)))

    def new_id(self) -> str:
        """An id that no set has, nor gets by another process: the time, and if need be a number. Raises OSError."""
        stem = time.strftime("%Y%m%d-%H%M%S")
        for number in itertools.count(1):
            name = f"{stem}-{number}" if number > 1 else stem
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(self.path, name), 0o700)
                return name
        raise AssertionError("numbers do not end")

    @contextlib.contextmanager
    def draft(self, set_id: str, volume: str, *, limit: int) -> Iterator[tuple[Draft, str]]:
        """An archive to write and its path; gone afterwards, unless `commit` has taken it."""
        os.makedirs(os.path.join(self.path, set_id), mode=0o700, exist_ok=True)
        path = self._beside(set_id, volume, PART)
        try:
            with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # `tidy` knows by it that somebody is at it
                draft = Draft(file, limit)
                try:
                    yield draft, path
                finally:
                    draft.is_given_up = True
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(self.path, set_id))

    def commit(self, snapshot: Snapshot, path: str) -> None:
        """The archive at `path`, which is on disk and verified, counts from now on. Raises OSError."""
        os.replace(path, self.archive(snapshot))
        note = self._beside(snapshot.id, snapshot.volume, ".json")
        with open(os.open(f"{note}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(asdict(snapshot), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{note}.new", note)
        for folder in (os.path.dirname(note), self.path):
            _sync_folder(folder)

    def remove(self, snapshot: Snapshot) -> None:
        """The snapshot gone: its note first, so that no half of it counts."""
        for end in (".json", ".tar.gz"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._beside(snapshot.id, snapshot.volume, end))
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(self.path, snapshot.id))

    def make_room(self, total: int, needed: Collection[tuple[str, str]]) -> tuple[Snapshot, ...]:
        """The automatic ones that had to go for the others to fit, oldest first; never those that are `needed`."""
        everything = self.all()
        there = {s.directory for s in everything if os.path.isdir(s.directory)}
        gone = expendable(everything, total=total, there=there, needed=needed)
        for one in gone:
            self.remove(one)
        return gone

    def tidy(self) -> None:
        """What interrupted work left, and nobody can be at any more, is gone."""
        for folder in _entries(self.path):
            inside = os.path.join(self.path, folder)
            for name in _entries(inside):
                if name.endswith((PART, ".new")):
                    with contextlib.suppress(OSError):
                        if _is_abandoned(os.path.join(inside, name)):
                            os.unlink(os.path.join(inside, name))
            with contextlib.suppress(OSError):
                os.rmdir(inside)

    # --- out and in ---------------------------------------------------------------------------------------------

    def pack(self, snapshots: Iterable[Snapshot], out: IO[bytes]) -> None:
        """These snapshots as one tar: a note and an archive each, and last an index, the digests of all notes."""
        index = dict[str, str]()
        with tarfile.open(fileobj=out, mode="w|") as tar:
            for snapshot in snapshots:
                self.check(snapshot)
                for end in (".json", ".tar.gz"):
                    path = self._beside(snapshot.id, snapshot.volume, end)
                    tar.add(path, arcname=os.path.basename(path), recursive=False)
                note = self._beside(snapshot.id, snapshot.volume, ".json")
                index[quote(snapshot.volume, safe="")] = _digest(note)
            content = json.dumps(index).encode()
            info = tarfile.TarInfo(INDEX)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

    def unpack(self, source: IO[bytes]) -> tuple[Snapshot, ...]:
        """The snapshots of a packed tar, under an id of their own. Raises StateError where it is none, or damaged."""
        set_id, found = self.new_id(), list[Snapshot]()
        try:
            with tempfile.TemporaryDirectory(dir=self.path, prefix=".in") as scratch:
                notes = _spread(source, scratch)
                for note, archive in notes:
                    given = _read(note)
                    snapshot = Snapshot(
                        **{**asdict(given), "id": set_id, "automatic": False, "lineage": "", "parent": ""}
                    )
                    os.makedirs(os.path.join(self.path, set_id), mode=0o700, exist_ok=True)
                    part = self._beside(set_id, snapshot.volume, PART)
                    os.replace(archive, part)
                    self.commit(snapshot, part)
                    found.append(snapshot)
                    self.check(snapshot)
        except (tarfile.TarError, OSError, ValueError, TypeError, KeyError, StateError) as error:
            for one in found:
                self.remove(one)
            hint = "Export it anew: devenv snapshot export NAME FILE"
            raise StateError("that is no exported snapshot, or it is damaged", hint=hint) from error
        return tuple(found)

    def _beside(self, set_id: str, volume: str, end: str) -> str:
        return os.path.join(self.path, set_id, f"{quote(volume, safe='')}{end}")


def _spread(source: IO[bytes], scratch: str) -> list[tuple[str, str]]:
    """(note, archive) of each snapshot in the tar, written to names of our own."""
    halves: dict[str, dict[str, str]] = {}
    index: object = None
    with tarfile.open(fileobj=source, mode="r|*") as tar:
        for number, member in enumerate(tar):
            if member.name == INDEX and (listed := tar.extractfile(member)) is not None:
                index = json.load(listed)
                continue
            stem, dot, end = member.name.rpartition(".json" if member.name.endswith(".json") else ".tar.gz")
            content = tar.extractfile(member) if member.isfile() and dot and not end else None
            if content is None:
                raise ValueError(f"unexpected entry {member.name!r}")
            path = os.path.join(scratch, str(number))
            with open(path, "wb") as file:
                while chunk := content.read(CHUNK):
                    file.write(chunk)
                os.fsync(file.fileno())
            halves.setdefault(stem, {})[dot] = path
    if not halves or any(len(half) != 2 for half in halves.values()):  # noqa: PLR2004 - two halves
        raise ValueError("a note or an archive is missing")
    if index != {stem: _digest(half[".json"]) for stem, half in halves.items()}:
        raise ValueError("it is not whole")
    return [(half[".json"], half[".tar.gz"]) for half in halves.values()]


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_abandoned(path: str) -> bool:
    """Whether nobody works on it any more; a note that is being written has no lock, and takes no time."""
    if not path.endswith(PART):
        return time.time() - os.lstat(path).st_mtime > LATER
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
    return True


def _read(path: str) -> Snapshot:
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    names = {field.name for field in fields(Snapshot)}
    snapshot = Snapshot(**{name: data[name] for name in names - {"lineage", "parent"} | names & data.keys()})
    if not all(isinstance(getattr(snapshot, f.name), _KINDS[str(f.type)]) for f in fields(Snapshot)):
        raise ValueError("a field of another kind")
    if not 0 <= snapshot.created < END_OF_TIME or min(snapshot.size, snapshot.stored) < 0:
        raise ValueError("a number out of range")
    return snapshot


_KINDS: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float), "bool": bool}


def _entries(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
