"""The answers of the engine in memory, in the format of the Engine API."""

from __future__ import annotations

from typing import Any

from support.memory.host import Container, Image, MemoryHost, Network, Volume, shown


def container(host: MemoryHost, item: Container) -> dict[str, Any]:
    """`GET /containers/ID/json`."""
    wish, image = item.wish, host.images.get(item.image)
    state: dict[str, Any] = {
        "Status": item.state,
        "Running": item.running,
        "Paused": item.state == "paused",
        "Restarting": item.state == "restarting",
        "OOMKilled": False,
        "Dead": False,
        "ExitCode": item.exit_code,
        "Error": item.error,
        "StartedAt": shown(item.started),
        "FinishedAt": shown(item.finished),
    }
    if item.health is not None:
        state["Health"] = {"Status": item.health, "Log": item.health_log}
    environment = {entry.partition("=")[0]: entry for entry in (image.environment if image else ())}
    environment |= {entry.partition("=")[0]: entry for entry in wish.get("Env") or ()}
    config = {
        "User": wish.get("User") or (image.user if image else ""),
        "Tty": bool(wish.get("Tty")),
        "Env": [*environment.values()],
        "Cmd": wish.get("Cmd") or (image.command if image else None),
        "Entrypoint": wish.get("Entrypoint"),
        "Image": wish.get("Image", ""),
        "Volumes": wish.get("Volumes"),
        "Labels": dict(item.labels),
        "Healthcheck": wish.get("Healthcheck") or (image.healthcheck if image else None),
    }
    if wish.get("StopTimeout") is not None:
        config["StopTimeout"] = wish["StopTimeout"]
    return {
        "Id": item.id,
        "Created": shown(item.created),
        "State": state,
        "Image": item.image,
        "Name": f"/{item.name}",
        "RestartCount": item.restarts,
        "Mounts": [_mount(host, m) for m in item.mounts],
        "Config": config,
        "HostConfig": dict(item.host_config),
        "NetworkSettings": {
            "Ports": (item.host_config.get("PortBindings") or {}) if item.running else {},
            "Networks": {name: _endpoint(host, name, connected=item.running) for name in item.networks},
        },
    }


def listed(host: MemoryHost, item: Container) -> dict[str, Any]:
    """An entry of `GET /containers/json`."""
    ports = [
        {"IP": binding.get("HostIp", ""), "PublicPort": int(binding["HostPort"]), "PrivatePort": int(t.split("/")[0])}
        for t, bindings in ((item.host_config.get("PortBindings") or {}) if item.running else {}).items()
        for binding in bindings or ()
        if binding.get("HostPort")
    ]
    return {
        "Id": item.id,
        "Names": [f"/{item.name}"],
        "Image": item.wish.get("Image", ""),
        "ImageID": item.image,
        "Command": " ".join(item.command),
        "Created": item.created // 10**9,
        "Ports": ports,
        "Labels": dict(item.labels),
        "State": item.state,
        "Mounts": [_mount(host, m) for m in item.mounts],
    }


def _mount(host: MemoryHost, mount: Any) -> dict[str, Any]:
    if mount.kind != "volume":
        return {"Type": mount.kind, "Source": mount.source, "Destination": mount.target, "RW": mount.writable}
    source = f"{host.root}/volumes/{mount.source}/_data"
    return {
        "Type": "volume",
        "Name": mount.source,
        "Source": source,
        "Destination": mount.target,
        "Driver": "local",
        "RW": mount.writable,
    }


def _endpoint(host: MemoryHost, name: str, *, connected: bool) -> dict[str, Any]:
    known = next((n.id for n in host.networks.values() if n.name == name), "")
    return {"NetworkID": known if connected else "", "Aliases": None}


def network(host: MemoryHost, item: Network) -> dict[str, Any]:
    """`GET /networks/ID`."""
    return {
        "Id": item.id,
        "Name": item.name,
        "Created": shown(item.created),
        "Scope": "local",
        "Driver": "bridge",
        "Labels": dict(item.labels),
        "Containers": {c.id: {"Name": c.name} for c in host.connected(item.name)},
    }


def volume(host: MemoryHost, item: Volume) -> dict[str, Any]:
    """`GET /volumes/NAME`."""
    return {
        "CreatedAt": shown(item.created * 10**9),
        "Driver": item.driver,
        "Labels": None if item.labels is None else dict(item.labels),
        "Mountpoint": f"{host.root}/volumes/{item.name}/_data",
        "Name": item.name,
        "Options": item.options,
        "Scope": "local",
    }


def image(item: Image) -> dict[str, Any]:
    """`GET /images/NAME/json`, with the fields of `GET /images/json`."""
    return {
        "Id": item.id,
        "RepoTags": sorted(item.tags),
        "RepoDigests": [],
        "Labels": dict(item.labels),
        "Created": shown(0),
        "Architecture": "amd64",
        "Os": "linux",
        "Size": 0,
        "RootFS": {"Type": "layers", "Layers": [item.id]},
        "Config": {
            "User": item.user,
            "Env": item.environment,
            "Cmd": item.command,
            "Volumes": {path: {} for path in item.volumes} or None,
            "Labels": dict(item.labels),
            "Healthcheck": item.healthcheck,
        },
    }


def info(host: MemoryHost) -> dict[str, Any]:
    """`GET /info`."""
    return {
        "ID": host.id,
        "DockerRootDir": host.root,
        "ServerVersion": "26.1.5",
        "Name": "memory",
        "OperatingSystem": "memory",
        "MemTotal": 8 << 30,
        "NCPU": 2,
        "Driver": "overlay2",
        "Containers": len(host.containers),
        "Images": len(host.images),
    }


VERSION = {
    "Version": "26.1.5",
    "ApiVersion": "1.45",
    "MinAPIVersion": "1.24",
    "Os": "linux",
    "Arch": "amd64",
    "KernelVersion": "memory",
    "Components": [{"Name": "Engine", "Version": "26.1.5"}],
}
