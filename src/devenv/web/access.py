"""Which requests to the page's server are allowed. Pure.

The shell (the page without data) is public on this machine; all else needs the token. Cookies would not do: browsers
send them to every port of a host, and so to the user's own applications.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping

from devenv.lazy_dataclass import dataclass

STREAM, ACTION, EARLIER = "/api/stream", "/api/action", "/api/earlier"
API = (STREAM, ACTION, EARLIER)
ONCE = "/open/"  # and a secret that leads to the page once
SINGLE = ("host", "origin", "authorization", "content-length", "content-type", "transfer-encoding")
HINT = "devenv page"
LOCAL = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request; names of headers are in small letters."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """The value of the header, None without one."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    error: str
    hint: str = ""


def refusal(request: Request, port: int, tokens: Mapping[str, bool], files: Collection[str]) -> Refusal | None:
    """Why the request is refused; None if it may pass.

    `tokens`: each with whether it allows actions; `files`: the targets of GET requests.
    """
    names = [name for name, _ in request.headers]
    if any(names.count(name) > 1 for name in SINGLE):
        return Refusal(400, "a header is there twice")
    if "transfer-encoding" in names:
        return Refusal(411, "the length of the body is missing")
    host = request.header("host")
    if host not in [f"{name}:{port}" for name in LOCAL]:  # a name that an attacker has pointed to this machine
        return Refusal(421, "this is the server of another host")
    if request.target in files or request.target.startswith(ONCE):
        return _of_file(request, f"http://{host}")
    if request.target not in API:
        return Refusal(404, "not found")
    return _of_api(request, f"http://{host}") or _of_token(request, tokens)


def _of_file(request: Request, own: str) -> Refusal | None:
    if request.method != "GET":
        return Refusal(405, "only GET is allowed here")
    is_foreign = request.header("origin") not in (None, own)
    return Refusal(403, "a page of another origin asks") if is_foreign else None


def _of_api(request: Request, own: str) -> Refusal | None:
    if request.method != "POST":
        return Refusal(405, "only POST is allowed here")
    if request.header("origin") != own or request.header("sec-fetch-site") not in (None, "same-origin"):
        return Refusal(403, "a page of another origin asks, or none")
    if (request.header("content-type") or "").partition(";")[0].strip().lower() != "application/json":
        return Refusal(415, "the body must be JSON")
    return None


def _of_token(request: Request, tokens: Mapping[str, bool]) -> Refusal | None:
    allowed = rights(request, tokens)
    if allowed is None:
        return Refusal(401, "the token is missing or of another run", HINT)
    if request.target == ACTION and not allowed:
        return Refusal(403, "this page may only read", HINT)
    return None


def rights(request: Request, tokens: Mapping[str, bool]) -> bool | None:
    """Whether the request's token allows actions; None without a valid token. Takes equally long for each token."""
    scheme, _, given = (request.header("authorization") or "").partition(" ")
    known = {token: hmac.compare_digest(token.encode(), given.encode()) for token in tokens}
    if scheme != "Bearer":
        return None
    return next((tokens[token] for token, is_equal in known.items() if is_equal), None)
