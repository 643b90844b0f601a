"""Ask this machine which ports are in use, by which programs, and which higher ports are free."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio.to_thread

from devenv.compose.run_model import PortChange
from devenv.docker import process
from devenv.docker.client import Engine
from devenv.host import ports
from devenv.host.ports import Place, Taken, WantedPort
from devenv.lazy_imports import LazyImports

if TYPE_CHECKING:
    from devenv.remote.line import Line

with LazyImports():  # for an engine on another machine
    from devenv.remote import forwards

LISTEN = "0A"
LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what a probe asks about
PORT_SEARCH = 1000


def is_in_use(ip: str, port: int) -> bool:
    """Whether the port is in use on the address; an empty address means all addresses.

    A port that only root may bind counts as free unless a program answers: the engine will bind it, not devenv. A
    port on an address that this machine does not have counts as free too.
    """
    if not ip:
        return any(is_in_use(everywhere, port) for everywhere in EVERYWHERE)
    error = _refusal(ip, port)
    if error == errno.EACCES:
        with contextlib.suppress(OSError), socket.create_connection((reached(ip), port), timeout=0.3):
            return True
    return error == errno.EADDRINUSE


def loopbacks(kernel: str) -> tuple[str, ...]:
    """The loopback addresses on which the engine can publish ports; `kernel` is the kernel of the engine.

    An engine on another kernel is in a virtual machine, whose port forwarding may support only IPv4. The same is true
    of WSL2, which has one kernel but forwards ports through Windows.
    """
    here = os.uname().release
    if kernel != here or "microsoft" in here.lower() or _refusal("::1", 0) is not None:
        return (LOOPBACK,)
    return LOOPBACK, "::1"


def published_on(engine: Engine) -> tuple[str, ...]:
    """The addresses of the engine's machine for ports that name none.

    One is enough for an engine elsewhere: ssh forwards it to all loopback addresses here. Podman occupies the port
    on ::1, but forwards nothing from there, so that connections to `localhost` wait in vain.
    """
    has_both = engine.endpoint.has_files and not engine.is_podman
    return loopbacks(engine.kernel) if has_both else (LOOPBACK,)


def _refusal(ip: str, port: int) -> int | None:
    """The error number if the system refuses the port on the address, else None."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ":" in ip:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((ip, port))
    except OSError as error:
        return error.errno
    return None


def reached(ip: str) -> str:
    """The address by which this machine reaches a port that is published on `ip`."""
    return dict(zip(EVERYWHERE, (LOOPBACK, "::1"), strict=True)).get(ip, ip or LOOPBACK)


def free_port(ips: Collection[str], wanted: int, reserved: Collection[int] = ()) -> int:
    """The first port that is free on all addresses and not `reserved`; 0 if there is none.

    The search starts at 8000 + `wanted` for a privileged port, else at `wanted` + 1.
    """
    start = 8000 + wanted if wanted < 1024 else wanted + 1  # noqa: PLR2004 - the privileged ports
    numbers = range(start, min(start + PORT_SEARCH, 65536))
    return next((p for p in numbers if p not in reserved and not any(is_in_use(ip, p) for ip in ips)), 0)


async def owner(port: int) -> str | None:
    """The program that listens on the TCP port, such as `pid 123 (nginx)`; None if it is not known."""
    if os.path.isdir("/proc/self"):
        return _owner_from_proc(port)
    listed = await process.run(["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"])
    match = re.search(r"p(\d+)\nc(.+)", listed.text)
    return f"pid {match[1]} ({match[2]})" if match else None


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


async def require_free(
    wanted: Iterable[WantedPort], engine: Engine, given: Iterable[PortChange] = (), line: Line | None = None
) -> None:
    """Raise PortError if wanted ports are in use, with their owners and the flags to type.

    `given`: the changes of the command line, which the hint repeats. With a line, ports have to be free at both ends.
    """
    wanted, there = tuple(wanted), dict[int, str]()
    if wanted and line is not None:
        printed = await anyio.to_thread.run_sync(line.ask, forwards.FIND_LISTENERS)
        there = forwards.listeners(printed, line.remote.name)
    if in_use := await taken(wanted, engine, there):
        raise ports.taken_error(in_use, given)


async def taken(
    wanted: Iterable[WantedPort], engine: Engine, there: Mapping[int, str] = MappingProxyType({})
) -> tuple[Taken, ...]:
    """The wanted ports that are in use, each with only the addresses where that is so.

    `there`: ports that are in use on the engine's machine, if it is another one, and by which programs.
    """
    all_wanted = [port for port in wanted if port.protocol == "tcp"]
    in_use: list[Taken] = []
    if not engine.endpoint.has_files:  # ssh listens here, on loopback
        all_wanted = [replace(port, ips=loopbacks(os.uname().release)) for port in all_wanted]
    for port in all_wanted:
        ips = tuple(ip for ip in port.ips if is_in_use(ip, port.port))
        if ips or port.port in there:
            reserved = {*(other.port for other in all_wanted), *(other.free for other in in_use), *there}
            owner_there = None if ips else there[port.port]
            name = await _owner(replace(port, ips=ips or port.ips), engine, owner_there)
            in_use.append(Taken(replace(port, ips=ips), name, free_port(port.ips, port.port, reserved)))
    return tuple(in_use)


async def automatic(
    places: Collection[Place], *, seed: str, known: Mapping[Place, int], engine: Engine
) -> dict[Place, int]:
    """A free host port for each place, by `ports.choose`; tested if the engine publishes ports on this machine."""
    taken = {number for _, _, number in await engine.containers.published()}
    while True:
        chosen = ports.choose(places, seed=seed, known=known, taken=taken)
        new = [port for place, port in chosen.items() if place not in known and engine.endpoint.has_ports]
        busy = {port for port in new if is_in_use("", port)}
        if not busy:
            return chosen
        taken |= busy


async def _owner(port: WantedPort, engine: Engine, there: str | None) -> str | None:
    """The container that publishes the port, or the program that listens on it here or `there`."""
    published = await engine.containers.published()
    for name, ip, number in published:
        if number == port.port and any(ports.overlap(own, ip) for own in port.ips):
            return name
    return there or await owner(port.port)
