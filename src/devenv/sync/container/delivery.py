"""One attempt to bring deletes and syncs into a container: choose a transport for each folder, collect outcomes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import anyio

from devenv.docker.containers import Archive
from devenv.docker.transport import CallError
from devenv.model.containers import Container
from devenv.model.sync_plan import Delete, Sync
from devenv.paths import ancestors, with_parents
from devenv.sync.container import host_files, perl_helper, shell_commands, tar
from devenv.sync.container.access import Access
from devenv.sync.container.host_files import Batch, Entries, Item
from devenv.sync.container.journal import StagedPaths, staged_name
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.shell import Shell
from devenv.sync.container.transports import (
    NO_CONTAINER,
    AnyTransport,
    ArchiveTransport,
    HelperTransport,
    ShellTransport,
)
from devenv.tasks import task_group


class Delivery:
    """Removes and puts paths, with a shell if there is one; `known_folders` and `new_folders` are kept up to date.

    `new_folders` were created here in a container that does not run: they contain what was put there, and no links.
    Each question about a folder costs the engine some milliseconds in such a container.
    """

    def __init__(
        self,
        files: Archive,
        container: Container,
        access: Access,
        shell: Shell | None,
        known_folders: set[str],
        new_folders: set[str],
        staged: StagedPaths,
    ) -> None:
        self.outcome = SyncOutcome()
        self._container = container
        self._access = access
        self._known_folders = known_folders
        self._new_folders = new_folders
        self._staged = staged
        owner = access.owner
        self._archive = ArchiveTransport(files, container.id, owner)
        self._helper = HelperTransport(shell, owner) if shell is not None and shell.has_helper else None
        self._shell = ShellTransport(shell, owner, staged, as_root=access.is_root) if shell is not None else None
        # Each transport does what the previous ones could not do. With a shell, the archive request removes nothing.
        in_container = tuple(transport for transport in (self._helper, self._shell) if transport is not None)
        self._in_container: tuple[AnyTransport, ...] = in_container or (self._archive,)

    async def remove(self, deletes: Sequence[Delete]) -> None:
        """Remove files and empty folders."""
        self._known_folders.difference_update(d.target for d in deletes)  # even if the answer is lost
        files = [d for d in deletes if not d.directory]
        folders = [d for d in deletes if d.directory]
        # A path that is recorded as a file may be a folder whose content is deleted only now.
        above = {parent for delete in deletes for parent in ancestors(delete.target)}
        folders += [file._replace(directory=True) for file in files if file.target in above]
        failed = dict.fromkeys([*files, *folders], "")
        for transport in self._in_container:
            failed = await transport.remove([*failed])
        self.outcome.failed.update((delete.target, reason) for delete, reason in failed.items())

    async def put(self, syncs: Sequence[Sync], meanwhile: Callable[[], object] = lambda: None) -> None:
        """Put files, links and empty folders at their targets. Call `meanwhile` while the last of many is written."""
        if self._shell is None:
            await self._put_in_place(syncs)
            return
        files = {s.target: s for s in syncs if not s.folder}
        self._known_folders.difference_update(files)
        created_folders = {s.target for s in syncs if s.folder}
        folders = await self._stage_folders(files, created_folders)
        places, staged = shell_commands.stage(files, staged_name, folders, alone=self._helper is not None)
        self._staged.add(staged)
        unmade = await self._make_folders(with_parents(map(posixpath.dirname, files)) - folders.keys())
        await self._put_all([_item(files[target], place) for target, place in places.items()], meanwhile)
        taken = await self._rename_folders(folders)
        self.outcome.explain(unmade | await self._put_folders(created_folders))
        failed_at = [place for target, place in places.items() if target in self.outcome.failed]
        self._staged.keep({path for place in failed_at for path in (place, posixpath.dirname(place))})
        if again := [sync for target, sync in files.items() if posixpath.dirname(target) in taken]:
            self.outcome.take_back(sync.target for sync in again)
            await self.put(again)

    async def _put_in_place(self, syncs: Sequence[Sync]) -> None:
        allowed, created = await self._without_links(syncs)
        await self._put_all([_item(sync, sync.target) for sync in allowed])
        self._known_folders |= created
        self.outcome.atomic = not self._container.running

    async def _stage_folders(self, files: Collection[str], others: Collection[str]) -> dict[str, str]:
        """Staging folders for folders that the container lacks and that get many of the files; `others` are folders.

        One rename of a folder instead of one of each file saves a third of what small files cost a file system.
        """
        if self._helper is None or not (wanted := shell_commands.innermost(files, others) - self._known_folders):
            return {}
        await self._make_folders(with_parents(map(posixpath.dirname, wanted)))
        places = {folder: f"{posixpath.dirname(folder).rstrip('/')}/{staged_name()}" for folder in wanted}
        self._staged.add(places.values())
        failed = await self._helper.stage_folders(places)
        self._staged.forget([places.pop(folder) for folder in failed])
        return places

    async def _rename_folders(self, places: Mapping[str, str]) -> Collection[str]:
        """Rename the staging folders. Return the folders that the container has by now: their files are put again."""
        if not places or self._helper is None or self._shell is None:
            return ()
        taken = await self._helper.rename_folders(places)
        self._known_folders |= places.keys()
        await self._shell.unstage(places[folder] for folder in taken)
        return taken

    async def _put_folders(self, folders: set[str]) -> dict[str, str]:
        """Create these empty folders. Return the folders that failed, with reasons."""
        self._known_folders -= folders
        failed = await self._make_folders(with_parents(folders))
        self.outcome.failed.update((folder, failed[folder]) for folder in folders & failed.keys())
        self.outcome.files += len(folders - failed.keys())
        return failed

    async def _without_links(self, syncs: Sequence[Sync]) -> tuple[list[Sync], set[str]]:
        """The syncs whose folders are not links, nor will be, and the missing folders, which the put creates.

        For a user other than root they are created here: the engine would create them as root.
        """
        files = {s.target: s for s in syncs}
        known, new = ((), ()) if self._container.running else (self._known_folders, self._new_folders)
        seen = await self._access.find_links(self._container.id, files, known, new)
        links = {path for path, is_link in seen.items() if is_link} | {s.target for s in syncs if not s.folder}
        behind = {path for path in {*files, *seen} if links.intersection(ancestors(path))}
        self.outcome.failed.update(dict.fromkeys(behind & files.keys(), shell_commands.LINK))
        self._known_folders.update(folder for folder, is_link in seen.items() if is_link is False)
        missing = {folder for folder, is_link in seen.items() if is_link is None} - links - behind
        await self._archive.make_folders(sorted(missing))
        self._new_folders |= missing
        return [sync for target, sync in files.items() if target not in behind], missing

    async def _make_folders(self, folders: Iterable[str]) -> dict[str, str]:
        wanted = sorted(set(folders) - self._known_folders)
        failed = dict.fromkeys(wanted, "")
        for transport in self._in_container:
            failed = await transport.make_folders([*failed])
        self._known_folders.update(folder for folder in wanted if folder not in failed)
        return failed

    async def _put_streamed(self, items: Sequence[Item]) -> list[Item]:
        """Put the items by archive requests that are made while they are sent. Return those that are left."""
        left: list[Item] = []
        async for streamed in self._archive.put_stream(items):
            self._new_folders.difference_update(posixpath.dirname(link.target) for link in streamed.links)
            self._fail(streamed.failed)
            self.outcome.files += len(streamed.items)
            self.outcome.bytes += streamed.size
            left += streamed.left
        return left

    async def _put_all(self, items: Sequence[Item], meanwhile: Callable[[], object] = lambda: None) -> None:
        if self._shell is None and not host_files.is_small(items):
            items = await self._put_streamed(items)
        most = host_files.CHUNK_FILES if self._helper is None else perl_helper.MOST_FILES
        batches = host_files.batches(items, self._access.owner, most=most)
        if host_files.is_small(items):
            for small in batches:
                await self._put_batch(small)
            return
        large: list[Batch] = []
        reading = anyio.Lock(fast_acquire=True)
        putting = anyio.Semaphore(1 if self._helper is None else 2, fast_acquire=True)

        async def work() -> object:
            while True:
                async with reading:
                    batch = await anyio.to_thread.run_sync(next, batches, None)
                if batch is None:
                    return meanwhile()
                if batch.large is not None:
                    large.append(batch)  # its pieces must not be mixed with other operations
                    continue
                async with putting:
                    await self._put_batch(batch)

        # While a batch is put, the next one is sent to the helper. Commands for a shell must not be mixed.
        async with task_group() as tasks:
            for _ in range(perl_helper.READERS):
                tasks.start_soon(work)
        for batch in large:
            await self._put_batch(batch)

    async def _put_batch(self, batch: Batch) -> None:
        """Put a batch with the helper, and the rest with the shell or the archive request."""
        self._fail(dict(batch.failed))
        if batch.large is not None:
            await self._put_large(batch.large)
            return
        entries: Entries = batch.entries
        if self._helper is not None and entries:
            entries = await self._put_by_helper(self._helper, entries)
        if self._shell is not None and entries:
            entries = await self._put_by_shell(self._shell, entries)
        if entries:
            await self._put_by_archive(entries)

    async def _put_by_helper(self, helper: HelperTransport, entries: Entries) -> Entries:
        """Put the entries. Return failed and large ones: for those, an archive request saves memory."""
        large = [item for item, entry in entries if len(entry.content) > perl_helper.MOST_BYTES]
        in_roots = await self._in_roots_folders(large)
        failed = self._count(entries, in_roots, await helper.put([e for e in entries if e[0] not in in_roots]))
        if failed:  # a folder may have been removed: the engine would create it as root
            above = {folder for item in failed for folder in ancestors(item.target)}
            self._known_folders -= above
            await self._make_folders(above)
        return [(item, entry) for item, entry in entries if item in failed or item in in_roots]

    async def _put_by_shell(self, shell: ShellTransport, entries: Entries) -> Entries:
        """Put the entries whose folders a user other than root could replace by links. Return the other entries."""
        in_roots = await self._in_roots_folders([item for item, _ in entries])
        failed = await shell.put([e for e in entries if e[0] not in in_roots])
        self._fail(self._count(entries, in_roots, failed))
        return [(item, entry) for item, entry in entries if item in in_roots]

    async def _put_by_archive(self, entries: Entries) -> None:
        links = {item for item, entry in entries if entry.kind == tar.LINK}
        self._new_folders.difference_update(posixpath.dirname(item.target) for item in links)
        failed = await self._archive.put(entries)
        if not failed:
            self._count(entries, (), failed)
            await self._rename([item for item, _ in entries], links)
            return
        if self._shell is not None:
            await self._shell.unstage(item.path for item in failed)
        if len(failed) == 1:
            self._fail(failed)
            return
        for item in failed:  # one bad entry fails a whole archive: try each entry alone
            alone = host_files.batches([item], self._access.owner)
            await self._put_batch(await anyio.to_thread.run_sync(next, alone))

    async def _put_large(self, item: Item) -> None:
        by_archive = self._shell is None or item in await self._in_roots_folders([item])
        transport = self._archive if by_archive else self._in_container[0]
        if transport is self._shell:
            item = item._replace(path=self._staged.add_new(posixpath.dirname(item.target)))
        try:
            async with host_files.open_large(item, self._access.owner) as file:
                await transport.put_large(file)
        except (CallError, OSError) as error:
            reason = error.reason if isinstance(error, CallError) else error.strerror or str(error)
            if NO_CONTAINER.search(reason):
                raise
            if self._shell is not None:  # a partial file may take the space that other files need
                await self._shell.unstage([item.path])
            self._fail({item: reason})
            return
        self.outcome.files += 1
        self.outcome.bytes += file.size
        if by_archive:
            await self._rename([item], ())

    async def _rename(self, items: Sequence[Item], links: Collection[Item]) -> None:
        """Rename what an archive request has written; without a shell, it was written to the targets."""
        if self._shell is None:
            return
        if self._helper is not None:
            items = [*await self._helper.rename(items)]
        failed = await self._shell.rename(items, links)
        self._fail(failed)
        self.outcome.files -= len(failed)

    async def _in_roots_folders(self, items: Sequence[Item]) -> set[Item]:
        """The items whose folders only root can replace by links."""
        if self._shell is None or not items:
            return set()
        folders = await self._access.root_only(self._shell.shell, {posixpath.dirname(item.target) for item in items})
        return {item for item in items if posixpath.dirname(item.target) in folders}

    def _count(self, entries: Entries, left: Collection[Item], failed: dict[Item, str]) -> dict[Item, str]:
        """Count the entries that were put, without those in `left` or `failed`. Return `failed`."""
        sizes = [len(entry.content) for item, entry in entries if item not in failed and item not in left]
        self.outcome.files += len(sizes)
        self.outcome.bytes += sum(sizes)
        return failed

    def _fail(self, reasons: Mapping[Item, str]) -> None:
        self.outcome.failed.update((item.target, reason) for item, reason in reasons.items())


def _item(sync: Sync, place: str) -> Item:
    return Item(sync.source, place, sync.root, sync.folder, sync.target, sync.executable)
