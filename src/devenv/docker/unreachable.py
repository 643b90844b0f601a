"""Why an engine cannot be reached, by the output of ssh or docker, and what to type, by the table `engine`."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devenv.errors import EngineError
from devenv.explain import table

if TYPE_CHECKING:
    from devenv.docker.endpoint import Endpoint

TABLE = "engine"
_WRAPPED = re.compile(r"(?s)\A.*\bstderr=|(?m:^failed to open the raw stream connection: )")
_GO = re.compile(r"\bdial (?:tcp|udp|unix):? |(?<=: )connect: ")  # words of the docker command's libraries
_LOOKUP = re.compile(r"lookup (\S+?)(?: on \S+)?: no such host")
_NOISE = re.compile(r"(?i)debug\d|warning: |pseudo-terminal|\W*\Z|@@@")
_UNPRINTED = re.compile(r"\x1b\][^\x07\x1b]*\x07?|\x1b\[[0-?]*[ -/]*[@-~]|\x1b.")


def reason(printed: str) -> str:
    """The line of a program's standard error that says why it failed; empty if there is none.

    It has no escape sequences, control characters or secrets.
    """
    bare = _LOOKUP.sub(r"the name \1 is not found", _GO.sub("", _UNPRINTED.sub("", _WRAPPED.sub("", printed))))
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in bare.splitlines()]
    lines = [line for line in lines if not _NOISE.match(line)]
    if not lines:
        return ""
    lines.reverse()  # of several lines that match, the last counts
    explanation = table.explain(table.load(TABLE), "\n".join(lines))
    from devenv.redact import Redactor  # noqa: PLC0415 - only if something is wrong

    return Redactor(os.environ).text(lines[explanation.line if explanation else 0]).rstrip(".")


def unreachable(endpoint: Endpoint, why: str, said: str = "") -> EngineError:
    """The error for an engine that cannot be reached, with the command to type on this system.

    `why` is the message of the system, `said` that of ssh or docker (see `reason`).
    """
    message = f"cannot reach the Docker engine at {endpoint.shown}"
    if endpoint.local and "ermission denied" in why:
        hint = "sudo usermod -aG docker $USER   (then log in again)"
        return EngineError(f"{message}: permission denied on the socket", hint=hint)
    by = f" (context {endpoint.context})" if endpoint.context is not None else ""
    other_engine = "docker context use default" if by else "unset DOCKER_HOST"
    tail = f": {said}" if said else ""
    return EngineError(
        f"{message}{by}{tail}", hint=start_command() if endpoint.local else _hint(endpoint, said) or other_engine
    )


def _hint(endpoint: Endpoint, said: str) -> str:
    """What to type for an error of ssh; empty for an engine that is not reached by ssh."""
    if not endpoint.host.startswith("ssh://"):
        return ""
    login = re.sub(r":[^@/]*@", "@", urlsplit(endpoint.host).netloc)  # without a password
    login, _, port = login.partition(":") if "]" not in login else (login, "", "")
    known = {
        "ssh": shlex.join(["ssh", *(("-p", port) if port else ()), login]),
        "port": f"-p {port} " if port else "",
        "login": shlex.quote(login),
        "name": shlex.quote(login.rpartition("@")[2]),
    }
    explanation = table.explain(table.load(TABLE), said, lambda *_: known)
    return explanation.hint if explanation else known["ssh"]


def start_command() -> str:
    """The command that starts an engine on this system."""
    if os.uname().sysname == "Darwin":
        return "open -a Docker   (or: orb start, colima start)"
    if os.path.isdir("/run/systemd/system"):
        return "sudo systemctl start docker"
    return "sudo sh -c 'setsid dockerd >/var/log/dockerd.log 2>&1 &'"
