"""Lines that say, without a status line, that something still runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from devenv.lazy_imports import LazyImports

with LazyImports():  # without a long step, no event loop is needed
    import asyncio

REMIND = 30.0  # seconds between two lines


class Reminder:
    """Writes a line every `REMIND` seconds while a step runs, which seems to hang otherwise."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._work = ""
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def note(self, work: str) -> None:
        """Set the current work; its time counts from the first note since the last `end`."""
        self._work = work
        if self._timer is None:
            self._began = time.monotonic()
            self._wait()

    def end(self) -> None:
        """Write no more lines about the work."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        with contextlib.suppress(RuntimeError):  # without an event loop, nothing takes long
            self._timer = asyncio.get_running_loop().call_later(REMIND, self._remind)

    def _remind(self) -> None:
        self._write(f"{self._work} ({time.monotonic() - self._began:.0f} s so far)")
        self._wait()
