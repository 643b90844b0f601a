"""What follows from looks at a project: phases, own ends, and how long a process has lasted."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from devenv.model.containers import Container, ProjectState
from devenv.model.project import Project, Service
from devenv.run.active.observe import view as views
from devenv.run.active.observe.view import ProjectView, Signal
from devenv.run.active.phases import Phase

pytestmark = pytest.mark.anyio

NAMES = ("web", "db")


def container(name: str, state: str = "running", *, start: str = "t1", **more: Any) -> Container:
    """A container of the service that it is named after."""
    return Container(id=f"id-{name}", name=name, service=name, state=state, ours=True, started_at=start, **more)


def view(*containers: Container) -> ProjectView:
    """A project of two services, seen once at second 100."""
    seen = ProjectView(Project("p", "/p", (), tuple(map(Service, NAMES))), frozenset(NAMES))
    look(seen, *containers, now=100.0)
    return seen


def look(seen: ProjectView, *containers: Container, now: float) -> None:
    """Another look at the project."""
    seen.finish_look(ProjectState(containers), seen.begin_look(now), now)


def phases(seen: ProjectView) -> dict[str, Phase]:
    """Service -> its phase."""
    return {standing.service: standing.phase for standing in seen.standings()}


async def test_a_service_that_we_end_ourselves_stays_what_it_was() -> None:
    """Until a look that began after our end is over sees it."""
    seen = view(container("web"), container("db"))
    assert all(seen.is_news(standing) for standing in seen.standings())
    ended = container("web", "exited", exit_code=143)
    with seen.ending([container("web")]):
        look(seen, ended, container("db"), now=101.0)
        assert phases(seen) == {"web": Phase.STARTED, "db": Phase.STARTED}
        over = seen.begin_look(102.0)
    seen.finish_look(ProjectState((ended, container("db"))), over, 102.0)
    assert phases(seen)["web"] is Phase.STARTED
    look(seen, ended, container("db"), now=103.0)
    assert phases(seen) == {"web": Phase.EXITED, "db": Phase.STARTED}


async def test_an_end_that_begins_again_is_not_over() -> None:
    """A restart right after another: the first one's end does not end the second."""
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


async def test_with_a_stopped_service_nothing_is_over_until_it_runs_again() -> None:
    """Somebody wants to start it again."""
    seen = view(container("web", "exited"), container("db", "exited"))
    seen.stopped.add("web")
    look(seen, container("web", "exited"), container("db", "exited"), now=101.0)
    assert not seen.is_over()
    look(seen, container("web", start="t2"), container("db", "exited"), now=102.0)
    assert seen.stopped == set()


async def test_a_service_that_is_being_stopped_counts_as_stopped_while_it_still_runs() -> None:
    """A look during the stop sees it run."""
    seen = view(container("web"))
    with seen.ending([container("web")]):
        seen.stopped.add("web")
        look(seen, container("web"), now=101.0)
        assert seen.stopped == {"web"}


async def test_how_long_a_process_has_to_last() -> None:
    """From the look that saw it first; a new start begins again; a health check says enough."""
    seen = view(container("web"), container("db", health="healthy"))
    web, db = seen.standings()
    assert seen.has_to_last(web) == pytest.approx(views.QUIET)
    assert seen.has_to_last(db) == 0.0
    look(seen, container("web"), container("db", health="healthy"), now=100.1)
    assert seen.has_to_last(web) == pytest.approx(views.QUIET - 0.1)
    look(seen, container("web"), container("db", health="healthy"), now=101.0)
    assert seen.has_to_last(web) < 0
    assert seen.lasted(container("web"), 101.0) == 1.0
    look(seen, container("web", start="t2"), container("db", health="healthy"), now=102.0)
    assert seen.has_to_last(web) == pytest.approx(views.QUIET)
    seen.mark_lasting(container("web", start="t2"))
    assert seen.has_to_last(web) < 0


async def test_what_ended_before_counts_as_created_until_all_is_started() -> None:
    """That is history; a start of it is not."""
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


async def test_each_standing_is_news_once() -> None:
    """And again after the service has not been in the project."""
    seen = view(container("web"))
    web, _ = seen.standings()
    assert [seen.is_news(web), seen.is_news(web)] == [True, False]
    seen.follow(seen.project, frozenset({"db"}))
    assert [standing.service for standing in seen.standings()] == ["db"]
    seen.follow(seen.project, frozenset(NAMES))
    assert seen.is_news(web)


async def test_a_signal_wakes_only_those_who_wait() -> None:
    """A send that nobody waits for is not kept."""
    signal = Signal()
    signal.send()
    event = signal.next()
    assert not event.is_set()
    signal.send()
    with anyio.fail_after(20):
        await event.wait()
    assert not signal.next().is_set()
