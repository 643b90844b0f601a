"""A view of a run in another process: over a real socket, on an engine in memory."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from devenv.errors import StateError, UsageError
from devenv.events import Event, Log, Notice, ServiceState, Synced
from devenv.model.graph import ServiceGraph, ServiceStats, ViewCommand
from devenv.run import attach, client
from devenv.run.active import feed as feeds
from devenv.run.active.feed import Feed
from devenv.run.active.requests import Requests
from devenv.run.active.settle import Effects
from devenv.run.attach import Attached
from devenv.run.view_messages import CommandEnd, Message, TimedEvent
from support.active import Active, active
from support.memory.machine import Machine
from support.one_service import until

pytestmark = pytest.mark.anyio

SYNCED = Synced("web", 1, 0, 10, 2.0)


class Shown:
    """What a view has got."""

    def __init__(self, run: Active) -> None:
        self.messages: list[Message] = []
        self.attached = Attached(run.project.volumes.volume_transfer.run, "shop", self.messages.append)
        self.goes_on: bool | None = None

    async def follow(self) -> None:
        """Follow the run."""
        self.goes_on = await self.attached.follow()

    @property
    def events(self) -> list[Event]:
        """All events so far."""
        return [message.event for message in self.messages if isinstance(message, TimedEvent)]

    def has(self, kind: type) -> Callable[[], bool]:
        """Whether a message of this kind has come."""
        return lambda: any(isinstance(message, kind) for message in self.messages)


def requests(run: Active, feed: Feed) -> Requests:
    """The answers of the run; its ledger is on disk."""
    its = run.project.volumes.volume_transfer.run
    its.write(run.project.ledger)
    return Requests(its, run.project, Effects(feed.emit), feed)


async def test_two_views_show_a_run_and_command_it(machine: Machine) -> None:
    """Each gets what happened before it came; one leaves, and the other goes on; then the run ends."""
    async with active(machine, machine.site("shop", web={})) as run, anyio.create_task_group() as tasks:
        await run.up()
        feed = Feed(lambda _: None)
        events = [ServiceState("web", "started"), Log("web", "one"), SYNCED]
        for event in events:
            feed.emit(event)
        await tasks.start((asks := requests(run, feed)).listen)
        first, second = Shown(run), Shown(run)
        for shown in (first, second):
            tasks.start_soon(shown.follow)
            await until(shown.has(ServiceStats))
            assert shown.events == events
            assert shown.has(ServiceGraph)()
        feed.emit(Notice("both"))
        for shown in (first, second):
            await until(lambda shown=shown: shown.events[-1] == Notice("both"))  # type: ignore[misc]

        for verb, service in (("rub", "web"), ("stop", "wbe"), ("restart", "web")):
            first.attached.ask(ViewCommand(verb, service))
        await until(lambda: sum(isinstance(message, CommandEnd) for message in first.messages) == 3)
        ends = [message for message in first.messages if isinstance(message, CommandEnd)]
        assert CommandEnd("web", "") in ends
        assert CommandEnd("wbe", "wbe is no longer a service of this run") in ends
        assert not second.has(CommandEnd)()

        first.attached.ask(ViewCommand("detach"))
        await until(lambda: first.goes_on is True)
        feed.emit(Notice("second"))
        await until(lambda: second.events[-1] == Notice("second"))
        assert Notice("second") not in first.events
        asks.run.clear()
        tasks.cancel_scope.cancel()


async def test_a_view_comes_back_after_the_process_was_replaced(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets states again, but not the lines that it has; without another process, this is an error."""
    monkeypatch.setattr(attach, "NEXT_KEEPER", 0.5)
    async with active(machine, machine.site("shop", web={})) as run:
        await run.up()
        feed = Feed(lambda _: None)
        for event in (ServiceState("web", "started"), Log("web", "one")):
            feed.emit(event)
        shown, caught = Shown(run), list[StateError]()

        async def follow() -> None:
            try:
                await shown.follow()
            except StateError as error:
                caught.append(error)

        async with anyio.create_task_group() as views:
            async with anyio.create_task_group() as tasks:
                await tasks.start(requests(run, feed).listen)
                views.start_soon(follow)
                await until(shown.has(ServiceStats))
                tasks.cancel_scope.cancel()
            shown.messages.clear()
            async with anyio.create_task_group() as tasks:
                await tasks.start(requests(run, feed).listen)
                await until(shown.has(ServiceStats))
                assert shown.events == [ServiceState("web", "started")]
                tasks.cancel_scope.cancel()
            await until(lambda: bool(caught))
        assert caught[0].message == "no process of devenv syncs shop"


async def test_the_end_of_a_run_is_told_from_its_loss(machine: Machine) -> None:
    """A run that was cleared has ended; one that was never there is an error at once."""
    async with active(machine, machine.site("shop", web={})) as run:
        await run.up()
        shown = Shown(run)
        with pytest.raises(StateError, match="no process of devenv syncs shop"):
            await shown.follow()
        async with anyio.create_task_group() as views:
            async with anyio.create_task_group() as tasks:
                await tasks.start((asks := requests(run, Feed(lambda _: None))).listen)
                views.start_soon(shown.follow)
                await until(shown.has(ServiceStats))
                asks.run.clear()
                tasks.cancel_scope.cancel()
            await until(lambda: shown.goes_on is False)


async def test_a_view_that_hangs_is_left(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run does not wait for it, and keeps nothing for it."""
    monkeypatch.setattr(feeds, "WAITING", 100)
    async with active(machine, machine.site("shop", web={})) as run, anyio.create_task_group() as tasks:
        await run.up()
        feed = Feed(lambda _: None)
        asks = requests(run, feed)
        await tasks.start(asks.listen)
        with client.socket_path(asks.run.path) as path:
            assert path is not None
            hanging = await anyio.connect_unix(path)
        async with hanging as stream:
            await stream.send(b"attach\n")
            await until(lambda: bool(feed._views))
            for _ in range(5):  # more than the buffers of the socket hold
                for _ in range(100):
                    feed.emit(Log("web", "x" * 10_000))
                await anyio.sleep(0.01)
            await until(lambda: not feed._views)
        tasks.cancel_scope.cancel()


async def test_a_run_of_an_older_version(machine: Machine) -> None:
    """It answers that it does not know the request."""
    async with active(machine, machine.site("shop", web={})) as run, anyio.create_task_group() as tasks:
        await run.up()
        asks = requests(run, Feed(lambda _: None))

        async def old(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                await stream.receive()
                await stream.send(b'2\n{"error": "this run does not know `attach`"}')

        with client.socket_path(asks.run.path) as path:
            assert path is not None
            listener = await anyio.create_unix_listener(path)
        async with listener:
            tasks.start_soon(listener.serve, old)
            with pytest.raises(UsageError, match="the process that has shop is too old"):
                await Shown(run).follow()
            tasks.cancel_scope.cancel()
