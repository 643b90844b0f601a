"""Facts about this machine, with a function for each. An unknown fact is 0 or empty."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any

from devenv import state_path
from devenv.model.answers import Disk

SYSCTL = "/proc/sys"
RESOLV = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")  # the first that exists
ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}
EMULATED = {"amd64": "x86_64", "arm64": "aarch64", "386": "i386"}
SCRIPT = 512
OURS = b"devenv.__main__"
SOCKET_TIMEOUT = 0.3
OF_STATE = ("snapshots and ledgers", "volumes may not be saved", "devenv snapshot list   (and: devenv snapshot rm)")
OF_ENGINE = ("the engine's disk", "images and volumes may not fit", "docker system df   (and: docker builder prune)")


def machine(engine_root: str) -> dict[str, Any]:
    """Fields of `Machine`; `engine_root` is empty if the engine's files are on another machine. Blocking."""
    disks = (_disk(*OF_STATE, os.path.dirname(state_path())), _disk(*OF_ENGINE, engine_root) if engine_root else None)
    interface, mtu = default_route()
    return {
        "disks": tuple(filter(None, disks)),
        "watches": _limit("fs/inotify/max_user_watches"),
        "instances": _limit("fs/inotify/max_user_instances"),
        "interface": interface,
        "mtu": mtu,
        "servers": name_servers(),
    }


def _disk(what: str, meaning: str, hint: str, path: str) -> Disk | None:
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    with contextlib.suppress(OSError):
        space = os.statvfs(path)
        inodes = space.f_favail / space.f_files if space.f_files else 1.0  # btrfs and others have no fixed number
        return Disk(what, path, space.f_bavail * space.f_frsize, inodes, meaning, hint)
    return None


def _limit(name: str) -> int:
    """A limit of the Linux kernel; 0 on other systems."""
    with contextlib.suppress(OSError, ValueError), open(f"{SYSCTL}/{name}", encoding="ascii") as file:
        return int(file.read())
    return 0


def default_route() -> tuple[str, int]:
    """The interface of the default route, and its MTU. Linux only."""
    with contextlib.suppress(OSError, ValueError), open("/proc/net/route", encoding="ascii") as file:
        rows = (line.split() for line in file)
        interface = next((row[0] for row in rows if row[1] == "00000000" and row[7] == "00000000"), "")
        with open(f"/sys/class/net/{interface}/mtu", encoding="ascii") as size:
            return interface, int(size.read())
    return "", 0


def name_servers() -> tuple[str, ...]:
    """The name servers that engines on this system pass on to containers. Linux only."""
    if sys.platform != "linux":
        return ()
    for path in RESOLV:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            return tuple(re.findall(r"^\s*nameserver\s+(\S+)", file.read(), re.MULTILINE))
    return ()


def is_native(platform: str, own: str) -> bool:
    """Whether an engine for `own` runs programs of the platform without emulation; variants do not count."""
    *_, system, processor = ("linux", *platform.lower().split("/")[:2])
    processor = ALIASES.get(processor, processor)
    return f"{system}/{processor}" == own or (system, processor, own) == ("linux", "386", "linux/amd64")


def emulates(platform: str) -> bool:
    """Whether this kernel emulates another platform, such as `linux/arm64`. Linux only."""
    processor = platform.split("/")[1] if "/" in platform else ""
    path = f"{SYSCTL}/fs/binfmt_misc/qemu-{EMULATED.get(processor, processor)}"
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
        return file.read(len("enabled")) == "enabled"
    return False


def other_devenv() -> str:
    """The first `devenv` on PATH if it is another program; empty if it is ours, or not found."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, "devenv")
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            with contextlib.suppress(OSError), open(path, "rb") as file:
                return "" if OURS in file.read(SCRIPT) else path
    return ""


def engines_elsewhere(selected: str) -> Iterator[tuple[str, str]]:
    """(name, address) of engines that listen on well-known sockets, except for the address of the selected engine.

    Blocking, up to 0.3 s for each socket.
    """
    home, runtime = os.path.expanduser("~"), os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    known = {
        "the system's engine": "/var/run/docker.sock",
        "Docker Desktop": f"{home}/.docker/run/docker.sock",
        "Docker Desktop for Linux": f"{home}/.docker/desktop/docker.sock",
        "OrbStack": f"{home}/.orbstack/run/docker.sock",
        "Colima": f"{home}/.colima/default/docker.sock",
        "a rootless engine": f"{runtime}/docker.sock",
        "podman": f"{runtime}/podman/podman.sock",
        "podman (root)": "/run/podman/podman.sock",
    }
    for name, path in known.items():
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(SOCKET_TIMEOUT)
            probe.connect(path)
            if f"unix://{path}" != selected:
                yield name, f"unix://{path}"
