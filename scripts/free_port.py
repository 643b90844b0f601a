"""Prints the first free TCP port: the requested one, else the first at or after the fallback.

Usage: free_port.py PORT FALLBACK
"""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from itertools import count


def usable(port: int, *, engine_is_root: bool) -> bool:
    """Whether the engine could publish `port` on the loopback address.

    A low port that is forbidden to us is not forbidden to an engine that runs as root.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno in (errno.EACCES, errno.EPERM) and engine_is_root and not _answers(port)
    return True


def first_usable(port: int, fallback: int, *, engine_is_root: bool) -> int:
    """`port` itself, or the lowest usable port from `fallback` on."""
    if usable(port, engine_is_root=engine_is_root):
        return port
    return next(other for other in count(fallback) if usable(other, engine_is_root=engine_is_root))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _engine_is_root() -> bool:
    argv = ["docker", "info", "--format", "{{.SecurityOptions}}"]
    info = subprocess.run(argv, capture_output=True, text=True, check=False)
    return info.returncode == 0 and "rootless" not in info.stdout


if __name__ == "__main__":
    print(first_usable(int(sys.argv[1]), int(sys.argv[2]), engine_is_root=_engine_is_root()))
