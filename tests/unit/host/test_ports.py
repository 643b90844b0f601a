"""The wanted ports, the errors if they are in use, and the choice of free ports."""

from __future__ import annotations

import re

import pytest

from devenv.compose.run_model import PortChange
from devenv.errors import ConfigError, EngineError, PortError
from devenv.host import ports
from devenv.host.ports import (
    Place,
    Taken,
    WantedPort,
    choose,
    clash,
    clash_error,
    overlap,
    taken_error,
    variables,
    wanted_ports,
)
from devenv.model.project import Port, Project, Service

PROJECT = Project(
    "p",
    "/p",
    (),
    (
        Service(
            "web", ports=(Port(80, "8080"), Port(443, "8443", host_ip="0.0.0.0"), Port(53, "5353", protocol="udp"))
        ),
        Service("db", ports=(Port(5432), Port(5433, "5433-5440"), Port(1, "0"))),
        Service("twice", ports=(Port(80, "9001"), Port(80, "9002"), Port(80, "9001", host_ip="::1"))),
    ),
)
UDP = "web 127.0.0.1 5353 53/udp"


@pytest.mark.parametrize(
    ("names", "changes", "addresses", "expected"),
    [
        ("web db", {}, "127.0.0.1", ["web 127.0.0.1 8080 80", "web 0.0.0.0 8443 443", UDP]),
        ("web db", {}, "", ["web  8080 80", "web 0.0.0.0 8443 443", "web  5353 53/udp"]),
        (
            "web",
            {},
            "127.0.0.1 ::1",
            ["web 127.0.0.1+::1 8080 80", "web 0.0.0.0 8443 443", "web 127.0.0.1+::1 5353 53/udp"],
        ),
        ("db", {}, "127.0.0.1", []),
        ("", {}, "127.0.0.1", []),
        ("web", {("web", 80): "9090"}, "127.0.0.1", ["web 127.0.0.1 9090 80", "web 0.0.0.0 8443 443", UDP]),
        ("db", {("db", 5432): "5555"}, "127.0.0.1", ["db 127.0.0.1 5555 5432"]),
        ("db", {("web", 5432): "5555"}, "127.0.0.1", []),
        ("twice", {}, "127.0.0.1", ["twice 127.0.0.1 9001 80", "twice 127.0.0.1 9002 80", "twice ::1 9001 80"]),
        ("twice", {("twice", 80): "9000"}, "127.0.0.1", ["twice 127.0.0.1 9000 80"]),
    ],
)
def test_wanted_ports(names: str, changes: dict[Place, str], addresses: str, expected: list[str]) -> None:
    """Fixed ports of the named services, `--port` applied once; ranges and the engine's choice are left out."""
    ports = wanted_ports(PROJECT, names.split(), changes, tuple(addresses.split()))
    assert [
        f"{w.service} {'+'.join(w.ips)} {w.port} {w.target}{'/udp' if w.protocol == 'udp' else ''}" for w in ports
    ] == expected


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::1", False),
        ("", "::1", True),
        ("", "", True),
        ("", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "::1", False),
        ("0.0.0.0", "::", False),
        ("::", "fe80::1", True),
        ("::", "127.0.0.1", False),
    ],
)
def test_addresses_that_overlap(first: str, other: str, expected: bool) -> None:
    """The order does not matter: a wildcard address overlaps its family, an empty address both families."""
    assert overlap(first, other) is overlap(other, first) is expected


def wanted(text: str) -> WantedPort:
    """`service ip[+ip] port target [protocol]`."""
    service, ips, port, target, *protocol = text.split()
    return WantedPort(service, tuple(ips.split("+")), int(port), int(target), *protocol)


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (["a 127.0.0.1 1 80", "b 127.0.0.1 2 80", "c 127.0.0.1+::1 1 81"], (0, 2)),
        (["a ::1 1 80", "a :: 1 81"], (0, 1)),
        (["a 127.0.0.1 1 80", "b 127.0.0.2 1 80"], None),
        (["a 127.0.0.1 1 80", "b 127.0.0.1 1 80 udp"], None),
        ([], None),
    ],
)
def test_two_users_of_one_port_are_found(ports: list[str], expected: tuple[int, int] | None) -> None:
    """Two with the same port, protocol and address are found, of the same service or of two."""
    all_ports = [wanted(port) for port in ports]
    assert clash(all_ports) == (expected and tuple(all_ports[index] for index in expected))


def test_a_clash_has_a_place_and_a_way_out() -> None:
    """The error names both services, or the service that has the port twice."""
    first, other, same = (wanted(text) for text in ("a 127.0.0.1 1 80", "b 127.0.0.1 1 81", "a 127.0.0.1 1 82"))
    at, later = ("compose.yml", 2), ("compose.yml", 3)
    error = clash_error((first, at), (other, later), lambda port: port.target)
    assert isinstance(error, ConfigError)
    assert (error.message, error.where) == ("`a` and `b` both publish the host port 1", "compose.yml:3")
    assert error.hint == "Write another port here, or type: devenv up --port b:81=81"
    assert clash_error((other, later), (first, at), lambda port: port.target).message == error.message
    assert (
        clash_error((first, (None, None)), (same, (None, None)), lambda port: port.target).message
        == "`a` publishes twice the host port 1"
    )


def test_one_error_for_all_taken_ports() -> None:
    """It names the owner of each, and the hint is a command line that avoids all of them."""
    error = taken_error(
        [
            Taken(WantedPort("web", ("127.0.0.1",), 80, 8000), "pid 7 (nginx)", 8080),
            Taken(WantedPort("db", ("",), 5432, 5432), None, 5433),
        ]
    )
    assert isinstance(error, EngineError)
    assert error.exit_code == 4
    assert error.message == (
        "port 80 (service web) is taken by pid 7 (nginx); port 5432 (service db) is taken by another program"
    )
    assert error.hint == "devenv up --port web:8080=8000 --port db:5433=5432"


def test_hint_keeps_earlier_port_changes() -> None:
    """The hint has the earlier changes first, and the new port for the port in use."""
    given = [PortChange("api", "90", 80), PortChange("web", "80", 8000)]
    taken = Taken(WantedPort("web", ("",), 80, 8000), None, 8080)
    assert taken_error([taken], given).hint == "devenv up --port api:90=80 --port web:8080=8000"
    first, other = ((wanted(text), ("compose.yml", 1)) for text in ("a 127.0.0.1 1 80", "b 127.0.0.1 1 81"))
    hint = clash_error(first, other, lambda port: port.target, given).hint or ""
    assert hint.endswith("devenv up --port api:90=80 --port web:80=8000 --port b:81=81")


PLACES: list[Place] = [("web", 80), ("web", 443), ("db", 3306)]


def test_chosen_ports_follow_from_the_place() -> None:
    """The choice is the same each time, other in another project, in the range, and without duplicates."""
    chosen = choose(PLACES, seed="a", known={}, taken=set())
    assert chosen == choose(PLACES, seed="a", known={}, taken=set())
    assert chosen | choose(PLACES[1:], seed="a", known={}, taken=set()) == chosen
    assert not set(chosen.values()) & set(choose(PLACES, seed="b", known={}, taken=set()).values())
    assert len(set(chosen.values())) == len(PLACES)
    assert all(ports.is_chosen(port) for port in chosen.values())
    assert not ports.is_chosen(19999)
    assert not ports.is_chosen(30000)


def test_the_next_one_where_it_is_taken() -> None:
    """Ports in use are skipped; a known port stays, since the project's own container may use it."""
    port = choose(PLACES[:1], seed="a", known={}, taken=set())["web", 80]
    assert choose(PLACES[:1], seed="a", known={}, taken={port, port + 1}) == {("web", 80): port + 2}
    assert choose(PLACES[:1], seed="a", known={("web", 80): port}, taken={port}) == {("web", 80): port}
    held = choose(PLACES[:2], seed="a", known={("web", 443): port}, taken=set())
    assert held == {("web", 80): port + 1, ("web", 443): port}


def test_chosen_ports_wrap_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last port comes the first; if all are in use, there is an error."""
    monkeypatch.setattr(ports, "COUNT", 3)
    assert set(choose(PLACES, seed="a", known={}, taken=set()).values()) == {20000, 20001, 20002}
    with pytest.raises(PortError, match="20000 to 20002"):
        choose(PLACES, seed="a", known={}, taken={20001})


def test_the_variables_that_containers_get() -> None:
    """A name for every service and port, of capitals, digits and `_`."""
    environment = variables({("web", 80): "20001", ("my-db.x", 3306): "20002"})
    assert environment == {"DEVENV_PORT_WEB_80": "20001", "DEVENV_PORT_MY_DB_X_3306": "20002"}
    assert all(re.fullmatch("[A-Z0-9_]+", name) for name in environment)
