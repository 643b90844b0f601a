"""Whether this machine (not the engine) reaches registries, through its own proxies.

All calls block, and a name look-up that hangs cannot be cancelled: `within` abandons it in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import anyio

from devenv.doctor.facts import Route
from devenv.errors import ConfigError
from devenv.host import certificates, proxies
from devenv.host.certificates import Certificates
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
BROKEN = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A site's answer, or in `fault` why there is none; `issuer` is a certificate issuer that is no public CA."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    issuer: str = ""
    fault: str = ""


async def within(seconds: float, work: Callable[[], T]) -> T | None:
    """Return what the work returns; None if it fails or takes longer than so many seconds."""
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
    """Test how far this machine gets with a registry within so many seconds."""
    end = anyio.current_time() + seconds
    site = HUB_HOST if host == HUB else host
    scheme = "http" if LOOPBACK.fullmatch(site.partition(":")[0]) else "https"
    repository = split(canonical(reference))[0].partition("/")[2]

    async def ask(url: str) -> Answer:
        left = max(end - anyio.current_time(), 0.1)
        return await within(left, partial(fetch, url, left, public)) or Answer(fault=TOO_LATE)

    # Docker Hub's token server is known; other registries have to name theirs first.
    known = realm(HUB_CHALLENGE, repository) if host == HUB else ""
    first, *tokens = await each(ask, filter(None, (f"{scheme}://{site}/v2/", known)))
    token_url = known or realm(first.headers.get("www-authenticate", ""), repository)
    tokens += [await ask(token_url)] if token_url and not known else []
    token_fault = _fault(tokens[0]) if tokens else ""
    return Route(_fault(first, 200, 401), token_fault, urlsplit(token_url).netloc.rpartition("@")[2], first.issuer)


def _fault(answer: Answer, *well: int) -> str:
    """Why the answer is not valid. Without `well` (valid statuses), any answer but a server error is valid."""
    if answer.fault or answer.status in well:
        return answer.fault
    if answer.status >= BROKEN:
        return f"it is out of service ({answer.status})"
    return f"the server is no registry ({answer.status})" if well else ""


def realm(challenge: str, repository: str) -> str:
    """The URL of the registry's token server, empty if it needs no tokens."""
    values = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    server = values.get("realm", "")
    if not challenge.lower().startswith("bearer ") or not server.startswith(("http://", "https://")):
        return ""
    return f"{server}?{urlencode({'service': values.get('service', ''), 'scope': f'repository:{repository}:pull'})}"


def fetch(url: str, seconds: float, public: Certificates) -> Answer:
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
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, issuer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(fault=reason(error, proxy if connection.sock is None else None), issuer=issuer)
    finally:
        connection.close()


def _proxy(address: SplitResult) -> SplitResult | None:
    """The proxy that the docker command would use: it reads the environment only, not the system's settings."""
    host, chosen = str(address.hostname), {}
    with contextlib.suppress(ConfigError):
        chosen = proxies.chosen(os.environ, {})
    given = chosen.get(f"{address.scheme.upper()}_PROXY")
    exceptions = [entry.lstrip(".") for entry in chosen.get("NO_PROXY", "").split(",")]
    spared = any(entry == "*" or f".{host}".endswith(f".{entry}") for entry in exceptions)
    return None if not given or spared or LOOPBACK.fullmatch(host) else urlsplit(given)


def _issuer(secured: ssl.SSLSocket, public: Certificates) -> str:
    """The issuer of the site's certificate if it is no public CA; empty if `public` is unknown."""
    if not public or certificates.root_of(secured) in public:
        return ""
    issuer: Any = (secured.getpeercert() or {}).get("issuer", ())
    names = dict(pair for part in issuer for pair in part)
    return str(names.get("organizationName") or names.get("commonName") or "a CA of its own")


def reason(error: Exception, proxy: SplitResult | None) -> str:
    """The fault in plain words; `proxy` is the proxy that did not answer."""
    if proxy:
        refused = re.search(r"Tunnel connection failed: (\d+)", str(error))
        done = f"does not let it through ({refused[1]})" if refused else "does not answer"
        return f"the proxy {masked(proxy.geturl(), 'http')} {done}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here: {error.verify_message}"
    known = (words for kind, words in FAULTS.items() if isinstance(error, kind))
    return next(known, "") or getattr(error, "strerror", "").lower() or "it cannot be reached"
