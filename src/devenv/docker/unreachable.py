"""Why an engine cannot be reached, in the words of the program that was to lead to it, and what to type then."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devenv.errors import EngineError

if TYPE_CHECKING:
    from devenv.docker.endpoint import Endpoint

# What ssh, the shell there or docker there says -> what to type. The first row that matches any line holds.
HINTS = tuple(
    (re.compile(pattern, re.IGNORECASE), hint)
    for pattern, hint in (
        (
            r"could not resolve hostname|the name \S+ is not found|name or service not known",
            "{ssh}   (no such name: correct the address, or add a `Host` to ~/.ssh/config)",
        ),
        (
            r"host identification has changed|host key for \S+ has changed",
            "ssh-keygen -R {name}   (only if that machine has a new key; then: {ssh})",
        ),
        (
            r"host key verification failed|no \S+ host key is known",
            "ssh-keyscan {port}{name} >> ~/.ssh/known_hosts   (or: {ssh}, and compare the key)",
        ),
        (
            r"permission denied \(|too many authentication failures",
            "{ssh}   (it has to log in without a question: ssh-add, or: ssh-copy-id {port}{login})",
        ),
        (
            r"permission denied.*docker|docker.*permission denied",
            "{ssh} 'sudo usermod -aG docker $USER'   (then try again)",
        ),
        (
            r"docker\S* (command )?not found|command not found: docker",
            "{ssh} docker version   (install Docker there)",
        ),
        (
            r"kex_exchange_identification|connection (reset|closed) by",
            "{ssh}   (its sshd ended the connection: if it drops many logins at once, raise its MaxStartups)",
        ),
        (r"cannot connect to the docker daemon|is the docker daemon running", "{ssh} sudo systemctl start docker"),
        (r"connection refused", "{ssh}   (nothing listens at that port: start sshd there, or correct the port)"),
        (r"timed out|no route to host|network is unreachable", "{ssh}   (is that machine on, and the VPN up?)"),
    )
)
_WRAPPED = re.compile(r"(?s)\A.*\bstderr=|(?m:^failed to open the raw stream connection: )")
_GO = re.compile(r"\bdial (?:tcp|udp|unix):? |(?<=: )connect: ")  # words of the docker command's libraries
_LOOKUP = re.compile(r"lookup (\S+?)(?: on \S+)?: no such host")
_NOISE = re.compile(r"(?i)debug\d|warning: |pseudo-terminal|\W*\Z|@@@")
_UNPRINTED = re.compile(r"\x1b\][^\x07\x1b]*\x07?|\x1b\[[0-?]*[ -/]*[@-~]|\x1b.")


def reason(printed: str) -> str:
    """The line that says why, of what a program printed on standard error before it ended; empty if there is none.

    Without escape sequences, control characters, and what looks like a secret.
    """
    bare = _LOOKUP.sub(r"the name \1 is not found", _GO.sub("", _UNPRINTED.sub("", _WRAPPED.sub("", printed))))
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in bare.splitlines()]
    lines = [line for line in lines if not _NOISE.match(line)]
    known = [line for pattern, _ in HINTS for line in reversed(lines) if pattern.search(line)]
    if not lines:
        return ""
    from devenv.redact import Redactor  # noqa: PLC0415 - only if something is wrong

    return Redactor(os.environ).text((known or lines[-1:])[0]).rstrip(".")


def unreachable(endpoint: Endpoint, why: str, said: str = "") -> EngineError:
    """The error for an engine that cannot be reached, with what to type on this system.

    `why` is the system's word, `said` that of the program which was to lead there (see `reason`).
    """
    where = f"cannot reach the Docker engine at {endpoint.shown}"
    if endpoint.local and "ermission denied" in why:
        hint = "sudo usermod -aG docker $USER   (then log in again)"
        return EngineError(f"{where}: permission denied on the socket", hint=hint)
    by = f" (context {endpoint.context})" if endpoint.context is not None else ""
    away = "docker context use default" if by else "unset DOCKER_HOST"
    tail = f": {said}" if said else ""
    return EngineError(
        f"{where}{by}{tail}", hint=start_command() if endpoint.local else _hint(endpoint, said) or away
    )


def _hint(endpoint: Endpoint, said: str) -> str:
    """What to type for the words of ssh; empty if the way there is another, or the words are unknown."""
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
    return next((hint.format(**known) for pattern, hint in HINTS if pattern.search(said)), "{ssh}".format(**known))


def start_command() -> str:
    """The command that starts an engine on this system."""
    if os.uname().sysname == "Darwin":
        return "open -a Docker   (or: orb start, colima start)"
    if os.path.isdir("/run/systemd/system"):
        return "sudo systemctl start docker"
    return "sudo sh -c 'setsid dockerd >/var/log/dockerd.log 2>&1 &'"
