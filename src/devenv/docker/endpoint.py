"""The address of the engine, by the rules of the docker CLI, and the errors for an engine that cannot be reached.

`explain/tables/engine.toml` has the messages of ssh and docker for connections that fail, and the hints for them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re

from devenv.docker import context
from devenv.errors import EngineError, RefusedError
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports

with LazyImports():  # an address needs none of these
    import shlex
    from urllib import parse

    from devenv.docker import process, ssh_lines, trace
    from devenv.explain import table

LAST_BYTES = 4096  # bytes at the end of a child's standard error

# Compiled at their first use, by functions of `re`: most commands need none of these.
_ADDRESS = (
    r"(?:unix|npipe|fd)://.*|(?:\w+://)?(?:[^@/\s]*@)?(?:[^@/:\[\]\s]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?(?:/\S*)?"
)
_OPTION = r"ssh://(?:[^@/]*@)?-"
_WRAPPED = r"(?s)\A.*\bstderr=|(?m:^failed to open the raw stream connection: )"
_GO = r"\bdial (?:tcp|udp|unix):? |(?<=: )connect: "  # words of the docker command's libraries
_LOOKUP = r"lookup (\S+?)(?: on \S+)?: no such host"
_NOISE = r"(?i)debug\d|warning: |pseudo-terminal|\W*\Z|@@@"
_UNPRINTED = r"\x1b\][^\x07\x1b]*\x07?|\x1b\[[0-?]*[ -/]*[@-~]|\x1b."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine's address as the docker CLI would use it, and the context that it is from, if any.

    `line` is the path of a socket on this machine that leads to an engine elsewhere (see `remote.line`). Who the
    engine is does not depend on it. A borrowed line belongs to another process, and may end at any time.
    """

    host: str
    context: str | None = None
    line: str | None = None
    is_borrowed: bool = False

    @property
    def dialled(self) -> str | None:
        """The path of the unix socket that reaches the engine, on this machine; None if `docker` has to connect."""
        return self.line or self.socket

    @property
    def environment(self) -> dict[str, str]:
        """What children have to find in their environment to use the line; empty without a line."""
        return {} if self.line is None else ssh_lines.environment(self.line)

    @property
    def socket(self) -> str | None:
        """The path of the engine's unix socket, or None for another kind of address."""
        return self.host.removeprefix("unix://") if self.host.startswith("unix://") else None

    @property
    def machine(self) -> str:
        """The name of the engine's machine; empty for this machine."""
        name = parse.urlsplit(self.host).netloc.rpartition("@")[2]
        return "" if self.socket is not None else re.sub(r":\d*\Z", "", name) or self.shown

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return re.sub(r"//.*@", "//***@", self.host)

    def docker_command(self, *args: str) -> list[str]:
        """The docker command with the address of this engine: the CLI's current context may have changed."""
        if self.line is not None:
            return ["docker", "--host", f"unix://{self.line}", *args]
        return ["docker", *(("--context", self.context) if self.context else ("--host", self.host)), *args]

    @property
    def has_files(self) -> bool:
        """Whether the engine is on this machine, or in a virtual machine of it: it may see the files here."""
        return self.socket is not None

    @property
    def has_ports(self) -> bool:
        """Whether published ports appear on this machine: those of an engine elsewhere, if a line forwards them."""
        return self.dialled is not None


async def resolve() -> Endpoint:
    """The current endpoint, from DOCKER_HOST, else DOCKER_CONTEXT, else the CLI's current context.

    Raises EngineError if the context does not exist or the docker CLI, which reads it, is not installed; another
    engine is never used instead.
    """
    require_address()
    if host := os.environ.get("DOCKER_HOST"):
        return _borrowing(Endpoint(host if "://" in host else f"tcp://{host}"))  # as the docker CLI reads it
    name = context.current()
    if name is None:
        return Endpoint(context.DEFAULT_SOCKET)
    done = await process.run(["docker", "context", "inspect", "--", name])
    with contextlib.suppress(json.JSONDecodeError, LookupError, TypeError):
        return _borrowing(Endpoint(json.loads(done.stdout)[0]["Endpoints"]["docker"]["Host"], name))
    raise EngineError(f"docker context `{name}` not found, or it has no engine", hint="docker context ls")


def named(name: str) -> Endpoint:
    """The endpoint of a docker context, or else of an address or an ssh host, as for `context.select`."""
    host = context.host(name)
    return Endpoint(host or (name if "://" in name else f"ssh://{name}"), name if host else None)


def _borrowing(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with the line of a run that is up, if there is one: a login of its own takes longer."""
    if not endpoint.host.startswith("ssh://") or (path := ssh_lines.find(endpoint.host)) is None:
        return endpoint
    return Endpoint(endpoint.host, endpoint.context, path, is_borrowed=True)


def require_address() -> None:
    """Check that DOCKER_HOST is unset or has the form of an address.

    Raises RefusedError for an address that ssh would read as an option, else EngineError.
    """
    host = os.environ.get("DOCKER_HOST", "")
    address, hint = re.sub(r"(?s)(\w+://)?.*@", r"\g<1>***@", host), "unset DOCKER_HOST"
    if re.match(_OPTION, host):
        raise RefusedError(f"DOCKER_HOST is {address}, which ssh would read as an option", hint=hint)
    if host and not re.fullmatch(_ADDRESS, host):
        message = f"cannot reach the engine at {address}: DOCKER_HOST is not the address of an engine"
        raise EngineError(message, hint=hint)


class WayError(ConnectionError):
    """The program that connects to the engine failed; the text is its last message."""


def reason(printed: str) -> str:
    """The line of a program's stderr with the reason of its failure; empty if there is none.

    Escape sequences, control characters and secrets are removed.
    """
    bare = printed
    for pattern, text in ((_WRAPPED, ""), (_UNPRINTED, ""), (_GO, ""), (_LOOKUP, r"the name \1 is not found")):
        bare = re.sub(pattern, text, bare)
    lines = ["".join(c for c in line if c.isprintable()).strip() for line in bare.splitlines()]
    lines = [line for line in lines if not re.match(_NOISE, line)]
    if not lines:
        return ""
    lines.reverse()  # the last line that matches counts
    explanation = table.explain(table.load("engine"), "\n".join(lines))
    return trace.redactor().text(lines[explanation.line if explanation else 0]).rstrip(".")


def unreachable(endpoint: Endpoint, why: str, printed: str = "") -> EngineError:
    """The error for an engine that cannot be reached, with a hint for this system.

    `why` is the message of the system, `printed` the message of ssh or docker (see `reason`).
    """
    message = f"cannot reach the Docker engine at {endpoint.shown}"
    if endpoint.has_files and "ermission denied" in why:
        hint = "sudo usermod -aG docker $USER   (then log in again)"
        return EngineError(f"{message}: permission denied on the socket", hint=hint)
    by = f" (context {endpoint.context})" if endpoint.context is not None else ""
    other_engine = "docker context use default" if by else "unset DOCKER_HOST"
    tail = f": {printed}" if printed else ""
    hint = start_command() if endpoint.has_files else _hint(endpoint, printed) or other_engine
    return EngineError(f"{message}{by}{tail}", hint=hint)


def _hint(endpoint: Endpoint, printed: str) -> str:
    """The hint for an error of ssh; empty for an engine that is not reached by ssh."""
    if not endpoint.host.startswith("ssh://"):
        return ""
    login = re.sub(r":[^@/]*@", "@", parse.urlsplit(endpoint.host).netloc)  # without a password
    login, _, port = login.partition(":") if "]" not in login else (login, "", "")
    known = {
        "ssh": shlex.join(["ssh", *(("-p", port) if port else ()), login]),
        "port": f"-p {port} " if port else "",
        "login": shlex.quote(login),
        "name": shlex.quote(login.rpartition("@")[2]),
    }
    explanation = table.explain(table.load("engine"), printed, lambda *_: known)
    return explanation.hint if explanation else known["ssh"]


def start_command() -> str:
    """The command that starts an engine on this system."""
    if os.uname().sysname == "Darwin":
        return "open -a Docker   (or: orb start, colima start)"
    if os.path.isdir("/run/systemd/system"):
        return "sudo systemctl start docker"
    return "sudo sh -c 'setsid dockerd >/var/log/dockerd.log 2>&1 &'"
