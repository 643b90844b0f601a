"""The certificate authorities of a company: this machine trusts them, and they are not public.

The operating system keeps its public list apart from added certificates. With a fixed list of public roots, devenv
would mistake roots that only some distributions have for a company's.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import http.client
import os
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import SplitResult, unquote, urlsplit

import anyio

from devenv.docker import process
from devenv.errors import EngineError
from devenv.lazy_dataclass import dataclass
from devenv.tasks import each

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
PUBLIC = ("/usr/share/ca-certificates/**/*", "/usr/share/pki/**/*.p11-kit")
ADDED = (
    "/usr/local/share/ca-certificates/**/*.crt",
    "/etc/pki/ca-trust/source/anchors/*",
    "/etc/pki/trust/anchors/*",
    "/etc/ca-certificates/trust-source/anchors/*",
)
VARIABLES = (
    "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile", "NPM_CONFIG_CAFILE", "PIP_CERT",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
)  # fmt: skip
PUBLIC_KEYCHAIN = "/System/Library/Keychains/SystemRootCertificates.keychain"
ADDED_KEYCHAIN = "/Library/Keychains/System.keychain"
PATIENCE = 2.0
PORTS = {"http": 80, "https": 443}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")

Certificates = frozenset[bytes]  # DER


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificates that a machine trusts, by their source.

    `public` is the list of the system; `added` are in the folders for additions, or in files that variables name;
    `bundle` is the file that the system makes of both.
    """

    public: Certificates = frozenset()
    added: Certificates = frozenset()
    bundle: Certificates = frozenset()

    @property
    def doubtful(self) -> Certificates:
        """Certificates in the bundle from an unknown source: a company's, or formerly public ones."""
        return self.bundle - self.public - self.added if self.public else frozenset()


def company_cas(trust: Trust, presented: Certificates | None) -> Certificates:
    """The company's authorities. `presented` are the roots that registries use, None if no registry answered.

    Doubtful certificates count if they were presented; if no registry answered, all of them count.
    """
    doubtful = trust.doubtful if presented is None else trust.doubtful & presented
    return (trust.added - trust.public) | doubtful


def certificates(text: str) -> Certificates:
    """The certificates in a PEM text, which may contain other text."""
    decoded = set()
    for body in _PEM.findall(text):
        with contextlib.suppress(ValueError):
            decoded.add(base64.b64decode("".join(body.split())))
    return frozenset(decoded)


async def find(sites: Iterable[str], files: Iterable[str] = ()) -> tuple[Certificates, Certificates]:
    """The company's authorities and the public authorities of this machine.

    `sites` are host names of registries, which are asked only if the local files leave doubtful certificates; `files`
    are more files that settings name. A file that cannot be read, or a site that does not answer in two seconds, is
    ignored.
    """
    trust = await _keychains() if os.uname().sysname == "Darwin" else await anyio.to_thread.run_sync(_files)
    named = await anyio.to_thread.run_sync(_named, os.environ, tuple(files))
    trust = replace(trust, added=trust.added | named)
    presented = await _presented(sites, trust) if trust.doubtful else None
    return company_cas(trust, presented), trust.public


def _files() -> Trust:
    return Trust(*(_read(path for pattern in patterns for path in glob.glob(pattern, recursive=True))
                   for patterns in (PUBLIC, ADDED, BUNDLES)))  # fmt: skip


async def _keychains() -> Trust:
    """The certificates that macOS trusts; its list of public roots is a keychain too."""
    parts = []
    for keychain in (PUBLIC_KEYCHAIN, ADDED_KEYCHAIN):
        try:
            done = await process.run(["security", "find-certificate", "-a", "-p", keychain])
        except EngineError:
            return Trust()
        parts.append(certificates(done.text))
    return Trust(*parts)


def _named(environment: Mapping[str, str], files: Iterable[str]) -> Certificates:
    """The certificates in the files that variables name, except for the bundle of the system."""
    paths = {os.path.realpath(path) for path in (*files, *map(environment.get, VARIABLES)) if path}
    folder = environment.get("SSL_CERT_DIR", "")
    paths |= {os.path.realpath(path) for part in folder.split(":") if part for path in glob.glob(f"{part}/*")}
    systems = {os.path.realpath(path) for path in BUNDLES}
    own = {os.path.dirname(path) for path in systems}
    return _read(path for path in paths - systems if os.path.dirname(path) not in own)


def _read(paths: Iterable[str]) -> Certificates:
    read: set[bytes] = set()
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                read |= certificates(file.read())
        except OSError:
            continue
    return frozenset(read)


async def _presented(sites: Iterable[str], trust: Trust) -> Certificates | None:
    trusted = context(trust.added | trust.bundle)
    anchors: list[bytes | None] = []

    async def ask(site: str) -> None:
        with anyio.move_on_after(PATIENCE):
            anchors.append(await anyio.to_thread.run_sync(partial(anchor, site, trusted), abandon_on_cancel=True))

    await each(ask, dict.fromkeys(sites))
    return frozenset(filter(None, anchors)) or None


def anchor(site: str, trusted: ssl.SSLContext) -> bytes | None:
    """The root of the chain that the site presents, through this machine's proxy if there is one; None on failure."""
    proxy = urlsplit(urllib.request.getproxies().get("https", ""))
    direct = not proxy.hostname or urllib.request.proxy_bypass(site)
    try:
        opened = connection(urlsplit(f"https://{site}"), None if direct else proxy, PATIENCE, trusted)
        with contextlib.closing(opened):
            opened.connect()
            return root_of(opened.sock)
    except (OSError, ValueError, http.client.HTTPException):
        return None


def context(authorities: Iterable[bytes] = ()) -> ssl.SSLContext:
    """A TLS context that trusts the `authorities` (DER) in addition to those of this machine."""
    trusted = ssl.create_default_context()
    trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates of a company may break the strict rules
    if text := "".join(map(ssl.DER_cert_to_PEM_cert, authorities)):
        with contextlib.suppress(ssl.SSLError):  # not a certificate
            trusted.load_verify_locations(cadata=text)
    return trusted


def connection(
    address: SplitResult, proxy: SplitResult | None, seconds: float, trusted: ssl.SSLContext | None = None
) -> http.client.HTTPConnection:
    """A connection to the address, which `connect` opens; HTTPS passes through the proxy in a tunnel.

    `seconds` is the timeout of each step, `trusted` a `context`. Raises ValueError for an invalid port.
    """
    server = proxy or address
    host, port = str(server.hostname), server.port or PORTS.get(server.scheme, 80)
    if address.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    secured = http.client.HTTPSConnection(host, port, timeout=seconds, context=trusted or context())
    if proxy:
        login = base64.b64encode(f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}".encode()).decode()
        headers = {"Proxy-Authorization": f"Basic {login}"} if proxy.username else {}
        secured.set_tunnel(str(address.hostname), address.port or PORTS["https"], headers)
    return secured


def root_of(secured: socket.socket) -> bytes:
    """The root (DER) of the chain that was verified when the socket was connected."""
    # The socket has this method only from Python 3.13 on; before, only the object inside has it.
    chain = secured._sslobj.get_verified_chain()  # type: ignore[attr-defined] # noqa: SLF001
    return ssl.PEM_cert_to_DER_cert(chain[-1].public_bytes())
