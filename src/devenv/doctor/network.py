"""Test whether this machine (not the engine) reaches registries, through its own proxies.

All calls block, and a name look-up that hangs cannot be cancelled: `within` leaves it behind in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

import anyio

from devenv.doctor.facts import Route
from devenv.errors import ConfigError
from devenv.host import certificates, proxies
from devenv.host.certificates import Certificates
from devenv.lazy_dataclass import dataclass
from devenv.model.images import HUB, LOOPBACK, canonical, split
from devenv.redact import masked
from devenv.tasks import each

HUB_HOST = "registry-1.docker.io"
HUB_CHALLENGE = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
TOO_LATE = "no answer in time"
FAULTS: dict[type[Exception], str] = {
    socket.gaierror: "its name is not found (DNS)",
    TimeoutError: TOO_LATE,
    ConnectionRefusedError: "connection refused",
    ssl.SSLError: "it does not speak TLS",
    http.client.HTTPException: "it does not speak HTTP",
}
OK, UNAUTHORIZED, BROKEN = 200, 401, 500
REDIRECTED, REDIRECTIONS = (301, 302, 303, 307, 308), 5
SMALL, CHUNK = 4_000_000, 65536  # bytes
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A site's answer, or the `fault` if there is none; `issuer` of its certificate, if it is not a public CA."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    issuer: str = ""
    fault: str = ""


async def within(seconds: float, work: Callable[[], T]) -> T | None:
    """Return the result of the work; None if it fails or takes longer than `seconds`."""
    done, results, loop = anyio.Event(), list[T](), asyncio.get_running_loop()

    def run() -> None:
        with contextlib.suppress(OSError, ValueError):
            results.append(work())
        with contextlib.suppress(RuntimeError):  # the loop is closed by now
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, daemon=True).start()
    with anyio.move_on_after(seconds):
        await done.wait()
    return results[0] if results else None


async def route(host: str, reference: str, public: Certificates, seconds: float) -> Route:
    """Test whether this machine reaches a registry and its token server within `seconds`."""
    end = anyio.current_time() + seconds
    site = HUB_HOST if host == HUB else host
    scheme = "http" if LOOPBACK.fullmatch(site.partition(":")[0]) else "https"
    repository = split(canonical(reference))[0].partition("/")[2]

    async def ask(url: str) -> HttpAnswer:
        left = max(end - anyio.current_time(), 0.1)
        return await within(left, partial(fetch, url, left, public)) or HttpAnswer(fault=TOO_LATE)

    # Docker Hub's token server is known; another registry names its own in the first answer.
    known = realm(HUB_CHALLENGE, repository) if host == HUB else ""
    first, *tokens = await each(ask, filter(None, (f"{scheme}://{site}/v2/", known)))
    token_url = known or realm(first.headers.get("www-authenticate", ""), repository)
    tokens += [await ask(token_url)] if token_url and not known else []
    token_fault = _fault(tokens[0]) if tokens else ""
    return Route(_fault(first, 200, 401), token_fault, urlsplit(token_url).netloc.rpartition("@")[2], first.issuer)


def _fault(answer: HttpAnswer, *valid: int) -> str:
    """Why the answer is not valid. Without `valid` statuses, each answer except a server error is valid."""
    if answer.fault or answer.status in valid:
        return answer.fault
    if answer.status >= BROKEN:
        return f"it is out of service ({answer.status})"
    return f"the server is not a registry ({answer.status})" if valid else ""


def realm(challenge: str, repository: str) -> str:
    """The URL of the registry's token server; empty if the registry needs no tokens."""
    values = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    server = values.get("realm", "")
    if not challenge.lower().startswith("bearer ") or not server.startswith(("http://", "https://")):
        return ""
    return f"{server}?{urlencode({'service': values.get('service', ''), 'scope': f'repository:{repository}:pull'})}"


def sample(reference: str, platform: str, seconds: float) -> tuple[float, float] | None:
    """Seconds to the first byte and bytes per second of the largest layer of an image. Blocking.

    None if this needs a login, or if the server is not a registry.
    """
    with contextlib.suppress(LookupError, TypeError, AttributeError, http.client.HTTPException):
        return _sample(reference, platform, seconds)
    return None


def _sample(reference: str, platform: str, seconds: float) -> tuple[float, float] | None:
    host, _, rest = reference.partition("/")
    repository, tag, digest = split(rest)
    scheme = "http" if LOOPBACK.fullmatch(host.partition(":")[0]) else "https"
    base, headers = f"{scheme}://{host}/v2/{repository}", {"Accept": ", ".join(MANIFESTS)}

    def get(path: str) -> dict[str, Any]:
        with _get(f"{base}/{path}", headers, seconds) as answer:
            server = realm(answer.headers["www-authenticate"] or "", repository)
            if answer.status == UNAUTHORIZED and server and "Authorization" not in headers:
                with _get(server, {}, seconds) as given:
                    token = json.loads(given.read(SMALL))
                headers["Authorization"] = f"Bearer {token.get('token') or token.get('access_token')}"
                return get(path)
            content = json.loads(answer.read(SMALL))
            return content if isinstance(content, dict) and answer.status == OK else {}

    manifest = get(f"manifests/{digest or tag or 'latest'}")
    for entry in manifest.get("manifests", ()):
        own = entry.get("platform", {})
        if f"{own.get('os')}/{own.get('architecture')}" == platform:
            manifest = get(f"manifests/{entry['digest']}")
            break
    layers = sorted(manifest.get("layers", ()), key=lambda layer: -layer["size"])
    return _timed(f"{base}/blobs/{layers[0]['digest']}", headers, seconds) if layers else None


def _timed(url: str, headers: Mapping[str, str], seconds: float) -> tuple[float, float] | None:
    """Seconds to the first byte, and bytes per second after it, measured for at most `seconds`."""
    began = time.monotonic()
    with _get(url, headers, seconds) as answer:
        if answer.status != OK or not answer.read(1):
            return None
        first, size = time.monotonic(), 1
        while time.monotonic() < first + seconds and (chunk := answer.read1(CHUNK)):
            size += len(chunk)
        return round(first - began, 3), round(size / max(time.monotonic() - first, 0.001))


@contextlib.contextmanager
def _get(url: str, headers: Mapping[str, str], seconds: float) -> Iterator[http.client.HTTPResponse]:
    """The answer to a GET, after redirections; only the first server gets the headers, which may have a login."""
    for _ in range(REDIRECTIONS):
        address = urlsplit(url)
        connection = certificates.connection(address, _proxy(address), seconds)
        with contextlib.closing(connection):
            path = f"{address.path}?{address.query}".rstrip("?")
            connection.request("GET", path, headers={"User-Agent": "devenv", **headers})
            answer = connection.getresponse()
            if answer.status not in REDIRECTED or not answer.headers["location"]:
                yield answer
                return
        target = urljoin(url, answer.headers["location"])
        headers = headers if urlsplit(target).netloc == address.netloc else {}
        url = target
    raise ValueError("too many redirects")


def fetch(url: str, seconds: float, public: Certificates) -> HttpAnswer:
    """The answer to a GET of the URL. Blocking."""
    address, issuer = urlsplit(url), ""
    proxy = _proxy(address)
    connection = certificates.connection(address, proxy, seconds)
    try:
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            issuer = _issuer(connection.sock, public)
        path = f"{address.path}?{address.query}".rstrip("?")
        connection.request("GET", path, headers={"User-Agent": "devenv"})
        answer = connection.getresponse()
        return HttpAnswer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, issuer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return HttpAnswer(fault=reason(error, proxy if connection.sock is None else None), issuer=issuer)
    finally:
        connection.close()


def _proxy(address: SplitResult) -> SplitResult | None:
    """The proxy that the docker command would use: it reads the environment only, not the system's settings."""
    host, chosen = str(address.hostname), {}
    with contextlib.suppress(ConfigError):
        chosen = proxies.chosen(os.environ, {})
    given = chosen.get(f"{address.scheme.upper()}_PROXY")
    exceptions = [entry.lstrip(".") for entry in chosen.get("NO_PROXY", "").split(",")]
    is_excepted = any(entry == "*" or f".{host}".endswith(f".{entry}") for entry in exceptions)
    return None if not given or is_excepted or LOOPBACK.fullmatch(host) else urlsplit(given)


def _issuer(secured: ssl.SSLSocket, public: Certificates) -> str:
    """The issuer of the site's certificate if it is not a public CA; empty if `public` is unknown."""
    if not public or certificates.root_of(secured) in public:
        return ""
    issuer: Any = (secured.getpeercert() or {}).get("issuer", ())
    names = dict(pair for part in issuer for pair in part)
    return str(names.get("organizationName") or names.get("commonName") or "a CA of its own")


def reason(error: Exception, proxy: SplitResult | None) -> str:
    """The fault in plain words; `proxy` if the connection to the proxy failed."""
    if proxy:
        refused = re.search(r"Tunnel connection failed: (\d+)", str(error))
        fault = f"does not let it through ({refused[1]})" if refused else "does not answer"
        return f"the proxy {masked(proxy.geturl(), 'http')} {fault}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here: {error.verify_message}"
    known = (words for kind, words in FAULTS.items() if isinstance(error, kind))
    return next(known, "") or getattr(error, "strerror", "").lower() or "it cannot be reached"
