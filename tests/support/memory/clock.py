"""Time that passes at once whenever all tasks wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

STUCK = 10.0  # real seconds after which nothing is going to happen any more
T = TypeVar("T")


@dataclass
class Clock:
    """How far this process is ahead of the real time (seconds), and who is notified of each jump."""

    ahead: float = 0.0
    jumped: list[Callable[[float], object]] = field(default_factory=list)

    def jump(self, seconds: float) -> None:
        """Advance by so many seconds."""
        self.ahead += seconds
        for call in self.jumped:
            call(seconds)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Use this clock for `time.time` and `time.monotonic` in the block, and run work for threads in place."""
        monotonic, now = time.monotonic, time.time
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: monotonic() + self.ahead)
            patch.setattr(time, "time", lambda: now() + self.ahead)
            patch.setattr(anyio.to_thread, "run_sync", in_place)
            yield

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run the work on an event loop that does not wait."""
        with self.installed():
            options = {"loop_factory": lambda: JumpingLoop(self)}
            return anyio.run(work, backend="asyncio", backend_options=options)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to the next deadline if nothing else is to be done."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_JumpingSelector(clock))


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            if events := super().select(STUCK):
                return events
            raise RuntimeError("everybody waits for something that does not come")
        events = super().select(0)
        if not events and timeout > 0:
            self._clock.jump(timeout)
        return events


async def in_place(work: Callable[..., T], *args: Any, **_: Any) -> T:
    """Run work that is meant for a thread in place: as `anyio.to_thread.run_sync`."""
    await checkpoint()
    return work(*args)
