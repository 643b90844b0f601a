"""Copy the files of `configs` and `secrets` into a container, if the engine does not have them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import anyio

from devenv.compose.files import setting
from devenv.compose.remote_files import MountedFile
from devenv.docker.containers import Archive
from devenv.errors import EngineError
from devenv.sync.container import host_files, tar
from devenv.sync.container.host_files import DirFds, Item
from devenv.sync.container.tar import TarEntry

Copied = tuple[MountedFile, Item]


async def put(archive: Archive, container_id: str, files: Collection[MountedFile], folder: str) -> None:
    """Write the files to their targets with their owners and permissions. Raises EngineError if one cannot be read.

    They are root's by default, as those that Compose copies. `folder` is the project's, for its variables.
    """
    small, large = await anyio.to_thread.run_sync(_read, [file for file in files if file.is_on_disk])
    small += [_value(file, folder) for file in files if not file.is_on_disk]
    if small:
        await archive.put(container_id, tar.packed(small))
    for file, item in large:
        try:
            async with host_files.open_large(item, (file.uid, file.gid)) as opened:
                opened.entry = replace(opened.entry, mode=file.permissions(opened.entry.mode))
                await archive.put(container_id, opened.packed(), size=opened.size)
                await opened.verify()
        except OSError as error:
            raise _unreadable(file, error) from error


def _items(file: MountedFile) -> Iterator[Copied]:
    """The file, or all files of the folder, through links as a bind mount would show them. Blocking."""
    if not os.path.isdir(file.source):
        yield file, Item(os.path.realpath(file.source), file.target)
        return
    for folder, _, names in os.walk(file.source):
        inside = os.path.relpath(folder, file.source)
        for name in names:
            target = os.path.normpath(os.path.join(file.target, inside, name))
            yield file, Item(os.path.realpath(os.path.join(folder, name)), target)


def _value(file: MountedFile, folder: str) -> TarEntry:
    """The entry with the content of a config, or with the value of a variable."""
    content = (setting(folder, file.source[1:]) or "") if file.source else file.content
    name, mode = os.fsencode(file.target.lstrip("/")), file.permissions(0)
    return TarEntry(name, tar.FILE, mode, time.time_ns(), file.uid, file.gid, os.fsencode(content))


def _read(files: Iterable[MountedFile]) -> tuple[list[TarEntry], list[Copied]]:
    """The entries of small files, and large files, which are not read. Blocking. Raises EngineError."""
    small, large = list[TarEntry](), list[Copied]()
    with DirFds() as opened:
        for file, item in (pair for given in files for pair in _items(given)):
            try:
                entry = host_files.read(item, opened, (file.uid, file.gid))
            except OSError as error:
                raise _unreadable(file, error) from error
            if entry is None:
                large.append((file, item))
            else:
                small.append(replace(entry, mode=file.permissions(entry.mode)))
    return small, large


def _unreadable(file: MountedFile, error: OSError) -> EngineError:
    reason = error.strerror or str(error)
    message = f"the {file.kind[:-1]} `{file.name}` cannot be copied into {file.service}: {file.source}: {reason}"
    return EngineError(message, hint=f"ls -l {file.source}")
