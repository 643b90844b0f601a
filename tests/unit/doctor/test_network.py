"""Registries as this machine reaches them."""

from __future__ import annotations

import ssl
import threading
import time
from functools import partial
from http.client import RemoteDisconnected
from urllib.parse import urlsplit

import anyio
import pytest

from devenv.doctor import network


def test_a_call_that_hangs_is_abandoned() -> None:
    """A call that hangs is cancelled after its seconds, and a call that fails gives no value."""

    async def look() -> tuple[object, ...]:
        began = time.monotonic()
        late = await network.within(0.05, threading.Event().wait)
        return (
            late,
            await network.within(5, partial(int, "x")),
            await network.within(5, partial(int, "7")),
            began,
        )

    late, failed, found, began = anyio.run(look)
    assert (late, failed, found) == (None, None, 7)
    assert time.monotonic() - float(str(began)) < 1


@pytest.mark.parametrize(
    ("challenge", "url"),
    [
        (
            'Bearer realm="https://t.example/token",service="s"',
            "https://t.example/token?service=s&scope=repository%3Aa%2Fb%3Apull",
        ),
        ('Basic realm="x"', ""),
        ('Bearer realm="file:///etc/passwd"', ""),
        ("", ""),
    ],
)
def test_the_token_server_of_a_challenge(challenge: str, url: str) -> None:
    """It is read from the challenge only if the registry names one."""
    assert network.realm(challenge, "a/b") == url


@pytest.mark.parametrize(
    ("error", "proxy", "text"),
    [
        (OSError("Tunnel connection failed: 407 Proxy Authentication Required"), True, "(407)"),
        (TimeoutError(), True, "the proxy http://***@p.example:3128 does not answer"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), False, "it does not speak TLS"),
        (RemoteDisconnected("x"), False, "it does not speak HTTP"),
        (OSError(113, "No route to host"), False, "no route to host"),
        (ValueError("x"), False, "it cannot be reached"),
    ],
)
def test_reasons_in_plain_words(error: Exception, proxy: bool, text: str) -> None:
    """The reasons are in words of devenv, and without a password."""
    heard = network.reason(error, urlsplit("http://ann:s3cret@p.example:3128") if proxy else None)
    assert text in heard
    assert "s3cret" not in heard
