"""The keeper's side of `devenv down`: end the run, and send its events to the command."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from dataclasses import field, replace

import anyio
from anyio.abc import SocketAttribute

from devenv.compose.outline import Selection, sketched
from devenv.docker import endpoint
from devenv.errors import DevenvError, StateError
from devenv.events import Notice
from devenv.lazy_dataclass import dataclass
from devenv.run import client
from devenv.run.active.feed import Feed
from devenv.run.active.listener import ClientConnection, Options
from devenv.run.active.project import ActiveProject
from devenv.run.cleanup.guardian import Guardian
from devenv.run.cleanup.remains import at_work
from devenv.run.ending import End, RunOutcome, stop
from devenv.run.step_values import Active, Context
from devenv.run.view_messages import Message, TimedEvent, encoded
from devenv.signals import ShutdownSignals
from devenv.state.ledger import VolumePolicy
from devenv.state.run_dir import address
from devenv.volumes.transfer import volume_transfer


@dataclass
class KeeperEnd:
    """Whether a command has asked the keeper to end its run, and how the keeper does that.

    From then on, the process behaves as a run in the foreground: if it dies, its guardian removes the rest.
    """

    feed: Feed
    signals: ShutdownSignals
    asked: anyio.Event = field(default_factory=anyio.Event)
    policy: VolumePolicy | None = None
    _client: socket.socket | None = None

    async def answer(
        self, context: Context, project: ActiveProject, connection: ClientConnection, options: Options
    ) -> None:
        """Let the run end. Return, which closes the connection, if the command has to do that itself."""
        if not await _can_end(context, project, options) or self.policy is not None:
            return
        self.policy = VolumePolicy(dict(options)["policy"] or VolumePolicy.SAVE)
        raw = connection.stream.extra_attributes[SocketAttribute.raw_socket]()
        self._client = socket.socket(fileno=os.dup(raw.fileno()))
        self._send(b"\n")
        context.run.lock.mark_ending()
        context.run.asked()  # came too late for another end
        if self.policy is not VolumePolicy.SAVE:
            with contextlib.suppress(StateError):  # a full disk
                context.run.ask(self.policy)  # for the guardian
        project.volumes.end_with_process()
        self.asked.set()

    async def carry_out(self, context: Context, guardian: Guardian, project: ActiveProject) -> None:
        """Remove what the run created, and dismiss the guardian; the command that asked gets the events."""
        name, place = project.desired.project.name, project.ledger.place
        for _, message in at_work(name):
            self._put(TimedEvent(time.time(), Notice(message)))
        # The limits of snapshots may have changed since the keeper began.
        transfer = volume_transfer(context.engine, context.emit, context.run, name, place.path)
        end = End(self.signals, RunOutcome.ENDED, failed=False, policy=self.policy)
        with anyio.CancelScope(shield=True), self.feed.followed(self._put):
            await stop(replace(context, volume_transfer=transfer), Active(guardian, project), end)

    def _put(self, message: Message) -> None:
        self._send(encoded(message))

    def _send(self, line: bytes) -> None:
        """Send a line; a command that has gone, or hangs, misses it."""
        with contextlib.suppress(OSError):
            if self._client is not None and self._client.send(line, socket.MSG_DONTWAIT) < len(line):
                self._client = None


async def _can_end(context: Context, project: ActiveProject, options: Options) -> bool:
    """Whether the command selects this run, and nothing is needed that only the command has.

    That is a terminal, for hooks and questions, or an error message, for an engine that does not answer.
    """
    values, settings = dict(options), [value for name, value in options if name == "setting"]
    if context.engine.endpoint.machine or project.observer.is_engine_lost or settings != client.settings():
        return False
    try:
        selection = Selection(settings[0], project_name=values["project"] or None)
        known = await anyio.to_thread.run_sync(sketched, selection)
        selected = address(await endpoint.resolve())
    except DevenvError:
        return False
    about = project.desired.project
    is_here = (known.name, selected) == (about.name, address(context.engine.endpoint))
    return is_here and not known.has_hooks and not about.hooks
