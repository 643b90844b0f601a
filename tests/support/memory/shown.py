"""The answers of the engine in memory, in the format of the Engine API."""

from __future__ import annotations

from typing import Any

from support.memory.host import Container, Image, MemoryHost, Network, Volume, shown


def container(host: MemoryHost, one: Container) -> dict[str, Any]:
    """`GET /containers/ID/json`."""
    wish, image = one.wish, host.images.get(one.image)
    state: dict[str, Any] = {
        "Status": one.state,
        "Running": one.running,
        "Paused": one.state == "paused",
        "Restarting": one.state == "restarting",
        "OOMKilled": False,
        "Dead": False,
        "ExitCode": one.exit_code,
        "Error": one.error,
        "StartedAt": shown(one.started),
        "FinishedAt": shown(one.finished),
    }
    if one.health is not None:
        state["Health"] = {"Status": one.health, "Log": one.health_log}
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
        "Labels": dict(one.labels),
    }
    if wish.get("StopTimeout") is not None:
        config["StopTimeout"] = wish["StopTimeout"]
    return {
        "Id": one.id,
        "Created": shown(one.created),
        "State": state,
        "Image": one.image,
        "Name": f"/{one.name}",
        "RestartCount": one.restarts,
        "Mounts": [_mount(host, m) for m in one.mounts],
        "Config": config,
        "HostConfig": dict(one.host_config),
        "NetworkSettings": {
            "Ports": (one.host_config.get("PortBindings") or {}) if one.running else {},
            "Networks": {name: _endpoint(host, name, connected=one.running) for name in one.networks},
        },
    }


def listed(host: MemoryHost, one: Container) -> dict[str, Any]:
    """An entry of `GET /containers/json`."""
    ports = [
        {"IP": binding.get("HostIp", ""), "PublicPort": int(binding["HostPort"]), "PrivatePort": int(t.split("/")[0])}
        for t, bindings in ((one.host_config.get("PortBindings") or {}) if one.running else {}).items()
        for binding in bindings or ()
        if binding.get("HostPort")
    ]
    return {
        "Id": one.id,
        "Names": [f"/{one.name}"],
        "Image": one.wish.get("Image", ""),
        "ImageID": one.image,
        "Command": " ".join(one.command),
        "Created": one.created // 10**9,
        "Ports": ports,
        "Labels": dict(one.labels),
        "State": one.state,
        "Mounts": [_mount(host, m) for m in one.mounts],
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


def network(host: MemoryHost, one: Network) -> dict[str, Any]:
    """`GET /networks/ID`."""
    return {
        "Id": one.id,
        "Name": one.name,
        "Created": shown(one.created),
        "Scope": "local",
        "Driver": "bridge",
        "Labels": dict(one.labels),
        "Containers": {c.id: {"Name": c.name} for c in host.connected(one.name)},
    }


def volume(host: MemoryHost, one: Volume) -> dict[str, Any]:
    """`GET /volumes/NAME`."""
    return {
        "CreatedAt": shown(one.created * 10**9),
        "Driver": one.driver,
        "Labels": None if one.labels is None else dict(one.labels),
        "Mountpoint": f"{host.root}/volumes/{one.name}/_data",
        "Name": one.name,
        "Options": one.options,
        "Scope": "local",
    }


def image(one: Image) -> dict[str, Any]:
    """`GET /images/NAME/json`, with the fields of `GET /images/json`."""
    return {
        "Id": one.id,
        "RepoTags": sorted(one.tags),
        "RepoDigests": [],
        "Labels": dict(one.labels),
        "Created": shown(0),
        "Architecture": "amd64",
        "Os": "linux",
        "Size": 0,
        "RootFS": {"Type": "layers", "Layers": [one.id]},
        "Config": {
            "User": one.user,
            "Env": one.environment,
            "Cmd": one.command,
            "Volumes": {path: {} for path in one.volumes} or None,
            "Labels": dict(one.labels),
            "Healthcheck": one.healthcheck,
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
