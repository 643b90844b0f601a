"""Three ways to change files in a container: the perl helper, shell commands, and the engine's archive request.

Methods with the same name do the same. They return failures with the reason, "" if unknown; `put_large` raises
OSError or CallError instead. For `remove`, a folder that is not empty is not a failure. All raise EngineError if the
engine or the shell cannot be reached.
"""

from __future__ import annotations

import itertools
import os
import posixpath
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TypeVar

import anyio

from devenv.docker.containers import Archive
from devenv.docker.transport import CallError
from devenv.lazy_dataclass import dataclass
from devenv.model.sync_plan import Delete
from devenv.sync.container import host_files, perl_helper, shell_commands, tar
from devenv.sync.container.host_files import Batch, Entries, Item, LargeFile
from devenv.sync.container.journal import StagedPaths
from devenv.sync.container.perl_helper import operation
from devenv.sync.container.shell import Shell
from devenv.sync.container.tar import TarEntry

T = TypeVar("T")
NEW_FOLDER = 0o755
NO_SHELL = "cannot be deleted: its image has no shell"
NOT_WRITTEN = "it cannot be written"
NOT_RENAMED = "rename failed"
NO_CONTAINER = re.compile("(?i)no such container")
MOST_BY_SHELL = 1 << 30  # bytes; a shell without perl writes some ten megabytes a second
PIECE_FILES = 50  # of an archive that is sent while the next piece is read
STREAM_FILES, STREAM_BYTES = 10_000, 16 << 20  # of one request, so that it ends in time on a slow line, too
TOO_LARGE = "too large for a container without perl whose service does not run as root"


class HelperTransport:
    """The perl helper, which writes each entry next to its target and renames it. It returns no reasons."""

    def __init__(self, shell: Shell, owner: tuple[int, int]) -> None:
        self._shell = shell
        self._owner = owner

    async def _do(self, operations: Iterable[tuple[T, bytes]]) -> dict[T, str]:
        pairs = list(operations)
        return {pairs[index][0]: "" for index in await self._shell.do([pair[1] for pair in pairs])}

    async def put(self, entries: Entries) -> dict[Item, str]:
        """Write the entries next to their targets, and rename them."""
        puts = [(item, part) for item, entry in entries for part in perl_helper.put(entry, item.path, item.target)]
        return await self._do(puts)

    async def put_large(self, file: LargeFile) -> None:
        """Write the file next to its target, and rename it."""
        item = file.item
        _check(await self._shell.do([operation(perl_helper.BEGIN, item.path)]))
        async for piece in file.content():
            _check(await self._shell.do([perl_helper.more(piece)]))
        await file.verify()
        _check(await self._shell.do([perl_helper.finish(file.entry, item.path, item.target)]))

    async def rename(self, items: Sequence[Item]) -> dict[Item, str]:
        """Rename files and links."""
        return await self._do((item, operation(perl_helper.RENAME, item.path, item.target)) for item in items)

    async def make_folders(self, folders: Sequence[str]) -> dict[str, str]:
        """Create missing folders."""
        return await self._do((path, operation(perl_helper.MAKE_FOLDER, path, *self._owner)) for path in folders)

    async def stage_folders(self, places: Mapping[str, str]) -> dict[str, str]:
        """Create a staging folder at the place of each folder, the key, that does not exist."""
        stage = perl_helper.STAGE_FOLDER
        return await self._do((path, operation(stage, at, path, *self._owner)) for path, at in places.items())

    async def rename_folders(self, places: Mapping[str, str]) -> dict[str, str]:
        """Rename each staging folder to the key, which must not exist, or be an empty folder."""
        return await self._do((path, operation(perl_helper.RENAME, at, path)) for path, at in places.items())

    async def remove(self, deletes: Sequence[Delete]) -> dict[Delete, str]:
        """Remove files and empty folders."""
        verbs = {False: perl_helper.REMOVE, True: perl_helper.REMOVE_EMPTY}
        return await self._do((delete, operation(verbs[delete.directory], delete.target)) for delete in deletes)


class ShellTransport:
    """Shell commands, which write the entries of each folder to a staging folder in it, and move them out."""

    def __init__(self, shell: Shell, owner: tuple[int, int], staged: StagedPaths, *, as_root: bool) -> None:
        self.shell = shell
        self._owner = owner
        self._staged = staged
        self._as_root = as_root

    async def put(self, entries: Entries) -> dict[Item, str]:
        """Write the entries to their targets, folder by folder."""
        by_folder: dict[str, dict[str, TarEntry]] = defaultdict(dict)
        items = {item.target: item for item, _ in entries}
        for item, entry in entries:
            by_folder[posixpath.dirname(item.target)][item.target] = entry
        failed: dict[str, str] = {}
        for folder, inside in by_folder.items():
            failed |= await self._put_into(folder, inside)
        return {items[target]: reason for target, reason in failed.items()}

    async def _put_into(self, folder: str, entries: Mapping[str, TarEntry]) -> dict[str, str]:
        """Write the entries, by target, all in one folder. Return the targets that failed, with the reasons."""
        place = self._staged.add_new(folder)
        commands = shell_commands.put(posixpath.basename(place), entries, self._owner, as_root=self._as_root)
        failures = await self.shell.run([command for command, _ in commands])
        reasons = [(commands[index][1], text) for index, text in failures.items()]
        failed = {target: text for target, text in reversed(reasons) if target}  # the first reason is the cause
        if 0 in failures:
            failed = dict.fromkeys(entries, failures[0])
        if len(commands) - 1 not in failures:
            self._staged.forget([place])
        return {target: text or NOT_WRITTEN for target, text in failed.items()}

    async def put_large(self, file: LargeFile) -> None:
        """Write the file to its target; `file.item.path` is the folder to stage it in."""
        if file.size > MOST_BY_SHELL:
            raise OSError(0, TOO_LARGE)
        stage, target = posixpath.basename(file.item.path), file.item.target
        commands = shell_commands.put(stage, {target: file.entry}, self._owner, as_root=self._as_root)
        enter, begin, *rest = (command for command, _ in commands)
        _check(await self.shell.run([enter, begin]))
        async for piece in file.content():
            _check(await self.shell.run(shell_commands.append(stage, target, piece)))
        await file.verify()
        _check(await self.shell.run(rest))

    async def rename(self, items: Sequence[Item], links: Collection[Item]) -> dict[Item, str]:
        """Rename files and `links`; the entries of a staging folder are moved at once."""
        groups = _groups(items)
        commands = [shell_commands.rename_group([item.path for item in group]) for group in groups]
        failures = await self.shell.run(commands)
        # One entry that cannot be moved fails its whole group: rename the others one by one.
        grouped = {item for group in groups for item in group}
        late = {item for index in failures for item in groups[index]}
        single = [item for item in items if item not in grouped or item in late]
        commands = [
            shell_commands.rename(item.path, item.target, is_link=item in links, is_late=item in late)
            for item in single
        ]
        if groups:
            commands.append(shell_commands.remove_stages({posixpath.dirname(group[0].path) for group in groups}))
        failures = await self.shell.run(commands)
        return {single[index]: text or NOT_RENAMED for index, text in failures.items()}

    async def make_folders(self, folders: Sequence[str]) -> dict[str, str]:
        """Create missing folders."""
        failures = await self.shell.run([shell_commands.make_folder(path, *self._owner) for path in folders])
        return {folders[index]: text for index, text in failures.items()}

    async def remove(self, deletes: Sequence[Delete]) -> dict[Delete, str]:
        """Remove files and empty folders."""
        files = {d.target: d for d in deletes if not d.directory}
        folders = {d.target: d for d in deletes if d.directory}
        commands = [(command, [files[path] for path in paths]) for command, paths in shell_commands.remove(files)]
        commands += ((c, [folders[path] for path in paths]) for c, paths in shell_commands.remove_folders(folders))
        failures = await self.shell.run([command for command, _ in commands])
        return {delete: text for index, text in failures.items() for delete in commands[index][1]}

    async def unstage(self, places: Iterable[str]) -> None:
        """Remove what is staged at these paths if possible: it may take the space that other files need."""
        await self.shell.run([shell_commands.unstage(place) for place in places])


@dataclass(slots=True)
class Streamed:
    """What one of several archive requests has written, which was made while it was sent.

    `size` are the bytes of all `items` together. `failed` could not be read. Other requests have to write what is
    `left`: large files, and everything if the engine refused the request, since it does not name the bad entry.
    `links` may have been written, even then.
    """

    items: list[Item] = field(default_factory=list)
    size: int = 0
    failed: dict[Item, str] = field(default_factory=dict)
    left: list[Item] = field(default_factory=list)
    links: list[Item] = field(default_factory=list)

    def pieces(self, batches: Iterator[Batch]) -> Generator[bytes]:
        """The pieces of an archive with the next batches, each recorded before it is returned. Blocking."""
        for batch in batches:
            self.failed.update(batch.failed)
            if batch.large is not None:
                self.left.append(batch.large)
            if batch.entries:
                self.items += [item for item, _ in batch.entries]
                self.links += [item for item, entry in batch.entries if entry.kind == tar.LINK]
                self.size += sum(len(entry.content) for _, entry in batch.entries)
                yield tar.body(entry for _, entry in batch.entries)
            if len(self.items) >= STREAM_FILES or self.size >= STREAM_BYTES:
                break
        yield tar.END

    def refuse(self) -> None:
        """Record that the engine refused the request: how much it has written is unknown."""
        self.left += self.items
        self.items, self.size = [], 0


class ArchiveTransport:
    """The engine's archive request. It follows links, so it is only for folders that only root can change."""

    def __init__(self, files: Archive, container_id: str, owner: tuple[int, int]) -> None:
        self._files = files
        self._container_id = container_id
        self._owner = owner

    async def put(self, entries: Entries) -> dict[Item, str]:
        """Write files, links and folders to the items' paths. If one fails, all have failed.

        Raises CallError if the container was removed.
        """
        try:
            await self._files.put(self._container_id, tar.packed(entry for _, entry in entries))
        except CallError as error:
            if NO_CONTAINER.search(error.reason):
                raise
            return {item: error.reason for item, _ in entries}
        return {}

    async def put_stream(self, items: Iterable[Item]) -> AsyncIterator[Streamed]:
        """Write files, links and folders to the items' paths while the next ones are read: what each request did.

        Raises CallError if the container was removed.
        """
        batches = host_files.batches(items, self._owner, most=PIECE_FILES)
        while (first := await anyio.to_thread.run_sync(next, batches, None)) is not None:
            streamed = Streamed()
            try:
                pieces = streamed.pieces(itertools.chain([first], batches))
                await self._files.upload(self._container_id, pieces, STREAM_BYTES)
            except CallError as error:
                if NO_CONTAINER.search(error.reason):
                    raise
                streamed.refuse()
            yield streamed

    async def put_large(self, file: LargeFile) -> None:
        """Write the file to the item's path while reading it."""
        await self._files.put(self._container_id, file.packed(), size=file.size)
        await file.verify()

    async def make_folders(self, folders: Sequence[str]) -> dict[str, str]:
        """Create missing folders; for root, the engine creates them with their files."""
        if folders and self._owner != (0, 0):
            names, now = (os.fsencode(path.lstrip("/")) for path in folders), time.time_ns()
            entries = (TarEntry(name, tar.FOLDER, NEW_FOLDER, now, *self._owner) for name in names)
            await self._files.put(self._container_id, tar.packed(entries))
        return {}

    async def remove(self, deletes: Sequence[Delete]) -> dict[Delete, str]:
        """Fail: an archive request cannot remove anything."""
        return dict.fromkeys(deletes, NO_SHELL)


AnyTransport = HelperTransport | ShellTransport | ArchiveTransport


def _groups(items: Iterable[Item]) -> list[list[Item]]:
    """The items in staging folders: for each folder, lists that are short enough for one `mv`."""
    by_folder: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if (folder := posixpath.dirname(item.path)) != posixpath.dirname(item.target):
            by_folder[folder].append(item)
    return [chunk for inside in by_folder.values() for chunk in shell_commands.chunked(inside)]


def _check(failures: list[int] | dict[int, str]) -> None:
    if failures:
        reason = next(iter(failures.values())) if isinstance(failures, dict) else ""
        raise OSError(0, reason or NOT_WRITTEN)
