"""The addresses of the published ports: each one is probed once, from this machine."""

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


class _PortAnswer(Enum):
    REFUSED = auto()
    TAKEN = auto()  # by a program that does not speak HTTP
    HTTP = auto()


@dataclass(frozen=True, slots=True)
class Addresses:
    """`urls` of the ports that speak HTTP, all `ports`, and addresses of healthy containers that are `refused`."""

    urls: tuple[str, ...]
    ports: tuple[Published, ...]
    refused: tuple[str, ...] = ()


async def addresses(containers: Iterable[Container], endpoint: str) -> Addresses:
    """The addresses of the containers' TCP ports. On a remote engine nothing is probed: each port counts as a URL."""
    listed = ((port, ip, c.service, target, c.health) for c in containers for ip, port, target in c.ports)
    published = sorted(listed, key=lambda entry: entry[:2])
    far = _far(endpoint)
    hosts = [(far or reached(ip), port) for port, ip, *_ in published]
    answers = [_PortAnswer.HTTP for _ in hosts] if far else await each(_asked, hosts)
    urls, refused = dict[str, None](), dict[str, None]()
    ports = dict[tuple[str, int, int], Published]()
    for (port, _, service, target, health), at, answer in zip(published, hosts, answers, strict=True):
        ports.setdefault((service, target, port), Published(service, target, _at(*at)))
        if answer is _PortAnswer.HTTP:
            urls[_url(*at)] = None
        if answer is _PortAnswer.REFUSED and health == "healthy":
            refused[_at(*at)] = None
    return Addresses(tuple(urls), tuple(ports[key] for key in sorted(ports)), tuple(refused))


def url(ip: str, port: int, endpoint: str) -> str:
    """The URL of a port that is published on the address `ip` of the engine, if it speaks HTTP."""
    return _url(_far(endpoint) or reached(ip), port)


def _far(endpoint: str) -> str | None:
    return None if endpoint.startswith("unix://") else urlsplit(endpoint).hostname or "localhost"


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _url(host: str, port: int) -> str:
    name = "localhost" if host in ("127.0.0.1", "::1") else f"[{host}]" if ":" in host else host
    return f"http://{name}/" if port == HTTP_PORT else f"http://{name}:{port}/"


async def _asked(at: tuple[str, int]) -> _PortAnswer:
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            async with await anyio.connect_tcp(*at) as stream:
                await stream.send(b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return _PortAnswer.HTTP if (await stream.receive(5)) == b"HTTP/" else _PortAnswer.TAKEN
    except (TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        return _PortAnswer.TAKEN
    except OSError as error:  # anyio raises a single error for all of its attempts
        refused = isinstance(error.__cause__ or error, ConnectionRefusedError)
        return _PortAnswer.REFUSED if refused else _PortAnswer.TAKEN
