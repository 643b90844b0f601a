"""Read files back from a container as a stream, and compare them with the host."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

import anyio

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.lazy_dataclass import dataclass
from devenv.model.sync_plan import Sync
from devenv.paths import ancestors, is_below, is_within, relative_to, with_parents
from devenv.sync.container import host_files, tar
from devenv.sync.container.host_files import EXECUTABLE, PERMISSIONS, DirFds, Item
from devenv.sync.container.tar import Member
from devenv.sync.reconcile import journal_paths
from devenv.tasks import each

BATCH = 1 << 20  # bytes to collect before a worker thread is woken
TRIES = 3
AT_ONCE = 4  # archives on a slow line, where each costs a round trip
MOST_LINKS = 8  # maximum number of links followed in place of one folder
LOOP = re.compile("(?i)too many (links|levels)")  # the engine's error about a path
CUT = "it kept changing while it was read"


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of reading back a container.

    `missing`: syncs whose target differs from the source. `placed`: the names of a journal that exist; a folder only
    if it contains nothing else. `unread`: container paths that could not be read, with the reasons; their syncs and
    names are in `missing` and `placed`. `folders`: folders that were reached without a link. `links`: links that are
    not followed, at paths where the host has a folder. `executable`: files that only the image made executable.
    """

    missing: tuple[Sync, ...] = ()
    placed: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    executable: frozenset[str] = frozenset()

    @property
    def different(self) -> tuple[str, ...]:
        """Every container path that differs; for paths behind a link, the link itself."""
        behind = {s.target for s in self.missing if any(is_below(s.target, link) for link in self.links)}
        reachable = {s.target for s in self.missing} - behind
        return tuple(sorted({*reachable, *self.links, *self.unread, *(name.rstrip("/") for name in self.placed)}))


async def look(
    engine: Engine,
    container_id: str,
    syncs: Iterable[Sync],
    roots: Iterable[str],
    placed: Collection[str] = (),
    unwanted: Collection[str] = (),
    given: Collection[str] | None = None,
) -> Seen:
    """Compare the targets of these syncs, and look for these names of a journal; all are at or below the `roots`.

    Anything at an `unwanted` path counts as such a name, including a folder with other content. A root that ends in
    `/` may be a link. A link in place of a folder of the host is also followed, if it leads to a path where nothing
    is synced. `given` are all names of the journal, if they are known: other files are as the image has them.
    """
    reading = _Reading(syncs, placed, unwanted, given)
    # The engine sends the archives of a container one after the other: behind a large one, it seems not to answer.
    at_once = anyio.Semaphore(AT_ONCE if engine.endpoint.machine else 1)
    source = _Source(engine, container_id, anyio.Lock())

    async def read(root: str) -> None:
        async with at_once:
            await _read(source, reading, root, root)

    await each(read, sorted(roots))
    while reading.behind:
        path, (place, hops) = reading.behind.popitem()
        await _read(source, reading, place, path, hops)
    return reading.seen()


class _Source(NamedTuple):
    """The container that is read; one archive at a time has its `turn` to be compared in a thread."""

    engine: Engine
    container_id: str
    turn: anyio.Lock


async def _read(source: _Source, reading: _Reading, place: str, path: str, hops: int = 0) -> None:
    name, reason = path.rstrip("/") or "/", CUT
    for _ in range(TRIES):
        sink = _Sink(reading, source.turn, place, name, hops)
        try:
            await source.engine.archive.save(source.container_id, place, sink.write)
        except CallError as error:
            if not LOOP.search(error.reason):
                raise
            reason = error.reason
            break
        await sink.end()
        if sink.is_whole:
            return
    reading.unread[name] = reason


class _Sink:
    """Receives the archive of one path, and passes it on to a worker thread in pieces of a megabyte."""

    def __init__(self, reading: _Reading, turn: anyio.Lock, place: str, path: str, hops: int) -> None:
        self._reading = reading
        self._turn = turn
        self._reader = tar.TarReader()
        # A link is followed if its path ends in a slash, or by `behind`: all other folders are certainly not links.
        self._maybe_link = path if place.endswith("/") else ""
        self._place, self._path, self._hops = place.rstrip("/") or "/", path, hops
        self._waiting: list[bytes] = []
        self._size = 0
        self._hash = sha256()
        self._is_broken = False
        self._is_empty = True

    @property
    def is_whole(self) -> bool:
        return self._is_empty or (self._reader.ended and not self._is_broken)  # empty if the path does not exist

    async def write(self, chunk: bytes) -> None:
        self._is_empty = False
        self._waiting.append(chunk)
        self._size += len(chunk)
        if self._size >= BATCH:
            await self.end()

    async def end(self) -> None:
        data, self._waiting, self._size = b"".join(self._waiting), [], 0
        if data and not self._is_broken:
            async with self._turn:
                await anyio.to_thread.run_sync(self._take, data)

    def _take(self, data: bytes) -> None:
        reading = self._reading
        try:
            with DirFds() as opened:
                for member, piece, is_last in self._reader.feed(data):
                    place, path = self._real(member)
                    if piece and path in reading.wanted:
                        self._hash.update(piece)
                    if is_last:
                        digest, self._hash = self._hash.hexdigest(), sha256()
                        reading.take(path, member, digest, opened)
                        if member.kind == tar.FOLDER and not self._hops and path != self._maybe_link:
                            reading.folders.add(path)
                        if member.kind == tar.LINK:
                            reading.link(path, place, os.fsdecode(member.link), self._hops)
        except ValueError:
            self._is_broken = True

    def _real(self, member: Member) -> tuple[str, str]:
        """The real path of the entry in the container, and the path that it is compared as."""
        inside = os.path.normpath(f"{posixpath.dirname(self._place)}/{os.fsdecode(member.name)}")
        place = "/" + inside.lstrip("/")  # normpath leaves `//` as it is
        below = relative_to(place, self._place)
        return place, f"{self._path.rstrip('/')}/{below}" if below else self._path


class _ImageModes:
    """Which files the image `made` executable, that are not so on the host and that no sync has put.

    `given` are all names of the journal. If they are not known, nothing is known of the image's files.
    """

    def __init__(self, given: Collection[str] | None) -> None:
        self.made: set[str] = set()
        self._given = given

    def kept(self, sync: Sync, member: Member, opened: DirFds) -> Sync:
        """The sync to an entry of the container, with the mode that the image gave it. Blocking."""
        if self._given is None or sync.target in self._given or not _is_made(sync, member, opened):
            return sync
        self.made.add(sync.target)
        return sync._replace(executable=True)


class _Reading:
    """The syncs and names to compare, and the results so far."""

    def __init__(
        self,
        syncs: Iterable[Sync],
        placed: Collection[str],
        unwanted: Collection[str],
        given: Collection[str] | None,
    ) -> None:
        self.wanted = {sync.target: sync for sync in syncs}
        self._modes = _ImageModes(given)
        self._placed, self._unwanted = frozenset(placed), frozenset(unwanted)
        self._syncs = tuple(self.wanted.values())
        self._existing: set[str] = set()
        self._shared: set[str] = set()  # folders of the journal that have other content, too
        self.folders: set[str] = set()
        self._links: set[str] = set()
        self.behind: dict[str, tuple[str, int]] = {}  # link -> its destination, and links followed so far
        self.unread: dict[str, str] = {}

    @cached_property
    def _host_folders(self) -> set[str]:
        return {name[:-1] for name in journal_paths(self._syncs) if name.endswith("/")}

    @cached_property
    def _managed(self) -> set[str]:
        return {"/"} | with_parents(sync.target for sync in self._syncs)

    def take(self, path: str, member: Member, digest: str, opened: DirFds) -> None:
        """Compare an entry of the container, with the SHA-256 of its content. Blocking: reads the host's file."""
        name = f"{path}/" if member.kind == tar.FOLDER else path
        if name in self._placed:
            self._existing.add(name)
        elif self._placed:
            self._shared.update(above for above in ancestors(path) if f"{above}/" in self._placed)
        if path in self._unwanted:
            self._existing.add(path)
        sync = self.wanted.get(path)
        if sync is not None:
            self.wanted[path] = self._modes.kept(sync, member, opened)
            if _is_as(self.wanted[path], member, digest, opened):
                del self.wanted[path]

    def link(self, path: str, place: str, text: str, hops: int) -> None:
        """Record a link whose real path is `place`; it may be followed if the host has a folder at the path."""
        if path not in self._host_folders:
            return
        leads_to = posixpath.normpath(posixpath.join(posixpath.dirname(place), text))
        if hops < MOST_LINKS and leads_to not in self._managed:
            self.behind[path] = leads_to, hops + 1
        else:
            self._links.add(path)

    def seen(self) -> Seen:
        existing = self._existing - {f"{folder}/" for folder in self._shared}
        existing |= {name for name in self._placed | self._unwanted if is_within(name.rstrip("/"), *self.unread)}
        missing = tuple(self.wanted.values())
        sets = map(frozenset, (self.folders, self._links, self._modes.made))
        return Seen(missing, frozenset(existing), self.unread, *sets)


def _is_made(sync: Sync, member: Member, opened: DirFds) -> bool:
    """Whether the file is executable in the container, and not on the host."""
    if member.kind != tar.FILE or not member.mode & EXECUTABLE:
        return False
    try:
        folder, name = opened.place(sync.source, sync.root)
        mode = os.lstat(name, dir_fd=folder).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and not mode & EXECUTABLE


def _is_as(sync: Sync, member: Member, digest: str, opened: DirFds) -> bool:
    """Whether the entry equals the source: kind, content and mode of a file, text of a link."""
    item = Item(sync.source, sync.target, sync.root, sync.folder, executable=sync.executable)
    try:
        entry = host_files.read(item, opened)
        if entry is None:
            return member.kind == tar.FILE and _is_large(item, member, digest)
    except OSError:
        return False
    if entry.kind != member.kind:
        return False
    if entry.kind != tar.FILE:
        return entry.link == member.link or entry.kind == tar.FOLDER  # a folder's mode is not synced
    is_alike = (len(entry.content), entry.mode) == (member.size, member.mode & PERMISSIONS)
    return is_alike and sha256(entry.content).hexdigest() == digest


def _is_large(item: Item, member: Member, digest: str) -> bool:
    descriptor = host_files.open_file(item)
    try:
        status = os.fstat(descriptor)
        is_alike = (status.st_size, item.mode(status)) == (member.size, member.mode & PERMISSIONS)
        return is_alike and host_files.digest_of(descriptor, status.st_size) == digest
    finally:
        os.close(descriptor)
