"""The lock of a project on an engine: a file that the process of a run, or of a clean-up, holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from devenv import private_files
from devenv.errors import StateError
from devenv.private_files import written

CLEANING = " cleaning"
LOOKED_AT = 0.2  # seconds that a process that only looks may hold the lock


@dataclass(frozen=True, slots=True)
class RunLock:
    """The lock file at `path`. Its text is the pid of the holder, and whether it only cleans up."""

    path: str

    def is_held(self) -> bool:
        """Whether a process holds the project now."""
        return self._holds_text() is not None

    def is_cleaned(self) -> bool:
        """Whether somebody holds the project now, and only to clean up after an earlier run."""
        return (self._holds_text() or "").endswith(CLEANING)

    def holder(self) -> int | None:
        """The pid that wrote itself into the lock; it holds it only as long as `lock` fails."""
        with contextlib.suppress(OSError, ValueError, StateError):
            return int((private_files.read(self.path) or "").removesuffix(CLEANING))
        return None

    def _holds_text(self) -> str | None:
        """What is in the lock if somebody holds it."""
        with contextlib.suppress(FileNotFoundError), private_files.open_read(self.path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().decode()
        return None

    @contextlib.contextmanager
    def hold(self, *, wait: float = 0.0, cleaning: bool = False) -> Iterator[None]:
        """The project held for this process; the kernel lets go when the process ends.

        `cleaning` tells others that it is held only to clean up, so that waiting is worth it. Raises StateError
        (exit 3) with the pid of the run that holds it after `wait` seconds.
        """
        descriptor = private_files.open_lock(self.path)
        deadline = time.monotonic() + wait
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise self.up_error() from None
                    time.sleep(0.05)
            with written(self.path) if not cleaning else contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}{CLEANING if cleaning else ''}".encode())
            yield
        finally:
            os.close(descriptor)

    def mark_ending(self) -> None:
        """Tell others that the project is held only to clean up from now on; the caller holds the lock.

        As far as the disk takes it: without the mark, `devenv down` asks the run to end once more.
        """
        with contextlib.suppress(OSError, StateError):
            private_files.append(self.path, CLEANING)

    def up_error(self) -> StateError:
        """The error that says who holds the project."""
        since = time.strftime("%H:%M:%S", time.localtime(os.stat(self.path).st_mtime))
        return StateError(
            f"this project is already up: devenv runs as pid {self.holder()} since {since}",
            hint="devenv logs   (shows it; `devenv down` ends it and cleans up)",
        )
