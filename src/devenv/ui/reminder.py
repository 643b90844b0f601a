"""Lines that say, without a status line, that something still runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        import asyncio  # noqa: PLC0415 - other commands need no event loop

        with contextlib.suppress(RuntimeError):  # without an event loop, nothing takes long
            self._timer = asyncio.get_running_loop().call_later(REMIND, self._remind)

    def _remind(self) -> None:
        self._write(f"{self._work} ({time.monotonic() - self._began:.0f} s so far)")
        self._wait()
