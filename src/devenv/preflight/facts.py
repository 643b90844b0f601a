"""What is true of this machine right now: who listens on a port."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket

from devenv.engine import process

LISTEN = "0A"
PORT_SEARCH = 1000


def listener(ip: str, port: int) -> bool:
    """Whether the port is taken on that address.

    A port that only root may bind counts as free unless somebody answers: the engine, not we, will bind it.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip or "0.0.0.0", port))  # noqa: S104 - a probe that never listens
        except OSError as error:
            if error.errno == errno.EACCES:
                return _answers(ip, port)
            return error.errno == errno.EADDRINUSE
    return False


def _answers(ip: str, port: int) -> bool:
    loopback = "127.0.0.1" if ip in ("", "0.0.0.0") else ip  # noqa: S104 - compared, not bound
    with contextlib.suppress(OSError), socket.create_connection((loopback, port), timeout=0.3):
        return True
    return False


def free_port(ip: str, wanted: int) -> int:
    """The first free port from 8000 + `wanted` (for privileged ones) or `wanted` + 1 on."""
    start = 8000 + wanted if wanted < 1024 else wanted + 1  # noqa: PLR2004 - the privileged ports
    return next((p for p in range(start, min(start + PORT_SEARCH, 65536)) if not listener(ip, p)), 0)


async def owner(port: int) -> str | None:
    """`pid 123 (nginx)` for whoever listens on the TCP port; None where the system does not tell us."""
    if os.path.isdir("/proc/self"):
        return _owner_from_proc(port)
    shown = await process.run(["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"])
    found = re.search(r"p(\d+)\nc(.+)", shown.text)
    return f"pid {found[1]} ({found[2]})" if found else None


def _owner_from_proc(port: int) -> str | None:
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(table, port)}
    if not inodes:
        return None
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            folder = f"/proc/{pid}/fd"
            if any(os.readlink(f"{folder}/{fd}") in inodes for fd in os.listdir(folder)):
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="backslashreplace") as file:
                    return f"pid {pid} ({file.read().strip()})"
    return None


def _listening(table: str, port: int) -> list[str]:
    with contextlib.suppress(OSError), open(f"/proc/net/{table}", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
        return [row[9] for row in rows if row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port]
    return []
