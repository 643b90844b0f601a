"""Connections to registries; test_certificates.py has the tests with real handshakes."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

import pytest

from devenv.host.tls import connection, context


@pytest.mark.parametrize(
    ("address", "proxy", "server", "is_secured"),
    [
        ("https://r.test/v2/", "", ("r.test", 443), True),
        ("https://r.test:5000/v2/", "", ("r.test", 5000), True),
        ("http://127.0.0.1/v2/", "", ("127.0.0.1", 80), False),
        ("https://r.test/v2/", "http://p.test:3128", ("p.test", 3128), True),
        ("https://r.test/v2/", "https://p.test", ("p.test", 443), True),
        ("http://r.test/v2/", "http://p.test", ("p.test", 80), False),
    ],
)
def test_a_connection_is_to_the_site_or_to_its_proxy(
    address: str, proxy: str, server: tuple[str, int], is_secured: bool
) -> None:
    """Each scheme has its port; through a proxy, HTTPS is still HTTPS to the site."""
    made = connection(urlsplit(address), urlsplit(proxy) if proxy else None, 1)
    assert (made.host, made.port) == server
    assert isinstance(made, http.client.HTTPSConnection) == is_secured


def test_a_port_that_is_none_is_an_error() -> None:
    """Callers handle it as a site that cannot be reached."""
    with pytest.raises(ValueError, match="nonsense"):
        connection(urlsplit("https://r.test"), urlsplit("http://p.test:nonsense"), 1)


def test_what_is_no_certificate_does_no_harm() -> None:
    """The context still trusts the authorities of this machine."""
    for authorities in ((), (b"nothing",)):
        made = context(authorities)
        assert made.verify_mode is ssl.CERT_REQUIRED
        assert not made.verify_flags & ssl.VERIFY_X509_STRICT
