"""The snapshots on disk: an archive and a note next to it, which is written last and makes the snapshot valid."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from devenv import private_files
from devenv.errors import StateError
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.snapshot import Snapshot, expendable
from devenv.state.home import state_folder
from devenv.volumes.lineage import LARGEST_NOTE, decode

if TYPE_CHECKING:
    from devenv.state.verified_archive import Draft

with LazyImports():  # to list snapshots, none is opened
    from devenv.state import gzip_members, verified_archive
    from devenv.volumes import exported

PART, DAMAGED = ".part", "is damaged on disk"
ASSUMED_RATE, SLOWEST_RATE = 100e6, 5e6  # bytes per second
MEASURABLE = 32 * 10**6  # bytes
LATER = 24 * 3600.0  # seconds; a clock that was set back by more is not compensated


@dataclass(frozen=True, slots=True)
class Store:
    """All snapshots of this user, in one folder that is private to them."""

    path: str

    @classmethod
    def at_home(cls) -> Store:
        """The store in the state folder. Raises StateError if that cannot be used."""
        return cls(private_files.private_folder(state_folder(), "snapshots"))

    def all(self) -> tuple[Snapshot, ...]:
        """All snapshots with a valid note, the oldest first."""
        snapshots = list[Snapshot]()
        for folder in _entries(self.path):
            for name in _entries(os.path.join(self.path, folder)):
                if name.endswith(".json"):
                    with contextlib.suppress(OSError, ValueError, StateError):
                        snapshot = _read(note := os.path.join(self.path, folder, name))
                        if self._beside(snapshot.id, snapshot.volume, ".json") == note:
                            snapshots.append(snapshot)
        return tuple(sorted(snapshots, key=lambda s: (s.created, s.volume)))

    def damaged(self) -> tuple[tuple[str, str], ...]:
        """(id, volume) of each archive whose note is missing or cannot be read: it is kept, but is not a snapshot."""
        known = {self.archive(snapshot) for snapshot in self.all()}
        return tuple(
            (folder, unquote(name.removesuffix(".tar.gz")))
            for folder in _entries(self.path)
            for name in _entries(os.path.join(self.path, folder))
            if name.endswith(".tar.gz") and os.path.join(self.path, folder, name) not in known
        )

    def archive(self, snapshot: Snapshot) -> str:
        """The path of the snapshot's archive."""
        return self._beside(snapshot.id, snapshot.volume, ".tar.gz")

    def check(self, snapshot: Snapshot) -> None:
        """Raise StateError if the archive is damaged."""
        digest = gzip_members.StoredDigest()
        try:
            with private_files.open_read(self.archive(snapshot)) as file:
                while chunk := file.read(verified_archive.CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise self.unusable(snapshot, f"cannot be read: {error.strerror}") from error
        if digest.hexdigest() != snapshot.digest:
            raise self.unusable(snapshot)

    def unusable(self, snapshot: Snapshot, why: str = DAMAGED) -> StateError:
        """The error for a snapshot that cannot be restored."""
        earlier = [s for s in self.all() if s.line == snapshot.line and s.created < snapshot.created]
        older = f"devenv up --from {earlier[-1].id}   (an older state), or: " if earlier else ""
        hint = f"{older}devenv up --fresh   (begins empty)"
        return StateError(f"the snapshot {snapshot.id} of {snapshot.volume} {why}", hint=hint)

    def now(self) -> float:
        """The current time, but later than every snapshot, even if a clock was set back."""
        now = time.time()
        return max((now, *(s.created + 0.001 for s in self.all() if s.created < now + LATER)))

    def new_id(self) -> str:
        """A unique id for a set: the time, and if needed a number. Raises OSError."""
        stem = time.strftime("%Y%m%d-%H%M%S")
        for number in itertools.count(1):
            name = f"{stem}-{number}" if number > 1 else stem
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.join(self.path, name), 0o700)
                return name
        raise AssertionError("numbers do not end")

    @property
    def rate(self) -> float:
        """Bytes of volumes per second that this machine saves, as measured; an assumption before the first save."""
        with contextlib.suppress(OSError, ValueError, StateError):
            return max(float(private_files.read(self._rate) or ASSUMED_RATE), SLOWEST_RATE)
        return ASSUMED_RATE

    def note_rate(self, size: int, seconds: float) -> None:
        """Remember how long a save took. Small volumes prove nothing; a full disk is no error."""
        if size >= MEASURABLE and seconds > 0:
            with contextlib.suppress(OSError, StateError):
                private_files.replace(self._rate, f"{(self.rate + size / seconds) / 2:.0f}", durable=False)

    @property
    def _rate(self) -> str:
        return f"{self.path}.save-rate"  # `.rate` is that of earlier versions, which compressed more slowly

    @contextlib.contextmanager
    def draft(self, set_id: str, volume: str, *, limit: float) -> Iterator[tuple[Draft, str]]:
        """An archive to write, and its path; removed afterwards, unless `commit` has taken it."""
        private_files.private_folder(self.path, set_id)
        path = self._beside(set_id, volume, PART)
        try:
            with open(private_files.create(path), "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # tells `tidy` that the file is being written
                with verified_archive.Draft(file, limit) as draft:
                    yield draft, path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(self.path, set_id))

    def commit(self, snapshot: Snapshot, path: str) -> None:
        """Make the archive at `path`, which is on disk and verified, a valid snapshot. Raises OSError."""
        os.replace(path, self.archive(snapshot))
        note = self._beside(snapshot.id, snapshot.volume, ".json")
        private_files.replace(note, json.dumps(asdict(snapshot)))
        private_files.sync_folder(self.path)

    def remove(self, snapshot: Snapshot) -> None:
        """Remove the snapshot: its note first, so that a partial removal leaves no snapshot."""
        for end in (".json", ".tar.gz"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._beside(snapshot.id, snapshot.volume, end))
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(self.path, snapshot.id))

    def make_room(self, total: int, needed: Collection[tuple[str, str]]) -> tuple[Snapshot, ...]:
        """Remove automatic snapshots until the rest fits; never those that are `needed`. Return the removed ones."""
        everything = self.all()
        existing = {s.directory for s in everything if os.path.isdir(s.directory)}
        removed = expendable(everything, total=total, there=existing, needed=needed)
        for snapshot in removed:
            self.remove(snapshot)
        return removed

    def tidy(self) -> None:
        """Remove the files of interrupted work that no process is working on."""
        exported.tidy(self.path)
        for folder in _entries(self.path):
            if folder.startswith(exported.SCRATCH):
                continue
            set_path = os.path.join(self.path, folder)
            parts = (name for name in _entries(set_path) if name.endswith((PART, ".new")))
            for path in (os.path.join(set_path, name) for name in parts):
                with contextlib.suppress(OSError):
                    if _is_abandoned(path):
                        os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(set_path)

    def _beside(self, set_id: str, volume: str, end: str) -> str:
        return os.path.join(self.path, set_id, f"{quote(volume, safe='')}{end}")


def _is_abandoned(path: str) -> bool:
    """Whether no process works on the file. A note has no lock, but is written at once."""
    if not path.endswith(PART):
        return time.time() - os.lstat(path).st_mtime > LATER
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
    return True


def _read(path: str) -> Snapshot:
    with private_files.open_read(path) as file:
        return decode(file.read(LARGEST_NOTE + 1))


def _entries(path: str) -> list[str]:
    try:
        return private_files.entries(path)
    except (OSError, StateError):
        return []
