"""Where the published ports are once all is up: each is asked once, from here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urlsplit

import anyio

from devenv.events import Published
from devenv.host.listeners import reached
from devenv.model.containers import Container
from devenv.tasks import each

ANSWER_SECONDS = 1.0
HTTP_PORT = 80


class _Answer(Enum):
    REFUSED = auto()
    TAKEN = auto()  # by whatever speaks no HTTP
    HTTP = auto()


@dataclass(frozen=True, slots=True)
class Addresses:
    """`urls` of what speaks HTTP, one a port in the order of the ports; all ports; and where healthy ones refuse."""

    urls: tuple[str, ...]
    ports: tuple[Published, ...]
    refused: tuple[str, ...] = ()


async def addresses(containers: Iterable[Container], endpoint: str) -> Addresses:
    """Where the containers' TCP ports are; on a remote engine nobody can ask, and each port counts as a URL."""
    listed = ((port, ip, c.service, target, c.health) for c in containers for ip, port, target in c.ports)
    found = sorted(listed, key=lambda one: one[:2])
    far = _far(endpoint)
    hosts = [(far or reached(ip), port) for port, ip, *_ in found]
    answers = [_Answer.HTTP for _ in hosts] if far else await each(_asked, hosts)
    urls, refused = dict[str, None](), dict[str, None]()
    ports = dict[tuple[str, int, int], Published]()
    for (port, _, service, target, health), at, answer in zip(found, hosts, answers, strict=True):
        ports.setdefault((service, target, port), Published(service, target, _at(*at)))
        if answer is _Answer.HTTP:
            urls[_url(*at)] = None
        if answer is _Answer.REFUSED and health == "healthy":
            refused[_at(*at)] = None
    return Addresses(tuple(urls), tuple(ports[key] for key in sorted(ports)), tuple(refused))


def url(ip: str, port: int, endpoint: str) -> str:
    """Where a port would be, published on that address of the engine, if it speaks HTTP."""
    return _url(_far(endpoint) or reached(ip), port)


def _far(endpoint: str) -> str | None:
    return None if endpoint.startswith("unix://") else urlsplit(endpoint).hostname or "localhost"


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _url(host: str, port: int) -> str:
    name = "localhost" if host in ("127.0.0.1", "::1") else f"[{host}]" if ":" in host else host
    return f"http://{name}/" if port == HTTP_PORT else f"http://{name}:{port}/"


async def _asked(at: tuple[str, int]) -> _Answer:
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            async with await anyio.connect_tcp(*at) as stream:
                await stream.send(b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return _Answer.HTTP if (await stream.receive(5)) == b"HTTP/" else _Answer.TAKEN
    except (TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        return _Answer.TAKEN
    except OSError as error:  # anyio has one for all the attempts that it made
        refused = isinstance(error.__cause__ or error, ConnectionRefusedError)
        return _Answer.REFUSED if refused else _Answer.TAKEN
