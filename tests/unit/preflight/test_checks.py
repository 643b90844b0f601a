"""Which ports will be wanted, and what is said where they are taken."""

from __future__ import annotations

import pytest

from devenv.errors import EngineError
from devenv.model.project import Port, Project, Service
from devenv.preflight.checks import Taken, Wanted, taken_error, wanted_ports

PROJECT = Project(
    "p",
    "/p",
    (),
    (
        Service(
            "web", ports=(Port(80, "8080"), Port(443, "8443", host_ip="0.0.0.0"), Port(53, "5353", protocol="udp"))
        ),
        Service("db", ports=(Port(5432), Port(5433, "5433-5440"), Port(1, "0"))),
    ),
)


@pytest.mark.parametrize(
    ("names", "changes", "loopback", "expected"),
    [
        ("web db", [], True, ["web 127.0.0.1 8080 80", "web 0.0.0.0 8443 443"]),
        ("web db", [], False, ["web  8080 80", "web 0.0.0.0 8443 443"]),
        ("db", [], True, []),
        ("", [], True, []),
        ("web", [("web", "9090", 80)], True, ["web 127.0.0.1 9090 80", "web 0.0.0.0 8443 443"]),
        ("db", [("db", "5555", 5432)], True, ["db 127.0.0.1 5555 5432"]),
        ("db", [("web", "5555", 5432)], True, []),
    ],
)
def test_wanted_ports(names: str, changes: list[tuple[str, str, int]], loopback: bool, expected: list[str]) -> None:
    """Fixed TCP ports of the named services, `--port` applied; ranges, UDP and the engine's choice are left out."""
    found = wanted_ports(PROJECT, names.split(), changes, loopback=loopback)
    assert [f"{w.service} {w.ip} {w.port} {w.target}" for w in found] == expected


def test_one_error_for_all_taken_ports() -> None:
    """It says who has each, and the hint is a command line that gets around all of them."""
    error = taken_error(
        [
            Taken(Wanted("web", "127.0.0.1", 80, 8000), "pid 7 (nginx)", 8080),
            Taken(Wanted("db", "", 5432, 5432), None, 5433),
        ]
    )
    assert isinstance(error, EngineError)
    assert error.exit_code == 4
    assert error.message == (
        "port 80 (service web) is taken by pid 7 (nginx); port 5432 (service db) is taken by another program"
    )
    assert error.hint == "devenv up --port web:8080=8000 --port db:5433=5432"
