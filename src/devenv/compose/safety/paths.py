"""Whether a service that uses a path of the host reaches beyond its project, and why. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import NamedTuple

from devenv.explain import table
from devenv.lazy_dataclass import dataclass
from devenv.paths import is_within, normal

AGENT = "the SSH agent"
_FILES = "it contains all files of this machine"
_HOME = "it contains your whole home folder, including ~/.ssh"
_KEYS = "it contains your keys or passwords"

TABLES = table.data("compose/safety/dangers.toml")
ENGINES: Mapping[str, str] = TABLES["engines"]
_ENGINE_NAMES = {posixpath.basename(path): name for path, name in ENGINES.items()}


class _Folder(NamedTuple):
    """A folder of the system. Paths below it are dangerous always, or only if the service may write there."""

    path: str
    only_written: bool
    why: str


_OTHER_HOME = "it contains another user's files"
_SYSTEM = tuple(
    _Folder(path, why.endswith("the programs of this machine"), why)
    for why, paths in TABLES["folders"]
    for path in paths
)


@dataclass(frozen=True, slots=True)
class HostPath:
    """Facts about a path on this machine.

    `real` has no links in it. `daemon` listens on the socket. `user`: another user whose home folder contains the
    path. `is_socket` is None if it is not known, for example because the path does not exist.
    """

    real: str
    is_socket: bool | None = None
    daemon: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """The facts about this machine that decide whether a path is dangerous.

    `homes`: the user's home folder, `projects`: the project's folder, each as written and without links. `paths`:
    facts by the path as written. `sockets`: real paths of the sockets of engines and of the SSH agent -> daemon.
    `keys`: paths of keys outside their usual places, such as those in KUBECONFIG.
    """

    homes: tuple[str, ...]
    projects: tuple[str, ...] = ()
    paths: Mapping[str, HostPath] = field(default_factory=dict)
    sockets: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


def reach(source: str, host: Host, *, writes: bool) -> str | None:
    """The path and why it is dangerous, or None if it is harmless; `writes`: the service may write there."""
    path = normal(source)
    facts = host.paths.get(source) or HostPath(path)
    real = normal(facts.real)
    if facts.daemon:
        return f"{source}: {_control(facts.daemon)}"
    if _is_harmless(path, writes=writes):
        return None
    if why := _why(path, host, facts, writes=writes):
        return f"{source}: {why}"
    if real != path and (why := _why(real, host, facts, writes=writes)):
        return f"{source}, a link to {real}: {why}"
    if facts.user and not _is_own(real, host):
        return f"{source}: it is in the home folder of {facts.user}"
    return None


def _why(path: str, host: Host, facts: HostPath, *, writes: bool) -> str | None:
    if is_within(path, "/var/run"):  # a link on nearly every machine
        path = path.removeprefix("/var")
    if path == "/":
        return _FILES
    if daemon := next(_daemons(path, host, facts), None):
        return _control(daemon)
    if any(is_within(home, path) for home in host.homes):
        return _HOME
    keys = [*(posixpath.join(home, name) for home in host.homes for name in TABLES["secrets"]), *host.keys]
    if any(is_within(key, path) or is_within(path, key) for key in keys):
        return _KEYS
    return None if _is_own(path, host) else _system(path, host, writes=writes)


def _daemons(path: str, host: Host, facts: HostPath) -> Iterator[str]:
    name = posixpath.basename(path)
    if name in _ENGINE_NAMES and facts.is_socket is not False:
        yield _ENGINE_NAMES[name]
    for socket, daemon in (*host.sockets.items(), *ENGINES.items()):
        # /tmp is mounted for many reasons, and agents have a folder of their own in it
        if path == socket or (is_within(socket, path) and (daemon != AGENT or posixpath.dirname(socket) == path)):
            yield daemon


def _control(daemon: str) -> str:
    if daemon == AGENT:
        return "it can use the keys in your SSH agent"
    return f"it controls {daemon}, which can do on this machine whatever root can"


def _is_own(path: str, host: Host) -> bool:
    """Whether the path is in the project or in the user's home, such as /var/lib/jenkins.

    A project or home folder that contains a whole system folder does not exempt what is in it.
    """
    own = (*host.projects, *host.homes)
    return any(is_within(path, top) and not any(is_within(folder.path, top) for folder in _SYSTEM) for top in own)


def _system(path: str, host: Host, *, writes: bool) -> str | None:
    for folder in _SYSTEM:
        if folder.why == _OTHER_HOME and is_within(path, *host.homes):
            continue
        if path == folder.path:
            return folder.why
        if is_within(folder.path, path):
            return f"it contains {folder.path}"
        if (
            is_within(path, folder.path)
            and (writes or not folder.only_written)
            and not _is_harmless(path, writes=writes)
        ):
            return folder.why
    return None


def _is_harmless(path: str, *, writes: bool) -> bool:
    return path in TABLES["harmless"] or (not writes and is_within(path, *TABLES["harmless_to_read"]))
