"""Files and folders in the state folder: private to the user, and opened without following a link.

Each function opens the folder of the path first, without following a link, and works relative to that descriptor.
A link, a file that is not regular, a file of another user, and a folder of another user or with write permission
for others raise StateError, which names the path and what to type. Other failures (a full disk) stay OSError, so
that each caller decides whether to go on without the file. Only what is particular is said at a function.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import IO

from devenv.errors import StateError
from devenv.lazy_imports import LazyImports

with LazyImports():  # only to remove a tree
    import shutil

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
CHOOSE_ANOTHER = "export XDG_STATE_HOME=/a/folder/of/yours"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # nonblocking: a fifo must not hold us up


def private_folder(path: str, *below: str) -> str:
    """Create the folder, and the folders below it, with mode 0700 if missing; the path of the last.

    Each of them is checked if it exists; what is above `path` is not, and may be reached through links.
    """
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except FileExistsError as error:  # Python's error for a file in a folder's place
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.path.dirname(path)) from error
    for name in ("", *below):
        path = os.path.join(path, name) if name else path
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, PRIVATE_FOLDER)
        os.close(_open_folder(path))
    return path


def read(path: str) -> str | None:
    """The text of the file, None if there is none."""
    content = read_bytes(path)
    return None if content is None else content.decode(errors="surrogateescape")


def read_bytes(path: str) -> bytes | None:
    """The content of the file, None if there is none."""
    try:
        with open_read(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def open_read(path: str) -> IO[bytes]:
    """The file, open for reading. Raises FileNotFoundError if there is none."""
    return open(_open(path, os.O_RDONLY), "rb")


def replace(path: str, content: str | bytes, *, durable: bool = True) -> None:
    """Replace the file as a whole, whatever was in its place; readers see the old content or the new one.

    With `durable` it is on disk before this returns, as far as the disk keeps its promises. A link in its place is
    replaced, and what it led to is not touched. After an error the old content is still there.
    """
    with _folder_of(path) as (folder, name):
        fresh = f"{name}.{os.getpid()}.new"
        with contextlib.ExitStack() as undo:
            undo.callback(_unlink_if_possible, fresh, folder)
            with open(_create(fresh, os.O_WRONLY, folder), "wb") as file:
                file.write(_encoded(content))
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
            undo.pop_all()
        if durable:
            os.fsync(folder)


def append(path: str, content: str | bytes, *, durable: bool = False) -> None:
    """Append to the file, which is created if missing; on disk before this returns if `durable`."""
    with open(_open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "wb", buffering=0) as file:
        rest = memoryview(_encoded(content))
        while rest:
            rest = rest[file.write(rest) :]
        if durable:
            os.fsync(file.fileno())


def create(path: str, flags: int = os.O_RDWR) -> int:
    """A descriptor of a new, empty file, for reading and writing by default; what was in its place is gone."""
    with _folder_of(path) as (folder, name):
        return _create(name, flags, folder)


def open_lock(path: str) -> int:
    """A descriptor of the file, for reading and writing, its content as it was; created if missing."""
    return _open(path, os.O_RDWR | os.O_CREAT)


def entries(path: str) -> list[str]:
    """The names in the folder, sorted; none if there is no folder."""
    try:
        folder = _open_folder(path)
    except FileNotFoundError:
        return []
    try:
        return sorted(os.listdir(folder))
    finally:
        os.close(folder)


def sync_folder(path: str) -> None:
    """Wait until the names in the folder are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: str) -> None:
    """Remove the file or link, if there is one."""
    with contextlib.suppress(FileNotFoundError), _folder_of(path) as (folder, name):
        os.unlink(name, dir_fd=folder)


def remove_tree(path: str) -> None:
    """Remove the folder and what is in it, as far as that is possible; a link in its place stays."""
    with contextlib.suppress(FileNotFoundError), _folder_of(path) as (folder, name):
        shutil.rmtree(name, ignore_errors=True, dir_fd=folder)


def _unlink_if_possible(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _encoded(content: str | bytes) -> bytes:
    return content.encode(errors="surrogateescape") if isinstance(content, str) else content


def _open_folder(path: str) -> int:
    try:
        descriptor = os.open(path or os.curdir, _FOLDER)
    except OSError as error:
        if os.path.islink(path):
            raise _linked(path) from error
        if os.path.exists(path) and not os.path.isdir(path):
            raise _irregular(path, "folder") from error
        raise
    state = os.fstat(descriptor)
    if state.st_uid == os.geteuid() and not state.st_mode & OTHERS_WRITE:
        return descriptor
    os.close(descriptor)
    if state.st_uid != os.geteuid():
        hint = f"{CHOOSE_ANOTHER}   (or: sudo chown -R $USER {path})"
        raise StateError(f"{path} belongs to another user", hint=hint)
    message = f"{path} can be written by other users (mode {stat.S_IMODE(state.st_mode):04o})"
    raise StateError(message, hint=f"ls -la {path}   (if all of it is yours: chmod 700 {path})")


@contextlib.contextmanager
def _folder_of(path: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the folder of the path, and the name there; an OSError is explained by what has the name."""
    folder = _open_folder(os.path.dirname(path))
    try:
        yield folder, os.path.basename(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        if os.path.islink(path):
            raise _linked(path) from error
        if os.path.exists(path) and not os.path.isfile(path):
            raise _irregular(path) from error
        raise
    finally:
        os.close(folder)


def _open(path: str, flags: int) -> int:
    with _folder_of(path) as (folder, name):
        descriptor = os.open(name, flags | _FILE, PRIVATE_FILE, dir_fd=folder)
    state = os.fstat(descriptor)
    if stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(state.st_mode):
        raise _irregular(path)
    raise StateError(f"{path} belongs to another user", hint=f"rm {path}")


def _create(name: str, flags: int, folder: int) -> int:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    return os.open(name, flags | os.O_CREAT | os.O_EXCL | _FILE, PRIVATE_FILE, dir_fd=folder)


def _linked(path: str) -> StateError:
    message = f"{path} is a symbolic link, and devenv follows none in its state folder"
    return StateError(message, hint=f"rm {path}   (removes the link alone)")


def _irregular(path: str, kind: str = "regular file") -> StateError:
    return StateError(f"{path} is not a {kind}", hint=f"ls -ld {path}   (then move it away)")


@contextlib.contextmanager
def written(path: str) -> Iterator[None]:
    """Raises StateError if the path cannot be written."""
    try:
        yield
    except OSError as error:
        hint = "Make room for it, or: export XDG_STATE_HOME=/a/folder/with/space"
        raise StateError(f"cannot write {path}: {error.strerror}", hint=hint) from error
