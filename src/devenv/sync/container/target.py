"""A service's plan into one container: stage beside the target, then rename; collect outcomes, decide nothing."""

from __future__ import annotations

import itertools
import posixpath
import re
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import anyio

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.model.containers import Container
from devenv.model.sync_plan import Delete, Sync
from devenv.sync import reconcile
from devenv.sync.container import access, archive, perl_helper, pieces, readback, shell_commands
from devenv.sync.container.access import Access, do, run
from devenv.sync.container.archive import Archive, Item
from devenv.sync.container.journal import SyncJournal
from devenv.sync.container.outcome import Outcome
from devenv.sync.container.readback import Seen
from devenv.sync.container.shell import Shell
from devenv.sync.container.shell_commands import quoted
from devenv.sync.container.staging import Staging, explain, groups, name, parents, plain, stage, together
from devenv.sync.container.tar import Entry
from devenv.sync.rules.rules import BoundRule
from devenv.tasks import first

RUN = secrets.token_hex(3)  # another devenv process may stage in the same folder
Then = Callable[[Archive], Awaitable[None]]
NO_CONTAINER = re.compile("(?i)no such container")
NO_SHELL = "cannot be deleted: its image has no shell"
_NUMBERS = itertools.count()


class Target:
    """One container that files go to, with its open shell, as long as its process lives."""

    def __init__(
        self, engine: Engine, container: Container, owner: tuple[int, int], access: Access, puts: SyncJournal
    ) -> None:
        self.container = container
        self._engine = engine
        self._uid, self._gid = owner
        self._access = access
        self._puts = puts
        self._folders: set[str] = {"/"}
        self._turn = anyio.Lock()
        self.strays: set[str] = set()  # what was put beside its place, and would stay there if the shell ended now

    @classmethod
    async def reach(
        cls, engine: Engine, container: Container, mark: str, puts: SyncJournal, tops: Sequence[str] = ()
    ) -> Target:
        """The target for a container that exists; its shell opens with the first need. `tops`: its rules' targets."""
        owner = await access.owner(engine, container)
        return cls(engine, container, owner, Access(engine, container, owner, mark, tops), puts)

    async def close(self) -> None:
        """The shell closed, for good; the container itself is not touched."""
        await self._access.close()

    async def deliver(self, deletes: Sequence[Delete], syncs: Sequence[Sync], fresh: Collection[str] = ()) -> Outcome:
        """Deletes, then syncs, in this container. A failed path is in the outcome and stops nothing.

        `fresh` are the targets that the journal may lack. In a container that does not run nothing is
        deleted: the journal remembers, and its start brings it up to date. Raises EngineError where the engine
        cannot be reached, or the container has gone.
        """
        async with self._turn:
            self._puts.note(placed=reconcile.named(s for s in syncs if s.target in fresh))
            outcome = await self._attempt(deletes, syncs)
            if await self._access.become_root(outcome.failed.values()):
                denied, outcome.failed = outcome.failed, {}
                left = [d for d in deletes if d.target in denied]
                outcome.add(await self._attempt(left, [s for s in syncs if s.target in denied]))
            return outcome

    async def _attempt(self, deletes: Sequence[Delete], syncs: Sequence[Sync]) -> Outcome:
        outcome = Outcome()
        folders: set[str] = set()
        shell = await self._open()
        deletes = [replace(d, target=self._access.real(d.target)) for d in deletes]
        syncs = [replace(s, target=self._access.real(s.target)) for s in syncs]
        if shell is not None:
            await self._sweep(shell)
        elif not self.container.running:
            deletes = []
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
        self._folders.difference_update(above for target in outcome.failed for above in parents(target))
        failed = outcome.failed.items()
        outcome.failed = {self._access.given(target): plain(reason, target) for target, reason in failed}
        return outcome

    async def _open(self) -> Shell | None:
        if self._access.is_broken:
            self._folders = {"/"}  # it may have done more than it could tell
        return await self._access.open(self.container)

    async def open_shell(self) -> None:
        """The shell opened ahead of the first save, which is then as fast as the second; no staged file is left."""
        async with self._turn:
            if not self._access.is_closed and (shell := await self._open()) is not None:
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
        if shell.has_helper:  # a folder that is not empty is no failure
            left = await do(shell, [*map(perl_helper.remove, files), *map(perl_helper.remove_empty, folders)])
            folders = [folders[index - len(files)] for index in left if index >= len(files)]
            files = [files[index] for index in left if index < len(files)]
        removals = [*shell_commands.removals(files), *shell_commands.folder_removals(folders)]
        failures = await run(shell, [order for order, _ in removals])
        for index, text in failures.items():
            outcome.failed.update(dict.fromkeys(removals[index][1], text))
        gone = [d for d in deletes if d.target not in outcome.failed]
        self._puts.note(gone=(_named(replace(d, target=self._access.given(d.target))) for d in gone))

    async def _sweep(self, shell: Shell) -> None:
        places = sorted(self.strays)
        failures = await run(shell, [shell_commands.unstaged(place) for place in places])
        left = [places[index] for index in failures]
        if left and not self._access.is_root:  # root's shell staged them, before the container was started again
            failures = await self._access.run_as_root(
                self.container.id, [shell_commands.unstaged(place) for place in left]
            )
            left = [left[index] for index in failures]
        self._forget_strays(left)

    def _forget_strays(self, left: Collection[str] = ()) -> None:
        self._puts.note(gone=self.strays.difference(left))
        self.strays.intersection_update(left)

    # --- sync -------------------------------------------------------------------------------------------------

    async def _sync(self, shell: Shell | None, syncs: Sequence[Sync], outcome: Outcome) -> None:
        files = {s.target: s for s in syncs if shell is None or not s.folder}
        if shell is None:
            files = await self._without_links(files, outcome)
            await self._put_all(None, files, outcome, None)
            outcome.atomic = not self.container.running
            return
        self._folders.difference_update(files)
        staging = stage(files, lambda: name(RUN, next(_NUMBERS)), alone=shell.has_helper)
        self.strays |= staging.strays
        self._puts.note(staged=staging.strays)
        folders = {posixpath.dirname(target) for target in files}
        unmade = await self._make_folders(
            shell, {above for folder in folders for above in (folder, *parents(folder))}
        )
        staged = {place: files[target] for target, place in staging.places.items()}
        await self._put_all(shell, staged, outcome, lambda part: self._rename(shell, part, staging, staged, outcome))
        made = {s.target for s in syncs if s.folder}
        self._folders -= made
        failed = await self._make_folders(shell, {f for folder in made for f in (folder, *parents(folder))})
        outcome.failed.update((folder, failed[folder]) for folder in made & failed.keys())
        outcome.files += len(made - failed.keys())
        explain(outcome.failed, {**unmade, **failed})
        failed_at = (place for target, place in staging.places.items() if target in outcome.failed)
        self._forget_strays({left for place in failed_at for left in (place, posixpath.dirname(place))})

    async def _put_all(
        self, shell: Shell | None, sources: Mapping[str, Sync], outcome: Outcome, then: Then | None
    ) -> None:
        """Each path filled from its source, archive by archive; the next is read while the engine takes the last."""
        items = [_item(sync, path) for path, sync in sources.items()]
        most = perl_helper.MOST_FILES if shell is not None and shell.has_helper else archive.CHUNK_FILES
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
        self, shell: Shell | None, part: Archive, sources: Mapping[str, Sync], outcome: Outcome, then: Then | None
    ) -> None:
        for item, reason in part.failed:
            outcome.failed[sources[item.path].target] = reason
        if part.large is not None:
            await self._put_large(shell, part, sources[part.large.path], outcome, then)
            return
        if shell is not None and shell.has_helper:
            part = await self._by_helper(shell, part, sources, outcome)
        if shell is not None and part.read:
            part = await self._by_shell(shell, part, sources, outcome)
        if not part.read:
            return
        try:
            await self._engine.archive.put(self.container.id, part.data)
        except CallError as error:
            if NO_CONTAINER.search(error.reason):
                raise
            if shell is not None:  # what was put by half may take the space that the others need
                await run(shell, [b"rm -f -- " + quoted(item.path) for item in part.items])
            if len(part.items) == 1:
                outcome.failed[sources[part.items[0].path].target] = error.reason
                return
            for item in part.items:  # one bad entry fails a whole archive: alone, each shows whether it is the one
                parts = archive.build([item], uid=self._uid, gid=self._gid)
                alone = await anyio.to_thread.run_sync(next, parts)
                await self._put_part(shell, alone, sources, outcome, then)
            return
        outcome.bytes += part.size
        outcome.files += len(part.items)
        if then is not None:
            await then(part)

    async def _put_large(
        self, shell: Shell | None, part: Archive, sync: Sync, outcome: Outcome, then: Then | None
    ) -> None:
        (item,) = part.items
        is_roots = shell is None or bool(await self._roots(shell, [sync.target]))
        if shell is not None and not is_roots and not shell.has_helper:
            item = replace(item, path=self._own_place(posixpath.dirname(sync.target)))
        way = pieces.Way(self._engine, self.container.id, None if is_roots else shell, self._access.is_root)
        try:
            outcome.bytes += await pieces.put(way, item, sync.target, (self._uid, self._gid))
        except (CallError, OSError) as error:
            reason = error.reason if isinstance(error, CallError) else error.strerror or str(error)
            if NO_CONTAINER.search(reason):
                raise
            if shell is not None:  # what was put by half may take the space that others need
                await run(shell, [shell_commands.unstaged(item.path)])
            outcome.failed[sync.target] = reason
            return
        outcome.files += 1
        if is_roots and then is not None:
            await then(part)

    async def _by_helper(self, shell: Shell, part: Archive, sources: Mapping[str, Sync], outcome: Outcome) -> Archive:
        """What could not be done so; and large files, if they may go by the archive request."""
        large = {item for item, entry in part.read if len(entry.content) > perl_helper.MOST_BYTES}
        roots = await self._roots(shell, (sources[item.path].target for item in large))
        chosen = [
            (item, entry)
            for item, entry in part.read
            if item not in large or posixpath.dirname(sources[item.path].target) not in roots
        ]
        operations = [
            (i, operation)
            for i, (item, entry) in enumerate(chosen)
            for operation in _operations(item, entry, sources)
        ]
        left = {operations[index][0] for index in await do(shell, [operation for _, operation in operations])}
        done = dict(one for index, one in enumerate(chosen) if index not in left)
        outcome.files += len(done)
        outcome.bytes += sum(len(entry.content) for entry in done.values())
        if left:  # a folder that was there may have gone: the engine would make it root's
            above = {a for index in left for a in parents(sources[chosen[index][0].path].target)}
            self._folders -= above
            await self._make_folders(shell, above)
        return Archive(tuple(one for one in part.read if one[0] not in done))

    async def _by_shell(self, shell: Shell, part: Archive, sources: Mapping[str, Sync], outcome: Outcome) -> Archive:
        """What is to be put by the archive request: the rest lies where somebody else than root could put a link."""
        targets = {sources[item.path].target: entry for item, entry in part.read}
        roots = await self._roots(shell, targets)
        by_folder: dict[str, dict[str, Entry]] = defaultdict(dict)
        for target, entry in targets.items():
            by_folder[posixpath.dirname(target)][target] = entry
        for folder in by_folder.keys() - roots:
            place, entries = self._own_place(folder), by_folder[folder]
            orders = shell_commands.puts(
                posixpath.basename(place), entries, (self._uid, self._gid), as_root=self._access.is_root
            )
            failures = await run(shell, [order for order, _ in orders])
            reasons = ((orders[index][1], text) for index, text in failures.items())
            failed = {target: text for target, text in reversed([*reasons]) if target}  # the first is the cause
            if 0 in failures:
                failed = dict.fromkeys(entries, failures[0])
            outcome.failed.update((target, text or "it cannot be written") for target, text in failed.items())
            outcome.files += len(entries) - len(failed)
            outcome.bytes += sum(len(entry.content) for target, entry in entries.items() if target not in failed)
            if len(orders) - 1 not in failures:
                self._puts.note(gone=[place])
                self.strays.discard(place)
        return Archive(tuple(one for one in part.read if posixpath.dirname(sources[one[0].path].target) in roots))

    def _own_place(self, folder: str) -> str:
        """A new name in the folder for what is staged in a way of its own; the journal knows it."""
        place = f"{folder.rstrip('/')}/{name(RUN, next(_NUMBERS))}"
        self.strays.add(place)
        self._puts.note(staged=[place])
        return place

    async def _roots(self, shell: Shell, targets: Iterable[str]) -> set[str]:
        return await self._access.roots(shell, map(posixpath.dirname, targets))

    async def _without_links(self, files: Mapping[str, Sync], outcome: Outcome) -> dict[str, Sync]:
        """What no link is in the way of, without a shell; its missing parents are made with the service's owner.

        Those that the engine implies are root's.
        """
        known = () if self.container.running else self._folders
        seen = await self._access.look(self.container.id, files, known)
        links = {folder for folder, is_link in seen.items() if is_link}
        blocked = {target for target in files if links.intersection(parents(target))}
        outcome.failed.update(dict.fromkeys(blocked, shell_commands.LINK))
        missing = [folder for folder, is_link in seen.items() if is_link is None]
        self._folders.update(folder for folder, is_link in seen.items() if is_link is False)
        if missing and (self._uid or self._gid):
            await self._engine.archive.put(self.container.id, archive.folders(missing, uid=self._uid, gid=self._gid))
        return {target: sync for target, sync in files.items() if target not in blocked}

    async def _make_folders(self, shell: Shell, folders: Iterable[str]) -> dict[str, str]:
        """Missing folders with the service's owner; which failed, and why."""
        wanted = sorted(set(folders) - self._folders)
        left = [
            wanted[i] for i in await do(shell, [perl_helper.folder(path, self._uid, self._gid) for path in wanted])
        ]
        failures = await run(shell, [shell_commands.folder(path, self._uid, self._gid) for path in left])
        failed = {left[index]: text for index, text in failures.items()}
        self._folders.update(folder for folder in wanted if folder not in failed)
        return failed

    async def _rename(
        self, shell: Shell, part: Archive, staging: Staging, staged: Mapping[str, Sync], outcome: Outcome
    ) -> None:
        places = [item.path for item in part.items]
        bulk = groups(staging, places)
        failures = await run(shell, [together(group, quoted) for group in bulk])
        # One entry that cannot be moved fails its whole group: what is left of it goes one by one, and tells which.
        single = [p for p in places if posixpath.dirname(p) not in staging.folders]
        grouped = {place for index in failures for place in bulk[index]}
        single += grouped
        left = await do(shell, [perl_helper.rename(place, staged[place].target) for place in single])
        single = [single[index] for index in left]
        links = part.links
        orders = [
            shell_commands.rename(p, staged[p].target, is_link=p in links, is_late=p in grouped) for p in single
        ]
        if stages := {posixpath.dirname(group[0]) for group in bulk}:
            orders.append(b"rmdir -- " + b" ".join(map(quoted, sorted(stages))) + b" 2>/dev/null || :")
        failures = await run(shell, orders)
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


def _operations(item: Item, entry: Entry, sources: Mapping[str, Sync]) -> list[bytes]:
    return perl_helper.put(entry, item.path, sources[item.path].target)


def _named(delete: Delete) -> str:
    return f"{delete.target}/" if delete.directory else delete.target
