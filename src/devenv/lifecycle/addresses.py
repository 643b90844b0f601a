"""The addresses to open once all is up: published ports that speak HTTP, found by asking them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from urllib.parse import urlsplit

import anyio

from devenv.concurrent import each
from devenv.model.observed import Container

ANSWER_SECONDS = 1.0
HTTP_PORT = 80


async def addresses(containers: Iterable[Container], endpoint: str) -> tuple[str, ...]:
    """One URL a port, in the order of the ports; on a remote engine all of them, since nobody can ask."""
    ports = sorted({port for container in containers for _, port, _ in container.ports})
    if not endpoint.startswith("unix://"):
        return tuple(_url(urlsplit(endpoint).hostname or "localhost", port) for port in ports)
    answers = await each(_speaks_http, ports)
    return tuple(_url("localhost", port) for port, answer in zip(ports, answers, strict=True) if answer)


def _url(host: str, port: int) -> str:
    return f"http://{host}/" if port == HTTP_PORT else f"http://{host}:{port}/"


async def _speaks_http(port: int) -> bool:
    with contextlib.suppress(OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        with anyio.fail_after(ANSWER_SECONDS):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return (await stream.receive(5)) == b"HTTP/"
    return False
