"""The view of a project after several looks: phases, ends, and how long a process has lasted."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from devenv.model.containers import Container, ProjectState
from devenv.model.project import Dependency, Project, Resource, Service
from devenv.model.status import BUSY_FOR, STEADY, Phase, Standing
from devenv.run.active.observe.view import ProjectView, Signal
from support.views import NAMES, container, crash, look, phases, view

pytestmark = pytest.mark.anyio


async def test_a_service_that_we_end_ourselves_stays_what_it_was() -> None:
    """Until a look that began after our end is over sees it."""
    seen = view(container("web"), container("db"))
    assert all(seen.is_news(standing) for standing in seen.standings())
    ended = container("web", "exited", exit_code=143)
    with seen.ending([container("web")]):
        seen.note({"Action": "kill", "Actor": {"ID": "id-web", "Attributes": {"signal": "15"}}}, 100.5)
        look(seen, ended, container("db"), now=101.0)
        assert phases(seen) == {"web": Phase.STARTED, "db": Phase.STARTED}
        over = seen.begin_look(102.0)
    seen.finish_look(ProjectState((ended, container("db"))), over, 102.0)
    assert phases(seen)["web"] is Phase.STARTED
    look(seen, ended, container("db"), now=103.0)
    assert seen.standings() == (Standing("web", Phase.STOPPED), Standing("db", Phase.STARTED))


async def test_an_end_that_begins_again_is_not_over() -> None:
    """If a restart follows another, the end of the first does not finish the second."""
    seen = view(container("web"))
    assert seen.is_news(seen.standings()[0])
    with seen.ending([container("web")]):
        pass
    over = seen.begin_look(101.0)
    with seen.ending([container("web")]):
        seen.finish_look(ProjectState((container("web", "exited", exit_code=143),)), over, 101.0)
        assert phases(seen)["web"] is Phase.STARTED


@pytest.mark.parametrize(
    ("containers", "is_well", "is_over"),
    [
        ((), False, False),
        ((container("web"), container("db")), True, False),
        ((container("web"), container("db", "exited")), True, False),
        ((container("web", "exited", exit_code=1), container("db", "exited")), False, True),
        ((container("web", "exited"), container("db", "exited")), True, True),
        ((container("web", "restarting", exit_code=1), container("db", "exited")), False, False),
        ((container("web"), container("db", health="starting")), False, False),
        ((container("web"),), False, False),
    ],
)
async def test_when_all_is_well_and_when_it_is_over(
    containers: tuple[Container, ...], is_well: bool, is_over: bool
) -> None:
    """A project may be both, if everything has completed."""
    seen = view(*containers)
    assert (seen.is_well(), seen.is_over()) == (is_well, is_over)


async def test_nothing_is_over_while_a_replica_runs() -> None:
    """The service counts as exited because of the other replica, but its end is not final."""
    other = replace(container("web"), id="id-web-2")
    ended = container("web", "exited", exit_code=1), container("db", "exited")
    assert view(*ended).is_over()
    assert not view(*ended, other).is_over()


async def test_service_stopped_by_this_run_is_stopped_until_started() -> None:
    """It is stopped by a command of the user, whatever the exit code, and even if its events come late."""
    seen = view(container("web"))
    with seen.ending([container("web")]):
        seen.note({"Action": "kill", "Actor": {"ID": "id-web", "Attributes": {"signal": "15"}}}, 100.5)
    seen.watch.stopped([container("web")])
    look(seen, container("web", "exited", exit_code=137), container("db", "exited"), now=100.5)
    seen.note({"Action": "stop", "Actor": {"ID": "id-web"}}, 100.5)
    look(seen, container("web", "exited", exit_code=137), container("db", "exited"), now=101.0)
    assert seen.standings()[0] == Standing("web", Phase.STOPPED)
    assert not seen.is_over()
    seen.note({"Action": "start", "Actor": {"ID": "id-web"}}, 100.5)
    seen.note({"Action": "die", "Actor": {"ID": "id-web"}}, 100.5)
    look(seen, container("web", "exited", exit_code=137, start="t2"), container("db", "exited"), now=102.0)
    assert phases(seen)["web"] is Phase.EXITED


async def test_removed_by_somebody_else() -> None:
    """Two looks in a row miss its containers while this run replaces none; a new container ends that state."""
    seen = view(container("web"), container("db"))
    look(seen, now=101.0)
    assert seen.standings() == ()
    look(seen, now=102.0)
    assert phases(seen) == {"web": Phase.REMOVED, "db": Phase.REMOVED}
    assert not seen.is_over()
    look(seen, container("web"), now=103.0)
    assert phases(seen) == {"web": Phase.STARTED, "db": Phase.REMOVED}
    with seen.ending([container("web")]):
        look(seen, now=104.0)
        look(seen, now=105.0)
    look(seen, now=106.0)
    look(seen, now=107.0)
    assert phases(seen) == {"web": Phase.ABSENT, "db": Phase.REMOVED}


async def test_no_service_waits_for_those_that_depend_on_it() -> None:
    """A database that crashes does not wait for the service that waits for it."""
    seen = view()
    users = Project("p", "/p", (), (Service("web"), Service("db", depends_on=(Dependency("web"),))))
    seen.follow(users, frozenset(NAMES))
    for number in range(1, 6):
        look(seen, crash(number), container("db", health="starting"), now=100.0 + number)
    assert next(s.detail for s in seen.standings()) == "keeps crashing (exit code 3, 5 restarts)"


async def test_a_network_that_a_container_was_disconnected_from() -> None:
    """Only networks of the project count."""
    network = Resource("default", "p_default")
    seen = ProjectView(Project("p", "/p", (), (Service("web"),), networks=(network,)), frozenset({"web"}))
    look(seen, container("web", networks=("p_default", "other")), now=100.0)
    look(seen, container("web"), now=101.0)
    (web,) = seen.standings()
    assert (web.phase, web.detail) == (
        Phase.UNHEALTHY,
        "disconnected from the network p_default",
    )


async def test_how_long_a_process_has_to_last() -> None:
    """It counts from the look that saw it first, longer if busy; a start resets it; a health check ends it."""
    seen = view(container("web"), container("db", health="healthy"))
    web, db = seen.standings()
    assert seen.has_to_last(web) == pytest.approx(STEADY)
    assert seen.has_to_last(db) == 0.0
    look(seen, container("web"), container("db", health="healthy"), now=100.1)
    assert seen.has_to_last(web) == pytest.approx(STEADY - 0.1)
    seen.watch.busy.add(container("web").key)
    assert seen.has_to_last(web) == pytest.approx(BUSY_FOR - 0.1)
    seen.watch.patience = 60.0
    assert seen.has_to_last(web) == pytest.approx(60.0 - 0.1)
    assert [c.service for c in seen.watch.may_be_busy(seen.chosen, 100.1)] == ["web"]
    seen.watch.busy.clear()
    look(seen, container("web"), container("db", health="healthy"), now=102.5)
    assert seen.has_to_last(web) < 0
    assert seen.watch.since(container("web"), 0.0) == 100.0
    seen.watch.patience = 2.0
    assert not seen.watch.may_be_busy(seen.chosen, 102.5)
    look(seen, container("web", start="t2"), container("db", health="healthy"), now=103.0)
    assert seen.has_to_last(web) == pytest.approx(STEADY)
    seen.watch.mark_lasting(container("web", start="t2"))
    assert seen.has_to_last(web) < 0


async def test_a_look_counts_from_its_begin() -> None:
    """While a look is under way, the state is as old as the look before it."""
    seen = view(container("web"))
    begun = seen.begin_look(103.0)
    assert seen.has_to_last(seen.standings()[0]) == pytest.approx(STEADY)
    seen.finish_look(ProjectState((container("web"),)), begun, 103.5)
    assert seen.has_to_last(seen.standings()[0]) < 0


async def test_earlier_ends_count_as_created_until_all_is_started() -> None:
    """Their ends are history; a start after them is not."""
    ended = container("web", "exited", exit_code=1)
    seen = view()
    seen.forget([ended, container("db")])
    look(seen, ended, container("db"), now=101.0)
    assert phases(seen) == {"web": Phase.CREATED, "db": Phase.STARTED}
    look(seen, container("web", "exited", start="t2", exit_code=1), container("db"), now=102.0)
    assert phases(seen)["web"] is Phase.EXITED
    look(seen, ended, container("db"), now=103.0)
    seen.all_started()
    look(seen, ended, container("db"), now=104.0)
    assert phases(seen)["web"] is Phase.EXITED


async def test_each_standing_is_reported_once() -> None:
    """It is reported again if the service was not in the project meanwhile."""
    seen = view(container("web"))
    web, _ = seen.standings()
    assert [seen.is_news(web), seen.is_news(web)] == [True, False]
    seen.follow(seen.project, frozenset({"db"}))
    assert [standing.service for standing in seen.standings()] == ["db"]
    seen.follow(seen.project, frozenset(NAMES))
    assert seen.is_news(web)


async def test_a_signal_wakes_only_those_who_wait() -> None:
    """A send without a waiter is not stored."""
    signal = Signal()
    signal.send()
    event = signal.next()
    assert not event.is_set()
    signal.send()
    with anyio.fail_after(20):
        await event.wait()
    assert not signal.next().is_set()
