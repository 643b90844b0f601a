"""What the open pages of a run share: its state, folded only while a page is open, and the actions asked for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus

from devenv.lazy_dataclass import dataclass
from devenv.model.graph import ViewCommand
from devenv.redact import Redactor
from devenv.run.active.control import RunController
from devenv.run.page import PageSource
from devenv.run.view_messages import Message as RunMessage
from devenv.run.view_messages import TimedEvent
from devenv.tasks import task_group
from devenv.web.fold import Fold, Message
from devenv.web.hub import Hub

UNUSED = 60.0  # seconds after the last page was closed in which the state is kept


@dataclass(slots=True)
class SharedState:
    """The state that open pages share, and how many there are."""

    hub: Hub
    controller: RunController
    pages: int = 0


class OpenPages:
    """Keeps the state of the run while pages use it."""

    def __init__(self, source: PageSource, redactor: Redactor) -> None:
        self._source = source
        self._redactor = redactor
        self._tasks: TaskGroup
        self._shared: SharedState | None = None
        self._left = anyio.Event()
        self._beginning = anyio.Lock()
        self._asked: dict[str, str] = {}  # by service, the action that is under way

    @property
    def count(self) -> int:
        """The number of open pages."""
        return self._shared.pages if self._shared else 0

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the run whenever a page is open, until cancelled."""
        async with task_group() as self._tasks:
            task_status.started()
            await anyio.sleep_forever()

    @contextlib.asynccontextmanager
    async def state(self) -> AsyncIterator[SharedState]:
        """The state of the run, which is kept for a while after its last use."""
        async with self._beginning:
            if self._shared is None:
                await self._tasks.start(self._follow)
        shared = self._shared
        assert shared is not None  # noqa: S101 - set before the task has started
        shared.pages += 1
        try:
            yield shared
        finally:
            shared.pages -= 1
            self._left.set()

    def act(self, shared: SharedState, verb: str, service: str) -> str:
        """Begin the action; return why that is not possible now, or an empty text."""
        why = shared.hub.begin(verb, service)
        if not why:
            self._asked[service] = verb
            shared.controller.ask(ViewCommand(verb, service))
        return why

    async def _follow(self, *, task_status: TaskStatus[None]) -> None:
        """Follow the run as long as a page is open."""
        source = self._source
        hub = Hub(Fold(self._redactor), self._startup)
        for timed in source.feed.history(whole=True):
            hub.tell(timed.event, timed.at)

        def put(message: RunMessage) -> None:
            if isinstance(message, TimedEvent):
                hub.tell(message.event, message.at)

        def settled(service: str, why: str) -> None:
            hub.settled(self._asked.pop(service, ""), service, why)
            self._left.set()

        controller = RunController(lambda fact: hub.tell(fact, time.time()), settled, lambda: None)
        with source.feed.followed(put):
            async with task_group() as tasks:
                tasks.start_soon(controller.serve, lambda: source.project, source.emit)
                tasks.start_soon(hub.run)
                await anyio.lowlevel.checkpoint()  # the facts about the project come first
                self._shared = SharedState(hub, controller)
                task_status.started()
                try:
                    await self._until_unused()
                finally:
                    self._shared = None
                tasks.cancel_scope.cancel()

    async def _until_unused(self) -> None:
        """Return if no page has been open for a while, and no action of one is under way."""
        while True:
            self._left = anyio.Event()
            await self._left.wait()
            while self._is_unused():
                self._left = anyio.Event()
                with anyio.move_on_after(UNUSED):
                    await self._left.wait()
                    continue
                if self._is_unused():
                    return

    def _is_unused(self) -> bool:
        return self._shared is not None and not self._shared.pages and not self._asked

    def _startup(self) -> Message | None:
        """The message about the start of this run; None before its end."""
        last = self._source.run.last()
        timings = last.get("timings")
        if not timings or last.get("began") != self._source.project.ledger.began:
            return None
        return {"type": "startup", "seconds": timings["seconds"], "spans": timings["spans"]}
