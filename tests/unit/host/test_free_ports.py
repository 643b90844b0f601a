"""The wanted ports that are in use, their owners, and the flags to type."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import PortError
from devenv.host.free_ports import require_free
from devenv.host.ports import Wanted


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
            Wanted("web", ("127.0.0.1", "::1"), first, 80),
            Wanted("web", ("127.0.0.1",), first, 81),
            Wanted("db", ("127.0.0.1",), second, 82),
            Wanted("next", ("192.0.2.1",), first + 1, 83),
            Wanted("dns", ("127.0.0.1",), first, 53, "udp"),
        ]
        engine = Machine(("shop of the project x", "0.0.0.0", second), ("another", "127.0.0.2", first))
        with pytest.raises(PortError) as caught:
            await require_free(wanted, engine)
    mine = f"taken by pid {os.getpid()} ("
    said = caught.value.message.split("; ")
    assert said[0].startswith(f"port {first} (service web) is {mine}")
    assert said[2] == f"port {second} (service db) is taken by shop of the project x"
    flags = (caught.value.hint or "").removeprefix("devenv up --port ").split(" --port ")
    free = [int(flag.split(":")[1].split("=")[0]) for flag in flags]
    assert len(set(free)) == len(free) == 3
    assert not set(free) & {first, first + 1, second}


@pytest.mark.anyio
async def test_free_ports_are_silence() -> None:
    """The engine is not asked, and there is no error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    await require_free([Wanted("web", ("127.0.0.1",), port, 80)], Machine())
