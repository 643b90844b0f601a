"""States of services, from containers to a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devenv.model.containers import Container
from devenv.model.status import Address, Stand, stands
from devenv.ui.standing import screen, table

WEB = Container("1", "p-web-1", "web", "running", ours=True, health="healthy", started_at="60")
SERVICES = ("web", "db", "tool")


def shown(*containers: Container, services: tuple[str, ...] = SERVICES) -> list[str]:
    """The table, its cells with one space between them."""
    found = stands("p", services, containers, lambda at: float(at) if at else None)
    return [" ".join(line.split()) for line in table(found)]


def test_services_come_in_the_order_of_the_file_and_orphans_last() -> None:
    """Those without a container too; those of which only a container is left, too."""
    gone = Container("2", "p-gone-1", "gone", "exited", ours=False, exit_code=1, finished_at="300", restarts=3)
    assert shown(gone, WEB) == [
        "SERVICE STATE HEALTH PORTS AGE RESTARTS MADE BY",
        "web ● running healthy 1 min devenv",
        "db ○ absent",
        "tool ○ absent",
        "gone ✗ exited (1) 5 min ago 3 not devenv",
    ]
    assert shown(services=()) == []


@pytest.mark.parametrize(
    ("state", "health", "code", "said"),
    [
        ("running", None, 0, "● running"),
        ("running", "starting", 0, "◐ running starting"),
        ("running", "unhealthy", 0, "✗ running unhealthy"),
        ("exited", "unhealthy", 0, "✓ completed"),
        ("exited", None, 137, "✗ exited (137)"),
        ("created", None, 0, "○ created"),
        ("paused", None, 0, "◌ paused"),
        ("restarting", None, 1, "◐ restarting"),
        ("dead", None, 0, "✗ dead"),
        ("some-new-one", None, 0, "○ some-new-one"),
    ],
)
def test_each_state_has_a_shape_and_a_word(state: str, health: str | None, code: int, said: str) -> None:
    """Without colours; an old health is not shown."""
    one = replace(WEB, state=state, health=health, exit_code=code, started_at="", ours=False)
    assert shown(one, services=())[1:] == [f"web {said} not devenv"]


def test_containers_of_a_service_are_numbered() -> None:
    """By their names, without what would move the cursor."""
    other = replace(WEB, name="p-web-2\x1b[2J", started_at="59")
    assert [line.split()[0] for line in shown(WEB, other, services=())[1:]] == ["p-web-1", "p-web-2"]
    assert "just now" in shown(other, services=())[1]


def test_ports_are_addresses_to_click() -> None:
    """Once for both kinds of loopback, and once for all addresses."""
    ports = (
        ("127.0.0.1", 8080, 80),
        ("::1", 8080, 80),
        ("0.0.0.0", 8443, 443),
        ("::", 8443, 443),
        ("10.0.0.1", 81, 81),
        ("fd00::1", 82, 82),
    )
    (stand,) = stands("p", (), [replace(WEB, ports=ports)], lambda _: None).services
    assert stand.ports == (
        Address(80, "localhost:8080"),
        Address(81, "10.0.0.1:81"),
        Address(82, "[fd00::1]:82"),
        Address(443, "0.0.0.0:8443"),
    )
    assert "localhost:8080→80, 10.0.0.1:81→81" in shown(replace(WEB, ports=ports))[1]


def test_a_udp_port_says_so() -> None:
    """It is nothing to click."""
    found = replace(WEB, ports=(), udp_ports=(("0.0.0.0", 5353, 53),))
    (stand,) = stands("p", (), [found], lambda _: None).services
    assert stand.ports == (Address(53, "0.0.0.0:5353", "udp"),)
    assert "0.0.0.0:5353→53/udp" in shown(found)[1]


def test_what_has_ended_says_with_what() -> None:
    """And only then; `ours` is unknown of what is not there."""
    ended = replace(WEB, state="exited", exit_code=3, finished_at="9")
    found = stands("p", ("db",), [ended, replace(WEB, name="p-web-2")], float).services
    assert [(s.container, s.exit_code, s.age, s.ours) for s in found] == [
        (None, None, None, None),
        ("p-web-1", 3, 9, True),
        ("p-web-2", None, 60, True),
    ]
    assert found[0] == Stand("db")


def test_a_screen_is_never_left() -> None:
    """Lines are cut at its width, and the last one says how many have no room."""
    assert screen(["a" * 9, "b"], 6, 4) == ["aaaaa", "b"]
    assert screen(["a", "b", "c", "d"], 6, 4) == ["a", "b", "... 2 more"]
