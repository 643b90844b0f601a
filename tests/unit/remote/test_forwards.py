"""Which ports of an engine on another machine appear on this one."""

from __future__ import annotations

import pytest

from devenv.model.project import Port, Project, Service
from devenv.remote.forwards import Forward, back, listeners, lost, remarks, wanted

HERE = ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("published", "there"),
    [
        ([("127.0.0.1", 80)], "127.0.0.1"),
        ([("0.0.0.0", 80), ("::", 80)], "127.0.0.1"),
        ([("::1", 80)], "::1"),
        ([("::", 80)], "127.0.0.1"),
        ([("10.0.0.9", 80)], "10.0.0.9"),
        ([("10.0.0.9", 80), ("127.0.0.1", 80)], "127.0.0.1"),
    ],
)
def test_each_port_appears_on_both_loopback_addresses(published: list[tuple[str, int]], there: str) -> None:
    """It leads to an address on which the port is published there."""
    assert wanted(published, HERE) == {Forward("127.0.0.1", 80, there), Forward("::1", 80, there)}


def test_the_argument_for_ssh() -> None:
    """IPv6 is in brackets."""
    assert Forward("::1", 80, "127.0.0.1").argument == "[::1]:80:127.0.0.1:80"


def test_remarks() -> None:
    """There is a line for each port that is not simply forwarded, and none for services that are not chosen."""
    ports = (
        Port(80, "8080"),
        Port(53, "53", protocol="udp"),
        Port(81, "8081", "10.0.0.9"),
        Port(82, "9000-9010"),
        Port(83, "83", "127.0.0.1"),
        Port(84),
    )
    project = Project("p", "/p", (), (Service("web", ports=ports), Service("other", ports=ports)))
    assert list(remarks(project, ["web"], "far")) == [
        "port 53 of web is published on far alone: ssh forwards no UDP",
        "port 8081 of web is published on 10.0.0.9 of far, and forwarded to localhost",
        "port 9000-9010 of web: the engine on far chooses one, which is forwarded if it is free here",
    ]


def test_listeners_on_the_other_machine() -> None:
    """Those on loopback or everywhere count, with their programs if they are known."""
    printed = """  sl  local_address rem_address   st tx_queue rx_queue
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000
   1: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000
   2: 0100007F:0051 0100007F:1234 01 00000000:00000000 00:00000000 00000000
   3: 0900000A:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000
   0: 00000000000000000000000001000000:0052 00000000000000000000000000000000:0000 0A 00000000:00000000
LISTEN 0      511          0.0.0.0:8080      0.0.0.0:*    users:(("nginx",pid=12,fd=6),("nginx",pid=13,fd=6))
"""
    program = "another program on far"
    assert listeners(printed, "far") == {8080: "pid 12 (nginx) on far", 80: program, 82: program}


def test_a_loss_and_its_end() -> None:
    """Both name the machine and the saved files that wait."""
    assert lost("far", 2, "") == "the line to far is lost; 2 saved files wait"
    assert lost("far", 1, "Timeout, server far not responding") == (
        "the line to far is lost (Timeout, server far not responding); 1 saved file waits"
    )
    assert lost("far", 0, "") == "the line to far is lost; saved files wait until it is back"
    assert back("far", 62.4, 2) == "the line to far is back after 62 s: 2 saved files"
    assert back("far", 5, 0) == "the line to far is back after 5 s"
