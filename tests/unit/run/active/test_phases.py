"""Which service waits for which, and in which order containers stop."""

from __future__ import annotations

import pytest

from devenv.model.containers import Container, ProjectState
from devenv.model.project import Condition, Dependency, Port, Project, Service
from devenv.model.status import OTHERS, Phase, Purpose, Standing, Watched
from devenv.run.active.phases import (
    GRACE,
    WINDOW,
    EngineOutage,
    awaited,
    closure,
    culprit,
    followers,
    held_up,
    purpose,
    reminder,
    standings,
    stop_after,
)


def container(name: str, state: str = "running", **more: object) -> Container:
    """A container of the service that it is named after."""
    return Container(id=f"id-{name}", name=name, service=name.partition("-")[0], state=state, ours=True, **more)  # type: ignore[arg-type]


def project(*services: Service) -> Project:
    """A project with these services and nothing else."""
    return Project("p", "/p", (), services)


DB = Service("db", has_healthcheck=True)
SEED = Service("seed", depends_on=(Dependency("db", Condition.HEALTHY),))
API = Service("api", depends_on=(Dependency("db", Condition.HEALTHY), Dependency("seed", Condition.COMPLETED)))
WEB = Service("web", depends_on=(Dependency("api"), Dependency("absent", required=False)))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), "api db seed web"),
        (("db",), "db"),
        (("api",), "api db seed"),
        (("web",), "api db seed web"),
        (("seed", "db"), "db seed"),
    ],
)
def test_closure_includes_dependencies(wanted: tuple[str, ...], expected: str) -> None:
    """The closure has the given services and all their dependencies, without missing optional ones."""
    assert closure(project(DB, SEED, API, WEB), wanted) == set(expected.split())


def test_closure_of_an_unknown_service_is_an_error() -> None:
    """A service that is not in the project is named by the error."""
    with pytest.raises(KeyError, match="nope"):
        closure(project(DB), ("nope",))


def test_closure_ends_on_a_cycle() -> None:
    """Services that depend on each other do not keep it busy for ever."""
    both = Service("a", depends_on=(Dependency("b"),)), Service("b", depends_on=(Dependency("a"),))
    assert closure(project(*both), ("a",)) == {"a", "b"}


def details(names: str, *containers: Container) -> dict[str, tuple[str, str]]:
    """Service -> phase and detail."""
    services = standings(project(DB, SEED, API, WEB), frozenset(names.split()), ProjectState(containers))
    return {standing.service: (standing.phase.value, standing.detail) for standing in services}


def test_standings_say_what_a_service_waits_for() -> None:
    """A created service has its unmet conditions, a one-shot service says so."""
    assert details(
        "db seed api web",
        container("db", health="starting"),
        container("seed", "created"),
        container("api", "created"),
        container("web", "created"),
    ) == {
        "db": ("starting", "waits for its health check"),
        "seed": ("created", "waits for db to be healthy"),
        "api": ("created", "waits for db to be healthy and seed to complete"),
        "web": ("created", "waits for api to start"),
    }
    assert details(
        "db seed api", container("db", health="healthy"), container("seed"), container("api", "created")
    ) == {
        "db": ("healthy", ""),
        "seed": ("starting", "is running to its end"),
        "api": ("created", "waits for seed to complete"),
    }


def test_standings_say_how_a_service_failed() -> None:
    """An exit code, or the health check."""
    services = details("db seed", container("db", health="unhealthy"), container("seed", "exited", exit_code=3))
    assert services == {"db": ("unhealthy", "its health check fails"), "seed": ("exited", "exit code 3")}


def test_a_removed_service_is_removed_until_it_has_a_container() -> None:
    """It is removed, whatever other services wait for."""
    there = ProjectState((container("seed", "created"),))
    rows = standings(project(DB, SEED), frozenset({"db", "seed"}), there, removed={"db", "seed"})
    assert rows == (
        Standing("db", Phase.REMOVED, OTHERS),
        Standing("seed", Phase.CREATED, "waits for db to be healthy"),
    )


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (Service("x"), Purpose(users=("web",))),
        (Service("x", ports=(Port(80),)), Purpose(serves=True, users=("web",))),
        (Service("x", restart="unless-stopped"), Purpose(serves=True, users=("web",))),
        (Service("x", restart="on-failure"), Purpose(users=("web",))),
        (Service("x", has_healthcheck=True), Purpose(serves=True, is_checked=True, users=("web",))),
        (Service("seed"), Purpose(is_awaited=True)),
    ],
)
def test_what_a_service_is_for(service: Service, expected: Purpose) -> None:
    """The role follows from its own keys, and from its dependents."""
    web = Service("web", depends_on=(Dependency("x"),))
    assert purpose(project(service, web, API), service, {"web"}) == expected


CRASHING = container("web", "restarting", exit_code=3, restarts=9)


@pytest.mark.parametrize(
    ("containers", "lasted", "expected"),
    [
        ((container("db", health="healthy"),), 1.0, ("exited", "keeps crashing (exit code 3, 9 restarts)")),
        ((container("db", health="starting"),), 1.0, ("restarting", "exit code 3, probably waits for db")),
        ((container("db", "created"),), 1.0, ("restarting", "exit code 3, probably waits for db")),
        ((container("db", database="postgres"),), 19.0, ("restarting", "exit code 3, probably waits for db")),
        ((container("db", database="postgres"),), 20.0, ("exited", "keeps crashing (exit code 3, 9 restarts)")),
        ((container("seed", "created"),), 1.0, ("exited", "keeps crashing (exit code 3, 9 restarts)")),
    ],
)
def test_a_service_crashes_for_good_once_no_other_service_is_starting(
    containers: tuple[Container, ...], lasted: float, expected: tuple[str, str]
) -> None:
    """A service that waits for the crashing one does not count; a database without a check gets some time."""
    seed = Service("seed", depends_on=(Dependency("web", Condition.HEALTHY),))
    watched = {"id-web": Watched(crashes=9, exit_code=3), "id-db": Watched(lasted=lasted)}
    names = frozenset({"web", *(c.service for c in containers)})
    state = ProjectState((CRASHING, *containers))
    rows = standings(project(Service("web"), DB, seed), names, state, watched=watched)
    assert (rows[0].phase.value, rows[0].detail) == expected


def test_services_that_hold_up_others() -> None:
    """Those that do not run yet, by every service that they wait for."""
    services = [
        Standing("db", Phase.STARTING),
        Standing("seed", Phase.ABSENT),
        Standing("api", Phase.CREATED),
        Standing("web", Phase.STARTED),
    ]
    assert held_up(project(DB, SEED, API, WEB), services) == {"db": ("seed", "api"), "seed": ("api",)}


def test_followers() -> None:
    """Those with `restart: true`, and theirs in turn; none of those that changed, and a circle ends."""
    restarted = Service("one", depends_on=(Dependency("db", restart=True), Dependency("two", restart=True)))
    two = Service("two", depends_on=(Dependency("one", Condition.HEALTHY, restart=True),))
    still = Service("still", depends_on=(Dependency("db"), Dependency("two")))
    assert followers(project(DB, still, two, restarted), ("db",)) == ("one", "two")
    assert followers(project(DB, still, two, restarted), ("one", "db")) == ("two",)


def test_reminders() -> None:
    """After 5, 15 and 60 seconds, then once a minute."""
    assert [reminder(reports) for reports in range(5)] == [5, 15, 60, 120, 180]


def test_standings_leave_out_services_that_were_not_asked_for() -> None:
    """Only named services are in the list, and their waits name no other service."""
    assert standings(
        project(DB, SEED, API, WEB), frozenset({"web"}), ProjectState((container("web", "created"),))
    ) == (Standing("web", Phase.CREATED, ""),)


def test_a_service_of_no_replicas_is_not_waited_for() -> None:
    """With `replicas: 0` a service has a standing only if it was scaled up."""
    off = Service("off", scale=0)
    names = frozenset({"db", "off"})
    up = container("db", health="healthy")
    assert standings(project(DB, off), names, ProjectState((up,))) == (Standing("db", Phase.HEALTHY),)
    scaled = standings(project(DB, off), names, ProjectState((up, container("off"))))
    assert scaled == (Standing("db", Phase.HEALTHY), Standing("off", Phase.STARTED))


def after(*containers: Container) -> dict[str, str]:
    """Whom each of them waits for."""
    names = {c.id: c.name for c in containers}
    return {
        names[container_id]: " ".join(sorted(names[o] for o in others))
        for container_id, others in stop_after(containers).items()
    }


def test_dependents_stop_first() -> None:
    """Each service waits for all replicas of its dependents, and for no other."""
    db, api = container("db"), container("api-1", depends_on=("db",))
    second, web = container("api-2", depends_on=("db",)), container("web", depends_on=("api",))
    order = after(db, api, second, web, container("alone"))
    assert order == {"web": "", "alone": "", "api-1": "web", "api-2": "web", "db": "api-1 api-2"}


def test_containers_in_a_cycle_do_not_wait() -> None:
    """Containers that depend on each other or on themselves still stop; labels with unknown names delay nothing."""
    a, b = container("a", depends_on=("b", "needed")), container("b", depends_on=("a", "nobody"))
    first = container("first", depends_on=("a", "first-not"))
    assert after(a, b, first, container("needed")) == {"first": "", "a": "first", "b": "", "needed": ""}
    assert after(container("self", depends_on=("self",))) == {"self": ""}
    assert after() == {}


def test_awaited_are_those_whose_end_would_fail_a_start() -> None:
    """A container that waits for health or completion must not see the end; a plain order does not matter."""
    everything = project(DB, SEED, API, WEB)
    began = (container("db"), container("seed", "created"), container("api", "created"), container("web"))

    assert awaited(everything, ProjectState(began)) == {"db", "seed"}
    assert awaited(everything, ProjectState(tuple(container(n) for n in ("db", "seed", "api", "web")))) == frozenset()
    assert awaited(everything, ProjectState((container("db"), container("seed", "exited")))) == {"db", "seed"}
    assert awaited(project(API, WEB), ProjectState((container("api"), container("web", "created")))) == frozenset()


WEB_RUNS, DB_RUNS = container("web"), container("db")
WEB_ENDED, DB_ENDED = container("web", "exited"), container("db", "exited")


def lost_after(*looks: tuple[float, tuple[Container, ...]]) -> EngineOutage:
    """The engine was lost at time 100, after these looks (time, containers)."""
    losses = EngineOutage()
    for now, seen in looks:
        assert losses.seen(seen, now) == ()
    losses.lost(looks[-1][1], 100.0)
    assert losses.is_lost
    return losses


def test_each_container_that_ran_and_has_ended_is_returned_once() -> None:
    """These are containers that ran until the end, and those that the engine ended just before its own end."""
    losses = lost_after((0.0, (WEB_RUNS, DB_RUNS)), (99.0, (WEB_ENDED, DB_RUNS)))
    losses.lost((), 101.0)  # still away
    assert losses.seen((WEB_ENDED, DB_ENDED), 130.0) == (WEB_ENDED, DB_ENDED)
    assert not losses.is_lost
    assert losses.seen((WEB_ENDED, DB_ENDED), 131.0) == ()


def test_containers_that_ended_earlier_are_not_restarted() -> None:
    """Neither containers never seen running nor those that ended by themselves a while ago are started."""
    job = container("job", "exited")
    losses = lost_after((0.0, (WEB_RUNS, DB_RUNS, job)), (99.0 - GRACE, (WEB_ENDED, DB_RUNS, job)))
    assert losses.seen((WEB_ENDED, DB_ENDED, job), 130.0) == (DB_ENDED,)


def test_a_lost_connection_starts_nothing() -> None:
    """If one of them is still running, the engine did not restart; but its events may be late."""
    losses = lost_after((0.0, (WEB_RUNS, DB_RUNS)))
    assert losses.seen((WEB_ENDED, DB_RUNS), 110.0) == ()
    assert losses.seen((WEB_ENDED, DB_ENDED), 111.0) == (WEB_ENDED, DB_ENDED)


@pytest.mark.parametrize(("state", "start"), [("running", "2"), ("restarting", "1"), ("dead", "1")])
def test_containers_with_a_restart_policy_are_not_restarted(state: str, start: str) -> None:
    """The engine itself restarts them."""
    losses = lost_after((0.0, (WEB_RUNS, DB_RUNS)))
    assert losses.seen((WEB_ENDED, container("db", state, started_at=start)), 110.0) == (WEB_ENDED,)


def test_later_ends_are_not_part_of_the_outage() -> None:
    """A container that ends long after the engine came back has ended by itself."""
    losses = lost_after((0.0, (WEB_RUNS, DB_RUNS)))
    assert losses.seen((WEB_RUNS, DB_RUNS), 110.0) == ()
    assert losses.seen((WEB_ENDED, DB_ENDED), 110.1 + WINDOW) == ()


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ({"web": Phase.EXITED, "api": Phase.HEALTHY}, "web"),
        ({"web": Phase.EXITED, "api": Phase.RESTARTING}, "api"),  # it cannot find the service that crashes
        ({"web": Phase.EXITED, "api": Phase.EXITED, "db": Phase.UNHEALTHY}, "db"),
        ({"web": Phase.EXITED, "api": Phase.STARTED, "db": Phase.UNHEALTHY}, "web"),
        ({"api": Phase.UNHEALTHY, "web": Phase.EXITED}, "api"),
    ],
)
def test_failed_or_crashing_dependency_is_blamed(phases: dict[str, Phase], expected: str) -> None:
    """A dependency of a failed service may have failed first, or be in a crash loop."""
    rows = [Standing(name, phase) for name, phase in phases.items()]
    assert culprit(project(DB, SEED, API, WEB), rows[0], rows).service == expected


def test_blame_ends_on_a_cycle() -> None:
    """Services that depend on each other do not keep it busy for ever."""
    both = Service("a", depends_on=(Dependency("b"),)), Service("b", depends_on=(Dependency("a"),))
    rows = [Standing("a", Phase.EXITED), Standing("b", Phase.EXITED)]
    assert culprit(project(*both), rows[0], rows).service == "b"
