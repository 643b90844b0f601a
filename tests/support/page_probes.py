"""Requests that must get nothing from the page of a run: what other sites, programs and users could try."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator

from support.page import Address

PATIENCE = 8.0  # seconds; the server ends slow requests itself, after 5
STREAM, ACTION, EARLIER = "/api/stream", "/api/action", "/api/earlier"
STOP = json.dumps({"verb": "stop", "service": "web"}).encode()

Probe = Callable[[Address], bytes]  # what is sent, all at once


def _post(target: str = STREAM, body: bytes = b"{}", **changes: str | None) -> Probe:
    renamed = {name.replace("_", "-").title(): value for name, value in changes.items()}
    return lambda page: page.head("POST", target, len(body), renamed) + body


def _method(method: str, target: str = STREAM, **changes: str | None) -> Probe:
    renamed = {name.replace("_", "-").title(): value for name, value in changes.items()}
    return lambda page: page.head(method, target, None, renamed)


def _with_port(text: str) -> Callable[[Address], str]:
    return lambda page: text.replace("PORT", str(page.port)).replace("NEXT", str(page.port ^ 1))


def _host(text: str) -> Probe:
    """A request of a page at this host, which has its own origin."""
    made = _with_port(text)
    return lambda page: _post(host=made(page), origin=f"http://{made(page)}")(page)


def _origin(text: str) -> Probe:
    made = _with_port(text)
    return lambda page: _post(origin=made(page))(page)


def _token(change: Callable[[str], str]) -> Probe:
    return lambda page: _post(authorization=change(page.token))(page)


def _raw(text: str, *, body: bytes = b"{}") -> Probe:
    """A head as it is written, with the page's own headers at OWN."""

    def made(page: Address) -> bytes:
        own = "\r\n".join(f"{name}: {value}" for name, value in page.headers({}).items())
        head = _with_port(text)(page).replace("OWN", own).replace("TOKEN", page.token).replace("\n", "\r\n")
        return head.encode() + b"\r\n\r\n" + body

    return made


def _twice(name: str, value: str) -> Probe:
    return _raw(f"POST {STREAM} HTTP/1.1\nOWN\n{name}: {value}\nContent-Length: 2")


PROBES: dict[str, Probe] = {
    # DNS rebinding: the name of another site leads here
    "another host": _host("evil.example"),
    "another host with the port": _host("evil.example:PORT"),
    "a name that contains the address": _host("127.0.0.1.nip.example:PORT"),
    "a name that begins with localhost": _host("localhost.evil.example:PORT"),
    "the address without a port": _host("127.0.0.1"),
    "the address with another port": _host("127.0.0.1:NEXT"),
    "all addresses": _host("0.0.0.0:PORT"),
    "IPv6": _host("[::1]:PORT"),
    "another spelling of the address": _host("127.1:PORT"),
    "a user before the host": _host("127.0.0.1:PORT@evil.example"),
    "no host": _post(host=None),
    "two hosts": _twice("Host", "evil.example"),
    # another origin
    "no origin": _post(origin=None),
    "the origin null": _origin("null"),
    "an empty origin": _origin(""),
    "another origin": _origin("https://evil.example"),
    "https": _origin("https://127.0.0.1:PORT"),
    "another port of this machine": _origin("http://127.0.0.1:NEXT"),
    "the other name of this machine": _origin("http://localhost:PORT"),
    "an origin that begins alike": _origin("http://127.0.0.1:PORT.evil.example"),
    "two origins": _twice("Origin", "https://evil.example"),
    "a fetch of another site": _post(sec_fetch_site="cross-site"),
    "a fetch of another port": _post(sec_fetch_site="same-site"),
    # the token
    "no token": _post(authorization=None),
    "an empty token": _token(lambda _: "Bearer "),
    "another token": _token(lambda token: f"Bearer {'x' * len(token)}"),
    "the beginning of the token": _token(lambda token: f"Bearer {token[:-1]}"),
    "more than the token": _token(lambda token: f"Bearer {token}x"),
    "the token in other letters": _token(lambda token: f"Bearer {token.swapcase()}"),
    "another scheme": _token(lambda token: f"Basic {token}"),
    "the token as a cookie": lambda page: _post(authorization=None, cookie=f"token={page.token}")(page),
    "the token in the query": _raw(
        f"POST {STREAM}?token=TOKEN HTTP/1.1\nHost: 127.0.0.1:PORT\nOrigin: http://127.0.0.1:PORT\n"
        "Content-Type: application/json\nContent-Length: 2"
    ),
    "the token in the body": lambda page: _post(body=json.dumps({"token": page.token}).encode(), authorization=None)(
        page
    ),
    "two tokens": _twice("Authorization", "Bearer x"),
    # methods and types that a page of others may send without asking
    "GET": _method("GET"),
    "HEAD": _method("HEAD"),
    "a preflight": _method("OPTIONS", access_control_request_method="POST", origin="https://evil.example"),
    "PUT": _method("PUT"),
    "TRACE": _method("TRACE", "/"),
    "a form": _post(content_type="application/x-www-form-urlencoded"),
    "plain text": _post(content_type="text/plain"),
    "no type": _post(content_type=None),
    # paths
    "the folder above": _method("GET", "/static/../server.py"),
    "the folder above, encoded": _method("GET", "/static/%2e%2e/server.py"),
    "a file of the machine": _method("GET", "//etc/passwd"),
    "another host as target": _method("GET", "http://evil.example/"),
    "the end of a path": _post("/api/stream/"),
    "an unknown file": _method("GET", "/static/modules.txt"),
    # bodies, and requests that two programs could read differently
    "a long body": _post(body=b"{" + b" " * 100_000 + b"}"),
    "a body that is no object": _post(ACTION, b"[]"),
    "no length": _raw(f"POST {STREAM} HTTP/1.1\nOWN\nTransfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "two ways to tell the length": _raw(
        f"POST {STREAM} HTTP/1.1\nOWN\nContent-Length: 2\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"
    ),
    "two lengths": _raw(f"POST {STREAM} HTTP/1.1\nOWN\nContent-Length: 2\nContent-Length: 20"),
    "a negative length": _raw(f"POST {STREAM} HTTP/1.1\nOWN\nContent-Length: -2"),
    "a space before a colon": _raw(f"POST {STREAM} HTTP/1.1\nOWN\nX : y\nContent-Length: 2"),
    "a long head": _raw(f"GET / HTTP/1.1\nOWN\nX: {'y' * 100_000}"),
    "a head that does not end": lambda _: b"GET / HTTP/1.1\r\n",
    "a body that does not end": _post(ACTION, STOP, content_length="1000"),
    "no HTTP": lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    # rights
    "an action that does not exist": _post(ACTION, b'{"verb": "down", "service": "web"}'),
    "a service that does not exist": _post(ACTION, b'{"verb": "stop", "service": "../web"}'),
}


def passes(page: Address, probe: Probe) -> str:
    """What the probe got that it should not get; empty if it got nothing."""
    answer = _answer(page.port, probe(page))
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].split(b" ")[1:2]
    if b"access-control-" in head.lower():
        return f"a CORS header: {head!r}"
    if b"set-cookie" in head.lower() or page.token.encode() in answer:
        return f"the token or a cookie: {answer[:2000]!r}"
    if answer.count(b"HTTP/1.1 ") > 1:
        return f"two answers: {answer[:2000]!r}"
    is_refused = not answer or (status and status[0][:1] in (b"4", b"5") and len(body) < 1000)
    return "" if is_refused else repr(answer[:2000])


def stream(page: Address) -> bytes:
    """The request that the page itself sends."""
    return _post()(page)


def read_only_action(page: Address) -> str:
    """The same for an action by the token of a page that may only read."""
    return passes(page, _post(ACTION, STOP))


def second_request(page: Address) -> str:
    """The same for a request in the body of another, and after it."""
    inner = _post(ACTION, STOP)(page)
    return passes(page, lambda it: _method("PUT", "/", content_length=str(len(inner)))(it) + inner + inner)


def _answer(port: int, data: bytes) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            connection.sendall(data)
        with contextlib.suppress(OSError):
            while piece := connection.recv(1 << 16):
                answer += piece
                if b"\n{" in answer:  # of a stream, which does not end
                    break
    return answer


@contextlib.contextmanager
def idle_connections(page: Address, count: int) -> Iterator[None]:
    """So many connections that send nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", page.port), PATIENCE))
        yield


def answers(page: Address, seconds: float) -> bool:
    """Whether the page itself is answered within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if _answer(page.port, _method("GET", "/")(page)).startswith(b"HTTP/1.1 200 "):
                return True
        time.sleep(0.2)
    return False
