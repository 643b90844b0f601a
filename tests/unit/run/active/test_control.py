"""A run controlled by a view: commands are carried out, and facts are sent when they change."""

from __future__ import annotations

# ruff: noqa: D102 - the fakes have the methods of what they replace
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from devenv.docker.containers import Usage
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, EngineError, UsageError
from devenv.events import Event, Problem
from devenv.model.containers import Container, ProjectState
from devenv.model.graph import Fact, ServiceGraph, ServiceStats, ViewCommand
from devenv.run.active import control
from devenv.run.active.control import RunController, service_graph
from devenv.run.active.project import ActiveProject
from unit.run.test_desired import stage

pytestmark = pytest.mark.anyio
MB = 2**20


def container(service: str, ident: str = "1", *, started: str = "t1", **more: Any) -> Container:
    return Container(
        f"{service}{ident}", f"p-{service}-{ident}", service, "running", ours=True, started_at=started, **more
    )


class FakeProject:
    """Replaces an active project: its containers, and the calls that it got."""

    urls = ActiveProject.urls

    def __init__(self, *containers: Container) -> None:
        self.desired = stage()
        self.asked: list[str] = []
        self.usage: dict[str, Usage] = {}
        self.waiting: dict[str, int] = {}
        self.observer = SimpleNamespace(project_state=ProjectState(containers))
        self.actions = self
        self.sync_session = SimpleNamespace(pending=lambda: self.waiting)
        self.engine = SimpleNamespace(
            containers=SimpleNamespace(usage=self._usage, inspect=self._inspect),
            endpoint=Endpoint("unix:///e"),
        )

    async def _usage(self, ident: str) -> Usage:
        if ident not in self.usage:
            raise EngineError("gone")
        return self.usage[ident]

    async def _inspect(self, _ident: str) -> None:
        return None

    async def restart(self, service: str) -> None:
        self.asked.append(f"restart {service}")

    async def stop(self, service: str) -> None:
        raise UsageError(f"{service} has no container yet")

    async def rebuild(self, service: str, cause: str) -> None:
        self.asked.append(f"rebuild {service}{cause}")


class Controlled:
    """A running controller, and what it has sent to its view."""

    def __init__(self, run: FakeProject | None) -> None:
        self.run = run
        self.facts: list[Fact] = []
        self.settled: list[tuple[str, str]] = []
        self.events: list[Event] = []
        self.controller = RunController(self.facts.append, lambda *said: self.settled.append(said), lambda: None)

    async def serve(self) -> None:
        await self.controller.serve(lambda: self.run, self.events.append)  # type: ignore[arg-type,return-value]

    async def until(self, met: Any) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.serve)
            with anyio.fail_after(10):
                while not met():  # noqa: ASYNC110 - the world tells no event
                    await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()

    def service_stats(self, service: str) -> ServiceStats:
        return [f for f in self.facts if isinstance(f, ServiceStats) and f.service == service][-1]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once."""
    monkeypatch.setattr(control, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(control, "MEASURE_EVERY", 0.01)
    monkeypatch.setattr(control, "SHARE", 1.0)


async def test_commands_are_carried_out() -> None:
    """The actions of the project do it; a command that fails is a problem, and the service is settled in any case."""
    controlled = Controlled(FakeProject())
    for verb in ("restart", "rebuild", "stop"):
        controlled.controller.ask(ViewCommand(verb, "web"))
    await controlled.until(lambda: len(controlled.settled) == 3)
    assert controlled.run is not None
    assert sorted(controlled.run.asked) == ["rebuild web", "restart web"]
    assert controlled.settled == [("web", "")] * 3
    assert [event for event in controlled.events if isinstance(event, Problem)] == [
        Problem("web has no container yet", None, "web")
    ]


async def test_a_command_that_comes_too_early() -> None:
    """It is refused, with the reason; a command to detach is kept."""
    controlled = Controlled(None)
    controlled.controller.ask(ViewCommand("restart", "web"))
    controlled.controller.ask(ViewCommand("detach"))
    await controlled.until(lambda: controlled.settled)
    assert controlled.settled == [("web", "not yet: its containers are still to be made")]
    assert controlled.controller.detached.is_set()


async def test_shell_in_a_removed_container_is_an_error() -> None:
    """It fails before and after the project becomes active."""
    controlled = Controlled(FakeProject())
    with pytest.raises(DevenvError, match="no longer exists"):
        await controlled.controller.shell("web1")
    await controlled.until(lambda: controlled.facts)
    with pytest.raises(DevenvError, match="no longer exists"):
        await controlled.controller.shell("web1")


async def test_facts_are_sent_when_they_change() -> None:
    """The graph once, each service once, and again if something has changed."""
    run = FakeProject(container("web", ports=(("127.0.0.1", 8080, 80), ("::1", 8080, 80)), checked="/up"))
    controlled = Controlled(run)
    began = anyio.current_time()
    await controlled.until(lambda: len(controlled.facts) >= 6 and anyio.current_time() > began + 0.2)
    length = len(controlled.facts)
    assert [type(fact) for fact in controlled.facts].count(ServiceGraph) == 1
    assert controlled.service_stats("web") == ServiceStats("web", "web1", ("http://localhost:8080/",), checked="/up")
    run.waiting = {"web": 2}
    controlled = Controlled(run)
    await controlled.until(lambda: len(controlled.facts) >= 6)
    assert (controlled.service_stats("web").pending, controlled.service_stats("db").pending) == (2, 0)
    assert length == 6


async def test_restarts_are_those_that_the_engine_counts() -> None:
    """Of all containers of a service together."""
    controlled = Controlled(FakeProject(container("web", restarts=3), container("web", "2", restarts=1)))
    await controlled.until(lambda: len(controlled.facts) > 1)
    assert controlled.service_stats("web").restarts == 4


async def test_the_usage_of_containers() -> None:
    """Memory at once, processor time from the second look on, all containers of a service together."""
    run = FakeProject(container("web"), container("web", "2"), container("db"))
    run.usage = {"web1": Usage(0, 0, 4, 10 * MB), "web2": Usage(0, 0, 4, 20 * MB)}
    controlled = Controlled(run)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(controlled.serve)
        with anyio.fail_after(10):
            while not any(f.memory for f in controlled.facts if isinstance(f, ServiceStats)):  # noqa: ASYNC110 - as above
                await anyio.sleep(0.005)
            for ident in run.usage:
                run.usage[ident] = Usage(100, 1000, 4, 10 * MB)
            while not (cpu := controlled.service_stats("web").cpu):  # noqa: ASYNC110 - as above
                await anyio.sleep(0.005)
        tasks.cancel_scope.cancel()
    assert cpu in (40.0, 80.0)
    assert controlled.service_stats("db").memory is None


def test_the_graph_has_the_chosen_services() -> None:
    """Services that were not chosen are neither in the graph nor in its dependencies."""
    shown = service_graph(replace(stage(), names=frozenset({"web", "db"})))
    assert {node.name: [need.service for need in node.needs] for node in shown.graph.nodes} == {
        "db": [],
        "web": ["db"],
    }
    assert shown.built == {"web"}


def test_cpu_usage_between_two_measurements() -> None:
    """It is the share of one CPU between two looks; without time between them there is none."""
    before = Usage(100, 1000, 2, 0)
    assert Usage(150, 1100, 2, 0).percent_since(before) == 100.0
    assert Usage(150, 1000, 2, 0).percent_since(before) == 0.0
    assert Usage(50, 1100, 2, 0).percent_since(before) == 0.0
