"""The ssh process of a line that is left to another process, so that its sockets and ports stay as they are."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from dataclasses import asdict

from devenv import private_files
from devenv.decoded import decoded
from devenv.docker import process
from devenv.errors import StateError
from devenv.lazy_dataclass import dataclass
from devenv.remote.folder import LineFolder
from devenv.remote.forwards import Forward
from devenv.remote.ssh import Remote

FILE = "left"  # in the folder of the line


@dataclass(frozen=True, slots=True)
class LeftLine:
    """What the next process has to know of a line; the numbers are of descriptors that it inherits.

    `pid` and `start` identify the process above ssh, which ends when nobody has the other end of `pipe`. `errors` is
    the standard error of ssh.
    """

    remote: Remote
    pid: int
    start: str
    pipe: int
    errors: int
    lock: int
    forwards: tuple[Forward, ...] = ()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that the next process needs."""
        return self.pipe, self.errors, self.lock

    def write(self, folder: str) -> None:
        """Write it into the folder of the line. Raises StateError, OSError."""
        private_files.replace(os.path.join(folder, FILE), json.dumps(asdict(self)), durable=False)


def left_in(path: str) -> tuple[LeftLine, LineFolder] | None:
    """The line that the process before this one left in the folder; None if this process has not inherited it."""
    with contextlib.suppress(OSError, StateError, ValueError, LookupError, TypeError, AttributeError):
        line = decoded(LeftLine, json.loads(private_files.read(os.path.join(path, FILE)) or ""))
        for descriptor in line.descriptors:
            os.set_inheritable(descriptor, False)
        return line, LineFolder(path, line.lock)
    return None


class AdoptedProcess:
    """The process of a `LeftLine`, with the methods of `process.DependentProcess`: it is no child of this one."""

    def __init__(self, line: LeftLine) -> None:
        self._line = line
        self.errors = line.errors
        self._is_over = False

    def wait(self, seconds: float | None) -> bool:
        """Wait until it has ended, for at most so many seconds; return whether it has."""
        if not self._is_over:
            poll = select.poll()
            poll.register(self._line.pipe, 0)  # the end of the last reader is always reported
            self._is_over = bool(poll.poll(None if seconds is None else 1000 * seconds))
        return self._is_over

    def end(self, grace: float) -> None:
        """End it; it is killed after `grace` seconds."""
        with contextlib.suppress(OSError):  # it has ended
            os.write(self._line.pipe, b"end\n")
        if not self.wait(grace) and process.start_time(self._line.pid) == self._line.start:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._line.pid, signal.SIGKILL)
