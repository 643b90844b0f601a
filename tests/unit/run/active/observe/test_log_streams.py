"""The output of containers, on an engine in memory."""

from __future__ import annotations

import anyio
import pytest

from devenv.events import Event, Log
from devenv.model.containers import Container
from devenv.run.active.observe.log_streams import LogStreams
from support.engine import MemoryEngine, MemoryHost
from support.memory import verbs
from support.memory.played import placed

pytestmark = pytest.mark.anyio


class Output:
    """A container `web` that has printed two lines, and what was heard of it."""

    def __init__(self, *, is_on: bool = True, state: str = "running") -> None:
        self.host = MemoryHost()
        self.web = placed(self.host, "web", state, lines=("one", "two"))
        self.engine = MemoryEngine(self.host)
        self.events: list[Event] = []
        self.streams = LogStreams(self.engine, self.events.append, is_on)

    @property
    def lines(self) -> list[str]:
        """Every line that was heard."""
        return [event.line for event in self.events if isinstance(event, Log)]

    async def seen(self) -> Container:
        """The container as the engine shows it."""
        (container,) = (await self.engine.project_state("p")).containers
        return container

    async def until(self, *lines: str) -> None:
        """Returns once exactly these lines have been heard."""
        with anyio.fail_after(20):
            while len(self.lines) < len(lines):  # noqa: ASYNC110 - the streams report no event of ours
                await anyio.sleep(0.005)
        assert self.lines == [*lines]


async def test_each_line_is_heard_once() -> None:
    """However often the container is met."""
    output = Output()
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two")
        verbs.write_log(output.host, output.web, "three")
        await output.until("one", "two", "three")
        tasks.cancel_scope.cancel()


async def test_after_a_restart_only_new_lines_are_heard() -> None:
    """Those since the last process ended."""
    output = Output()
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two")
        verbs.stop(output.host, output.web)
        output.streams.meet(await output.seen(), tasks)
        verbs.start(output.host, output.web)
        verbs.write_log(output.host, output.web, "three")
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two", "three")
        tasks.cancel_scope.cancel()


async def test_of_a_start_that_nobody_saw_only_new_lines_are_heard() -> None:
    """The container has started and ended again between two looks."""
    output = Output()
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two")
        verbs.stop(output.host, output.web)
        output.streams.meet(await output.seen(), tasks)
        verbs.start(output.host, output.web)
        verbs.write_log(output.host, output.web, "three")
        verbs.stop(output.host, output.web)
        output.streams.meet(await output.seen(), tasks)
        await output.until("one", "two", "three")
        await anyio.wait_all_tasks_blocked()
        assert output.lines == ["one", "two", "three"]
        tasks.cancel_scope.cancel()


async def test_an_ended_container_is_drained() -> None:
    """Also if it was never met: it began and ended between two looks."""
    output = Output(state="exited")
    await output.streams.drain([await output.seen()])
    assert output.lines == ["one", "two"]
    await output.streams.drain([await output.seen()])
    assert output.lines == ["one", "two"]


async def test_without_logs_nothing_is_heard() -> None:
    """And nothing is waited for."""
    output = Output(is_on=False, state="exited")
    async with anyio.create_task_group() as tasks:
        output.streams.meet(await output.seen(), tasks)
        with anyio.fail_after(20):
            await output.streams.drain([await output.seen()])
        tasks.cancel_scope.cancel()
    assert output.lines == []
