"""The events of a run, for views of it in other processes: what has happened is kept, in a bounded size."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import anyio

from devenv.events import (
    Emit,
    Event,
    Failed,
    HookLine,
    ImageState,
    Kept,
    Log,
    Problem,
    Ready,
    Rebuilt,
    Reloaded,
    Restarted,
    ServiceState,
    Solved,
    Step,
    Stopped,
    Stopping,
    Synced,
    Traced,
)
from devenv.model.status import GOOD, Phase
from devenv.run.active.control import ActiveProjects, RunController
from devenv.run.active.listener import ClientConnection
from devenv.run.view_messages import CommandEnd, Message, TimedEvent, command_of, encoded
from devenv.tasks import task_group

LINES = 256 * 1024  # characters of all lines of containers that are kept
LINE = 100  # what a line costs besides its characters
SYNCS, OTHERS, PASSED = 200, 300, 1000
WAITING = 10_000  # messages that wait for a view; a view that is further behind is left
AT_ONCE = 1 << 16  # bytes that are sent together
LONGEST = 1 << 16  # bytes of a command

Put = Callable[[Message], None]


class Feed:
    """Passes events on, to the views too, and keeps those that a later view needs."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._views: list[Put] = []
        self._states: dict[str, TimedEvent] = {}  # by service; the end of the start is under ""
        self._problems: dict[tuple[str | None, str | None], TimedEvent] = {}  # by path and service, the newest last
        self._syncs: deque[TimedEvent] = deque(maxlen=SYNCS)
        self._others: deque[TimedEvent] = deque(maxlen=OTHERS)
        self._passed: deque[TimedEvent] = deque(maxlen=PASSED)  # states and problems, also those that are over
        self._lines: deque[TimedEvent] = deque()
        self._size = 0

    @property
    def problem(self) -> str:
        """The newest problem that is not solved; empty if there is none."""
        newest = next(reversed(self._problems.values()), None)
        return newest.event.message if newest and isinstance(newest.event, Problem) else ""

    def emit(self, event: Event) -> None:
        """Keep the event, and pass it on."""
        timed = TimedEvent(time.time(), event)
        self.keep(timed)
        for put in self._views:
            put(timed)
        self._emit(event)

    def keep(self, timed: TimedEvent) -> None:
        """Keep an event for later views, if they need it."""
        self._note_problem(timed)
        if isinstance(timed.event, ServiceState | Problem | Solved):
            self._passed.append(timed)
        match timed.event:
            case Log(_, line) | HookLine(_, line):
                self._lines.append(timed)
                self._size += LINE + len(line)
                while self._size > LINES:
                    self._size -= LINE + len(getattr(self._lines.popleft().event, "line", ""))
            case Traced() | ImageState() | Step(_, "detail") | Stopping() | Stopped() | Kept() | Failed():
                pass
            case Problem() | Solved():
                pass
            case Synced():
                self._syncs.append(timed)
            case Ready():
                self._states[""] = timed
            case ServiceState(service):
                self._states[service] = timed
            case event:
                for service in event.removed if isinstance(event, Reloaded) else ():
                    self._states.pop(service, None)
                self._others.append(timed)

    def _note_problem(self, timed: TimedEvent) -> None:
        """Keep a problem, or forget those that the event ends."""
        match timed.event:
            case Problem(_, _, service, path):
                self._problems.pop((path, service), None)
                self._problems[path, service] = timed
            case Solved(path):
                self._problems = {key: problem for key, problem in self._problems.items() if key[0] != path}
            case ServiceState(service, state, error="") if Phase(state) in GOOD:
                self._problems.pop((None, service), None)
            case Rebuilt(service) | Restarted(service):
                self._problems.pop((None, service), None)
            case Reloaded(removed=removed):
                for service in removed:
                    self._problems.pop((None, service), None)

    @property
    def is_followed(self) -> bool:
        """Whether a view is open."""
        return bool(self._views)

    def recovered(self) -> None:
        """Forget the problem of the run as a whole."""
        self._problems.pop((None, None), None)

    def history(self, *, with_lines: bool = True, whole: bool = False) -> Iterable[TimedEvent]:
        """What is kept, the oldest first; with `whole`, also states and problems that are over."""
        lines = self._lines if with_lines else ()
        states, problems = (sorted(kept.values(), key=_time) for kept in (self._states, self._problems))
        if whole:
            known = {id(timed) for timed in self._passed}
            states = [timed for timed in states if id(timed) not in known]
            problems = sorted({id(timed): timed for timed in (*problems, *self._passed)}.values(), key=_time)
        return heapq.merge(states, problems, [*self._syncs], [*self._others], [*lines], key=_time)

    @contextlib.contextmanager
    def followed(self, put: Put) -> Iterator[None]:
        """Pass each event of this time to `put` too."""
        self._views.append(put)
        try:
            yield
        finally:
            self._views.remove(put)


def _time(timed: TimedEvent) -> float:
    return timed.at


async def serve_view(
    connection: ClientConnection, feed: Feed, active_project: ActiveProjects, emit: Emit, *, with_lines: bool
) -> None:
    """Send a view what has happened and what happens, and carry out its commands, until either side ends.

    `with_lines`: also the kept lines of containers.
    """
    messages, waiting = anyio.create_memory_object_stream[Message](WAITING)

    async with task_group() as tasks:

        def put(message: Message) -> None:
            try:
                messages.send_nowait(message)
            except anyio.WouldBlock:  # the run does not wait for a view that hangs
                tasks.cancel_scope.cancel()

        async def send() -> None:
            for timed in history:
                await connection.stream.send(encoded(timed))
            async for message in waiting:
                text = encoded(message)
                with contextlib.suppress(anyio.WouldBlock):
                    while len(text) < AT_ONCE:
                        text += encoded(waiting.receive_nowait())
                await connection.stream.send(text)

        with messages, waiting, feed.followed(put):
            history = [*feed.history(with_lines=with_lines)]
            controller = RunController(put, lambda service, why: put(CommandEnd(service, why)), lambda: None)
            tasks.start_soon(controller.serve, active_project, emit)
            tasks.start_soon(send)
            with contextlib.suppress(anyio.IncompleteRead, anyio.DelimiterNotFound, ValueError, TypeError, KeyError):
                while True:
                    controller.ask(command_of(await connection.received.receive_until(b"\n", LONGEST)))
            tasks.cancel_scope.cancel()
