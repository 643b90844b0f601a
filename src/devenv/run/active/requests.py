"""What other commands ask of a run by its socket: `devenv settle` and `devenv attach`."""

from __future__ import annotations

from dataclasses import asdict

import anyio
from anyio.abc import TaskStatus

from devenv.errors import UsageError
from devenv.lazy_dataclass import dataclass
from devenv.run.active import feed, listener
from devenv.run.active.feed import Feed
from devenv.run.active.listener import Answer, Connection, Options
from devenv.run.active.project import ActiveProject
from devenv.run.active.reload import Reload
from devenv.run.active.settle import Effects, Settling
from devenv.run.view_messages import VERB
from devenv.state.run_dir import Run


@dataclass
class Requests:
    """Answers other commands. `reload` is None as long as the project's files are not watched."""

    run: Run
    project: ActiveProject
    effects: Effects
    feed: Feed
    reload: Reload | None = None

    async def listen(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Answer requests until cancelled."""
        about = self.project.desired.project
        streams = {VERB: self.show}
        await listener.serve(
            self.run.path, about.directory, about.name, self.answer, streams, task_status=task_status
        )

    async def answer(self, verb: str, options: Options) -> Answer:
        """The answer to a request of `devenv settle`. Raises UsageError."""
        if verb != "settle":
            raise UsageError(f"this run does not know `{verb}`", hint="devenv version   (and the version of the run)")
        values = dict(options)
        services = [value for name, value in options if name == "service"]
        settling = Settling(self.project, self.effects, self.reload, frozenset(self.run.last().get("urls", ())))
        settled = await settling.settle(services, float(values["timeout"]), only_synced="synced" in values)
        return Answer(int(not settled.settled), asdict(settled), tuple(settled.lines))

    async def show(self, connection: Connection, options: Options) -> None:
        """Show the run to a view of `devenv attach`, until the view leaves."""
        with_lines = dict(options).get("lines") != "no"
        await feed.serve_view(connection, self.feed, lambda: self.project, self.effects.emit, with_lines=with_lines)
