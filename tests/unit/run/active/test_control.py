"""A run that is steered: wishes that are carried out, and facts that are told as they change."""

from __future__ import annotations

# ruff: noqa: D102 - the fakes speak the words of what they stand for
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from devenv.docker.containers import Usage
from devenv.errors import DevenvError, EngineError, UsageError
from devenv.events import Event, Problem
from devenv.model.containers import Container, ProjectState
from devenv.model.live import Fact, ServiceGraph, ServiceStats, ViewCommand
from devenv.run.active import stats
from devenv.run.active.control import RunController
from devenv.run.active.stats import cast
from unit.run.test_desired import stage

pytestmark = pytest.mark.anyio
MB = 2**20


def container(service: str, ident: str = "1", *, started: str = "t1", **more: Any) -> Container:
    return Container(
        f"{service}{ident}", f"p-{service}-{ident}", service, "running", ours=True, started_at=started, **more
    )


class FakeRun:
    """Stands for `Running`: what is there, and what was asked of it."""

    def __init__(self, *containers: Container) -> None:
        self.stage = stage()
        self.asked: list[str] = []
        self.usage: dict[str, Usage] = {}
        self.waiting: dict[str, int] = {}
        self.observer = SimpleNamespace(project_state=ProjectState(containers))
        self.actions = self
        self.sync_session = SimpleNamespace(pending=lambda: self.waiting)
        self.engine = SimpleNamespace(
            containers=SimpleNamespace(usage=self._usage, inspect=self._inspect),
            endpoint=SimpleNamespace(host="unix:///e"),
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


class Steered:
    """A helm at work, and what it said."""

    def __init__(self, run: FakeRun | None) -> None:
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
    monkeypatch.setattr(stats, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(stats, "MEASURE_EVERY", 0.01)
    monkeypatch.setattr(stats, "SHARE", 1.0)


async def test_wishes_are_carried_out() -> None:
    """Each by the run's own way; what cannot be done is a problem, and the service is settled all the same."""
    steered = Steered(FakeRun())
    for verb in ("restart", "rebuild", "stop"):
        steered.controller.ask(ViewCommand(verb, "web"))
    await steered.until(lambda: len(steered.settled) == 3)
    assert steered.run is not None
    assert sorted(steered.run.asked) == ["rebuild web", "restart web"]
    assert steered.settled == [("web", "")] * 3
    assert [event for event in steered.events if isinstance(event, Problem)] == [
        Problem("web has no container yet", None, "web")
    ]


async def test_a_wish_that_comes_too_early() -> None:
    """It is refused, with the reason; a wish to detach is remembered."""
    steered = Steered(None)
    steered.controller.ask(ViewCommand("restart", "web"))
    steered.controller.ask(ViewCommand("detach"))
    await steered.until(lambda: steered.settled)
    assert steered.settled == [("web", "not yet: its containers are still to be made")]
    assert steered.controller.detached.is_set()


async def test_a_shell_in_what_has_gone() -> None:
    """It is said, before and after there is anything to be in."""
    steered = Steered(FakeRun())
    with pytest.raises(DevenvError, match="gone"):
        await steered.controller.shell("web1")
    await steered.until(lambda: steered.facts)
    with pytest.raises(DevenvError, match="gone"):
        await steered.controller.shell("web1")


async def test_facts_are_told_when_they_change() -> None:
    """The project once, each service once, and again where something is another."""
    run = FakeRun(container("web", ports=(("127.0.0.1", 8080, 80), ("::1", 8080, 80))))
    steered = Steered(run)
    began = anyio.current_time()
    await steered.until(lambda: len(steered.facts) >= 6 and anyio.current_time() > began + 0.2)
    told = len(steered.facts)
    assert [type(fact) for fact in steered.facts].count(ServiceGraph) == 1
    assert steered.service_stats("web") == ServiceStats("web", "web1", ("http://localhost:8080/",))
    run.waiting = {"web": 2}
    steered = Steered(run)
    await steered.until(lambda: len(steered.facts) >= 6)
    assert (steered.service_stats("web").pending, steered.service_stats("db").pending) == (2, 0)
    assert told == 6


async def test_restarts_are_counted() -> None:
    """A new start of the same container is one, or as many as the engine counted; a new container is none."""
    run = FakeRun(container("web"))
    steered = Steered(run)

    async def now(*containers: Container) -> int:
        run.observer.project_state = ProjectState(containers)
        await anyio.sleep(0.05)
        return steered.service_stats("web").restarts

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(steered.serve)
        await anyio.sleep(0.1)
        assert await now(container("web", started="t2")) == 1
        assert await now(container("web", started="t3", restarts=3)) == 4
        assert await now(container("web", "2")) == 4
        assert await now(replace(container("web", "3"), started_at="0001-01-01T00:00:00Z", state="created")) == 4
        assert await now(container("web", "3")) == 4
        tasks.cancel_scope.cancel()


async def test_what_containers_use() -> None:
    """Memory at once, processor time from the second look on, all containers of a service together."""
    run = FakeRun(container("web"), container("web", "2"), container("db"))
    run.usage = {"web1": Usage(0, 0, 4, 10 * MB), "web2": Usage(0, 0, 4, 20 * MB)}
    steered = Steered(run)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(steered.serve)
        with anyio.fail_after(10):
            while not any(f.memory for f in steered.facts if isinstance(f, ServiceStats)):  # noqa: ASYNC110 - as above
                await anyio.sleep(0.005)
            for ident in run.usage:
                run.usage[ident] = Usage(100, 1000, 4, 10 * MB)
            while not steered.service_stats("web").cpu:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.005)
        tasks.cancel_scope.cancel()
    assert steered.service_stats("web").cpu in (40.0, 80.0)
    assert steered.service_stats("db").memory is None


def test_the_cast_is_what_was_chosen() -> None:
    """Services that were not chosen are neither in it nor needed in it."""
    found = cast(replace(stage(), names=frozenset({"web", "db"})))
    assert {node.name: [need.service for need in node.needs] for node in found.graph.nodes} == {
        "db": [],
        "web": ["db"],
    }
    assert found.built == {"web"}


def test_usage() -> None:
    """The share of one CPU between two looks; nothing where no time has passed."""
    before = Usage(100, 1000, 2, 0)
    assert Usage(150, 1100, 2, 0).percent_since(before) == 100.0
    assert Usage(150, 1000, 2, 0).percent_since(before) == 0.0
    assert Usage(50, 1100, 2, 0).percent_since(before) == 0.0
