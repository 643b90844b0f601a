"""The page in the browser that shows a run: its server is started when a command or a key first asks for the page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from devenv.errors import DevenvError, StateError, UsageError
from devenv.events import Emit, Problem
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.run.connection import GONE, ask, connected_once_up
from devenv.state.run_dir import Run

with LazyImports():  # needed only if the page is
    from anyio.streams import buffered

    from devenv.run import client

if TYPE_CHECKING:
    from devenv.run.active.feed import Feed
    from devenv.run.active.listener import ClientConnection
    from devenv.run.active.project import ActiveProject

VERB, REPORT = "page", "report"  # what other commands ask of a run
READ_ONLY = "read-only=yes"
PATIENCE = 15.0  # seconds until a process that starts has to answer
LONGEST = 1 << 26  # bytes of a message of a report
HINT = "devenv up   (or: devenv up -d)"


class PageAddress(NamedTuple):
    """The address of a page with its token; and one that leads there once.

    The second is for the command line of a browser, which other users of the machine can read.
    """

    url: str
    once: str


@dataclass(frozen=True, slots=True)
class PageSource:
    """What the page shows, and what its actions act on."""

    run: Run
    project: ActiveProject
    feed: Feed
    emit: Emit
    goes_on: Callable[[], bool] = bool  # whether the run goes on in another process when this one ends


class PageServer(Protocol):
    """The server of a page."""

    async def serve(self, *, task_status: TaskStatus[None]) -> None:
        """Serve until cancelled."""

    def address(self, *, is_read_only: bool) -> PageAddress:
        """The address of the page."""

    def report(self) -> AsyncIterator[bytes]:
        """The messages of a page that is exported, a line for each."""


LoadPage = Callable[[], Callable[[PageSource], PageServer]]  # imports the server, which takes time


@dataclass
class Page:
    """Starts the server of a run's page when it is first asked for. `load` is None if there is none."""

    source: PageSource
    load: LoadPage | None
    tasks: TaskGroup
    _server: PageServer | None = None
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def address(self, *, is_read_only: bool) -> PageAddress:
        """The address of the page. Raises UsageError if this run has none."""
        return (await self._started()).address(is_read_only=is_read_only)

    async def report(self, connection: ClientConnection) -> None:
        """Send the messages of a report."""
        server = await self._started()
        async for line in server.report():
            await connection.stream.send(line)

    async def _started(self) -> PageServer:
        if self.load is None:
            raise UsageError("this run has no page", hint=HINT)
        async with self._lock:
            if self._server is None:
                try:
                    server = (await anyio.to_thread.run_sync(self.load))(self.source)
                    await self.tasks.start(self._serve, server)
                except (OSError, RuntimeError) as error:  # its files, or its port; `start` without `started`
                    raise DevenvError(f"the page cannot be served: {error}", hint="devenv doctor") from error
                self._server = server
        return self._server

    async def _serve(self, server: PageServer, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; a bug in the page ends it, while the run goes on."""
        try:
            await server.serve(task_status=task_status)
        except Exception as error:  # noqa: BLE001 - as above
            self._server = None
            message = f"the page has failed ({type(error).__name__}: {error}); this is a bug"
            self.source.emit(Problem(message, "devenv page"))


async def address(run: Run, project: str, *, is_read_only: bool = False, patience: float = PATIENCE) -> PageAddress:
    """The address of the page of a run. Raises DevenvError, StateError if no process answers for it in time."""
    stream = await connected_once_up(run, patience)
    answer = await ask(stream, VERB, *([READ_ONLY] if is_read_only else [])) if stream else None
    if answer is None:
        raise no_run(run, project)
    document: dict[str, Any] = json.loads(answer[1])
    if answer[0]:
        raise DevenvError(document["error"], hint=document["hint"])
    return PageAddress(document["url"], document["once"])


async def report(run: Run, project: str) -> list[Any]:
    """The messages of a report about a run. Raises StateError if no process has the run."""
    stream, messages = await connected_once_up(run, PATIENCE), list[Any]()
    if stream is None:
        raise no_run(run, project)
    try:
        async with stream:
            await stream.send(client.request([REPORT]))
            received = buffered.BufferedByteReceiveStream(stream)
            while True:
                messages.append(json.loads(await received.receive_until(b"\n", LONGEST)))
    except (*GONE, anyio.IncompleteRead, anyio.EndOfStream, ValueError):
        if not messages or not isinstance(messages[-1], dict):
            raise no_run(run, project) from None
    return messages


def no_run(run: Run, project: str) -> StateError:
    """The error if no process of devenv answers for a run of the project."""
    if run.lock.is_of_run():
        return StateError(
            f"{project} is still starting, or is ending", hint="devenv ps   (the page opens once it is up)"
        )
    return StateError(f"{project or 'this project'} has no run that a page could show", hint=HINT)
