"""Each start of a container is served once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import TaskGroup

from devenv.errors import EngineError
from devenv.model.containers import Container, ProjectState
from devenv.run.active.observe import served
from devenv.run.active.observe.served import ServedContainers
from devenv.run.active.observe.view import Signal

pytestmark = pytest.mark.anyio


def web(state: str = "running", start: str = "t1") -> Container:
    """A container."""
    return Container("id-web", "web", "web", state, ours=True, started_at=start)


class Calls:
    """What was asked of the sync."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.gone: list[str] = []
        self.fails = False
        self.look_again = Signal()
        self.served = ServedContainers(self._start, self._drop, self.look_again)

    async def _start(self, container: Container) -> None:
        self.started.append(container.started_at)
        if self.fails:
            raise EngineError("the shell in the container has ended")

    async def _drop(self, container_id: str) -> None:
        self.gone.append(container_id)

    @asynccontextmanager
    async def met(self, *containers: Container) -> AsyncIterator[TaskGroup]:
        """After all that follows from meeting the containers, in turn."""
        async with anyio.create_task_group() as tasks:
            for container in containers:
                self.served.meet(container, tasks)
                await anyio.wait_all_tasks_blocked()
            yield tasks
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("containers", "started"),
    [
        ((web(), web()), ["t1"]),
        ((web(), web(start="t2")), ["t1", "t2"]),
        ((web("created"), web("exited")), []),
        ((web(), web("paused"), web()), ["t1", "t1"]),
    ],
)
async def test_starts(containers: tuple[Container, ...], started: list[str]) -> None:
    """A look that sees the same start again changes nothing; a container that goes on after a pause counts."""
    calls = Calls()
    async with calls.met(*containers):
        assert calls.started == started


async def test_a_marked_start_is_served_already_unless_all_are_started_again() -> None:
    """New rules: every running container gets its files again."""
    calls = Calls()
    calls.served.mark(web())
    async with calls.met(web()) as tasks:
        assert calls.started == []
        event = calls.look_again.next()
        calls.served.start_all_again()
        assert event.is_set()
        calls.served.meet(web(), tasks)
        await anyio.wait_all_tasks_blocked()
        assert calls.started == ["t1"]


async def test_a_start_that_cannot_be_served_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, at a look that it asks for."""
    monkeypatch.setattr(served, "RETRY_AFTER", 0.0)
    calls = Calls()
    calls.fails = True
    event = calls.look_again.next()
    async with calls.met(web()) as tasks:
        with anyio.fail_after(20):
            await event.wait()
        calls.fails = False
        calls.served.meet(web(), tasks)
        await anyio.wait_all_tasks_blocked()
        assert calls.started == ["t1", "t1"]


async def test_a_container_that_was_removed_is_dropped_once() -> None:
    """By its id."""
    calls = Calls()
    calls.served.mark(web())
    assert not await calls.served.drop_missing(ProjectState((web(),)))
    assert await calls.served.drop_missing(ProjectState())
    assert not await calls.served.drop_missing(ProjectState())
    assert calls.gone == ["id-web"]
