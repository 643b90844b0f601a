"""Facts about paths on this machine: targets of links, sockets of engines, and owners of home folders."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping

from devenv.compose.safety.paths import AGENT, ENGINES, TABLES, Host, HostPath
from devenv.docker import context
from devenv.paths import is_within

_PATIENCE = 0.3  # seconds for each question to a socket
_LINKS = 40  # as many as Linux follows
_ANSWER_LIMIT = 4096  # bytes
_FIRST_USER, _NOBODY = 500, 65534  # below: users of the system, whose homes are folders of the system

_PING = b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n"
_ANSWERS = (b"\r\napi-version:", b"\r\nlibpod-api-version:", b"\r\nserver: docker/")

_HOME_SOCKETS = (".docker/run", ".docker/desktop", ".colima/default", ".orbstack/run", ".rd")  # of Docker


def gather(paths: Iterable[str], directory: str) -> Host:
    """Gather the facts about the paths, for a project in `directory`. Blocking, at most 0.6 s for each socket."""
    home = os.path.normpath(os.path.expanduser("~"))
    listening = dict(_listening(home))
    inodes = {inode: daemon for path, daemon in listening.items() if (inode := _inode(path))}
    projects = tuple(dict.fromkeys((os.path.normpath(directory), real_path(directory))))
    return Host(
        homes=tuple(dict.fromkeys((home, real_path(home)))),
        projects=projects,
        paths={path: _look(path, inodes, projects) for path in paths},
        sockets={real_path(path): daemon for path, daemon in listening.items()},
        keys=tuple(_key_paths(home)),
    )


def _listening(home: str) -> Iterator[tuple[str, str]]:
    """The existing sockets of known daemons; the engine in use and the SSH agent are known by the environment."""
    known = {**ENGINES, "/var/run/docker.sock": "Docker"}
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        known |= {os.path.join(folder, name): daemon for name, daemon in TABLES["runtime_sockets"].items()}
    known |= {os.path.join(home, folder, "docker.sock"): "Docker" for folder in _HOME_SOCKETS}
    if engine := context.socket_path():
        known.setdefault(engine, "Docker")
    if agent := os.environ.get("SSH_AUTH_SOCK"):
        known.setdefault(agent, AGENT)
    return ((path, daemon) for path, daemon in known.items() if _inode(path))


def _key_paths(home: str) -> Iterator[str]:
    """The real paths of keys outside their usual places: named by the environment, or reached by a link."""
    named = [os.environ.get(name, "") for name in TABLES["key_variables"]]
    named += os.environ.get("KUBECONFIG", "").split(os.pathsep)
    yield from (real_path(path) for path in named if os.path.isabs(path))
    usual = (os.path.join(real_path(home), name) for name in TABLES["secrets"])
    yield from (real for path in usual if (real := real_path(path)) != path)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISSOCK(status.st_mode) else None


def _look(path: str, inodes: Mapping[tuple[int, int], str], projects: Iterable[str]) -> HostPath:
    real = real_path(path)
    try:
        status = os.stat(real)
    except (OSError, ValueError):
        return HostPath(real)
    if stat.S_ISSOCK(status.st_mode):
        daemon = inodes.get((status.st_dev, status.st_ino)) or peer(real)
        return HostPath(real, is_socket=True, daemon=daemon)
    user = "" if is_within(real, *projects) else _whose_home(real, status.st_uid)
    return HostPath(real, is_socket=False, user=user)


def peer(path: str) -> str:
    """The daemon that listens on the socket, if it controls containers; else an empty text.

    The kernel names the process that listens. If this process only started the daemon (systemd) or is a relay, the
    daemon is known by its answer.
    """
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PATIENCE)
        client.connect(path)
        if daemon := TABLES["daemons"].get(_command(client)):
            return str(daemon)
        client.sendall(_PING)
        head, _, _ = client.recv(_ANSWER_LIMIT).lower().partition(b"\r\n\r\n")
        if head.startswith(b"http/") and any(header in head for header in _ANSWERS):
            return "Podman" if b"libpod-api-version:" in head else "Docker"
    return ""


def _command(client: socket.socket) -> str:
    """The name of the process that listens at the other end (unix(7), SO_PEERCRED); empty if unknown."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return ""
    pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def real_path(path: str) -> str:
    """The path without links; a relative path starts from `/`, as for the engine.

    Unlike os.path.realpath, this stops at a link in /proc, which has another target for the engine's process. A link
    that cannot be read counts as a file.
    """
    rest, real, links = path.split("/")[::-1], "", 0
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            real = os.path.dirname(real).rstrip("/")
            continue
        at = f"{real}/{name}"
        try:
            target = os.readlink(at)
        except (OSError, ValueError):
            real = at
            continue
        links += 1
        if links > _LINKS or is_within(at, "/proc"):
            return at
        real = "" if target.startswith("/") else real
        rest += target.split("/")[::-1]
    return real or "/"


def _whose_home(path: str, uid: int) -> str:
    """The name of another user who owns the path, if it is in the home folder of that user."""
    if uid == os.getuid() or uid < _FIRST_USER or uid == _NOBODY:
        return ""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return ""
    return entry.pw_name if entry.pw_dir not in ("", "/") and is_within(path, entry.pw_dir) else ""
