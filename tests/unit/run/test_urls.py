"""The addresses of published ports, with real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.events import Published
from devenv.model.containers import Container
from devenv.run.urls import addresses, url

LOCAL = Endpoint("unix:///e")


def container(service: str, *ports: tuple[str, int, int], health: str | None = "healthy") -> Container:
    """A container with these ports."""
    return Container("1", f"p-{service}-1", service, "running", ours=True, health=health, ports=ports)


def listen(answer: bytes, ip: str = "127.0.0.1") -> Iterator[int]:
    """The port of a server that answers each connection with `answer`."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET

    def serve() -> None:
        for _ in range(4):
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                client.recv(1)
                client.sendall(answer)

    with socket.create_server((ip, 0), family=family) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def site() -> Iterator[int]:
    """A port that speaks HTTP."""
    yield from listen(b"HTTP/1.1 200 OK\r\n\r\n")


@pytest.fixture
def database() -> Iterator[int]:
    """A port that speaks, but no HTTP."""
    yield from listen(b"5.5.5-10.0\0")


@pytest.fixture
def nobody() -> int:
    """A port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.anyio
async def test_each_port_gets_one_request(site: int, database: int, nobody: int) -> None:
    """A web site has a URL, a healthy container that refuses is named, and each port has one address."""
    reached = await addresses(
        [
            container("web", ("0.0.0.0", site, 80), ("127.0.0.1", nobody, 81), ("::1", nobody, 81)),
            container("db", ("127.0.0.1", database, 3306)),
            container("late", ("127.0.0.2", nobody, 82), health=None),
        ],
        LOCAL,
    )
    assert reached.urls == (f"http://localhost:{site}/",)
    assert reached.refused == (f"127.0.0.1:{nobody}", f"[::1]:{nobody}")
    assert reached.ports == (
        Published("db", 3306, f"127.0.0.1:{database}"),
        Published("late", 82, f"127.0.0.2:{nobody}"),
        Published("web", 80, f"127.0.0.1:{site}"),
        Published("web", 81, f"127.0.0.1:{nobody}"),
    )


def played(answers: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """The port of a server with these answers (the last one repeats), and the requests that it got."""
    requests: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                requests.append(client.recv(4096))
                client.sendall(answers[min(len(requests), len(answers)) - 1])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], requests
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answers", "asked", "failing"),
    [([b"200"], 1, False), ([b"404"], 1, False), ([b"502", b"503", b"200"], 3, False), ([b"504"], 3, True)],
)
async def test_a_gateway_without_a_backend_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, answers: list[bytes], asked: int, *, failing: bool
) -> None:
    """Its backend may still be starting. Each request is a GET that accepts HTML."""
    monkeypatch.setattr("devenv.run.urls.PAUSES", (0.0, 0.0))
    for port, requests in played([b"HTTP/1.1 " + code + b" x\r\n\r\n" for code in answers]):
        reached = await addresses([container("web", ("127.0.0.1", port, 8000), ("::1", port, 8000))], LOCAL)
        assert reached.urls == (f"http://localhost:{port}/",)
        assert reached.failing == (reached.urls if failing else ())
        assert len(requests) == asked
        assert all(r.startswith(b"GET / ") and b"Accept: text/html" in r for r in requests)


@pytest.mark.anyio
@pytest.mark.parametrize("target", [5432, 3306, 6379, 5672, 27017, 11211, 9229])
async def test_a_port_of_another_protocol_is_never_asked(target: int) -> None:
    """There is not even a connection."""
    for port, requests in played([b"HTTP/1.1 200 OK\r\n\r\n"]):
        reached = await addresses([container("db", ("127.0.0.1", port, target))], LOCAL)
        assert (reached.urls, requests) == ((), [])


@pytest.mark.anyio
async def test_a_silent_port_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer in time is given up, and so is an address that leads nowhere."""
    monkeypatch.setattr("devenv.run.urls.ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        reached = await addresses([container("a", ("127.0.0.1", port, 1), ("255.255.255.255", port, 1))], LOCAL)
    assert (reached.urls, reached.refused) == ((), ())


@pytest.mark.anyio
async def test_ports_of_a_remote_engine_are_not_probed(nobody: int) -> None:
    """It is not probed: each port is a URL on its host, and none refuses."""
    reached = await addresses(
        [container("web", ("0.0.0.0", nobody, 80), ("::", nobody, 80))], Endpoint("ssh://me@far")
    )
    assert reached.urls == (f"http://far:{nobody}/",)
    assert reached.ports == (Published("web", 80, f"far:{nobody}"),)
    assert reached.refused == ()


@pytest.mark.anyio
async def test_forwarded_ports_are_probed_here(site: int) -> None:
    """They are on this machine's loopback, whatever their address on the other one is."""
    forwarded = Endpoint("ssh://me@far", line="/tmp/l/s")
    reached = await addresses([container("web", ("10.0.0.9", site, 80))], forwarded)
    assert reached.urls == (f"http://localhost:{site}/",)
    assert url("10.0.0.9", site, forwarded) == f"http://localhost:{site}/"


@pytest.mark.anyio
async def test_form_of_a_url() -> None:
    """The default port is left out, and IPv6 is in brackets."""
    reached = await addresses([container("web", ("", 80, 80))], Endpoint("tcp://[fe80::1]:2376"))
    assert (reached.urls, reached.ports) == (("http://[fe80::1]/",), (Published("web", 80, "[fe80::1]:80"),))
