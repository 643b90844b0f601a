"""The open pages of a run: events are gathered, folded, and written once for all pages."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import field

import anyio
import anyio.lowlevel

from devenv import events as e
from devenv.lazy_dataclass import dataclass
from devenv.model.graph import Fact
from devenv.web.fold import Fold, Message

GATHER = 0.05  # seconds between two messages to the pages
STATE_EVERY = 0.1  # seconds between two messages `state`
AT_ONCE = 50  # events that are applied before the run goes on
BEHIND = 8 << 20  # bytes that wait for a page; a page that is further behind is left


def encoded(message: Message) -> bytes:
    """The message as a line."""
    return json.dumps(message, separators=(",", ":"), default=sorted).encode() + b"\n"  # sets


@dataclass
class OpenPage:
    """An open page: what waits to be sent to it. `leave` ends its connection."""

    leave: Callable[[], object]
    _waiting: list[bytes] = field(default_factory=list)
    _size: int = 0
    _arrived: anyio.Event = field(default_factory=anyio.Event)

    def put(self, data: bytes) -> None:
        """Send these lines; the page is left if it does not read them."""
        self._waiting.append(data)
        self._size += len(data)
        self._arrived.set()
        if self._size > BEHIND:
            self.leave()

    async def take(self) -> bytes:
        """What is to be sent next; waits for it."""
        while not self._waiting:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        taken, self._waiting, self._size = self._waiting, [], 0
        return b"".join(taken)


@dataclass
class Hub:
    """Passes what happens in a run on to its pages. `startup` returns the message about its start, once it exists."""

    fold: Fold
    startup: Callable[[], Message | None]
    pages: list[OpenPage] = field(default_factory=list)
    _arrived: deque[tuple[float, e.Event | Fact]] = field(default_factory=deque)
    _has_startup: bool = False
    _state_sent: float = 0.0
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def tell(self, event: e.Event | Fact, at: float) -> None:
        """Take an event or a fact of the run; it is applied a little later, so that the run does not wait."""
        self._arrived.append((at, event))
        self._changed.set()

    def begin(self, verb: str, service: str) -> str:
        """Note that an action is asked for; why it cannot be, if it cannot."""
        self._apply(len(self._arrived))
        self._changed.set()
        return self.fold.begin(verb, service)

    def settled(self, verb: str, service: str, why: str) -> None:
        """Report that an action has ended, or why it was not carried out."""
        self._apply(len(self._arrived))
        self._changed.set()
        self.fold.settled(verb, service, why)

    def history(self) -> list[Message]:
        """The messages that a new page gets first, after `hello`."""
        self._apply(len(self._arrived))
        self._put(self.fold.news(with_state=False))  # the pages that are open are then where the new page begins
        startup = self.startup()
        return [*self.fold.history(), *([startup] if startup else ())]

    async def run(self) -> None:
        """Apply what arrives and send it to the pages, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            while self._arrived:
                self._apply(AT_ONCE)
                await anyio.lowlevel.checkpoint()
            self._send(time.monotonic())
            await anyio.sleep(GATHER)

    def _apply(self, most: int) -> None:
        for _ in range(min(most, len(self._arrived))):
            at, event = self._arrived.popleft()
            self.fold.tell(event, at)

    def _send(self, now: float) -> None:
        """Send what is new to all pages; the state follows later if it was sent a moment ago."""
        is_due = now - self._state_sent >= STATE_EVERY
        if self.fold.is_state_new:
            if is_due:
                self._state_sent = now
            else:
                self._changed.set()
        news = self.fold.news(with_state=is_due)
        if self.fold.state.ready and not self._has_startup and (startup := self.startup()) is not None:
            self._has_startup = True
            news.append(startup)
        self._put(news)

    def _put(self, news: Iterable[Message]) -> None:
        data = b"".join(map(encoded, news)) if self.pages else b""
        for page in [*self.pages] if data else ():
            page.put(data)
