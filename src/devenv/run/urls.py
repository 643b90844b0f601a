"""The addresses of published ports: each port that may speak HTTP gets one request from this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from urllib.parse import urlsplit

import anyio

from devenv.docker.endpoint import Endpoint
from devenv.events import Published
from devenv.host.listeners import LOOPBACK, reached
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.tasks import each

ANSWER_SECONDS = 1.0
PAUSES = (0.25, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)  # seconds between requests to a gateway without a backend
HTTP_PORT = 80
# Container ports of other protocols: mail, DNS, LDAP, brokers, databases, caches, debuggers. They get no request.
NOT_HTTP = frozenset({
    21, 22, 25, 53, 110, 111, 143, 389, 465, 587, 636, 853, 873, 993, 995, 1025, 1433, 1521, 1883, 2181, 3306, 4222,
    5005, 5432, 5433, 5671, 5672, 5678, 5858, 5900, 6379, 6380, 6432, 7687, 8883, 9003, 9042, 9092, 9229, 11211,
    26257, 26379, 27017, 27018, 33060, 50000,
})  # fmt: skip
REQUEST = b"GET / HTTP/1.0\r\nHost: localhost\r\nUser-Agent: devenv\r\nAccept: text/html, */*\r\n\r\n"
GATEWAY = (b"502", b"503", b"504")


class _PortAnswer(Enum):
    REFUSED = auto()
    TAKEN = auto()  # a program answers, but not with HTTP
    HTTP = auto()
    NO_BACKEND = auto()  # a gateway answers with an error: it does not reach the service behind it


@dataclass(frozen=True, slots=True)
class Addresses:
    """`urls` of the ports that speak HTTP, all `ports`, and `refused` addresses of healthy containers.

    `failing`: those of the `urls` that answer with 502, 503 or 504.
    """

    urls: tuple[str, ...]
    ports: tuple[Published, ...]
    refused: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()


async def addresses(containers: Iterable[Container], endpoint: Endpoint) -> Addresses:
    """The addresses of the containers' TCP ports.

    If the ports of a remote engine are not forwarded, nothing is probed: each port counts as a URL.
    """
    listed = ((port, ip, c.service, target, c.health) for c in containers for ip, port, target in c.ports)
    published = sorted(listed, key=lambda entry: entry[:2])
    far = _far(endpoint)
    hosts = [(_host(ip, endpoint), port) for port, ip, *_ in published]
    groups = dict[tuple[str, int, int], list[tuple[str, int]]]()  # a port may have an IPv4 and an IPv6 address
    for (port, _, service, target, _), at in zip(published, hosts, strict=True):
        groups.setdefault((service, target, port), []).append(at)
    answers = await each(_asked, [() if far or key[1] in NOT_HTTP else group for key, group in groups.items()])
    by_port = dict(zip(groups, answers, strict=True))
    urls, refused, failing = dict[str, None](), dict[str, None](), dict[str, None]()
    for (port, _, service, target, health), at in zip(published, hosts, strict=True):
        answer = _PortAnswer.HTTP if far else by_port[service, target, port]
        if answer in (_PortAnswer.HTTP, _PortAnswer.NO_BACKEND):
            urls[_url(*at)] = None
        if answer is _PortAnswer.NO_BACKEND:
            failing[_url(*at)] = None
        if answer is _PortAnswer.REFUSED and health == "healthy":
            refused[_at(*at)] = None
    ports = [Published(service, target, _at(*group[0])) for (service, target, _), group in sorted(groups.items())]
    return Addresses(tuple(urls), tuple(ports), tuple(refused), tuple(failing))


def url(ip: str, port: int, endpoint: Endpoint) -> str:
    """The URL of a port that is published on the address `ip` of the engine, if it speaks HTTP."""
    return _url(_host(ip, endpoint), port)


def _host(ip: str, endpoint: Endpoint) -> str:
    if endpoint.has_ports and not endpoint.has_files:  # forwarded, whatever its address there
        return LOOPBACK
    return _far(endpoint) or reached(ip)


def _far(endpoint: Endpoint) -> str | None:
    return None if endpoint.has_ports else urlsplit(endpoint.host).hostname or "localhost"


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _url(host: str, port: int) -> str:
    name = "localhost" if host in ("127.0.0.1", "::1") else f"[{host}]" if ":" in host else host
    return f"http://{name}/" if port == HTTP_PORT else f"http://{name}:{port}/"


async def _asked(group: Sequence[tuple[str, int]]) -> _PortAnswer:
    """The answer of a port, from its first address that does not refuse."""
    answer = _PortAnswer.TAKEN
    for at in group:
        answer = await _patiently(at)
        if answer is not _PortAnswer.REFUSED:
            break
    return answer


async def _patiently(at: tuple[str, int]) -> _PortAnswer:
    """The answer of an address; requests to a gateway are repeated for a while: its backend may be starting."""
    for pause in PAUSES:
        if (answer := await _answer(at)) is not _PortAnswer.NO_BACKEND:
            return answer
        await anyio.sleep(pause)
    return await _answer(at)


async def _answer(at: tuple[str, int]) -> _PortAnswer:
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            async with await anyio.connect_tcp(*at) as stream:
                await stream.send(REQUEST)
                begin = await stream.receive()
                if not begin.startswith(b"HTTP/"):
                    return _PortAnswer.TAKEN
                is_gateway = begin.partition(b" ")[2][:3] in GATEWAY
                return _PortAnswer.NO_BACKEND if is_gateway else _PortAnswer.HTTP
    except (TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        return _PortAnswer.TAKEN
    except OSError as error:  # anyio raises a single error for all of its attempts
        refused = isinstance(error.__cause__ or error, ConnectionRefusedError)
        return _PortAnswer.REFUSED if refused else _PortAnswer.TAKEN
