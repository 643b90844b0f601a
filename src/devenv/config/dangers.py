"""The resolved model -> what in it reaches beyond the project's own containers. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Keys of a service that take `host`, and what it shares then.
_NAMESPACES = {
    "network_mode": "the network",
    "pid": "the processes",
    "ipc": "the shared memory",
    "userns_mode": "the users, root among them,",
    "uts": "the host name",
    "cgroup": "the control groups",
}
_CAPABILITIES = {"ALL": "every capability", "SYS_ADMIN": "the capability SYS_ADMIN, which is nearly all of them"}
_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock")
_SOCKET_FOLDERS = ("/run", "/var/run")
_SECRETS = (
    ".ssh", ".aws", ".gnupg", ".docker", ".kube", ".azure", ".config/gcloud", ".netrc", ".git-credentials"
)  # fmt: skip

Model = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Danger:
    """A wish of one service; it is written at `path`, in the entry of a list that holds the text `entry`."""

    service: str
    message: str
    path: tuple[str, ...]
    entry: str = ""
    where: str = ""


def sources(model: Model) -> frozenset[str]:
    """The paths of the host that services mount."""
    volumes = model.get("volumes") or {}
    mounts = (mount for service in model["services"].values() for mount in service.get("volumes") or ())
    return frozenset(filter(None, (_source(mount, volumes) for mount in mounts)))


def dangers(model: Model, home: str, followed: Mapping[str, str] | None = None) -> tuple[Danger, ...]:
    """Every wish of the services that a container without it could not harm the machine by; `home` is the user's.

    `followed` says where `sources` lead that are links.
    """
    volumes = model.get("volumes") or {}
    return tuple(
        Danger(name, f"{name} {message}", ("services", name, key), entry)
        for name, service in model["services"].items()
        for key, entry, message in (*_plain(service), *_mounts(service, volumes, home, followed or {}))
    )


def _plain(service: Model) -> Iterator[tuple[str, str, str]]:
    if service.get("privileged") is True:
        yield "privileged", "", "is privileged: it can do on this machine whatever root can"
    for key, shared in _NAMESPACES.items():
        if service.get(key) == "host":
            yield key, "", f"shares {shared} of the host (`{key}: host`)"
    for capability in service.get("cap_add") or ():
        if has := _CAPABILITIES.get(str(capability).upper().removeprefix("CAP_")):
            yield "cap_add", str(capability), f"has {has}"
    for device in service.get("devices") or ():
        source = device["source"] if isinstance(device, dict) else str(device).partition(":")[0]
        yield "devices", source, f"uses the device {source}"


def _mounts(service: Model, volumes: Model, home: str, followed: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for mount in service.get("volumes") or ():
        if source := _source(mount, volumes):
            end = followed.get(source, source)
            if why := _reach(posixpath.normpath(source), home):
                yield "volumes", str(mount["target"]), f"mounts {source}: {why}"
            elif why := _reach(end, home):
                yield "volumes", str(mount["target"]), f"mounts {source}, a link to {end}: {why}"


def _source(mount: Model, volumes: Model) -> str | None:
    source = str(mount.get("source") or "")
    return source if mount["type"] == "bind" else _device(volumes.get(source) or {})


def _device(volume: Model) -> str | None:
    """The folder of the host that a named volume is but another name of."""
    options = volume.get("driver_opts") or {}
    return options.get("device") if "bind" in str(options.get("o")).split(",") else None


def _reach(source: str, home: str) -> str | None:
    """Why a mount of that path of the host is worth a word."""
    if source == "/":
        return "it sees all files of this machine"
    if source in _SOCKET_FOLDERS or posixpath.basename(source) in _SOCKETS:
        return "it can give orders to the engine, and so do whatever root can"
    secrets = [posixpath.join(home, name) for name in _SECRETS]
    if _is_in(home, source):
        return f"it sees your whole home folder, {posixpath.join('~', _SECRETS[0])} too"
    if any(_is_in(secret, source) or _is_in(source, secret) for secret in secrets):
        return "your keys and passwords lie there"
    return None


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
