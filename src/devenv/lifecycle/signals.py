"""How a run is asked to end: the first signal ends it gracefully, the second hurries, the third leaves at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterator

import anyio
from anyio.abc import TaskStatus

from devenv.concurrent import first

LISTENED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Remembers the signal that ended the run, and cancels what runs in the innermost `scope` then.

    `told` is called first of all, at each signal.
    """

    def __init__(self, told: Callable[[], object] = lambda: None) -> None:
        self._told = told
        self.signal: signal.Signals | None = None
        self.hurry = anyio.Event()
        self._scope: anyio.CancelScope | None = None
        self._skip: anyio.Event | None = None

    def scope(self) -> anyio.CancelScope:
        """A scope that the first signal cancels, also one that came before.

        Only the latest scope is cancelled: it alone then swallows the cancellation, and what comes after it
        (the way down) sees a run that was ended, not one that failed.
        """
        self._scope = anyio.CancelScope()
        if self.signal is not None:
            self._scope.cancel()
        return self._scope

    @contextlib.contextmanager
    def skippable(self) -> Iterator[anyio.Event]:
        """What one may skip and still end gracefully: a signal that comes inside sets the event, and does no more."""
        self._skip = anyio.Event()
        yield self._skip
        self._skip = None

    @property
    def exit_code(self) -> int:
        """130, 143 or 129, as a shell expects; 0 where no signal came."""
        return 0 if self.signal is None else 128 + self.signal

    async def listen(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take signals until cancelled. The third one leaves at once: the guardian ends what is left."""
        with anyio.open_signal_receiver(*LISTENED) as signals:
            task_status.started()
            async for sign in signals:
                self._told()
                first = self.signal is None
                self.signal = self.signal or sign
                if self._skip is not None and not self._skip.is_set():
                    self._skip.set()
                elif first:
                    if self._scope is not None:
                        self._scope.cancel()
                elif not self.hurry.is_set():
                    self.hurry.set()
                else:
                    os._exit(128 + sign)


async def endable(work: Callable[[], Awaitable[object]]) -> int:
    """The exit code of work that a signal cancels: 0, or that of the signal. Raises what the work raises."""
    ending = Ending()
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(ending.listen)
            with ending.scope():
                await work()
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first(group) from None
    return ending.exit_code
