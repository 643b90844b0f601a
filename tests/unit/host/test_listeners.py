"""Ports in use and their owners, with real sockets, and the flags to type."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import PortError
from devenv.host import listeners
from devenv.host.listeners import require_free
from devenv.host.ports import WantedPort


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
    """On its own address, and on all addresses."""
    ip, port = listening
    assert listeners.is_in_use(ip, port)
    assert listeners.is_in_use("127.0.0.1", port) is (ip != "::1")
    assert listeners.is_in_use("::1", port) is (ip == "::1")
    assert listeners.is_in_use("", port)


def test_an_address_of_another_machine_is_not_taken() -> None:
    """No program of this machine can listen there."""
    assert not listeners.is_in_use("192.0.2.1", 80)


def test_the_next_free_port_is_named(listening: tuple[str, int]) -> None:
    """It is another port, on which no program listens."""
    ip, port = listening
    free = listeners.free_port((ip,), port)
    assert free > port
    assert not listeners.is_in_use(ip, free)
    assert listeners.free_port(("192.0.2.1", ip), port) == free
    assert listeners.free_port((ip,), port, (free,)) > free


def test_loopback_addresses_by_engine_and_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv6 only if the engine runs on this kernel and the system supports it; never under WSL2."""
    here = os.uname()
    with socket.socket(socket.AF_INET6) as probe:
        has_ipv6 = probe.connect_ex(("::1", 1)) != errno.EADDRNOTAVAIL
    assert listeners.loopbacks(here.release) == (("127.0.0.1", "::1") if has_ipv6 else ("127.0.0.1",))
    assert listeners.loopbacks("6.6.6-linuxkit") == ("127.0.0.1",)
    windows = "5.15.90.1-microsoft-standard-WSL2"
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*here[:2], windows, *here[3:])))
    assert listeners.loopbacks(windows) == ("127.0.0.1",)


@pytest.mark.parametrize(("endpoint", "is_podman"), [("unix:///x", True), ("ssh://far", False)])
def test_engines_that_publish_on_one_address(endpoint: str, is_podman: bool) -> None:
    """Podman forwards nothing from `::1`; ssh forwards one address to both here."""
    engine = SimpleNamespace(endpoint=Endpoint(endpoint), is_podman=is_podman, kernel=os.uname().release)
    assert listeners.published_on(cast("Engine", engine)) == ("127.0.0.1",)


def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is published there, and nothing is taken."""

    def refuse(family: int, *_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", refuse)
    assert listeners.loopbacks(os.uname().release) == ("127.0.0.1",)
    assert not listeners.is_in_use("::1", 80)


@pytest.mark.parametrize(
    ("ip", "listener"), [("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1")]
)
def test_where_a_published_port_is_found(ip: str, listener: str) -> None:
    """At its own address, or at the loopback address of the family."""
    assert listeners.reached(ip) == listener


def test_a_privileged_port_has_its_place_above() -> None:
    """80 becomes a port like 8080, which all users may bind."""
    assert 8080 <= listeners.free_port(("127.0.0.1",), 80) < 9080


def test_a_closed_port_is_free_at_once() -> None:
    """A connection that remains after its server does not make the port busy."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    assert not listeners.is_in_use("127.0.0.1", port)


@pytest.mark.anyio
async def test_the_owner_is_named(listening: tuple[str, int]) -> None:
    """The owner has a pid and a program, on IPv4 and IPv6; it is None if no program listens."""
    _, port = listening
    owner = await listeners.owner(port)
    assert owner is not None
    assert owner.startswith(f"pid {os.getpid()} (")
    assert await listeners.owner(listeners.free_port(("127.0.0.1",), port)) is None


class Machine(Engine):
    """An engine with these published ports."""

    def __init__(self, *published: tuple[str, str, int]) -> None:
        self.endpoint = Endpoint("unix:///e")
        self._published = published
        self.containers = SimpleNamespace(published=self.published)  # type: ignore[assignment]

    async def published(self) -> tuple[tuple[str, str, int], ...]:
        """What it was given."""
        return self._published


@pytest.mark.anyio
async def test_every_taken_port_has_an_owner_and_a_way_out() -> None:
    """The owner is a container on that address or a process; each suggested port is free and suggested once."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        first, second = one.getsockname()[1], other.getsockname()[1]
        wanted = [
            WantedPort("web", ("127.0.0.1", "::1"), first, 80),
            WantedPort("web", ("127.0.0.1",), first, 81),
            WantedPort("db", ("127.0.0.1",), second, 82),
            WantedPort("next", ("192.0.2.1",), first + 1, 83),
            WantedPort("dns", ("127.0.0.1",), first, 53, "udp"),
        ]
        engine = Machine(("shop of the project x", "0.0.0.0", second), ("another", "127.0.0.2", first))
        with pytest.raises(PortError) as caught:
            await require_free(wanted, engine)
    mine = f"taken by pid {os.getpid()} ("
    parts = caught.value.message.split("; ")
    assert parts[0].startswith(f"port {first} (service web) is {mine}")
    assert parts[2] == f"port {second} (service db) is taken by shop of the project x"
    flags = (caught.value.hint or "").removeprefix("devenv up --port ").split(" --port ")
    free = [int(flag.split(":")[1].split("=")[0]) for flag in flags]
    assert len(set(free)) == len(free) == 3
    assert not set(free) & {first, first + 1, second}


@pytest.mark.anyio
async def test_free_ports_give_no_error() -> None:
    """For free ports the engine is not asked, and there is no error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    await require_free([WantedPort("web", ("127.0.0.1",), port, 80)], Machine())
