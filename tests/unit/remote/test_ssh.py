"""How ssh is called to reach an engine, and what its messages mean."""

from __future__ import annotations

import pytest

from devenv.remote import ssh
from devenv.remote.ssh import Remote, found_socket, missing, pauses, remote


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ssh://far", Remote("far")),
        ("ssh://ann@far", Remote("ann@far")),
        ("ssh://ann:secret@far:2222", Remote("ann@far", "2222")),
        ("ssh://far/run/user/7/docker.sock", Remote("far", socket="/run/user/7/docker.sock")),
        ("ssh://Far/", Remote("Far")),
        ("ssh://[fe80::1]:24", Remote("fe80::1", "24")),
        ("tcp://far:2376", None),
        ("unix:///var/run/docker.sock", None),
        ("ssh://", None),
    ],
)
def test_addresses(address: str, expected: Remote | None) -> None:
    """An address names login, port and socket; ssh gets the host as it is written: it may be an alias."""
    assert remote(address) == expected


def test_the_name_in_messages() -> None:
    """Messages call a machine by its host."""
    assert Remote("ann@far", "24").name == "far"


def test_one_login_carries_the_socket_and_all_forwards() -> None:
    """The master listens for each; the machine follows after `--`, so that it is no option."""
    command = ssh.master(Remote("ann@far", "24"), "/tmp/l", "/tmp/l/s", ["[::1]:80:127.0.0.1:80"])
    assert command[:6] == ["ssh", "-M", "-N", "-T", "-S", "/tmp/l/c"]
    assert command[-8:-4] == ["-L", "/tmp/l/s:/var/run/docker.sock", "-L", "[::1]:80:127.0.0.1:80"]
    assert command[-4:] == ["-p", "24", "--", "ann@far"]
    assert "ServerAliveInterval=1" in command


def test_commands_over_a_line() -> None:
    """They use its socket, so that none of them logs in."""
    assert ssh.control(Remote("far"), "/l", "id") == ["ssh", "-T", "-S", "/l/c", "--", "far", "id"]
    request = ssh.request(Remote("far"), "/l", "cancel", ["1:h:2", "3:h:4"])
    assert request[3:] == ["-O", "cancel", "-L", "1:h:2", "-L", "3:h:4", "--", "far"]


def test_pauses_grow_to_a_limit() -> None:
    """The first attempt comes at once, and a line that is back is used within seconds."""
    assert list(pauses()) == sorted(pauses())
    assert pauses()[0] < 0.5
    assert pauses()[-1] == ssh.LONGEST


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("unix:///run/user/7/docker.sock\n\nunix:///x\n", "/run/user/7/docker.sock"),
        ("\nunix:///var/run/docker.sock\nunix:///run/user/7/docker.sock\n", "/run/user/7/docker.sock"),
        ("\ntcp://elsewhere:2375\nunix:///var/run/docker.sock\n", None),
        ("", None),
    ],
)
def test_the_socket_that_the_machine_names(printed: str, expected: str | None) -> None:
    """DOCKER_HOST there counts first, then its context, then the usual place of a rootless engine."""
    assert found_socket(printed, ssh.ENGINE_SOCKET) == expected


def test_what_is_missing() -> None:
    """A socket that may be used there, but does not answer over the line, is not forwarded; no other is tried."""
    usable = "\n\nunix:///run/user/7/docker.sock\nusable\n"
    assert "AllowStreamLocalForwarding" in missing(usable)
    assert found_socket(usable, ssh.ENGINE_SOCKET) is None
    assert "does not exist" in missing("\n\nunix:///run/user/7/docker.sock\n")
