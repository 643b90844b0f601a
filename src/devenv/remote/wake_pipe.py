"""A pipe on which a thread wakes a task."""

from __future__ import annotations

import contextlib
import os

import anyio


class WakePipe:
    """A pipe on which a thread wakes a task."""

    def __init__(self) -> None:
        self._read, self._written = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._written, False)

    def wake(self) -> None:
        """Wake the task now, or at its next `wait`."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._written, b"x")

    async def wait(self) -> None:
        """Wait for a `wake` since the last call."""
        await anyio.wait_readable(self._read)
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 1 << 10)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._written)
