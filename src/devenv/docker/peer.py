"""The process behind the engine's unix socket, and whether it sees the same files as this process."""

from __future__ import annotations

import os
import socket
import struct

import anyio

from devenv.docker.endpoint import Endpoint

ENGINES = ("dockerd", "podman", "systemd", "init")  # systemd and init open the socket for an engine
TIMEOUT = 1.0


async def sees_files(endpoint: Endpoint, kernel: str) -> bool | None:
    """Whether an engine with this kernel sees the files of this machine; None if that is not certain."""
    if endpoint.host.startswith("ssh://"):
        return False
    path = endpoint.socket
    if path is None or kernel != os.uname().release:
        return None
    return True if not os.path.exists(path) or await anyio.to_thread.run_sync(is_here, path) else None


async def is_on_this_machine(endpoint: Endpoint, kernel: str) -> bool:
    """Whether an engine with this kernel runs on this machine, and not behind a socket that another program forwards.

    If the listener is in another pid namespace, the kernel alone counts.
    """
    path = endpoint.socket
    if path is None or kernel != os.uname().release:
        return False
    return not os.path.exists(path) or not await anyio.to_thread.run_sync(_is_forwarded, path)


def _is_forwarded(path: str) -> bool:
    """Whether a program that is no engine listens at the socket. Blocking."""
    try:
        pid = _listener(path)
        return pid != 0 and _program(pid) not in ENGINES
    except (OSError, AttributeError):  # unknown
        return False


def is_here(path: str) -> bool:
    """Whether certainly an engine in this mount namespace listens at the socket. Blocking.

    It is not certain for an engine in a namespace of its own, for a forwarded socket, and without Linux.
    """
    try:
        pid = _listener(path)
        is_engine = _program(pid) in ENGINES
        try:
            is_same = os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
        except PermissionError:  # of another user
            is_same = True
    except (OSError, AttributeError):
        return False
    return is_engine and is_same


def _program(pid: int) -> str:
    with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
        return file.read().strip()


def _listener(path: str) -> int:
    """The process that listens at the socket; 0 if it is in another pid namespace."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(path)
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid
