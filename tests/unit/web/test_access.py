"""Which requests pass: a table of requests that browsers, pages of others, and programs send."""

from __future__ import annotations

import pytest

from devenv.web import access
from devenv.web.access import Request, refusal

TOKEN, READER = "t" * 43, "r" * 43
TOKENS = {TOKEN: True, READER: False}
FILES = ("/", "/static/app.js")
OWN = {
    "host": "127.0.0.1:4000",
    "origin": "http://127.0.0.1:4000",
    "content-type": "application/json",
    "authorization": f"Bearer {TOKEN}",
}


def status(method: str, target: str, headers: dict[str, str | None], *more: tuple[str, str]) -> int:
    """The status of a refusal; 0 for a request that passes. A header that is None is absent."""
    sent = [(name, value) for name, value in headers.items() if value is not None]
    found = refusal(Request(method, target, (*sent, *more)), 4000, TOKENS, FILES)
    return found.status if found else 0


@pytest.mark.parametrize(
    ("method", "target", "changes", "expected"),
    [
        ("GET", "/", {"origin": None, "authorization": None}, 0),
        ("GET", "/", {}, 0),
        ("GET", "/static/app.js", {"origin": None}, 0),
        ("POST", access.STREAM, {}, 0),
        ("POST", access.STREAM, {"sec-fetch-site": "same-origin"}, 0),
        ("POST", access.STREAM, {"content-type": "application/json; charset=utf-8"}, 0),
        ("POST", access.ACTION, {"host": "localhost:4000", "origin": "http://localhost:4000"}, 0),
        ("POST", access.EARLIER, {"authorization": f"Bearer {READER}"}, 0),
        ("POST", access.ACTION, {"authorization": f"Bearer {READER}"}, 403),
        ("GET", "/", {"host": "evil.example:4000"}, 421),
        ("GET", "/", {"host": "127.0.0.1"}, 421),
        ("GET", "/", {"host": "127.0.0.1:4001"}, 421),
        ("GET", "/", {"host": None}, 421),
        ("GET", "/", {"origin": "http://evil.example"}, 403),
        ("GET", "/open/x", {"origin": None}, 0),
        ("GET", "/open/x", {"host": "evil.example:4000"}, 421),
        ("GET", "/open/x", {"origin": "http://evil.example"}, 403),
        ("POST", "/open/x", {}, 405),
        ("HEAD", "/", {}, 405),
        ("POST", "/", {}, 405),
        ("GET", "/?token=x", {}, 404),
        ("GET", "/static/../access.py", {}, 404),
        ("POST", access.STREAM, {"host": "localhost:4000"}, 403),
        ("POST", access.STREAM, {"origin": None}, 403),
        ("POST", access.STREAM, {"origin": "null"}, 403),
        ("POST", access.STREAM, {"origin": "https://127.0.0.1:4000"}, 403),
        ("POST", access.STREAM, {"origin": "http://127.0.0.1:4001"}, 403),
        ("POST", access.STREAM, {"origin": "http://127.0.0.1:4000.evil.example"}, 403),
        ("POST", access.STREAM, {"sec-fetch-site": "cross-site"}, 403),
        ("POST", access.STREAM, {"sec-fetch-site": "same-site"}, 403),
        ("POST", access.STREAM, {"content-type": None}, 415),
        ("POST", access.STREAM, {"content-type": "text/plain"}, 415),
        ("POST", access.STREAM, {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("POST", access.STREAM, {"authorization": None}, 401),
        ("POST", access.STREAM, {"authorization": "Bearer "}, 401),
        ("POST", access.STREAM, {"authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ("POST", access.STREAM, {"authorization": f"Bearer {TOKEN}x"}, 401),
        ("POST", access.STREAM, {"authorization": f"Basic {TOKEN}"}, 401),
        ("POST", access.STREAM, {"authorization": "Bearer \u00e9"}, 401),
        ("POST", access.STREAM, {"authorization": None, "cookie": f"token={TOKEN}"}, 401),
        ("POST", f"{access.STREAM}?token={TOKEN}", {"authorization": None}, 404),
        ("GET", access.STREAM, {}, 405),
        ("OPTIONS", access.STREAM, {}, 405),
        ("PUT", access.ACTION, {}, 405),
        ("POST", access.STREAM, {"transfer-encoding": "chunked"}, 411),
        ("POST", "http://127.0.0.1:4000/api/stream", {}, 404),
    ],
)
def test_a_request(method: str, target: str, changes: dict[str, str | None], expected: int) -> None:
    """Only the page itself with the token of this run reaches its data and actions."""
    assert status(method, target, {**OWN, **changes}) == expected


@pytest.mark.parametrize("name", access.SINGLE)
def test_a_header_that_is_there_twice(name: str) -> None:
    """Two programs could read two values: neither counts."""
    assert status("POST", access.STREAM, {name: "x", **OWN}, (name, "y")) == 400


def test_no_token_means_no_data() -> None:
    """Before an address was asked for, no token is valid, not even an empty one."""
    headers = (*{**OWN, "authorization": "Bearer "}.items(),)
    found = refusal(Request("POST", access.STREAM, headers), 4000, {}, FILES)
    assert found is not None
    assert (found.status, found.hint) == (401, "devenv page")
