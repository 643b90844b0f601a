"""What this machine itself hears from registries, by its own proxies; what the engine hears is another matter.

All of it blocks, and a name server that hangs cannot be called off: `patiently` leaves it behind in a thread.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import anyio

from devenv.doctor.diagnose import shown
from devenv.doctor.facts import Route
from devenv.errors import ConfigError
from devenv.host import proxies, tls
from devenv.host.certificates import Certificates
from devenv.model.addresses import LOOPBACK
from devenv.model.image_ref import HUB, canonical, split
from devenv.tasks import each

HUB_HOST = "registry-1.docker.io"
HUB_CHALLENGE = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
MANIFESTS = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
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
class Heard:
    """What a site said, or in `fault` why it said nothing; `issuer` opens TLS in a public authority's place."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    issuer: str = ""
    fault: str = ""


async def patiently(seconds: float, work: Callable[[], T]) -> T | None:
    """What the work returns; None where it fails, or once so many seconds are over."""
    done, found, loop = anyio.Event(), list[T](), asyncio.get_running_loop()

    def run() -> None:
        with contextlib.suppress(OSError, ValueError):
            found.append(work())
        with contextlib.suppress(RuntimeError):  # the loop is closed by now: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, daemon=True).start()
    with anyio.move_on_after(seconds):
        await done.wait()
    return found[0] if found else None


async def route(host: str, reference: str, public: Certificates, seconds: float) -> Route:
    """How far this machine gets with the registry within so many seconds; pulls left are told for Docker Hub."""
    end = anyio.current_time() + seconds
    site = HUB_HOST if host == HUB else host
    scheme = "http" if LOOPBACK.fullmatch(site.partition(":")[0]) else "https"
    name, tag, digest = split(canonical(reference))
    repository = name.partition("/")[2]

    async def ask(url: str, **headers: str) -> Heard:
        left = max(end - anyio.current_time(), 0.1)
        return await patiently(left, partial(heard, url, left, public, headers)) or Heard(fault=TOO_LATE)

    # Where Docker Hub gives tokens is known; elsewhere the registry has to say it first.
    known = realm(HUB_CHALLENGE, repository) if host == HUB else ""
    first, *tokens = await each(ask, filter(None, (f"{scheme}://{site}/v2/", known)))
    where = known or realm(first.headers.get("www-authenticate", ""), repository)
    tokens += [await ask(where)] if where and not known else []
    told = Route(_fault(first, 200, 401), "", urlsplit(where).netloc.rpartition("@")[2], first.issuer)
    if tokens:
        told = replace(told, token=_fault(tokens[0]))
    if host != HUB or told.registry or told.token:
        return told
    given = {"Authorization": f"Bearer {_token(tokens[0].body)}", "Accept": MANIFESTS}
    limits = (await ask(f"https://{site}/v2/{repository}/manifests/{digest or tag}", **given)).headers
    left, limit = (re.match(r"\d+", limits.get(f"ratelimit-{one}", "")) for one in ("remaining", "limit"))
    return replace(told, left=int(left[0]), limit=int(limit[0])) if left and limit else told


def _fault(answer: Heard, *well: int) -> str:
    """Why the answer is none; an endpoint that wants to know who asks (`well` is empty) is one that answers."""
    if answer.fault or answer.status in well:
        return answer.fault
    if answer.status >= BROKEN:
        return f"it is out of service ({answer.status})"
    return f"what answers is no registry ({answer.status})" if well else ""


def realm(challenge: str, repository: str) -> str:
    """Where a registry wants its tokens to be fetched: a URL, or nothing where it wants none."""
    told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    where = told.get("realm", "")
    if not challenge.lower().startswith("bearer ") or not where.startswith(("http://", "https://")):
        return ""
    return f"{where}?{urlencode({'service': told.get('service', ''), 'scope': f'repository:{repository}:pull'})}"


def _token(body: bytes) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(body).get("token", ""))
    return ""


def heard(url: str, seconds: float, public: Certificates, headers: Mapping[str, str]) -> Heard:
    """The answer to a GET of the URL; to a HEAD where a manifest is asked for, since that is no pull. Blocking."""
    address, issuer = urlsplit(url), ""
    proxy = _proxy(address)
    connection = tls.connection(address, proxy, seconds)
    try:
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            issuer = _issuer(connection.sock, public)
        method, path = "HEAD" if "/manifests/" in url else "GET", f"{address.path}?{address.query}".rstrip("?")
        connection.request(method, path, headers={"User-Agent": "devenv", **headers})
        answer = connection.getresponse()
        given = {name.lower(): value for name, value in answer.getheaders()}
        return Heard(answer.status, given, answer.read(1 << 20), issuer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Heard(fault=said(error, proxy if connection.sock is None else None), issuer=issuer)
    finally:
        connection.close()


def _proxy(address: SplitResult) -> SplitResult | None:
    """The proxy that the docker command would take: it knows the environment alone, not the system's settings."""
    host, chosen = str(address.hostname), {}
    with contextlib.suppress(ConfigError):
        chosen = proxies.chosen(os.environ, {})
    given = chosen.get(f"{address.scheme.upper()}_PROXY")
    exceptions = [entry.lstrip(".") for entry in chosen.get("NO_PROXY", "").split(",")]
    spared = any(entry == "*" or f".{host}".endswith(f".{entry}") for entry in exceptions)
    return None if not given or spared or LOOPBACK.fullmatch(host) else urlsplit(given)


def _issuer(secured: ssl.SSLSocket, public: Certificates) -> str:
    """Who vouches for the site, where that is nobody whom all systems trust; empty where `public` is not known."""
    if not public or tls.anchor(secured) in public:
        return ""
    issuer: Any = (secured.getpeercert() or {}).get("issuer", ())
    names = dict(pair for part in issuer for pair in part)
    return str(names.get("organizationName") or names.get("commonName") or "an authority of its own")


def said(error: Exception, proxy: SplitResult | None) -> str:
    """The fault in our words; `proxy` is the one that nothing was heard of."""
    if proxy:
        refused = re.search(r"Tunnel connection failed: (\d+)", str(error))
        done = f"does not let it through ({refused[1]})" if refused else "does not answer"
        return f"the proxy {shown(proxy.geturl())} {done}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here: {error.verify_message}"
    known = (said for kind, said in FAULTS.items() if isinstance(error, kind))
    return next(known, "") or getattr(error, "strerror", "").lower() or "it cannot be reached"
