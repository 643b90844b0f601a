"""Who listens where, asked of real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from devenv.preflight import facts


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::1"])
def listening(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """An address and port on which this process listens."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as server:
        try:
            server.bind((request.param, 0))
        except OSError:
            pytest.skip(f"{request.param} cannot be bound here")
        server.listen()
        yield request.param, server.getsockname()[1]


def test_a_listener_is_seen(listening: tuple[str, int]) -> None:
    """On its own address, and where all addresses are wanted."""
    ip, port = listening
    assert facts.listener(ip, port)
    assert facts.listener("127.0.0.1", port) is (ip != "::1")
    assert facts.listener("", port) is (ip != "::1")


def test_the_next_free_port_is_named(listening: tuple[str, int]) -> None:
    """It is another one, and nobody listens there."""
    ip, port = listening
    free = facts.free_port(ip, port)
    assert free > port
    assert not facts.listener(ip, free)


def test_a_privileged_port_has_its_place_above() -> None:
    """80 becomes something like 8080, which everybody may bind."""
    assert 8080 <= facts.free_port("127.0.0.1", 80) < 9080


def test_a_closed_port_is_free_at_once() -> None:
    """A connection that lingers after its server (one that reuses addresses, as all do) does not take the port."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    assert not facts.listener("127.0.0.1", port)


@pytest.mark.anyio
async def test_the_owner_is_named(listening: tuple[str, int]) -> None:
    """By pid and program, on IPv4 and IPv6; nobody is None."""
    _, port = listening
    owner = await facts.owner(port)
    assert owner is not None
    assert owner.startswith(f"pid {os.getpid()} (")
    assert await facts.owner(facts.free_port("127.0.0.1", port)) is None
