"""Bind mounts whose source is missing on this machine: a file is an error, a folder is created for the run.

Docker would create a folder in either case, which belongs to root.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence

import anyio

from devenv.compose import files, positions, resolve
from devenv.compose.outline import Selection
from devenv.docker.containers import MODE_FOLDER, MODE_LINK
from devenv.errors import ConfigError, closest
from devenv.model.project import Mount, Service
from devenv.paths import is_within, written
from devenv.run.desired import DesiredState
from devenv.state.identity import Place
from devenv.sync.host.mount_sources import has_name_of_file
from devenv.volumes.transfer import VolumeTransfer


async def missing_folders(
    transfer: VolumeTransfer, desired: DesiredState, selection: Selection, names: Collection[str]
) -> tuple[str, ...]:
    """The folders that bind mounts of these services need and that do not exist. Nothing is created.

    Raises ConfigError for a source that must be a file: the image has a file at the target, or the name is that of a
    file. An image that the engine does not have yet is not looked at.
    """
    folders: dict[str, None] = {}
    for service in desired.project.services:
        if service.name in names and (mounts := list(_missing(service, transfer))):
            modes = await transfer.holders.modes(desired.image(service.name), [mount.target for mount in mounts])
            sources = await anyio.to_thread.run_sync(resolve.selected_files, selection)
            path = ("services", service.name, "volumes")
            for mount in mounts:
                mode = modes.get(mount.target, MODE_LINK)
                is_named = any(map(has_name_of_file, (mount.target, mount.source or "")))
                is_file = not mode & MODE_FOLDER and (is_named or not mode & MODE_LINK)
                if is_file and not positions.is_folder_mount(sources, path, mount.target):
                    place = positions.entry_place(sources, path, mount.target)
                    raise _file_error(mount, service.name, transfer.directory, place)
                folders[str(mount.source)] = None
    return tuple(folders)


def _missing(service: Service, transfer: VolumeTransfer) -> Iterator[Mount]:
    """The bind mounts whose source the engine would create, if the engine sees the same files as this process.

    Engines in virtual machines see folders that do not exist here.
    """
    engine = transfer.engine
    is_here = engine.endpoint.has_files and engine.kernel == os.uname().release
    for mount in service.volumes:
        source = mount.source or ""
        shared = is_here or (engine.endpoint.has_files and is_within(source, transfer.directory))
        if mount.type == "bind" and mount.creates_source and shared and not os.path.lexists(source):
            yield mount


def _file_error(mount: Mount, service: str, directory: str, place: files.Place) -> ConfigError:
    source, (file, line) = mount.source or "", place
    name = written(source, directory)
    message = f"{name} does not exist; Docker would create a folder of that name"
    return ConfigError(message, hint=_hint(source, service, directory), file=file, line=line)


def _hint(source: str, service: str, directory: str) -> str:
    if example := files.example_of(source):
        return f"cp {written(example, directory)} {written(source, directory)}"
    folder, name = os.path.split(source)
    others: Sequence[str] = ()
    with contextlib.suppress(OSError):
        others = sorted(os.listdir(folder))
    if close := closest(name, others):
        return f"Did you mean `{written(os.path.join(folder, close), directory)}`?"
    create = f"if it is to be a folder: mkdir -p {written(source, directory)}"
    return f"Create the file, or correct `volumes` of {service}; {create}"


def create_folders(paths: Iterable[str]) -> tuple[list[Place], dict[str, str]]:
    """Create the folders and their parents. Return what was created, and for each path that failed the reason.

    The folders belong to the calling user; if that is root, to the owner of the folder above.
    """
    created: list[Place] = []
    failed: dict[str, str] = {}
    for path in paths:
        try:
            created += _created(path)  # also the folders created before an error
        except OSError as error:
            failed[path] = error.strerror or str(error)
    return created, failed


def _created(path: str) -> Iterator[Place]:
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    yield from _created(above)
    os.mkdir(path)
    status = os.lstat(path)
    yield Place(path, status.st_dev, status.st_ino)
    if os.geteuid() == 0:
        owner = os.stat(above)
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
