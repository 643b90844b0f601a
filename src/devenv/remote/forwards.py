"""Which ports of an engine on another machine appear on this one, and how messages name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from devenv.lazy_dataclass import dataclass
from devenv.model.project import Project
from devenv.phrases import counted

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
FILE = "saved file"  # which waits for the line


@dataclass(frozen=True, slots=True)
class Forward:
    """A TCP port on an address of this machine, which leads to the same port on an address of the other one."""

    here: str
    port: int
    there: str

    @property
    def argument(self) -> str:
        """The forward as `ssh -L` takes it."""
        return f"{_bracketed(self.here)}:{self.port}:{_bracketed(self.there)}:{self.port}"


def wanted(published: Iterable[tuple[str, int]], loopbacks: Sequence[str]) -> frozenset[Forward]:
    """The forwards for the ports that containers publish, as (address, port), on the loopback addresses here.

    Of a port that is published on several addresses, the IPv4 loopback counts, then the first in order.
    """
    places: dict[int, str] = {}
    for ip, port in sorted(published, key=lambda each: (":" in each[0], each)):
        there = LOOPBACK if ip in EVERYWHERE else ip
        if there == LOOPBACK or port not in places:
            places[port] = there
    return frozenset(Forward(here, port, there) for port, there in places.items() for here in loopbacks)


# Prints the sockets of the kernel's tables, and the programs that have them as far as the user may know.
FIND_LISTENERS = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null; ss -ltnpH 2>/dev/null"
_SOCKET = re.compile(r"(?m)^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:0000 0A ")
_PROGRAM = re.compile(r'(?m)^LISTEN .*?:(\d+) +\S+ +users:\(\("([^"]+)",pid=(\d+)')


def listeners(printed: str, machine: str) -> dict[int, str]:
    """The TCP ports on which a program listens, on loopback or everywhere, each with a text that names the program.

    `printed` by `FIND_LISTENERS` on the machine.
    """
    programs = {int(port): f"pid {pid} ({name})" for port, name, pid in _PROGRAM.findall(printed)}
    reachable = re.compile(r"0+|0100007F|0{24}01000000")
    ports = {int(port, 16) for ip, port in _SOCKET.findall(printed) if reachable.fullmatch(ip)}
    return {port: f"{programs.get(port, 'another program')} on {machine}" for port in ports}


def remarks(project: Project, names: Iterable[str], machine: str) -> Iterator[str]:
    """A line for each published port of these services that is not simply forwarded from the machine."""
    chosen = frozenset(names)
    for service in project.services:
        for port in service.ports if service.name in chosen else ():
            place = f"port {port.published or port.target} of {service.name}"
            if port.protocol != "tcp":
                yield f"{place} is published on {machine} alone: ssh forwards no {port.protocol.upper()}"
            elif port.host_ip not in (None, *EVERYWHERE, LOOPBACK):
                yield f"{place} is published on {port.host_ip} of {machine}, and forwarded to localhost"
            elif "-" in (port.published or ""):
                yield f"{place}: the engine on {machine} chooses one, which is forwarded if it is free here"


def lost(machine: str, files: int, printed: str) -> str:
    """The message for a line that was lost; `files` wait for it, and ssh has `printed` the reason, if any."""
    reason = f" ({printed})" if printed else ""
    verb = "waits" if files == 1 else "wait"
    waiting = f"{counted(files, FILE)} {verb}" if files else "saved files wait until it is back"
    return f"the line to {machine} is lost{reason}; {waiting}"


def back(machine: str, seconds: float, files: int) -> str:
    """The message for a line that is back after so many seconds; `files` have waited for it."""
    return f"the line to {machine} is back after {seconds:.0f} s{f': {counted(files, FILE)}' if files else ''}"


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
