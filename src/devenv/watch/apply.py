"""A service's plan into one container: stage beside the target, then rename; collect outcomes, decide nothing."""

from __future__ import annotations

import contextlib
import itertools
import posixpath
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from devenv.concurrent import first
from devenv.engine.api import CallError, Engine
from devenv.errors import EngineError
from devenv.model.observed import Container
from devenv.model.plan import Delete, Sync
from devenv.watch import archive, hand, readback, reconcile, tar
from devenv.watch.archive import Archive, Item
from devenv.watch.large import Large
from devenv.watch.puts import Puts
from devenv.watch.readback import Seen
from devenv.watch.rules import BoundRule
from devenv.watch.shell import Shell, quoted
from devenv.watch.staging import Staging, chunked, groups, name, parents, plain, stage, together

RUN = secrets.token_hex(3)  # another devenv process may stage in the same folder
Then = Callable[[Archive], Awaitable[None]]
NO_CONTAINER = re.compile("(?i)no such container")
NO_SHELL = "cannot be deleted: its image has no shell"
_NUMBERS = itertools.count()


@dataclass
class Outcome:
    """What arrived, what did not (target -> reason), and whether readers saw only whole files."""

    files: int = 0
    deleted: int = 0
    bytes: int = 0
    atomic: bool = True
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, more: Outcome) -> None:
        """What happened afterwards, in the same container."""
        self.files += more.files
        self.deleted += more.deleted
        self.bytes += more.bytes
        self._also(more)

    def merge(self, other: Outcome) -> None:
        """What happened in a replica. They count once: a file has arrived when it is in all of them."""
        self.files = max(self.files, other.files)
        self.deleted = max(self.deleted, other.deleted)
        self.bytes = max(self.bytes, other.bytes)
        self._also(other)

    def _also(self, other: Outcome) -> None:
        self.atomic = self.atomic and other.atomic
        self.failed.update(other.failed)


class Target:
    """One container that files go to, with its open shell, as long as its process lives."""

    def __init__(self, engine: Engine, container: Container, owner: tuple[int, int], mark: str, puts: Puts) -> None:
        self.container = container
        self._engine = engine
        self._uid, self._gid = owner
        self._mark = mark
        self._puts = puts
        self._shell: Shell | None = None
        self._shell_tried = False
        self._is_closed = False
        self._folders: set[str] = {"/"}
        self._turn = anyio.Lock()
        self.strays: set[str] = set()  # what was put beside its place, and would stay there if the shell ended now

    @classmethod
    async def reach(cls, engine: Engine, container: Container, mark: str, puts: Puts) -> Target:
        """The target for a container that exists; its shell opens with the first need."""
        return cls(engine, container, await _owner(engine, container), mark, puts)

    async def close(self) -> None:
        """The shell closed, for good; the container itself is not touched."""
        self._is_closed = True
        if self._shell is not None:
            await self._shell.close()

    async def deliver(self, deletes: Sequence[Delete], syncs: Sequence[Sync], fresh: Collection[str] = ()) -> Outcome:
        """Deletes, then syncs, in this container. A failed path is in the outcome and stops nothing.

        `fresh` are the targets that the journal may lack. In a container that does not run nothing is
        deleted: the journal remembers, and its start brings it up to date. Raises EngineError where the engine
        cannot be reached, or the container has gone.
        """
        async with self._turn:
            outcome = Outcome()
            folders: set[str] = set()
            self._puts.note(placed=reconcile.named(s for s in syncs if s.target in fresh))
            shell = await self._open()
            if shell is not None:
                await self._sweep(shell)
            elif not self.container.running:
                deletes = ()
            else:
                # The engine puts one thing in the place of another by itself, unless it is a folder.
                put = {s.target for s in syncs}
                folders = {d.target for d in deletes if d.directory and d.target in put}
                deletes = [d for d in deletes if d.target not in put]
            if deletes:
                await self._delete(shell, deletes, outcome)
                # What makes room for a file is not gone.
                outcome.deleted = len({d.target for d in deletes} - {s.target for s in syncs} - outcome.failed.keys())
            if syncs:
                await self._sync(shell, [s for s in syncs if s.target not in outcome.failed], outcome)
            outcome.failed.update(dict.fromkeys(folders & outcome.failed.keys(), NO_SHELL))
            outcome.failed = {target: plain(reason, target) for target, reason in outcome.failed.items()}
            return outcome

    async def _open(self) -> Shell | None:
        if not self.container.running:
            return None
        if self._shell is not None and self._shell.broken:
            await self._shell.close()
            self._shell, self._shell_tried = None, False
            self._folders = {"/"}  # it may have done more than it could tell
        if not self._shell_tried and not self._is_closed:
            self._shell = await Shell.open(self._engine, self.container.id, self._mark)
            self._shell_tried = True
        if self._is_closed:
            await self.close()
            raise EngineError("")  # nothing to tell: another target serves the container by now
        return self._shell

    async def open_shell(self) -> None:
        """The shell opened ahead of the first save, which is then as fast as the second; no staged file is left."""
        async with self._turn:
            if self._is_closed:
                return
            if (shell := await self._open()) is not None:
                await self._sweep(shell)

    # --- delete -----------------------------------------------------------------------------------------------

    async def _delete(self, shell: Shell | None, deletes: Sequence[Delete], outcome: Outcome) -> None:
        if shell is None:
            outcome.failed.update({d.target: NO_SHELL for d in deletes})
            return
        self._folders.difference_update(d.target for d in deletes)  # also where the answer is lost
        files = [d.target for d in deletes if not d.directory]
        folders = [d.target for d in deletes if d.directory]
        # What was taken for a file may have been a folder, whose content goes only now.
        above = {parent for delete in deletes for parent in parents(delete.target)}
        folders += [file for file in files if file in above]
        if shell.has_hand:  # a folder that is not empty is no failure
            deeds = [*map(hand.remove, files), *map(hand.remove_empty, folders)]
            files, folders = [files[index] for index in await _do(shell, deeds)], []
        chunks = chunked(files)
        orders = [b"r " + b" ".join(map(quoted, chunk)) for chunk in chunks]
        orders += [b"rmdir -- " + b" ".join(map(quoted, chunk)) + b" 2>/dev/null || :" for chunk in chunked(folders)]
        failures = await _run(shell, orders)
        for index, text in failures.items():
            outcome.failed.update(dict.fromkeys(chunks[index] if index < len(chunks) else (), text))
        self._puts.note(gone=(_named(d) for d in deletes if d.target not in outcome.failed))

    async def _sweep(self, shell: Shell) -> None:
        places = sorted(self.strays)
        failures = await _run(shell, [b"rm -rf -- " + quoted(place) for place in places])
        self._forget_strays({places[index] for index in failures})

    def _forget_strays(self, left: Collection[str] = ()) -> None:
        self._puts.note(gone=self.strays.difference(left))
        self.strays.intersection_update(left)

    # --- sync -------------------------------------------------------------------------------------------------

    async def _sync(self, shell: Shell | None, syncs: Sequence[Sync], outcome: Outcome) -> None:
        files = {s.target: s for s in syncs if shell is None or not s.folder}
        if shell is None:
            await self._put_folders(syncs)
            await self._put_all(None, files, outcome, lambda part: self._placed(part, outcome))
            outcome.atomic = not self.container.running
            return
        self._folders.difference_update(files)
        staging = stage(files, lambda: name(RUN, next(_NUMBERS)), alone=shell.has_hand)
        self.strays |= staging.strays
        self._puts.note(staged=staging.strays)
        folders = {posixpath.dirname(target) for target in files}
        await self._make_folders(shell, {above for folder in folders for above in (folder, *parents(folder))})
        staged = {place: files[target] for target, place in staging.places.items()}
        await self._put_all(shell, staged, outcome, lambda part: self._rename(shell, part, staging, staged, outcome))
        made = {s.target for s in syncs if s.folder}
        failed = await self._make_folders(shell, {f for folder in made for f in (folder, *parents(folder))})
        outcome.failed.update((folder, failed[folder]) for folder in made & failed.keys())
        outcome.files += len(made - failed.keys())
        failed_at = (place for target, place in staging.places.items() if target in outcome.failed)
        self._forget_strays({left for place in failed_at for left in (place, posixpath.dirname(place))})

    async def _put_all(self, shell: Shell | None, sources: Mapping[str, Sync], outcome: Outcome, then: Then) -> None:
        """Each path filled from its source, archive by archive; the next is read while the engine takes the last."""
        items = [_item(sync, path) for path, sync in sources.items()]
        most = hand.MOST_FILES if shell is not None and shell.has_hand else archive.CHUNK_FILES
        parts = archive.build(items, uid=self._uid, gid=self._gid, most=most)
        if archive.is_small(items):
            for small in parts:
                await self._put_part(shell, small, sources, outcome, then)
            return
        upcoming: list[Archive | None] = [await anyio.to_thread.run_sync(next, parts, None)]

        async def read() -> None:
            upcoming.append(await anyio.to_thread.run_sync(next, parts, None))

        while (part := upcoming.pop()) is not None:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(read)
                    await self._put_part(shell, part, sources, outcome, then)
            except BaseExceptionGroup as group:
                raise first(group) from None

    async def _put_part(
        self, shell: Shell | None, part: Archive, sources: Mapping[str, Sync], outcome: Outcome, then: Then
    ) -> None:
        for item, reason in part.failed:
            outcome.failed[sources[item.path].target] = reason
        if shell is not None and shell.has_hand and part.large is None:
            part = await self._by_hand(shell, part, sources, outcome)
        if not part.items:
            return
        try:
            outcome.bytes += await self._send(part)
        except (CallError, OSError) as error:
            reason = error.reason if isinstance(error, CallError) else error.strerror or str(error)
            if NO_CONTAINER.search(reason):
                raise
            if shell is not None:  # what was put by half may take the space that the others need
                await _run(shell, [b"rm -f -- " + quoted(item.path) for item in part.items])
            if len(part.items) == 1:
                outcome.failed[sources[part.items[0].path].target] = reason
                return
            for item in part.items:  # one bad entry fails a whole archive: alone, each shows whether it is the one
                parts = archive.build([item], uid=self._uid, gid=self._gid)
                alone = await anyio.to_thread.run_sync(next, parts)
                await self._put_part(shell, alone, sources, outcome, then)
            return
        await then(part)

    async def _send(self, part: Archive) -> int:
        """The bytes of content that were extracted. Raises OSError if a large file has changed meanwhile."""
        if part.large is None:
            await self._engine.put(self.container.id, part.data)
            return part.size
        async with Large(part.large, uid=self._uid, gid=self._gid) as file:
            await self._engine.put(self.container.id, file.packed(), size=file.size)
            await file.verify()
            return file.size

    async def _by_hand(self, shell: Shell, part: Archive, sources: Mapping[str, Sync], outcome: Outcome) -> Archive:
        """What is still to be put by the archive request: links, large files, and what could not be done."""
        small = [one for one in part.read if one[1].kind == tar.FILE and len(one[1].content) <= hand.MOST_BYTES]
        deeds = [hand.put(entry, item.path, sources[item.path].target) for item, entry in small]
        left = await _do(shell, deeds)
        done = dict(small)
        for index in left:
            del done[small[index][0]]
        outcome.files += len(done)
        outcome.bytes += sum(len(entry.content) for entry in done.values())
        if left:  # a folder that was there may have gone: the engine would make it root's
            above = {a for index in left for a in parents(sources[small[index][0].path].target)}
            self._folders -= above
            await self._make_folders(shell, above)
        return Archive(tuple(one for one in part.read if one[0] not in done))

    async def _placed(self, part: Archive, outcome: Outcome) -> None:
        outcome.files += len(part.items)

    async def _put_folders(self, syncs: Sequence[Sync]) -> None:
        """Missing parents with the service's owner, without a shell: those that the engine implies are root's."""
        if not self._uid and not self._gid:
            return
        missing: dict[str, None] = {}
        for folder in sorted({p for s in syncs for p in parents(s.target)} - self._folders):
            inside = posixpath.dirname(folder) in missing
            if inside or not await self._engine.exists(self.container.id, folder):
                missing[folder] = None
            else:
                self._folders.add(folder)
        if missing:
            await self._engine.put(self.container.id, archive.folders(missing, uid=self._uid, gid=self._gid))

    async def _make_folders(self, shell: Shell, folders: Iterable[str]) -> dict[str, str]:
        """Missing folders with the service's owner; which failed, and why."""
        wanted = sorted(set(folders) - self._folders)
        left = [wanted[i] for i in await _do(shell, [hand.folder(path, self._uid, self._gid) for path in wanted])]
        owner = b"%d:%d" % (self._uid, self._gid)
        failures = await _run(shell, [b"d " + quoted(folder) + b" " + owner for folder in left])
        failed = {left[index]: text for index, text in failures.items()}
        self._folders.update(folder for folder in wanted if folder not in failed)
        return failed

    async def _rename(
        self, shell: Shell, part: Archive, staging: Staging, staged: Mapping[str, Sync], outcome: Outcome
    ) -> None:
        outcome.files += len(part.items)
        places = [item.path for item in part.items]
        bulk = groups(staging, places)
        failures = await _run(shell, [together(group, quoted) for group in bulk])
        # One entry that cannot be moved fails its whole group: what is left of it goes one by one, and tells which.
        single = [p for p in places if posixpath.dirname(p) not in staging.folders]
        grouped = {place for index in failures for place in bulk[index]}
        single += grouped
        left = await _do(shell, [hand.rename(place, staged[place].target) for place in single])
        single = [single[index] for index in left]
        links = part.links
        orders = [_order(p, staged[p].target, is_link=p in links, is_late=p in grouped) for p in single]
        if stages := {posixpath.dirname(group[0]) for group in bulk}:
            orders.append(b"rmdir -- " + b" ".join(map(quoted, sorted(stages))) + b" 2>/dev/null || :")
        failures = await _run(shell, orders)
        outcome.failed.update((staged[single[i]].target, text or "rename failed") for i, text in failures.items())
        outcome.files -= len(failures)

    async def compare(self, syncs: Sequence[Sync], bound: Sequence[BoundRule], placed: Collection[str] = ()) -> Seen:
        """Which of the syncs the container lacks, and which of these names of the journal are there."""
        tops = reconcile.tops([*(s.target for s in syncs), *placed], bound)
        seen = await readback.look(self._engine, self.container.id, syncs, tops, placed)
        self._folders |= seen.folders
        return seen


def _item(sync: Sync, path: str) -> Item:
    return Item(sync.source, path, sync.root, sync.folder)


async def _do(shell: Shell, deeds: Sequence[bytes]) -> list[int]:
    with _ended():
        return await shell.do(deeds) if deeds else []


async def _run(shell: Shell, orders: Sequence[bytes]) -> dict[int, str]:
    with _ended():
        return await shell.run(orders) if orders else {}


@contextlib.contextmanager
def _ended() -> Iterator[None]:
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        raise EngineError("the shell in the container has ended") from error


def _order(place: str, target: str, *, is_link: bool, is_late: bool) -> bytes:
    """The rename of a staged entry. What was part of a group that failed may have moved already."""
    staged = quoted(place)
    order = (b"l " if is_link else b"m ") + staged + b" " + quoted(target)
    return b"{ [ ! -e " + staged + b" ] && [ ! -h " + staged + b" ]; } || " + order if is_late else order


def _named(delete: Delete) -> str:
    return f"{delete.target}/" if delete.directory else delete.target


async def _owner(engine: Engine, container: Container) -> tuple[int, int]:
    """The uid and gid of the container's user, names looked up in the image's own passwd and group files."""
    user, _, group = container.user.partition(":")
    if user in ("", "0", "root") and group in ("", "0", "root"):
        return 0, 0
    uid, gid = user, group
    if not user.isdigit() or not group:
        passwd = await _table(engine, container, "/etc/passwd")
        row = next((r for r in passwd if user in (r[0], r[2])), None)
        uid = row[2] if row else user
        gid = group or (row[3] if row else "0")
    if not gid.isdigit():
        rows = await _table(engine, container, "/etc/group")
        gid = next((r[2] for r in rows if r[0] == gid), "0")
    return (int(uid) if uid.isdigit() else 0), int(gid)


async def _table(engine: Engine, container: Container, path: str) -> list[list[str]]:
    tar = await engine.get(container.id, path)
    text = archive.first_file(tar).decode(errors="replace") if tar else ""
    return [row for row in (line.split(":") for line in text.splitlines()) if len(row) > 3]  # noqa: PLR2004
