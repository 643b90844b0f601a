"""The folder with the sockets of a line: private, with a short path, removed by the next line if its owner died."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator

from devenv import private_files
from devenv.docker import ssh_lines
from devenv.docker.ssh_lines import ADDRESS, LOCK, PREFIX
from devenv.lazy_dataclass import dataclass

ATTEMPTS = 5


@dataclass
class LineFolder:
    """A folder with the sockets of a line, and the descriptor of its lock; `is_left`: to another process."""

    path: str
    lock: int
    is_left: bool = False

    @contextlib.contextmanager
    def removed(self) -> Iterator[LineFolder]:
        """The folder, which is removed after the block unless it is left to another process."""
        try:
            yield self
        finally:
            if not self.is_left:
                shutil.rmtree(self.path, ignore_errors=True)
            os.close(self.lock)
            with contextlib.suppress(OSError):  # another line is there
                os.rmdir(os.path.dirname(self.path))


@contextlib.contextmanager
def folder(address: str) -> Iterator[LineFolder]:
    """A new folder for the line to an engine's address while the block lasts, and none that a dead process left.

    Raises StateError, OSError.
    """
    with LineFolder(*_created(ssh_lines.base())).removed() as created:
        private_files.replace(os.path.join(created.path, ADDRESS), address, durable=False)
        yield created


def _created(base: str) -> tuple[str, int]:
    """A new folder, and the descriptor of its lock. Folders that dead processes left are removed."""
    for attempt in range(ATTEMPTS):
        private_files.private_folder(base)
        try:
            with _locked(base):
                _sweep(base)
                path = tempfile.mkdtemp(prefix=PREFIX, dir=base)
                lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(lock, fcntl.LOCK_EX)
        except FileNotFoundError:  # another line has just removed the folder
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return path, lock
    raise AssertionError


@contextlib.contextmanager
def _locked(base: str) -> Iterator[None]:
    """Keep others from removing a folder whose lock is not held yet."""
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(base: str) -> None:
    """Remove the folders of processes that died: nobody holds their locks."""
    for name in os.listdir(base):
        path = os.path.join(base, name)
        with contextlib.suppress(OSError):
            lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
