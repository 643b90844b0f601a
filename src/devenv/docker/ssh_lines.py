"""The lines of other processes of this user to engines on other machines, which short commands may use.

The package `remote` opens lines. Each has a folder with its socket, a lock that its process holds, and the address.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket

PREFIX = "line-"
SOCKET, LOCK, ADDRESS = "s", "lock", "address"  # files in the folder of a line
LONGEST_PATH = 90  # bytes: ssh adds 17 while it creates a socket, and the limit is 103 on macOS
RANDOM = 8  # characters after the prefix


def base() -> str:
    """The folder of all folders of lines; it need not exist."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    path = os.path.join(runtime, "devenv")
    is_short = len(os.fsencode(path)) + len(f"/{PREFIX}/{SOCKET}") + RANDOM < LONGEST_PATH
    if runtime.startswith("/") and is_short and os.access(runtime, os.W_OK):
        return path
    return f"/tmp/devenv-{os.getuid()}"  # noqa: S108 - checked to be private; TMPDIR may be too long for a socket


def find(address: str) -> str | None:
    """The socket of a line to the engine at the address that is up now; None if there is none."""
    folder = base()
    try:
        status = os.lstat(folder)
        names = os.listdir(folder) if status.st_uid == os.getuid() and not status.st_mode & 0o022 else []
    except OSError:
        return None
    paths = (os.path.join(folder, name) for name in names if name.startswith(PREFIX))
    return next((f"{path}/{SOCKET}" for path in paths if _leads_to(path, address)), None)


def environment(socket: str) -> dict[str, str]:
    """What children have to find in their environment to use the line with this socket."""
    return {"DOCKER_HOST": f"unix://{socket}", "DOCKER_CONTEXT": "", "DOCKER_TLS_VERIFY": ""}


def read_address(path: str) -> str:
    """The address of the engine to which the line in the folder leads; empty without a line."""
    with contextlib.suppress(OSError), open(os.path.join(path, ADDRESS), encoding="utf-8") as file:
        return file.read()
    return ""


def _leads_to(path: str, address: str) -> bool:
    if read_address(path) != address:
        return False
    try:
        with open(os.path.join(path, LOCK), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(f"{path}/{SOCKET}") == 0
    except OSError:
        pass
    return False
