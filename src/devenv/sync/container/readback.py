"""What a container holds, compared with the host: read as a stream, nothing of it is kept."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import anyio

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.model.sync_plan import Sync
from devenv.sync import reconcile
from devenv.sync.container import host_files, tar
from devenv.sync.container.host_files import PERMISSIONS, DirFds, Item
from devenv.sync.container.staging import parents
from devenv.sync.container.tar import Member
from devenv.sync.rules.rules import relative_to

BATCH = 1 << 20  # bytes until a worker thread is worth waking
TRIES = 3
MOST_LINKS = 8  # followed one after the other, in the place of one folder
LOOP = re.compile("(?i)too many (links|levels)")  # of the engine, about one path
CUT = "it changed all the time while it was read"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look into a container found.

    `missing`: syncs whose target is not as the host's source. `placed`: the names (of a journal) that are there; a
    folder only if nothing else is in it. `unread`: container paths that could not be read, and why; what was to be
    found there is in `missing` and `placed`. `folders`: those that no link led to. `links`: what is a link where
    the host has a folder, and is not looked through.
    """

    missing: tuple[Sync, ...] = ()
    placed: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()

    @property
    def different(self) -> tuple[str, ...]:
        """Every container path that differs; in the place of what is behind a link the link itself."""
        behind = {s.target for s in self.missing if any(relative_to(s.target, link) for link in self.links)}
        found = {s.target for s in self.missing} - behind
        return tuple(sorted({*found, *self.links, *self.unread, *(name.rstrip("/") for name in self.placed)}))


async def look(
    engine: Engine, container_id: str, syncs: Iterable[Sync], tops: Iterable[str], placed: Collection[str] = ()
) -> Seen:
    """Compare the targets of these syncs, and look for these names; all lie at or below the `tops`.

    A top that ends in `/` may be reached by a link. So may a folder that the host has, if the link leads to where
    nothing is synced: then what lies behind it counts.
    """
    reading = _Reading(syncs, placed)
    for top in sorted(tops):
        await _read(engine, container_id, reading, top, top)
    while reading.behind:
        path, (place, hops) = reading.behind.popitem()
        await _read(engine, container_id, reading, place, path, hops)
    return reading.seen()


async def _read(engine: Engine, container_id: str, reading: _Reading, place: str, path: str, hops: int = 0) -> None:
    """What lies at `place` in the container, as if it were at `path`."""
    for _ in range(TRIES):
        sink = _Sink(reading, place, path, hops)
        try:
            await engine.archive.save(container_id, place, sink)
        except CallError as error:
            if not LOOP.search(error.reason):
                raise
            reading.unread[path.rstrip("/") or "/"] = error.reason
            return
        await sink.end()
        if sink.is_whole:
            return
    reading.unread[path.rstrip("/") or "/"] = CUT


class _Sink:
    """Takes the archive of one place, and gives it to a worker thread by the megabyte."""

    def __init__(self, reading: _Reading, place: str, path: str, hops: int) -> None:
        self._reading = reading
        self._reader = tar.Reader()
        self._is_open = place.endswith("/")
        self._place, self._path, self._hops = place.rstrip("/") or "/", path.rstrip("/") or "/", hops
        self._parent = posixpath.dirname(self._place)
        self._waiting: list[bytes] = []
        self._size = 0
        self._hash = sha256()
        self._is_broken = False
        self._is_empty = True

    @property
    def is_whole(self) -> bool:
        """Whether the archive came to its end; none at all is nothing there."""
        return self._is_empty or (self._reader.ended and not self._is_broken)

    async def write(self, chunk: bytes) -> None:
        """Take a piece of the archive."""
        self._is_empty = False
        self._waiting.append(chunk)
        self._size += len(chunk)
        if self._size >= BATCH:
            await self.end()

    async def end(self) -> None:
        """All that came is compared."""
        data, self._waiting, self._size = b"".join(self._waiting), [], 0
        if data and not self._is_broken:
            await anyio.to_thread.run_sync(self._take, data)

    def _take(self, data: bytes) -> None:
        try:
            with DirFds() as opened:
                for member, piece, is_last in self._reader.feed(data):
                    place, path = self._real(member)
                    if piece and self._reading.wants(path):
                        self._hash.update(piece)
                    if is_last:
                        digest, self._hash = self._hash.hexdigest(), sha256()
                        self._reading.take(path, member, digest, opened)
                        if member.kind == tar.FOLDER and self._is_certain(path):
                            self._reading.folders.add(path)
                        if member.kind == tar.LINK:
                            self._reading.link(path, place, os.fsdecode(member.link), self._hops)
        except ValueError:
            self._is_broken = True

    def _is_certain(self, path: str) -> bool:
        """Whether a folder is one itself: what a link leads to is asked for with a slash, or in the link's place."""
        return not self._hops and not (self._is_open and path == self._path)

    def _real(self, member: Member) -> tuple[str, str]:
        """Where the entry is in the container, and as what it counts."""
        inside = os.path.normpath(f"{self._parent}/{os.fsdecode(member.name)}")
        place = "/" + inside.lstrip("/")  # normpath leaves `//` as it is
        below = relative_to(place, self._place)
        return place, f"{self._path.rstrip('/')}/{below}" if below else self._path


class _Reading:
    """What is compared, and what was found so far."""

    def __init__(self, syncs: Iterable[Sync], placed: Collection[str]) -> None:
        self._wanted = {sync.target: sync for sync in syncs}
        self._placed = frozenset(placed)
        self._host_folders = {
            name[:-1] for name in reconcile.journal_paths(self._wanted.values()) if name.endswith("/")
        }
        self._managed = {"/", *self._wanted, *(above for target in self._wanted for above in parents(target))}
        self._own = {name[:-1] for name in placed if name.endswith("/")}
        self._there: set[str] = set()
        self._shared: set[str] = set()  # folders of the journal that hold something else, too
        self.folders: set[str] = set()
        self._links: set[str] = set()
        self.behind: dict[str, tuple[str, int]] = {}  # link -> where it leads, how many links it took so far
        self.unread: dict[str, str] = {}

    def wants(self, path: str) -> bool:
        """Whether the content of this container path counts."""
        return path in self._wanted

    def take(self, path: str, member: Member, digest: str, opened: DirFds) -> None:
        """One entry of the container, with a fingerprint of its content. Blocking: reads the host's file."""
        self._note(path, is_folder=member.kind == tar.FOLDER)
        sync = self._wanted.get(path)
        if sync is not None and _is_as(sync, member, digest, opened):
            del self._wanted[path]

    def link(self, path: str, place: str, text: str, hops: int) -> None:
        """A link, at `place` in truth; where the host has a folder, it may be looked through."""
        if path not in self._host_folders:
            return
        leads_to = posixpath.normpath(posixpath.join(posixpath.dirname(place), text))
        if hops < MOST_LINKS and leads_to not in self._managed:
            self.behind[path] = leads_to, hops + 1
        else:
            self._links.add(path)

    def _note(self, path: str, *, is_folder: bool) -> None:
        name = f"{path}/" if is_folder else path
        if name in self._placed:
            self._there.add(name)
        elif self._own:
            self._shared.update(above for above in parents(path) if above in self._own)

    def seen(self) -> Seen:
        """All of it."""
        unread = tuple(self.unread)
        there = {name for name in self._there if name[:-1] not in self._shared}
        there |= {name for name in self._placed if any(relative_to(name.rstrip("/"), p) is not None for p in unread)}
        missing = tuple(self._wanted.values())
        return Seen(missing, frozenset(there), self.unread, frozenset(self.folders), frozenset(self._links))


def _is_as(sync: Sync, member: Member, digest: str, opened: DirFds) -> bool:
    """Whether the entry is what the host has: kind, content, mode of a file, text of a link."""
    item = Item(sync.source, sync.target, sync.root, sync.folder)
    try:
        entry = host_files.read(item, opened)
        if entry is None:
            return member.kind == tar.FILE and _is_large(item, member, digest)
    except OSError:
        return False
    if entry.kind != member.kind:
        return False
    if entry.kind == tar.LINK:
        return entry.link == member.link
    if entry.kind == tar.FOLDER:
        return True  # its mode is the container's own affair
    is_alike = (len(entry.content), entry.mode) == (member.size, member.mode & PERMISSIONS)
    return is_alike and sha256(entry.content).hexdigest() == digest


def _is_large(item: Item, member: Member, digest: str) -> bool:
    descriptor = host_files.open_file(item)
    try:
        found = os.fstat(descriptor)
        is_alike = (found.st_size, stat.S_IMODE(found.st_mode) & PERMISSIONS) == (
            member.size,
            member.mode & PERMISSIONS,
        )
        return is_alike and host_files.digest_of(descriptor, found.st_size) == digest
    finally:
        os.close(descriptor)
