"""How ssh is called to reach an engine: the address, command lines, pauses, and what its messages mean."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit

from devenv.lazy_dataclass import dataclass

ENGINE_SOCKET = "/var/run/docker.sock"
CONTROL = "c"  # the socket of ssh itself in the folder of a line
# Keep-alive: a line that does not answer for five seconds is lost: ssh ends after one more than the count.
_OPTIONS = {
    "ControlPersist": "no",
    "ConnectTimeout": "5",
    "ServerAliveInterval": "1",
    "ServerAliveCountMax": "4",
    "StreamLocalBindUnlink": "yes",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "LogLevel": "INFO",  # less would hide why a forward fails
}
USABLE = "usable"
SHORTEST, LONGEST = 0.25, 3.0  # seconds between two attempts to connect again


@dataclass(frozen=True, slots=True)
class Remote:
    """The machine of an engine as ssh knows it, and the engine's socket there; `port` is empty if ssh chooses it."""

    login: str
    port: str = ""
    socket: str = ENGINE_SOCKET

    @property
    def name(self) -> str:
        """The host, without the user: what messages call it."""
        return self.login.rpartition("@")[2]

    @property
    def destination(self) -> tuple[str, ...]:
        """The arguments that select the machine."""
        return (*(("-p", self.port) if self.port else ()), "--", self.login)


def remote(address: str) -> Remote | None:
    """The machine of an address `ssh://[user@]host[:port][/socket]`; None for another kind of address."""
    parts = urlsplit(address)
    if parts.scheme != "ssh" or not parts.hostname:
        return None
    user, _, place = parts.netloc.rpartition("@")
    bracketed = re.fullmatch(r"\[(.+?)\](?::(\d+))?", place)
    host, port = bracketed.groups("") if bracketed else (place.partition(":")[0], place.partition(":")[2])
    user = unquote(user.partition(":")[0])
    return Remote(f"{user}@{host}" if user else host, port, unquote(parts.path.rstrip("/")) or ENGINE_SOCKET)


def master(remote: Remote, folder: str, listener: str, forwards: Sequence[str] = ()) -> list[str]:
    """The command that logs in, and forwards the socket `listener` to the engine's, and ports, until it ends."""
    options = [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]
    places = [f"{listener}:{remote.socket}", *forwards]
    listeners = [word for place in places for word in ("-L", place)]
    return ["ssh", "-M", "-N", "-T", "-S", f"{folder}/{CONTROL}", *options, *listeners, *remote.destination]


def control(remote: Remote, folder: str, *words: str) -> list[str]:
    """A command of ssh over the line in `folder`, without a login of its own."""
    return ["ssh", "-T", "-S", f"{folder}/{CONTROL}", *words[:-1], *remote.destination, *words[-1:]]


def request(remote: Remote, folder: str, action: str, forwards: Iterable[str]) -> list[str]:
    """The command that adds (`forward`) or ends (`cancel`) forwards of the line in `folder`."""
    places = [word for forward in forwards for word in ("-L", forward)]
    return ["ssh", "-S", f"{folder}/{CONTROL}", "-O", action, *places, *remote.destination]


def pauses() -> Sequence[float]:
    """The seconds before each attempt to connect again; the last counts for all that follow."""
    return tuple(min(SHORTEST * 2**number, LONGEST) for number in range(5))


def find_socket(tried: str) -> str:
    """The shell command that prints the sockets which the remote machine names, and whether `tried` may be used."""
    return (
        'printf "%s\\n" "$DOCKER_HOST";'
        ' docker context inspect -f "{{.Endpoints.docker.Host}}" 2>/dev/null || echo;'
        ' printf "unix://%s/docker.sock\\n" "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}";'
        f" [ -w {shlex.quote(tried)} ] && echo {USABLE}"
    )


def found_socket(printed: str, tried: str) -> str | None:
    """The socket that `find_socket` found, if it is not the one that was tried, and this one cannot be used."""
    for line in printed.splitlines() if not _is_usable(printed) else ():
        if line.startswith("unix:///") and (path := line.removeprefix("unix://").strip()) != tried:
            return path
    return None


def missing(printed: str) -> str:
    """What a line lacks, by the output of `find_socket`: sshd gives one answer for all causes."""
    if _is_usable(printed):
        return "its sshd does not forward sockets (AllowStreamLocalForwarding, AllowTcpForwarding)"
    return "the engine's socket there does not exist, or belongs to others"


def _is_usable(printed: str) -> bool:
    return printed.splitlines()[-1:] == [USABLE]
