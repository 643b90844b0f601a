"""Why a RUN step failed, if it was the network: by the table of causes `build_network`.

And warn of secrets in build arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from devenv.events import Notice
from devenv.explain import table
from devenv.explain.table import TableEntry

TABLE = "build_network"
GIVE = "devenv up --host-settings"
_TELLING = (
    r"https?://(?:[^/@\s]*@)?|host='|resolv(?:e|ing)(?: host)?(?: address)?:? '?|(?:ENOTFOUND|EAI_AGAIN|lookup) "
)
_HOST = re.compile(rf"(?i)(?:{_TELLING})(?P<host>[\w-]+(?:\.[\w-]+)+)")
_LOGIN = r"\bE401\b|\b401 (?:Unauthorized|Client Error)|HTTP (?:error )?401\b|\b407 Proxy Authentication"
_SECRET_HINT = "Give it as a secret: `secrets:` of the build, and RUN --mount=type=secret,id={id} in the Dockerfile."  # noqa: S105
_SECRET = re.compile(
    r"(?i)(?:^|_)(?:pass|passwd|password|passphrase|token|secret|(?:api|access|private)?_?key|credentials?|auth)(?:_|$)"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a step did not reach the network, and what to do about it."""

    what: str
    hint: str


def explain(lines: Sequence[str], *, host_settings: bool) -> Fault | None:
    """The fault that the last lines of a failed step show; None if it was not the network.

    The command of the step may be the first of `lines`: some tools name no host. `host_settings`: the builds have
    this host's settings already. A name without a dot that is not reached is another service or the step itself, no
    fault of the network.
    """
    text = "\n".join(lines)
    hosts = [host for line in text.split("\n") if (host := _host(line))]
    if hosts and re.search(_LOGIN, text):
        return Fault(f"{hosts[0]} requires a login, which the build does not have", _SECRET_HINT.format(id="login"))

    def words(_: TableEntry, groups: Mapping[str, str], line: int) -> dict[str, str]:
        host = _host(text.split("\n")[line]) or next(iter(hosts), "a server")
        return {"host": host, "proxy": groups.get("proxy") or "on 127.0.0.1", "named": "".join(hosts)}

    explanation = table.explain(table.load(TABLE), text, words)
    return Fault(explanation.cause, explanation.hint if host_settings else GIVE) if explanation else None


def _host(line: str) -> str | None:
    match = _HOST.search(line)
    return match["host"] if match and not re.fullmatch(r"127\.[\d.]+", match["host"]) else None


def secret_arguments_notice(service: str, arguments: Iterable[tuple[str, str]]) -> Notice | None:
    """A notice about build arguments that look like secrets, since the history of the image keeps them."""
    names = [name for name, value in arguments if value and _SECRET.search(name) and "public" not in name.lower()]
    if not names:
        return None
    what = f"the image of `{service}` keeps its build {'argument' if len(names) == 1 else 'arguments'}"
    return Notice(f"{what} {', '.join(names)} in its history", _SECRET_HINT.format(id=names[0].lower()))
