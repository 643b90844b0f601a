"""The company's certificate authorities: those that this host trusts, and that are no public ones.

What is public is known from the operating system, which keeps its own list apart from what was added: an inventory
of ours would take the roots that a distribution has and others have not for a company's.
"""

from __future__ import annotations

import base64
import contextlib
import glob
import http.client
import os
import re
import ssl
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import anyio

from devenv.docker import process
from devenv.errors import EngineError
from devenv.host import tls
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
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_cafile",
    "NPM_CONFIG_CAFILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)
PUBLIC_KEYCHAIN = "/System/Library/Keychains/SystemRootCertificates.keychain"
ADDED_KEYCHAIN = "/Library/Keychains/System.keychain"
PATIENCE = 2.0
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")

Certificates = frozenset[bytes]  # DER


@dataclass(frozen=True, slots=True)
class Trust:
    """What a host trusts, and whence.

    `public` is the system's own list; `added` lies in the folders for that, or in files that variables name; `bundle`
    is what the system put together.
    """

    public: Certificates = frozenset()
    added: Certificates = frozenset()
    bundle: Certificates = frozenset()

    @property
    def doubtful(self) -> Certificates:
        """In the bundle, and nobody knows why: a company's, or public once."""
        return self.bundle - self.public - self.added if self.public else frozenset()


def companys(trust: Trust, presented: Certificates | None) -> Certificates:
    """The company's authorities. `presented` are the anchors of what registries showed, None where none answered.

    Of the doubtful ones it is those that were presented; offline all of them.
    """
    found = trust.doubtful if presented is None else trust.doubtful & presented
    return (trust.added - trust.public) | found


def certificates(text: str) -> Certificates:
    """The certificates of a text in PEM, whatever else is in it."""
    found = set()
    for body in _PEM.findall(text):
        with contextlib.suppress(ValueError):
            found.add(base64.b64decode("".join(body.split())))
    return frozenset(found)


def pem(certificate: bytes) -> str:
    """The certificate as text, with a newline at its end."""
    return ssl.DER_cert_to_PEM_cert(certificate)


async def find(sites: Iterable[str], files: Iterable[str] = ()) -> tuple[Certificates, Certificates]:
    """(the company's authorities, the public ones) of this host.

    `sites` are host names of registries, asked only where the host's files leave a doubt; `files` are further files
    that its settings name. What cannot be read, or does not answer within two seconds, is left out.
    """
    trust = await _keychains() if os.uname().sysname == "Darwin" else await anyio.to_thread.run_sync(_files)
    named = await anyio.to_thread.run_sync(_named, os.environ, tuple(files))
    trust = Trust(trust.public, trust.added | named, trust.bundle)
    presented = await _presented(sites, trust) if trust.doubtful else None
    return companys(trust, presented), trust.public


def _files() -> Trust:
    return Trust(*(_read(path for pattern in patterns for path in glob.glob(pattern, recursive=True))
                   for patterns in (PUBLIC, ADDED, BUNDLES)))  # fmt: skip


async def _keychains() -> Trust:
    """What macOS trusts; its own list of public roots is a keychain too."""
    found = []
    for keychain in (PUBLIC_KEYCHAIN, ADDED_KEYCHAIN):
        try:
            done = await process.run(["security", "find-certificate", "-a", "-p", keychain])
        except EngineError:
            return Trust()
        found.append(certificates(done.text))
    return Trust(*found)


def _named(environment: Mapping[str, str], files: Iterable[str]) -> Certificates:
    """What the files hold that variables name, the system's own bundle left out."""
    paths = {os.path.realpath(path) for path in (*files, *map(environment.get, VARIABLES)) if path}
    folder = environment.get("SSL_CERT_DIR", "")
    paths |= {os.path.realpath(path) for part in folder.split(":") if part for path in glob.glob(f"{part}/*")}
    systems = {os.path.realpath(path) for path in BUNDLES}
    own = {os.path.dirname(path) for path in systems}
    return _read(path for path in paths - systems if os.path.dirname(path) not in own)


def _read(paths: Iterable[str]) -> Certificates:
    found: set[bytes] = set()
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found |= certificates(file.read())
        except OSError:
            continue
    return frozenset(found)


async def _presented(sites: Iterable[str], trust: Trust) -> Certificates | None:
    context = tls.context(trust.added | trust.bundle)
    anchors: list[bytes | None] = []

    async def ask(site: str) -> None:
        with anyio.move_on_after(PATIENCE):
            anchors.append(await anyio.to_thread.run_sync(partial(anchor, site, context), abandon_on_cancel=True))

    await each(ask, dict.fromkeys(sites))
    return frozenset(filter(None, anchors)) or None


def anchor(site: str, context: ssl.SSLContext) -> bytes | None:
    """The root of the chain that the site presents, by the host's proxy where it has one; None where that fails."""
    proxy = urlsplit(urllib.request.getproxies().get("https", ""))
    direct = not proxy.hostname or urllib.request.proxy_bypass(site)
    try:
        connection = tls.connection(urlsplit(f"https://{site}"), None if direct else proxy, PATIENCE, context)
        connection.connect()
        try:
            return tls.anchor(connection.sock)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
