"""Commands that make sense in each state of a project, and the rows of `devenv ps`."""

from __future__ import annotations

import pytest

from devenv.model.containers import Container
from devenv.model.status import STATES, Address, Here, Stand, stands

WEB = Container("1", "p-web-1", "web", "running", ours=True, started_at="2")
PORTS = (("0.0.0.0", 8080, 80), ("::", 8080, 80), ("127.0.0.1", 9000, 90))


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_commands(state: str) -> None:
    """The last one is the list of all; `gc` is before it if other projects have left something."""
    commands = [suggestion.command for suggestion in Here(state, "said", others=("shop",)).commands]
    assert commands[-2:] == ["devenv gc", "devenv --help"]
    assert "devenv gc" not in [suggestion.command for suggestion in Here(state, "said").commands]


def test_services_come_in_their_order_and_then_what_only_has_containers() -> None:
    old = Container("2", "p-old-1", "old", "exited", ours=False, exit_code=3, finished_at="5")
    rows = stands("p", ("web", "db"), (old, WEB), float).services
    assert [(row.service, row.state, row.exit_code, row.age) for row in rows] == [
        ("web", "running", None, 2.0),
        ("db", "absent", None, None),
        ("old", "exited", 3, 5.0),
    ]
    assert rows[1] == Stand("db")


def test_a_port_that_is_published_on_both_versions_of_ip_is_one() -> None:
    container = Container("1", "p-web-1", "web", "running", ours=True, ports=PORTS, udp_ports=(("fd00::1", 53, 53),))
    (row,) = stands("p", (), (container,), lambda _: None).services
    assert row.ports == (
        Address(80, "0.0.0.0:8080"),
        Address(90, "localhost:9000"),
        Address(53, "[fd00::1]:53", "udp"),
    )
