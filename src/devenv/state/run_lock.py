"""The lock of a project on an engine: a file held by the process of a run or of a cleanup."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from devenv import phrases, private_files
from devenv.errors import StateError
from devenv.lazy_dataclass import dataclass
from devenv.private_files import written

CLEANING = " cleaning"  # the holder removes what an earlier run left
ENDING = " ending"  # the holder is a run that is ending
KEEPING = " keeping"  # the holder is a keeper, which ends when another command asks it to
LOOKED_AT = 0.2  # maximum seconds for which a process that only reads holds the lock


@dataclass(frozen=True, slots=True)
class RunLock:
    """The lock file at `path`. Its text is the pid of the holder, and a mark while the holder only ends a run."""

    path: str

    def is_held(self) -> bool:
        """Whether a process holds the project now."""
        return self._holds_text() is not None

    def is_ending(self) -> bool:
        """Whether the holder only ends a run, its own or an earlier one, and will release the lock soon."""
        return (self._holds_text() or "").endswith((CLEANING, ENDING))

    def is_kept(self) -> bool:
        """Whether the holder is a keeper."""
        return (self._holds_text() or "").endswith(KEEPING)

    def is_of_run(self) -> bool:
        """Whether the holder is a run, including one that is ending."""
        text = self._holds_text()
        return text is not None and not text.endswith(CLEANING)

    def holder(self) -> int | None:
        """The pid in the lock; that process holds the lock only if `hold` fails."""
        with contextlib.suppress(OSError, ValueError, StateError):
            return int((private_files.read(self.path) or "").partition(" ")[0])
        return None

    def _holds_text(self) -> str | None:
        """The text of the lock, or None if no process holds it."""
        with contextlib.suppress(FileNotFoundError), private_files.open_read(self.path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().decode()
        return None

    @contextlib.contextmanager
    def hold(self, *, wait: float = 0.0, cleaning: bool = False) -> Iterator[int]:
        """Hold the project for this process; the kernel releases the lock when the process ends.

        `cleaning` tells other processes that the lock is held only to end an earlier run, so that they wait. The
        value is the descriptor of the lock, for `pass_on`. Raises StateError (exit 3) with the pid of the holder
        after `wait` seconds.
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
            yield descriptor
        finally:
            os.close(descriptor)

    def pass_on(self, descriptor: int, pid: int) -> None:
        """Write that a keeper holds the lock, which has its descriptor; a full disk is no error."""
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{pid}{KEEPING}".encode(), 0)

    def mark_ending(self) -> None:
        """Mark in the lock that this run is ending; the caller holds the lock.

        A full disk is no error: without the mark, `devenv down` asks the run to end once more.
        """
        with contextlib.suppress(OSError, StateError):
            private_files.append(self.path, ENDING)

    def up_error(self) -> StateError:
        """The error that says who holds the project."""
        since = phrases.clock(os.stat(self.path).st_mtime, time.time())
        return StateError(
            f"this project is already up: devenv runs as pid {self.holder()} since {since}",
            hint="devenv logs   (shows it; `devenv down` ends it and cleans up)",
        )
