"""The engine's operations: the same effects, events and errors for every client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from support.memory.files import Node, Tree, pack, renamed, unpack
from support.memory.host import ANONYMOUS_LABEL, Container, Image, MemoryHost, Mount, Network, Volume
from support.memory.refusal import Refused

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NONE = ("none", "host")


# --- containers ---------------------------------------------------------------------------------------------


def create(host: MemoryHost, wish: Mapping[str, Any], name: str = "") -> Container:
    """Create a container from ContainerCreate, and the volumes that it lacks."""
    image = host.image(str(wish.get("Image", "")))
    if not (wish.get("Cmd") or wish.get("Entrypoint") or image.command):
        raise Refused(400, "No command specified")
    key = host.new_id()
    name = name.removeprefix("/") or f"nameless_{key[:12]}"
    if not _NAME.fullmatch(name):
        raise Refused(400, f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    _require_name(host, name)
    config: Mapping[str, Any] = wish.get("HostConfig") or {}
    for mount in config.get("Mounts") or ():
        if mount.get("Type") == "bind" and host.is_elsewhere:
            reason = f"bind source path does not exist: {mount['Source']}"
            raise Refused(400, f'invalid mount config for type "bind": {reason}')
    endpoints: Mapping[str, Any] = (wish.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    mode = str(config.get("NetworkMode") or "bridge")
    networks = [] if mode in NONE or mode.startswith("container:") else list(dict.fromkeys((mode, *endpoints)))
    container = Container(
        id=key,
        name=name,
        image=image.id,
        wish=wish,
        labels={**image.labels, **(wish.get("Labels") or {})},
        created=host.tick(),
        networks=tuple(n for n in networks if n not in ("bridge", "default")),
        files=image.files.copy(),
    )
    container.mounts = tuple(_mounts(host, wish, image))
    host.containers[key] = container
    host.emit_container_event(container, "create")
    return container


def _require_name(host: MemoryHost, name: str) -> None:
    for other in host.containers.values():
        if other.name == name:
            way = "You have to remove (or rename) that container to be able to reuse that name."
            message = f'Conflict. The container name "/{name}" is already in use by container "{other.id}". {way}'
            raise Refused(409, message)


def _mounts(host: MemoryHost, wish: Mapping[str, Any], image: Image) -> Iterable[Mount]:
    config: Mapping[str, Any] = wish.get("HostConfig") or {}
    mounts: dict[str, Mount] = {}
    for entry in config.get("Mounts") or ():
        kind, source = str(entry.get("Type", "volume")), str(entry.get("Source") or "")
        if kind == "volume":
            options: Mapping[str, Any] = entry.get("VolumeOptions") or {}
            copies = not options.get("NoCopy")
            mounts[entry["Target"]] = _volume_mount(
                host, source, entry["Target"], image, options.get("Labels"), copies=copies
            )
        elif kind == "bind":
            mounts[entry["Target"]] = Mount("bind", source, entry["Target"])
    for text in config.get("Binds") or ():
        source, target, *_ = str(text).split(":")
        is_folder = source.startswith("/")
        mounts[target] = Mount("bind", source, target) if is_folder else _volume_mount(host, source, target, image)
    for target in (*(wish.get("Volumes") or ()), *image.volumes):
        if target not in mounts:
            mounts[target] = _volume_mount(host, "", target, image)
    return mounts.values()


def _volume_mount(
    host: MemoryHost,
    source: str,
    target: str,
    image: Image,
    labels: Mapping[str, str] | None = None,
    *,
    copies: bool = True,
) -> Mount:
    name = source or host.new_id()
    volume = host.volumes.get(name)
    if volume is None:
        labels = labels or (None if source else {ANONYMOUS_LABEL: ""})
        volume = create_volume(host, {"Name": name, "Labels": labels})
    if copies and volume.files.is_empty:
        at = target.strip("/")
        if at in image.files.nodes:
            volume.files = Tree(dict(image.files.below(at)))
    return Mount("volume", name, target, is_named=bool(source))


def start(host: MemoryHost, container: Container) -> bool:
    """Start the container; return False if it runs already. Raises Refused."""
    if container.state == "paused":
        raise Refused(409, "cannot start a paused container, try unpause instead")
    if container.running:
        return False
    for name in container.networks:
        network = host.network(name)
        host.emit_event("network", "connect", network.id, {"container": container.id, "name": name, "type": "bridge"})
    if taken := next((port for port in _published(container) if port in _taken(host)), None):
        ip, number, _ = taken
        end = f"Bind for {ip or '0.0.0.0'}:{number} failed: port is already allocated"
        container.error = (
            f"driver failed programming external connectivity on endpoint {container.name} ({host.new_id()}): {end}"
        )
        container.exit_code = 128
        raise Refused(500, container.error)
    for mount in container.mounts:
        if mount.kind == "volume":
            attributes = {"container": container.id, "destination": mount.target, "driver": "local"}
            host.emit_event("volume", "mount", mount.source, attributes)
    container.state, container.error, container.exit_code = "running", "", 0
    container.started = host.tick()
    container.health = "starting" if _check(host, container) else None
    host.emit_container_event(container, "start")
    host.program(host, container)
    return True


def _check(host: MemoryHost, container: Container) -> bool:
    wished: Mapping[str, Any] | None = container.wish.get("Healthcheck")
    image = host.images.get(container.image)
    check = wished or (image.healthcheck if image else None) or {}
    test = check.get("Test") or ["NONE"]
    return bool(test[0] != "NONE")


def _published(container: Container) -> Iterable[tuple[str, str, str]]:
    bindings: Mapping[str, Any] = container.host_config.get("PortBindings") or {}
    for target, wanted in bindings.items():
        for binding in wanted or ():
            if binding.get("HostPort"):
                yield str(binding.get("HostIp") or ""), str(binding["HostPort"]), target


def _taken(host: MemoryHost) -> set[tuple[str, str, str]]:
    return {port for other in host.containers.values() if other.running for port in _published(other)}


def end(host: MemoryHost, container: Container, code: int) -> None:
    """End the container's process by itself."""
    _leave(host, container, code)
    host.emit_container_event(container, "die", exitCode=str(code))
    policy = (container.host_config.get("RestartPolicy") or {}).get("Name", "")
    if policy == "always" or (policy == "on-failure" and code):
        container.state = "restarting"


def _leave(host: MemoryHost, container: Container, code: int) -> None:
    for name in container.networks:
        if network := next((n for n in host.networks.values() if n.name == name), None):
            host.emit_event(
                "network", "disconnect", network.id, {"container": container.id, "name": name, "type": "bridge"}
            )
    for mount in container.mounts:
        if mount.kind == "volume":
            host.emit_event("volume", "unmount", mount.source, {"container": container.id, "driver": "local"})
    container.state, container.exit_code, container.health = "exited", code, None
    container.finished = host.tick()


def set_health(host: MemoryHost, container: Container, health: str, output: str = "") -> None:
    """Set the result of the container's health check."""
    container.health = health
    container.health_log.append({"ExitCode": int(health != "healthy"), "Output": output})
    host.emit_container_event(container, f"health_status: {health}")


def write_log(host: MemoryHost, container: Container, line: str, stream: int = 1) -> None:
    """Let the container print a line."""
    container.log.append((stream, host.tick(), line))
    host.wake()


def kill(host: MemoryHost, container: Container, signal: str = "9") -> None:
    """Kill the container's process. Raises Refused if there is none."""
    if not container.running:
        message = f"cannot kill container: {container.name}: container {container.id} is not running"
        raise Refused(409, message)
    host.emit_container_event(container, "kill", signal=signal)
    _leave(host, container, 137)
    host.emit_container_event(container, "die", exitCode="137")


def stop(host: MemoryHost, container: Container) -> bool:
    """Stop the container; return False if it does not run."""
    if not container.running:
        return False
    host.emit_container_event(container, "kill", signal="15")
    _leave(host, container, 143)
    host.emit_container_event(container, "stop")
    host.emit_container_event(container, "die", exitCode="143")
    return True


def restart(host: MemoryHost, container: Container) -> None:
    """Restart the container's process, or start it."""
    stop(host, container)
    start(host, container)
    host.emit_container_event(container, "restart")


def pause(host: MemoryHost, container: Container) -> None:
    """Freeze the container's processes. Raises Refused."""
    if not container.running:
        raise Refused(409, f"container {container.id} is not running")
    if container.state == "paused":
        raise Refused(409, f"Container {container.id} is already paused")
    container.state = "paused"
    host.emit_container_event(container, "pause")


def unpause(host: MemoryHost, container: Container) -> None:
    """Unfreeze the container's processes. Raises Refused."""
    if container.state != "paused":
        raise Refused(500, f"Container {container.id} is not paused")
    container.state = "running"
    host.emit_container_event(container, "unpause")


def rename(host: MemoryHost, container: Container, name: str) -> None:
    """Rename the container. Raises Refused if the name is taken."""
    _require_name(host, name)
    before, container.name = container.name, name
    host.emit_container_event(container, "rename", oldName=f"/{before}")


def remove(host: MemoryHost, container: Container, *, force: bool = False, volumes: bool = False) -> None:
    """Remove the container; with `volumes`, its anonymous volumes, too. Raises Refused."""
    if container.running and not force:
        is_paused = container.state == "paused"
        why = "paused and must be unpaused first" if is_paused else _STOP_FIRST.format(container.state)
        raise Refused(409, f'cannot remove container "/{container.name}": container is {why}')
    if container.running:
        kill(host, container)
    del host.containers[container.id]
    host.emit_container_event(container, "destroy")
    for mount in container.mounts if volumes else ():
        if mount.kind == "volume" and not mount.is_named and not host.users(mount.source):
            remove_volume(host, mount.source)


_STOP_FIRST = "{}: stop the container before removing or force remove"


def commit(host: MemoryHost, container: Container, tag: str, changes: Mapping[str, Any] | None = None) -> Image:
    """Create an image of the container's files, with its labels and configuration."""
    base, wish, changes = host.images.get(container.image), container.wish, changes or {}
    image = host.add_image(
        *([tag] if tag else []),
        labels={**container.labels, **(changes.get("Labels") or {})},
        environment=[*(changes.get("Env") or wish.get("Env") or (base.environment if base else ()))],
        command=[*(changes.get("Cmd") or wish.get("Cmd") or (base.command if base else ()))],
        volumes=tuple(dict.fromkeys((*(base.volumes if base else ()), *(wish.get("Volumes") or ())))),
        files=container.files.copy(),
    )
    host.emit_container_event(container, "commit", comment="", imageID=image.id)
    return image


# --- files --------------------------------------------------------------------------------------------------


def read_archive(host: MemoryHost, container: Container, path: str) -> bytes:
    """A tar of the path in the container. Raises Refused if there is nothing."""
    for mount in container.mounts:
        if mount.kind == "bind" and path.startswith(f"{mount.target}/"):
            return pack({os.path.basename(path): _of_host(f"{mount.source}{path[len(mount.target) :]}")})
    tree, inner = _place(host, container, path)
    if inner not in tree.nodes:
        if any(tree.nodes[p].kind == "file" for p in _above(inner) if p in tree.nodes):
            raise Refused(500, f"lstat {path}: not a directory")
        raise Refused(404, f"Could not find the file {path} in container {container.name}")
    return pack(renamed(tree.below(inner), path.rstrip("/").rpartition("/")[2] or "."))


def _of_host(path: str) -> Node:
    """A file of the host that a container mounts."""
    try:
        content, mtime = Path(path).read_bytes(), int(os.stat(path).st_mtime)
    except OSError as error:
        raise Refused(404, f"Could not find the file {path}") from error
    return Node("file", content, mtime=mtime)


def write_archive(host: MemoryHost, container: Container, path: str, body: bytes) -> None:
    """Put the entries of a tar below that path of the container, through its mounts. Raises Refused."""
    tree, inner = _place(host, container, path)
    if inner not in tree.nodes:
        raise Refused(404, f"Could not find the file {path} in container {container.name}")
    for name, node in unpack(body).items():
        _put(host, container, f"{path.rstrip('/')}/{name}", node)


def _put(host: MemoryHost, container: Container, path: str, node: Node) -> None:
    tree, inner = _place(host, container, path)
    tree.extract({inner: node})


def _place(host: MemoryHost, container: Container, path: str) -> tuple[Tree, str]:
    """The tree that contains the path, and the path in it."""
    path = "/" + path.strip("/")
    for mount in sorted(container.mounts, key=lambda m: -len(m.target)):
        if mount.kind == "volume" and (path == mount.target or path.startswith(f"{mount.target}/")):
            return host.volume(mount.source).files, path[len(mount.target) :].strip("/")
    return container.files, path.strip("/")


def _above(path: str) -> Iterable[str]:
    while path := path.rpartition("/")[0]:
        yield path


# --- volumes and networks -----------------------------------------------------------------------------------


def create_volume(host: MemoryHost, wish: Mapping[str, Any]) -> Volume:
    """Create the volume from VolumeCreateOptions, or return the existing one of that name."""
    name = str(wish.get("Name") or "") or host.new_id()
    if (there := host.volumes.get(name)) is not None:
        driver = str(wish.get("Driver") or there.driver)
        if driver != there.driver:
            raise Refused(409, f"conflict: volume {name} already exists with driver {there.driver}")
        return there
    labels = dict(wish["Labels"]) if wish.get("Labels") else None
    volume = Volume(name, host.tick() // 10**9, labels, str(wish.get("Driver") or "local"))
    volume.options = dict(wish["DriverOpts"]) if wish.get("DriverOpts") else None
    host.volumes[name] = volume
    host.emit_event("volume", "create", name, {"driver": volume.driver})
    return volume


def remove_volume(host: MemoryHost, name: str, *, force: bool = False) -> None:
    """Remove the volume. Raises Refused if a container mounts it, running or not, by force or not."""
    if force and name not in host.volumes:
        return
    volume = host.volume(name)
    if users := host.users(name):
        raise Refused(409, f"remove {name}: volume is in use - [{', '.join(c.id for c in users)}]")
    del host.volumes[name]
    host.emit_event("volume", "destroy", name, {"driver": volume.driver})


def create_network(host: MemoryHost, wish: Mapping[str, Any]) -> Network:
    """Create the network. Raises Refused if the name is taken."""
    name = str(wish["Name"])
    if any(other.name == name for other in host.networks.values()):
        raise Refused(409, f"network with name {name} already exists")
    network = Network(host.new_id(), name, host.tick(), dict(wish.get("Labels") or {}))
    host.networks[network.id] = network
    host.emit_event("network", "create", network.id, {"name": name, "type": "bridge"})
    return network


def remove_network(host: MemoryHost, network: Network) -> None:
    """Remove the network. Raises Refused if a running container is connected to it."""
    if host.connected(network.name):
        message = f"error while removing network: network {network.name} id {network.id} has active endpoints"
        raise Refused(403, message)
    del host.networks[network.id]
    host.emit_event("network", "destroy", network.id, {"name": network.name, "type": "bridge"})


def connect(host: MemoryHost, network: Network, container: Container) -> None:
    """Connect the container to one more network."""
    container.networks = (*container.networks, network.name)
    if container.running:
        host.emit_event("network", "connect", network.id, {"container": container.id, "name": network.name})


def disconnect(host: MemoryHost, network: Network, container: Container) -> None:
    """Disconnect the container from the network."""
    container.networks = tuple(n for n in container.networks if n != network.name)
    host.emit_event("network", "disconnect", network.id, {"container": container.id, "name": network.name})


def remove_image(host: MemoryHost, reference: str, *, force: bool = False) -> None:
    """Remove the tag, and the image with its last tag. Raises Refused if a container uses the image."""
    image = host.image(reference)
    if reference != image.id and len(image.tags) > 1:
        image.tags = {tag for tag in image.tags if tag not in (reference, f"{reference}:latest")}
        return
    users = [c for c in host.containers.values() if c.image == image.id]
    if running := next((c for c in users if c.running), None):
        way = f"image is being used by running container {running.id[:12]}"
        raise Refused(409, f"conflict: unable to delete {reference} (cannot be forced) - {way}")
    if users and not force:
        way = f"image is being used by stopped container {users[0].id[:12]}"
        raise Refused(409, f"conflict: unable to delete {reference} (must be forced) - {way}")
    del host.images[image.id]
