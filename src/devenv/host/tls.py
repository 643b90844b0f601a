"""Connections of this machine to registries, directly or by a proxy, and the root of the certificates they show."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import SplitResult, unquote

PORTS = {"http": 80, "https": 443}


def context(authorities: Iterable[bytes] = ()) -> ssl.SSLContext:
    """What this machine trusts, and the `authorities` (DER) besides."""
    made = ssl.create_default_context()
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates that a company made for itself may not be strict
    if text := "".join(map(ssl.DER_cert_to_PEM_cert, authorities)):
        with suppress(ssl.SSLError):  # what is no certificate
            made.load_verify_locations(cadata=text)
    return made


def connection(
    address: SplitResult, proxy: SplitResult | None, seconds: float, trusted: ssl.SSLContext | None = None
) -> http.client.HTTPConnection:
    """A connection to the address, which `connect` opens; HTTPS passes through the proxy in a tunnel.

    `seconds` bounds each step of it. `trusted` is a `context`. Raises ValueError for a port that is none.
    """
    server = proxy or address
    host, port = str(server.hostname), server.port or PORTS.get(server.scheme, 80)
    if address.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    made = http.client.HTTPSConnection(host, port, timeout=seconds, context=trusted or context())
    if proxy:
        login = base64.b64encode(f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}".encode()).decode()
        headers = {"Proxy-Authorization": f"Basic {login}"} if proxy.username else {}
        made.set_tunnel(str(address.hostname), address.port or PORTS["https"], headers)
    return made


def anchor(secured: socket.socket) -> bytes:
    """The root (DER) of the chain that was verified when the socket was connected."""
    # A method of the socket from 3.13 on; before, of what is inside it.
    chain = secured._sslobj.get_verified_chain()  # type: ignore[attr-defined] # noqa: SLF001
    return ssl.PEM_cert_to_DER_cert(chain[-1].public_bytes())
