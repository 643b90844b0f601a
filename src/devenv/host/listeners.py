"""What is true of this machine right now: who listens on a port."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Collection

from devenv.docker import process

LISTEN = "0A"
LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what a probe asks about
PORT_SEARCH = 1000


def listener(ip: str, port: int) -> bool:
    """Whether the port is taken on that address, an empty one standing for all.

    A port that only root may bind counts as free unless somebody answers: the engine, not we, will bind it. So does
    one on an address that this machine does not have.
    """
    if not ip:
        return any(listener(everywhere, port) for everywhere in EVERYWHERE)
    error = _refusal(ip, port)
    return _answers(ip, port) if error == errno.EACCES else error == errno.EADDRINUSE


def loopbacks(kernel: str) -> tuple[str, ...]:
    """The addresses that only this machine reaches, where the engine can publish on them; `kernel` is the engine's.

    An engine on another kernel lives in a virtual machine, and what forwards its ports knows IPv4 for sure. So it is
    with WSL2, where the kernel is one and the forwarding goes through Windows.
    """
    here = os.uname().release
    if kernel != here or "microsoft" in here.lower() or _refusal("::1", 0) is not None:
        return (LOOPBACK,)
    return LOOPBACK, "::1"


def _refusal(ip: str, port: int) -> int | None:
    """Why the system does not let us have the port there; None where it does."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ":" in ip:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((ip, port))
    except OSError as error:
        return error.errno
    return None


def _answers(ip: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((reached(ip), port), timeout=0.3):
        return True
    return False


def reached(ip: str) -> str:
    """Where this machine finds what is published on the address."""
    return dict(zip(EVERYWHERE, (LOOPBACK, "::1"), strict=True)).get(ip, ip or LOOPBACK)


def free_port(ips: Collection[str], wanted: int, besides: Collection[int] = ()) -> int:
    """The first port that is free on all the addresses, but for `besides`.

    The search begins at 8000 + `wanted` (for privileged ones) or `wanted` + 1.
    """
    start = 8000 + wanted if wanted < 1024 else wanted + 1  # noqa: PLR2004 - the privileged ports
    ports = range(start, min(start + PORT_SEARCH, 65536))
    return next((p for p in ports if p not in besides and not any(listener(ip, p) for ip in ips)), 0)


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
