"""Facts of services that are sent as they change."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from devenv.docker.containers import Usage
from devenv.model.graph import ServiceGraph, ServiceStats
from devenv.run.active import stats
from devenv.run.active.stats import service_graph
from unit.run.active.test_control import Controlled, FakeProject, container
from unit.run.test_desired import stage

pytestmark = pytest.mark.anyio
MB = 2**20


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once."""
    monkeypatch.setattr(stats, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(stats, "MEASURE_EVERY", 0.01)
    monkeypatch.setattr(stats, "SHARE", 1.0)


async def test_facts_are_sent_when_they_change() -> None:
    """The graph once, each service once, and again if something has changed."""
    run = FakeProject(container("web", ports=(("127.0.0.1", 8080, 80), ("::1", 8080, 80))))
    controlled = Controlled(run)
    began = anyio.current_time()
    await controlled.until(lambda: len(controlled.facts) >= 6 and anyio.current_time() > began + 0.2)
    told = len(controlled.facts)
    assert [type(fact) for fact in controlled.facts].count(ServiceGraph) == 1
    assert controlled.service_stats("web") == ServiceStats("web", "web1", ("http://localhost:8080/",))
    run.waiting = {"web": 2}
    controlled = Controlled(run)
    await controlled.until(lambda: len(controlled.facts) >= 6)
    assert (controlled.service_stats("web").pending, controlled.service_stats("db").pending) == (2, 0)
    assert told == 6


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
    """Services that were not chosen are neither in it nor needed in it."""
    found = service_graph(replace(stage(), names=frozenset({"web", "db"})))
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
