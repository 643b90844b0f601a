"""The ports of an engine on another machine, forwarded as containers come and go."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from devenv.events import Event, Notice, Problem
from devenv.model.containers import Container, ProjectState
from devenv.remote.forwards import Forward
from devenv.remote.line import LineState
from devenv.remote.ssh import Remote
from devenv.run.active import port_forwards
from devenv.run.active.port_forwards import PortForwards, wanted_by

pytestmark = pytest.mark.anyio
WEB = Container("1", "p-web-1", "web", "running", ours=True, ports=(("127.0.0.1", 8080, 80),))


class FakeLine:
    """Replaces a line: what it was asked to forward, and a state that the test changes."""

    def __init__(self) -> None:
        self.remote = Remote("far")
        self.state = LineState(is_up=True, since=0.0)
        self.asked: list[frozenset[Forward]] = []
        self.errors: dict[Forward, str] = {}
        self._change = anyio.Event()

    def forward(self, wanted: frozenset[Forward]) -> dict[Forward, str]:
        """Record the forwards, and fail as the test says."""
        self.asked.append(wanted)
        return {each: error for each, error in self.errors.items() if each in wanted}

    async def changed(self) -> LineState:
        """Wait for the next `turn`."""
        await self._change.wait()
        return self.state

    def turn(self, *, is_up: bool, printed: str = "") -> None:
        """Lose the line, or bring it back."""
        self.state = LineState(is_up, time.monotonic(), printed)
        self._change.set()
        self._change = anyio.Event()


class FakeProject:
    """Replaces an active project: its containers, and files that wait."""

    def __init__(self, *containers: Container) -> None:
        self.waiting: dict[str, int] = {}
        self.hastened = anyio.Event()
        self.sync_session = SimpleNamespace(pending=lambda: self.waiting, hasten=self.hastened.set)
        self.move = anyio.Event()
        self.observer = SimpleNamespace(project_state=ProjectState(containers, (), ()), moved=lambda: self.move)

    def now(self, *containers: Container) -> None:
        """Look, and see these containers."""
        self.observer.project_state = ProjectState(containers, (), ())
        moved, self.move = self.move, anyio.Event()
        moved.set()


async def until(met: Any) -> None:
    """Wait until the condition is met."""
    with anyio.fail_after(30):
        while not met():  # noqa: ASYNC110 - some conditions have no event
            await anyio.sleep(0.01)


async def test_forwards_follow_the_containers() -> None:
    """Only running containers count; what does not change is not asked for again."""
    line, project = FakeLine(), FakeProject(WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(PortForwards(line, project, [].append).run)  # type: ignore[arg-type]
        await until(lambda: line.asked == [wanted_by([WEB])])
        project.now(WEB)
        project.now(replace(WEB, state="exited"))
        await until(lambda: line.asked[1:] == [frozenset()])
        project.now(replace(WEB, ports=(("127.0.0.1", 8081, 80),)))
        await until(lambda: len(line.asked) == 3)
        assert {forward.port for forward in line.asked[2]} == {8081}
        tasks.cancel_scope.cancel()


async def test_a_port_that_is_taken_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, and the other forwards remain."""
    monkeypatch.setattr(port_forwards, "AGAIN", 0.0)
    line, project, events = FakeLine(), FakeProject(WEB), list[Event]()
    line.errors = {Forward("127.0.0.1", 8080, "127.0.0.1"): "Port forwarding failed"}
    forwards = PortForwards(line, project, events.append)  # type: ignore[arg-type]
    await forwards.follow()
    await forwards.follow()
    assert len(line.asked) == 2
    message = "127.0.0.1:8080 is not forwarded from far: Port forwarding failed"
    assert events == [Problem(message, "devenv up --auto-ports")]


async def test_a_loss_is_reported_once_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both say how many saved files wait; a loss that nobody can notice is not reported."""
    monkeypatch.setattr(port_forwards, "SHORT", 0.1)
    line, project, events = FakeLine(), FakeProject(), list[Event]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(PortForwards(line, project, events.append).run)  # type: ignore[arg-type]
        await anyio.wait_all_tasks_blocked()
        line.turn(is_up=False)
        line.turn(is_up=True)
        await anyio.sleep(0.2)
        assert events == []
        line.turn(is_up=False, printed="Timeout, server far not responding.\r\n")
        await until(lambda: events)
        project.waiting = {"web": 2}
        await anyio.sleep(0.3)
        assert not project.hastened.is_set()
        line.turn(is_up=True)
        await project.hastened.wait()
        tasks.cancel_scope.cancel()
    lost, back = events
    assert isinstance(lost, Problem)
    assert (
        lost.message
        == "the line to far is lost (Timeout, server far not responding); saved files wait until it is back"
    )
    assert isinstance(back, Notice)
    assert back.message == "the line to far is back after 0 s: 2 saved files"
