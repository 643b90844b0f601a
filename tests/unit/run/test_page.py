"""The page of a run is asked for by its socket: on an engine in memory, with a server that only has an address."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from devenv.errors import DevenvError, StateError
from devenv.events import Event, Problem
from devenv.run import page
from devenv.run.active.control import RunController
from devenv.run.active.feed import Feed
from devenv.run.active.requests import Requests
from devenv.run.active.settle import Effects
from devenv.run.attach import Attached
from devenv.run.page import LoadPage, PageAddress, PageSource
from devenv.state.run_dir import Run
from support.active import Active, active
from support.memory.machine import Machine
from support.one_service import until

pytestmark = pytest.mark.anyio


class Server:
    """The server of a page, which answers nothing. `fails`: it ends by an error when it is told to."""

    def __init__(self, _: PageSource) -> None:
        self.fails = anyio.Event()
        MADE.append(self)

    async def serve(self, *, task_status: Any) -> None:
        """Serve until cancelled."""
        task_status.started()
        await self.fails.wait()
        raise KeyError("planted")

    def address(self, *, is_read_only: bool) -> PageAddress:
        """An address."""
        return READER if is_read_only else OWNER

    async def report(self) -> AsyncIterator[bytes]:
        """Two messages."""
        yield b'{"type":"hello"}\n'
        yield b'{"type":"log"}\n'


MADE: list[Server] = []
OWNER = PageAddress("http://127.0.0.1:1/#token", "http://127.0.0.1:1/open/a")
READER = PageAddress("http://127.0.0.1:1/#reader", "http://127.0.0.1:1/open/b")


@contextlib.asynccontextmanager
async def listening(
    machine: Machine, load: LoadPage | None = lambda: Server
) -> AsyncIterator[tuple[Active, Run, list[Event]]]:
    """A run that answers by its socket; its folder, and what it has reported."""
    MADE.clear()
    async with active(machine, machine.site("shop", web={})) as run, anyio.create_task_group() as tasks:
        await run.up()
        its, events = run.project.volumes.volume_transfer.run, list[Event]()
        its.write(run.project.ledger)
        feed = Feed(events.append)
        requests = Requests(its, run.project, Effects(feed.emit), feed, load_page=load)
        await tasks.start(requests.listen)
        yield run, its, events
        tasks.cancel_scope.cancel()


async def test_the_server_is_started_once(machine: Machine) -> None:
    """The first request starts it: of the command, or of a key in either view."""
    async with listening(machine) as (run, its, _):
        assert MADE == []
        assert await page.address(its, "shop") == OWNER
        assert await page.address(its, "shop", is_read_only=True) == READER
        assert await Attached(its, "shop", lambda _: None).page() == OWNER
        controller = RunController(lambda _: None, lambda *_: None, lambda: None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(controller.serve, lambda: run.project, lambda _: None)
            await anyio.wait_all_tasks_blocked()
            assert await controller.page() == OWNER
            tasks.cancel_scope.cancel()
        assert [message["type"] for message in await page.report(its, "shop")] == ["hello", "log"]
        assert len(MADE) == 1


async def test_a_bug_in_the_server_ends_no_run(machine: Machine) -> None:
    """It is reported, and the next request starts another server."""
    async with listening(machine) as (_, its, events):
        await page.address(its, "shop")
        MADE[0].fails.set()
        await until(lambda: any(isinstance(event, Problem) for event in events))
        assert await page.address(its, "shop") == OWNER
        assert len(MADE) == 2


async def test_a_page_that_cannot_be_served(machine: Machine) -> None:
    """Its files are missing, or the run has none: an error of the command alone."""

    def fail() -> type[Server]:
        raise FileNotFoundError("static")

    async with listening(machine, fail) as (_, its, _):
        with pytest.raises(DevenvError, match="the page cannot be served: static"):
            await page.address(its, "shop")
    async with listening(machine, None) as (_, its, _):
        with pytest.raises(DevenvError, match="this run has no page"):
            await page.address(its, "shop")
        with pytest.raises(StateError, match="shop has no run"):
            await page.report(its, "shop")


async def test_without_a_run(machine: Machine) -> None:
    """The error says how to start one; a key in a view that starts says when it works."""
    async with active(machine, machine.site("shop", web={})) as run:
        its = run.project.volumes.volume_transfer.run
        for ask in (page.address, page.report):
            with pytest.raises(StateError, match="shop has no run that a page could show") as caught:
                await ask(its, "shop")
            assert caught.value.hint == page.HINT
    controller = RunController(lambda _: None, lambda *_: None, lambda: None)
    with pytest.raises(DevenvError, match="once the start has ended"):
        await controller.page()
