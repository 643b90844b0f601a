"""Why a RUN step failed, where it was the network: a table of what package managers say.

And the build arguments that a secret does not belong into.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from devenv.events import Notice

GIVE = "devenv up --host-settings"
_TELLING = (
    r"https?://(?:[^/@\s]*@)?|host='|resolv(?:e|ing)(?: host)?(?: address)?:? '?|(?:ENOTFOUND|EAI_AGAIN|lookup) "
)
_HOST = re.compile(rf"(?i)(?:{_TELLING})(?P<host>[\w-]+(?:\.[\w-]+)+)")
_LOOPBACK = r"(?P<proxy>(?:127\.\d+\.\d+\.\d+|localhost|\[?::1\]?)(?:(?::| port )\d+)?)"
# In the words of npm, yarn, pnpm, pip, uv, apt, apk, curl, wget, git, go and Java.
_UNTRUSTED = (
    r"SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER_CERT|VERIFY_LEAF)|CERTIFICATE_VERIFY_FAILED"
    r"|self[- ]signed certificate|unable to (?:get (?:local )?issuer|verify the first) certificate"
    r"|certificate signer not trusted|The certificate of '.*' is not trusted|x509: certificate signed by unknown"
    r"|server certificate not trusted|invalid peer certificate|PKIX path building failed"
    r"|(?i:certificate verif(?:y|ication) failed)"
)
_REFUSED_HERE = (
    rf"(?:failed, reason: connect ECONNREFUSED|npm (?:error|ERR!)\s+address:|proxyconnect tcp: dial tcp) '?"
    rf"{_LOOPBACK}|ProxyError\('Cannot connect to proxy\."
)
_MAYBE_REFUSED_HERE = rf"(?:(?:Failed to|Unable to|Could not) connect|Connecting) to {_LOOPBACK}(?!.*connected)"
_LOGIN = r"\bE401\b|\b401 (?:Unauthorized|Client Error)|HTTP (?:error )?401\b|\b407 Proxy Authentication"
_UNKNOWN = (
    r"ENOTFOUND|EAI_AGAIN|Could not resolve host|Temporary failure (?:in name resolution|resolving)|no such host"
    r"|Name or service not known|unable to resolve host|Name does not resolve|temporary error \(try again later\)"
)
_SILENT = (
    r"\bE(?:SOCKET)?TIMEDOUT|ERR_SOCKET_TIMEOUT|(?i:connection timed out)|ConnectTimeoutError|Read timed out"
    r"|i/o timeout|No route to host|EHOSTUNREACH|ENETUNREACH|Network is unreachable|ECONNREFUSED|ECONNRESET"
    r"|(?i:connection refused)|curl: \((?:7|28)\)"
)
_PROXY = "the proxy {proxy} is this machine's own, and refuses builds or is not reached by them"
_ALLOW = "Let the proxy take connections from other machines than this one (often called: allow LAN)."
_REACHED = "curl -I https://{host}   (on this machine; if that fails too, it is its network or its proxy)"


class Row(NamedTuple):
    """Words that give a cause away, what they mean, and what to do where builds have the host's settings already."""

    said: str
    what: str
    given: str
    needs_host: bool = True


# The first row that fits decides.
TABLE = (
    Row(
        _UNTRUSTED,
        "{host} shows a certificate that the image does not trust: a company's network does that",
        "Node's own requests know only a variable, which is filled in where the stage declares it before this step: "
        "ARG NODE_EXTRA_CA_CERTS   (Python's: ARG REQUESTS_CA_BUNDLE)",
        needs_host=False,
    ),
    Row(_REFUSED_HERE, _PROXY, _ALLOW, needs_host=False),
    Row(_MAYBE_REFUSED_HERE, _PROXY, _ALLOW),
    Row(_UNKNOWN, "the name {host} is not found (DNS) inside the build", _REACHED),
    Row(_SILENT, "{host} does not answer inside the build", _REACHED),
)
_SECRET_HINT = "Give it as a secret: `secrets:` of the build, and RUN --mount=type=secret,id={id} in the Dockerfile."  # noqa: S105
_SECRET = re.compile(
    r"(?i)(?:^|_)(?:pass|passwd|password|passphrase|token|secret|(?:api|access|private)?_?key|credentials?|auth)(?:_|$)"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What kept a step from the network, and what to do about it."""

    what: str
    hint: str


def explain(lines: Sequence[str], *, given: bool) -> Fault | None:
    """The fault that the last lines of a failed step tell of; None where it was not the network.

    The command of the step may be the first of `lines`: some tools name no host. `given`: builds have this host's
    settings already. What fails to reach a name without a dot wants another service, or its own machine: no fault of
    the network's.
    """
    hosts = [host for line in lines if (host := _host(line))]
    if hosts and any(re.search(_LOGIN, line) for line in lines):
        return Fault(f"{hosts[0]} wants a login, which the build does not have", _SECRET_HINT.format(id="login"))
    for row in TABLE:
        for line in lines:
            if (found := re.search(row.said, line)) and (hosts or not row.needs_host):
                host = _host(line) or next(iter(hosts), "a server")
                words = {"host": host, "proxy": found.groupdict().get("proxy") or "on 127.0.0.1"}
                return Fault(row.what.format_map(words), row.given.format_map(words) if given else GIVE)
    return None


def _host(line: str) -> str | None:
    found = _HOST.search(line)
    return found["host"] if found and not re.fullmatch(r"127\.[\d.]+", found["host"]) else None


def baked(service: str, arguments: Iterable[tuple[str, str]]) -> Notice | None:
    """A word about build arguments that look like secrets: the image's history keeps them."""
    names = [name for name, value in arguments if value and _SECRET.search(name) and "public" not in name.lower()]
    if not names:
        return None
    what = f"the image of `{service}` keeps its build {'argument' if len(names) == 1 else 'arguments'}"
    return Notice(f"{what} {', '.join(names)} in its history", _SECRET_HINT.format(id=names[0].lower()))
