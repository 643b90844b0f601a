"""What other commands ask of a run by its socket: `devenv settle`, `attach`, `page` and `snapshot restore`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field

import anyio
from anyio.abc import TaskGroup, TaskStatus

from devenv.errors import DevenvError, StateError, UsageError
from devenv.lazy_dataclass import dataclass
from devenv.run import client, live_restore, page, view_messages
from devenv.run.active import feed, listener
from devenv.run.active.feed import Feed
from devenv.run.active.listener import Answer, ClientConnection, Options, Stream
from devenv.run.active.project import ActiveProject
from devenv.run.active.reload import Reload
from devenv.run.active.settle import Effects, Settling
from devenv.state.run_dir import Run
from devenv.tasks import task_group


@dataclass
class Requests:
    """Answers other commands.

    `reload` is None as long as the project's files are not watched; `goes_on`: the end of this process is not that of
    the run; `end` lets a keeper end the run.
    """

    run: Run
    project: ActiveProject
    effects: Effects
    feed: Feed
    reload: Reload | None = None
    load_page: page.LoadPage | None = None
    goes_on: bool = False
    end: Stream | None = None
    _tasks: TaskGroup = field(init=False)
    _page: page.Page = field(init=False)

    _restores: anyio.Lock = field(default_factory=anyio.Lock)

    async def listen(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Answer requests until cancelled."""
        about = self.project.desired.project
        source = page.PageSource(self.run, self.project, self.feed, self.effects.emit, lambda: self.goes_on)
        async with task_group() as self._tasks:
            self._page = page.Page(source, self.load_page, self._tasks)
            streams: dict[str, Stream] = {view_messages.VERB: self.show, page.REPORT: self.report}
            if self.end is not None:
                streams[client.END] = self.end
            await listener.serve(
                self.run.path, about.directory, about.name, self.answer, streams, task_status=task_status
            )

    async def answer(self, verb: str, options: Options) -> Answer:
        """The answer to a request of `devenv settle`, `page` or `snapshot restore`. Raises DevenvError."""
        values = dict(options)
        match verb:
            case "settle":
                services = [value for name, value in options if name == "service"]
                return await self._settled(services, float(values["timeout"]), only_synced="synced" in values)
            case page.VERB:
                address = await self._page.address(is_read_only="read-only" in values)
                return Answer(0, address._asdict(), (address.url,))
            case live_restore.VERB:
                return await self._restored(json.loads(values["volumes"]))
        raise UsageError(f"this run does not know `{verb}`", hint="devenv version   (and the version of the run)")

    async def _settled(self, services: Sequence[str], timeout: float, *, only_synced: bool) -> Answer:
        settling = Settling(self.project, self.effects, self.reload, frozenset(self.run.last().get("urls", ())))
        settled = await settling.settle(services, timeout, only_synced=only_synced)
        return Answer(int(not settled.settled), asdict(settled), tuple(settled.lines))

    async def _restored(self, chosen: Mapping[str, tuple[str, str]]) -> Answer:
        """Restore the volumes; the end of the command that asked does not end the restore."""
        if self._restores.locked():
            raise StateError("another restore is under way", hint="devenv ps   (once it has ended, try again)")
        errors, is_over = list[DevenvError](), anyio.Event()

        async def restore() -> None:
            async with self._restores:
                try:
                    await live_restore.carry_out(self.project, chosen)
                except DevenvError as error:
                    errors.append(error)
            is_over.set()

        self._tasks.start_soon(restore)
        await is_over.wait()
        if errors:
            raise errors[0]
        return Answer(0, {})

    async def show(self, connection: ClientConnection, options: Options) -> None:
        """Show the run to a view of `devenv attach`, until the view leaves."""
        with_lines = dict(options).get("lines") != "no"
        await feed.serve_view(connection, self.feed, lambda: self.project, self.effects.emit, with_lines=with_lines)

    async def report(self, connection: ClientConnection, _: Options) -> None:
        """Send the messages of a report about the run."""
        await self._page.report(connection)
