"""The rows of `devenv ps`."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.model.containers import Container
from devenv.model.ps import Address, Stand, stands, troubles

WEB = Container("1", "p-web-1", "web", "running", ours=True, started_at="2")
PORTS = (("0.0.0.0", 8080, 80), ("::", 8080, 80), ("127.0.0.1", 9000, 90))
STARTED, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00.5Z"


def container(state: str = "running", name: str = "web", **more: Any) -> Container:
    """A container of the service that it is named after."""
    return Container(name, name, name, state, ours=True, **more)


def test_services_come_in_their_order_and_then_what_only_has_containers() -> None:
    old = Container("2", "p-old-1", "old", "exited", ours=False, exit_code=3, finished_at="5")
    rows = stands("p", ("web", "db"), (old, WEB), float).services
    assert [(row.service, row.state, row.exit_code, row.age) for row in rows] == [
        ("web", "running", None, 2.0),
        ("db", "absent", None, None),
        ("old", "exited", 3, 5.0),
    ]
    assert rows[1] == Stand("db")


@pytest.mark.parametrize(
    ("at", "expected"),
    [("2026-11-29T11:59:30.1Z", "2026-11-29T11:59:30.1Z"), ("0001-01-01T00:00:00Z", None), ("", None)],
)
def test_a_row_names_its_container_and_image(at: str, expected: str | None) -> None:
    """The row has the engine's time of the start, if the container was ever started."""
    web = Container("abc", "p-web-1", "web", "created", ours=True, reference="nginx:1", started_at=at)
    (row,) = stands("p", (), (web,), lambda _: None).services
    assert (row.id, row.image, row.started_at) == ("abc", "nginx:1", expected)


def test_a_port_that_is_published_on_both_versions_of_ip_is_one() -> None:
    container = Container("1", "p-web-1", "web", "running", ours=True, ports=PORTS, udp_ports=(("fd00::1", 53, 53),))
    (row,) = stands("p", (), (container,), lambda _: None).services
    assert row.ports == (
        Address(80, "0.0.0.0:8080"),
        Address(90, "localhost:9000"),
        Address(53, "[fd00::1]:53", "udp"),
    )


def test_rows_say_what_services_do_by_inspections_alone() -> None:
    """Dependencies are in labels; a service of the run without a container was removed."""
    rows = stands(
        "p",
        ("web", "job", "db", "new"),
        [
            container("exited", publishes=True, awaits=("job",), depends_on=("job",)),
            container("running", "job"),
            container("restarting", "loop", exit_code=3, restarts=7, restart="always"),
        ],
        lambda _: None,
        lambda: {"web", "db"},
    ).services
    assert [(row.service, row.phase, row.detail) for row in rows] == [
        ("web", "stopped", "by somebody else"),
        ("job", "starting", "is running to its end"),
        ("db", "removed", "by somebody else"),
        ("new", "absent", ""),
        ("loop", "exited", "keeps crashing (exit code 3, 7 restarts)"),
    ]
    assert troubles(rows) == "web stopped (0), db removed, loop exited"


@pytest.mark.parametrize(
    ("created", "started", "more", "phase_"),
    [
        (40.0, 4.0, {"restarts": 3}, "restarting"),  # it lives for 12 s
        (40.0, 23.0, {"restarts": 3}, "started"),  # for longer than twice that
        (40.0, 4.0, {"restarts": 1}, "started"),
        (9000.0, 4.0, {"restarts": 3}, "started"),
        (40.0, 4.0, {"restarts": 3, "health": "healthy"}, "healthy"),
    ],
)
def test_a_container_in_a_loop_is_known_without_events(
    created: float, started: float, more: dict[str, Any], phase_: str
) -> None:
    """It is known by the number of its restarts since it was created."""
    observed = container(created=str(created), started_at=str(started), **more)
    (row,) = stands("p", (), (observed,), float).services
    assert (row.state, row.phase) == ("running", phase_)


def test_a_run_knows_more_of_an_end_than_an_inspection() -> None:
    """The run has seen the events and the log; the end of a container that runs again does not count."""
    error = "main.py:7: SyntaxError: invalid syntax"
    noted = {
        "api": ("started", "", error),
        "job": ("stopped", "by somebody else", ""),
        "web": ("exited", "exit code 0", ""),
    }
    containers = [container("exited", "job"), container(), container(name="api")]
    rows = stands("p", (), containers, lambda _: None, noted=lambda: noted).services
    assert [(row.service, row.phase, row.detail, row.error) for row in rows] == [
        ("api", "started", "", error),
        ("job", "stopped", "by somebody else", ""),
        ("web", "started", "", ""),
    ]
    assert troubles(rows) == f"api: {error}, job stopped (0)"


@pytest.mark.parametrize(("state", "expected"), [("running", "stopped"), ("exited", "completed")])
def test_ended_services_are_judged_by_running_dependents(state: str, expected: str) -> None:
    """Only inspections are needed."""
    worker = container("exited", "worker", started_at=STARTED, finished_at=ENDED)
    rows = stands("p", (), [worker, container(state, depends_on=("worker",))], lambda _: None).services
    assert (rows[1].service, rows[1].phase) == ("worker", expected)
