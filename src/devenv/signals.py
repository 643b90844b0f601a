"""How a run is asked to end: the first signal ends it gracefully, a second hurries, a third leaves at once."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from enum import StrEnum
from signal import SIGHUP, SIGINT, SIGTERM, Signals

import anyio
from anyio.abc import TaskStatus

from devenv.lazy_dataclass import dataclass
from devenv.tasks import task_group

LISTENED = (SIGINT, SIGTERM, SIGHUP)
REPEATED = 0.5  # seconds within which a further signal is the same one, forwarded again by npm, an IDE or a shell


class Reaction(StrEnum):
    """What a signal makes a run do."""

    NOTHING = "nothing"
    END = "end"
    SKIP = "skip"
    HURRY = "hurry"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Received:
    """The signals that a run has received: the first, when the last that counted came, and how far they led."""

    first: Signals | None = None
    at: float = 0.0  # seconds of a monotonic clock
    hurried: bool = False

    def react(self, sign: Signals, at: float, *, skippable: bool = False) -> tuple[Received, Reaction]:
        """The state after a signal that came `at` this time, and the reaction to it.

        `skippable`: a step runs that a signal skips, and does nothing else.

        SIGHUP means that the terminal has gone, not that a person is waiting: it only ever ends a run. The kernel and
        an interactive shell send it once each. SIGINT and SIGTERM less than `REPEATED` seconds after the last signal
        that counted are that signal again; once a run is in a hurry, each of them leaves.
        """
        if self.first is None:
            skips = skippable and sign is not SIGHUP
            return Received(sign, at), Reaction.SKIP if skips else Reaction.END
        if sign is SIGHUP:
            return self, Reaction.NOTHING
        if self.hurried:
            return self, Reaction.LEAVE
        if at - self.at < REPEATED:
            return self, Reaction.NOTHING
        if skippable:
            return replace(self, at=at), Reaction.SKIP
        return replace(self, at=at, hurried=True), Reaction.HURRY


class ShutdownSignals:
    """Receives the signals of a run: cancels the innermost `scope` at the first, and sets `hurry` at a later one.

    `on_signal` is called first of all, at each signal. `clock` is in seconds.
    """

    def __init__(
        self, on_signal: Callable[[], object] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_signal = on_signal
        self._clock = clock
        self._received = Received()
        self.hurry = anyio.Event()
        self._scope: anyio.CancelScope | None = None
        self._skip: anyio.Event | None = None

    @property
    def signal(self) -> Signals | None:
        """The signal that ended the run, or None."""
        return self._received.first

    @property
    def exit_code(self) -> int:
        """130, 143 or 129, as a shell expects; 0 if no signal came."""
        return 0 if self.signal is None else 128 + self.signal

    def scope(self) -> anyio.CancelScope:
        """A scope that the first signal cancels, also one that came before.

        Only the latest scope is cancelled: it alone then swallows the cancellation, and what comes after it
        (the teardown) sees a run that was ended, not one that failed.
        """
        self._scope = anyio.CancelScope()
        if self.signal is not None:
            self._scope.cancel()
        return self._scope

    @contextlib.contextmanager
    def skippable(self) -> Iterator[anyio.Event]:
        """A step that may be skipped and the run still end gracefully: a signal inside sets the event, no more."""
        self._skip = anyio.Event()
        yield self._skip
        self._skip = None

    async def listen(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Receive signals until cancelled. `Reaction.LEAVE` ends this process; the guardian ends what is left."""
        with anyio.open_signal_receiver(*LISTENED) as signals:
            task_status.started()
            async for sign in signals:
                self.receive(sign)

    def receive(self, sign: Signals) -> None:
        """React to a signal that has come."""
        self._on_signal()
        skip = None if self._skip is None or self._skip.is_set() else self._skip
        self._received, reaction = self._received.react(sign, self._clock(), skippable=skip is not None)
        match reaction:
            case Reaction.END if self._scope is not None:
                self._scope.cancel()
            case Reaction.SKIP if skip is not None:
                skip.set()
            case Reaction.HURRY:
                self.hurry.set()
            case Reaction.LEAVE:
                os._exit(128 + sign)


async def endable(work: Callable[[], Awaitable[object]]) -> int:
    """The exit code of work that a signal cancels: 0, or that of the signal. Raises what the work raises."""
    ending = ShutdownSignals()
    async with task_group() as tasks:
        await tasks.start(ending.listen)
        with ending.scope():
            await work()
        tasks.cancel_scope.cancel()
    return ending.exit_code
