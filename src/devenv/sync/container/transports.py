"""Three ways to change files in a container: the perl helper, shell commands, and the engine's archive request."""

from __future__ import annotations

import os
import posixpath
import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from devenv.docker.archive import Archive
from devenv.docker.transport import CallError
from devenv.model.sync_plan import Delete
from devenv.sync.container import perl_helper, shell_commands, tar
from devenv.sync.container.access import do, run
from devenv.sync.container.host_files import Entries, Item, LargeFile
from devenv.sync.container.journal import StagedPaths
from devenv.sync.container.shell import Shell
from devenv.sync.container.tar import TarEntry

NEW_FOLDER = 0o755
NO_SHELL = "cannot be deleted: its image has no shell"
NOT_WRITTEN = "it cannot be written"
NOT_RENAMED = "rename failed"
NO_CONTAINER = re.compile("(?i)no such container")
MOST_BY_SHELL = 1 << 30  # bytes: a shell without perl writes some ten megabytes a second
TOO_LARGE = "too large for a container whose image has no perl, and whose service is not root"


class Transport(Protocol):
    """A way to change files in one container. Methods return what failed, with the reason; "" if it is not known.

    They raise EngineError if the engine or the shell cannot be reached.
    """

    async def put(self, entries: Entries) -> dict[Item, str]:
        """Write files and links."""

    async def put_large(self, file: LargeFile) -> None:
        """Write a file in pieces. Raises OSError or CallError if it fails."""

    async def make_folders(self, folders: Sequence[str]) -> dict[str, str]:
        """Make folders with the service's owner if they are missing."""

    async def remove(self, deletes: Sequence[Delete]) -> dict[Delete, str]:
        """Remove files and empty folders. A folder that holds something stays, which is no failure."""


class HelperTransport:
    """The perl helper, which writes each entry beside its target and renames it. It returns no reasons."""

    def __init__(self, shell: Shell, owner: tuple[int, int]) -> None:
        self._shell = shell
        self._owner = owner

    async def put(self, entries: Entries) -> dict[Item, str]:
        """Write files and links, and rename them to their targets."""
        owners: list[Item] = []
        operations: list[bytes] = []
        for item, entry in entries:
            parts = perl_helper.put(entry, item.path, item.target)
            operations += parts
            owners += [item] * len(parts)
        return {owners[index]: "" for index in await do(self._shell, operations)}

    async def put_large(self, file: LargeFile) -> None:
        """Write a file in pieces, and rename it to its target. Raises OSError if it fails."""
        item = file.item
        _check(await do(self._shell, [perl_helper.begin(item.path)]))
        async for piece in file.content():
            _check(await do(self._shell, [perl_helper.more(piece)]))
        await file.verify()
        _check(await do(self._shell, [perl_helper.finish(file.entry, item.path, item.target)]))

    async def rename(self, items: Sequence[Item]) -> dict[Item, str]:
        """Rename what an archive request has written to its targets."""
        failed = await do(self._shell, [perl_helper.rename(item.path, item.target) for item in items])
        return {items[index]: "" for index in failed}

    async def make_folders(self, folders: Sequence[str]) -> dict[str, str]:
        """Make folders with the service's owner if they are missing."""
        failed = await do(self._shell, [perl_helper.make_folder(path, *self._owner) for path in folders])
        return {folders[index]: "" for index in failed}

    async def remove(self, deletes: Sequence[Delete]) -> dict[Delete, str]:
        """Remove files and empty folders."""
        operations = [
            perl_helper.remove_empty(d.target) if d.directory else perl_helper.remove(d.target) for d in deletes
        ]
        return {deletes[index]: "" for index in await do(self._shell, operations)}


class ShellTransport:
    """Shell commands, which write the entries of each folder into a staging folder in it, and move them out."""

    def __init__(self, shell: Shell, owner: tuple[int, int], staged: StagedPaths, *, as_root: bool) -> None:
        self.shell = shell
        self._owner = owner
        self._staged = staged
        self._as_root = as_root

    async def put(self, entries: Entries) -> dict[Item, str]:
        """Write files and links to their targets, folder by folder."""
        by_folder: dict[str, dict[str, TarEntry]] = defaultdict(dict)
        items = {item.target: item for item, _ in entries}
        for item, entry in entries:
            by_folder[posixpath.dirname(item.target)][item.target] = entry
        failed: dict[str, str] = {}
        for folder, inside in by_folder.items():
            failed |= await self._put_into(folder, inside)
        return {items[target]: reason for target, reason in failed.items()}

    async def _put_into(self, folder: str, entries: Mapping[str, TarEntry]) -> dict[str, str]:
        """Write the entries, by target, all of one folder. Returns the targets that failed, with the reasons."""
        place = self._staged.add_new(folder)
        commands = shell_commands.put(posixpath.basename(place), entries, self._owner, as_root=self._as_root)
        failures = await run(self.shell, [command for command, _ in commands])
        reasons = [(commands[index][1], text) for index, text in failures.items()]
        failed = {target: text for target, text in reversed(reasons) if target}  # the first reason is the cause
        if 0 in failures:
            failed = dict.fromkeys(entries, failures[0])
        if len(commands) - 1 not in failures:
            self._staged.forget([place])
        return {target: text or NOT_WRITTEN for target, text in failed.items()}

    async def put_large(self, file: LargeFile) -> None:
        """Write a file in pieces to its target. `file.item.path` is the folder to stage it in.

        Raises OSError if it fails.
        """
        if file.size > MOST_BY_SHELL:
            raise OSError(0, TOO_LARGE)
        stage, target = posixpath.basename(file.item.path), file.item.target
        commands = shell_commands.put(stage, {target: file.entry}, self._owner, as_root=self._as_root)
        enter, begin, *rest = (command for command, _ in commands)
        _check(await run(self.shell, [enter, begin]))
        async for piece in file.content():
            _check(await run(self.shell, shell_commands.append(stage, target, piece)))
        await file.verify()
        _check(await run(self.shell, rest))

    async def rename(self, items: Sequence[Item], links: Collection[Item]) -> dict[Item, str]:
        """Rename what an archive request has written to its targets; `links` are those items that are links."""
        groups = _groups(items)
        commands = [shell_commands.rename_group([item.path for item in group]) for group in groups]
        failures = await run(self.shell, commands)
        # One entry that cannot be moved fails its whole group: the rest of it is renamed one by one.
        grouped = {item for group in groups for item in group}
        late = {item for index in failures for item in groups[index]}
        single = [item for item in items if item not in grouped or item in late]
        commands = [
            shell_commands.rename(item.path, item.target, is_link=item in links, is_late=item in late)
            for item in single
        ]
        if groups:
            commands.append(shell_commands.remove_stages({posixpath.dirname(group[0].path) for group in groups}))
        failures = await run(self.shell, commands)
        return {single[index]: text or NOT_RENAMED for index, text in failures.items()}

    async def make_folders(self, folders: Sequence[str]) -> dict[str, str]:
        """Make folders with the service's owner if they are missing."""
        failures = await run(self.shell, [shell_commands.make_folder(path, *self._owner) for path in folders])
        return {folders[index]: text for index, text in failures.items()}

    async def remove(self, deletes: Sequence[Delete]) -> dict[Delete, str]:
        """Remove files and empty folders."""
        files = {d.target: d for d in deletes if not d.directory}
        folders = {d.target: d for d in deletes if d.directory}
        commands = [
            *((command, [files[path] for path in paths]) for command, paths in shell_commands.remove(files)),
            *(
                (command, [folders[path] for path in paths])
                for command, paths in shell_commands.remove_folders([*folders])
            ),
        ]
        failures = await run(self.shell, [command for command, _ in commands])
        return {delete: text for index, text in failures.items() for delete in commands[index][1]}

    async def discard(self, paths: Iterable[str]) -> None:
        """Remove files of an archive request that has failed: they may take the space that others need."""
        await run(self.shell, [shell_commands.discard(path) for path in paths])

    async def unstage(self, place: str) -> None:
        """Remove a staged file or folder."""
        await run(self.shell, [shell_commands.unstage(place)])


class ArchiveTransport:
    """The engine's archive request. It follows links, so it is only for folders that root alone can change."""

    def __init__(self, files: Archive, container_id: str, owner: tuple[int, int]) -> None:
        self._files = files
        self._container_id = container_id
        self._owner = owner

    async def put(self, entries: Entries) -> dict[Item, str]:
        """Write files, links and folders to the items' paths. If one fails, all have failed.

        Raises CallError if the container has gone.
        """
        try:
            await self._files.put(self._container_id, tar.packed(entry for _, entry in entries))
        except CallError as error:
            if NO_CONTAINER.search(error.reason):
                raise
            return {item: error.reason for item, _ in entries}
        return {}

    async def put_large(self, file: LargeFile) -> None:
        """Write a file to the item's path while it is read. Raises OSError or CallError if it fails."""
        await self._files.put(self._container_id, file.packed(), size=file.size)
        await file.verify()

    async def make_folders(self, folders: Sequence[str]) -> dict[str, str]:
        """Make missing folders with the service's owner; for root, the engine makes them with their files."""
        uid, gid = self._owner
        if folders and (uid or gid):
            entries = (
                TarEntry(os.fsencode(path.lstrip("/")), tar.FOLDER, NEW_FOLDER, time.time_ns(), uid, gid)
                for path in folders
            )
            await self._files.put(self._container_id, tar.packed(entries))
        return {}

    async def remove(self, deletes: Sequence[Delete]) -> dict[Delete, str]:
        """Fail: an archive request cannot remove anything."""
        return dict.fromkeys(deletes, NO_SHELL)


def _groups(items: Iterable[Item]) -> list[list[Item]]:
    """The items in staging folders: for each folder, lists that are short enough for one `mv`."""
    by_folder: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if (folder := posixpath.dirname(item.path)) != posixpath.dirname(item.target):
            by_folder[folder].append(item)
    return [chunk for inside in by_folder.values() for chunk in shell_commands.chunked(inside)]


def _check(failures: list[int] | dict[int, str]) -> None:
    """Raise OSError if anything has failed, with the first reason."""
    if failures:
        reason = next(iter(failures.values())) if isinstance(failures, dict) else ""
        raise OSError(0, reason or NOT_WRITTEN)
