"""Give a project names and ports of its own, so that several checkouts of it can be up at once: changes of the model.

A name in a file is the same in each checkout. Containers get the names that Compose gives them, and stay reachable by
the name in the file; networks, volumes, configs and secrets get the names that they would have without `name`, and
images that are built those that they would have without `image`.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from devenv.lazy_dataclass import dataclass
from devenv.model.images import canonical, split

KINDS = ("networks", "volumes", "configs", "secrets")
_NAMESPACES = ("network_mode", "pid", "ipc")  # what a service can share with a container
_CONTAINER = re.compile(r"container:(?P<name>[^:]+)(?P<mode>(?::.*)?)")
_LOCAL = r"(?P<host>localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\]|host\.docker\.internal)"
_ADDRESS = re.compile(rf"(?<![\w.-]){_LOCAL}:(?P<port>[0-9]{{1,5}})(?![0-9])")
_IMAGE = r"""["']?(?P<name>[^\s:@,"']+(?::\d+/[^\s:@,"']+)?)"""
_BASE = re.compile(rf"(?im)(?:^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*|\bfrom=|^[ \t]*ARG[ \t]+\w+=){_IMAGE}")
_NEVER_PULLED = (None, "", "build", "never", "missing", "if_not_present")  # if it was built
_VERBS = r"(?:exec|cp|logs|restart|start|stop|kill|rm|inspect|attach|wait|top|stats|port)"


@dataclass(frozen=True, slots=True)
class Isolation:
    """What was changed. `containers`: a dropped container name -> its service.

    `renamed`: a kind -> the keys of resources, or the names of images in the file. `shared`: a kind -> names of
    external resources, of images that all checkouts build under one name, and of containers of other projects.
    `unplaced`: the keys of networks that lost their subnets; `addresses`: those that services had there.
    """

    project: str
    containers: Mapping[str, str]
    renamed: Mapping[str, Iterable[str]]
    shared: Mapping[str, Iterable[str]]
    has_ports: bool = False
    unplaced: Iterable[str] = ()
    addresses: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """What was changed and what is shared, in one line; empty if nothing was."""
        shared = ", ".join(f"{kind} {', '.join(names)}" for kind, names in self.shared.items() if names)
        changes = [
            f"network aliases in place of container names: {', '.join(self.containers)}" if self.containers else "",
            *(f"own {kind}: {', '.join(keys)}" for kind, keys in self.renamed.items() if keys),
            f"networks without fixed subnets: {', '.join(self.unplaced)}" if self.unplaced else "",
            "ports are automatic" if self.has_ports else "",
            f"shared with other projects: {shared}" if shared else "",
        ]
        return f"{self.project} is isolated: {'; '.join(filter(None, changes))}" if any(changes) else ""


def isolate(model: Mapping[str, Any], dockerfiles: Iterable[str] | None = ()) -> tuple[dict[str, Any], Isolation]:
    """The resolved model with names and ports of its own, and what was changed in it.

    An image that is built keeps its name if one of the `dockerfiles` (their texts) names it; all do if that is None.
    """
    result = copy.deepcopy(dict(model))
    project, services = result["name"], result.get("services") or {}
    resources = {kind: result[kind] for kind in KINDS if result.get(kind)}
    external = {kind: _external(written) for kind, written in resources.items()}
    containers = dict(_without_names(services, project))
    for name, key in containers.items():
        _add_aliases(services[key], [name, *_linked(services, name)], external.get("networks", {}))
    foreign = {name for service in services.values() for name in _redirect(service, containers)}
    if isinstance(block := result.get("x-devenv") or {}, dict):
        result["x-devenv"] = {**block, "ports": "auto"}
    unplaced = [*_without_subnets(resources.get("networks", {}))]
    addresses = frozenset(_without_addresses(services, unplaced))
    renamed = {kind: [*_rename(written, project)] for kind, written in resources.items()}
    shared = {kind: [*names.values()] for kind, names in external.items()}
    built = _built(services, project)
    renamed["images"] = own = [*_without_images(services, built, project, dockerfiles)]
    shared |= {"images": [image for image in built if image not in own], "containers": sorted(foreign)}
    has_ports = any(service.get("ports") for service in services.values())
    return result, Isolation(project, containers, renamed, shared, has_ports, unplaced, addresses)


def moved_addresses(value: str, moved: Mapping[int, int]) -> Iterator[tuple[str, str]]:
    """Each HOST:PORT of this machine in the value whose port was moved, and the address that it has now."""
    for match in _ADDRESS.finditer(value):
        if now := moved.get(int(match["port"])):
            yield match[0], f"{match['host']}:{now}"


def fixed_addresses(value: str, addresses: Iterable[str]) -> list[str]:
    """The addresses that are in the value."""
    return [ip for ip in sorted(addresses) if re.search(rf"(?<![\w.:]){re.escape(ip)}(?![\w.])", value)]


def commands_on(text: str, containers: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines (from 1) of a script in which docker gets one of the container names, with the name."""
    names = "|".join(map(re.escape, containers))
    command = re.compile(rf"\bdocker\s+(?:container\s+)?{_VERBS}\b.*?(?<![\w./-])(?P<name>{names})(?![\w.-])")
    for number, line in enumerate(text.splitlines(), 1):
        if match := command.search(line):
            yield number, match["name"]


def _without_names(services: Mapping[str, dict[str, Any]], project: str) -> Iterator[tuple[str, str]]:
    """Drop the container names that other checkouts have, too, and yield each with its service."""
    for key, service in services.items():
        if (name := service.get("container_name")) and not _is_own(name, project):
            del service["container_name"]
            yield name, key


def _linked(services: Mapping[str, dict[str, Any]], name: str) -> Iterator[str]:
    """Drop the external links to the container, and yield the aliases that they give it."""
    for service in services.values():
        links = [link.partition(":") for link in service.pop("external_links", None) or ()]
        if left := ["".join(link) for link in links if link[0] != name]:
            service["external_links"] = left
        yield from (alias for linked, _, alias in links if linked == name and alias)


def _add_aliases(service: dict[str, Any], names: Iterable[str], others: Collection[str]) -> None:
    """Add the names in the service's networks; in those of `others`, they would lead others to this checkout."""
    if "network_mode" in service:
        return
    networks = service["networks"] = service.get("networks") or {"default": None}
    for network in networks.keys() - others:
        options = networks[network] or {}
        networks[network] = {**options, "aliases": [*dict.fromkeys([*(options.get("aliases") or ()), *names])]}


def _redirect(service: dict[str, Any], containers: Mapping[str, str]) -> Iterator[str]:
    """Let references to the dropped names name their services; yield the containers that are not of this project."""
    values = {key: str(service.get(key)) for key in _NAMESPACES}
    values |= {str(index): entry for index, entry in enumerate(service.get("volumes_from") or ())}
    for key, value in values.items():
        if (match := _CONTAINER.fullmatch(value)) is None:
            continue
        needed = containers.get(match["name"])
        if needed is None:
            yield match["name"]
            continue
        if key in _NAMESPACES:
            service[key] = f"service:{needed}"
        else:
            service["volumes_from"][int(key)] = needed + match["mode"]
        # as Compose adds for each reference to a service
        started = {"condition": "service_started", "required": True, "restart": True}
        service["depends_on"] = {needed: started, **(service.get("depends_on") or {})}
    yield from (link.partition(":")[0] for link in service.get("external_links") or ())


def _without_subnets(written: dict[str, dict[str, Any] | None]) -> Iterator[str]:
    """Let the engine choose the subnets, which no two networks can share; yield the keys of the changed networks."""
    external = _external(written)
    for key, network in written.items():
        ipam = (network or {}).get("ipam") or {}
        if network and key not in external and any(pool.get("subnet") for pool in ipam.get("config") or ()):
            written[key] = {**network, "ipam": {name: value for name, value in ipam.items() if name != "config"}}
            if any(":" in str(pool.get("subnet")) for pool in ipam["config"]):
                written[key] = {
                    **(written[key] or {}),
                    "enable_ipv6": False,
                }  # without a subnet, older engines refuse it
            yield key


def _without_addresses(services: Mapping[str, dict[str, Any]], networks: Iterable[str]) -> Iterator[str]:
    """Drop and yield the fixed addresses of services in the networks."""
    for service, network in itertools.product(services.values(), networks):
        options = (service.get("networks") or {}).get(network) or {}
        yield from (options.pop(key) for key in ("ipv4_address", "ipv6_address") if key in options)


def _external(written: Mapping[str, dict[str, Any] | None]) -> dict[str, str]:
    """The keys and names of the resources of other projects."""
    return {key: value.get("name", key) for key, value in written.items() if value and value.get("external")}


def _rename(written: dict[str, dict[str, Any] | None], project: str) -> Iterator[str]:
    """Give the resources the names that Compose derives from the project, and yield the keys of the changed ones."""
    external = _external(written)
    for key, resource in written.items():
        if key not in external and resource and not _is_own(resource.get("name", f"{project}_"), project):
            written[key] = {**resource, "name": f"{project}_{key}"}
            yield key


def _built(services: Mapping[str, Mapping[str, Any]], project: str) -> list[str]:
    """The images that services build under a name in the file."""
    images = (service["image"] for service in services.values() if {"build", "image"} <= service.keys())
    return [image for image in dict.fromkeys(images) if not _is_own(image, project)]


def _without_images(
    services: Mapping[str, dict[str, Any]], built: Iterable[str], project: str, dockerfiles: Iterable[str] | None
) -> Iterator[str]:
    """Give these images the names that Compose gives them, in all services, and yield their names in the file.

    A name that a build refers to, or under which an image may be pulled, stays; all do if `dockerfiles` is None.
    """
    text = "\n".join(dockerfiles or ())
    for image in built if dockerfiles is not None else ():
        users = [service for service in services.values() if canonical(service.get("image", "")) == canonical(image)]
        builder = next(key for key, service in services.items() if "build" in service and service in users)
        is_pulled = any(user.get("pull_policy") not in _NEVER_PULLED for user in users)
        if is_pulled or _is_base(image, services, text):
            continue
        for user in users:
            user["image"] = f"{project}-{builder}"
        yield image


def _is_base(image: str, services: Mapping[str, Mapping[str, Any]], dockerfiles: str) -> bool:
    """Whether a build names the image: as its base, or as the source of files."""
    name = split(image)[0]
    builds = [build for service in services.values() if isinstance(build := service.get("build"), dict)]
    values = [value for build in builds for key in ("args", "additional_contexts") for value in _values(build, key)]
    if any(split(value.removeprefix("docker-image://"))[0] == name for value in values):
        return True
    return any(match["name"] == name for match in _BASE.finditer(dockerfiles))


def _values(build: Mapping[str, Any], key: str) -> list[str]:
    entries = build.get(key) or {}
    return [*map(str, entries.values())] if isinstance(entries, dict) else [*map(str, entries)]


def _is_own(name: str, project: str) -> bool:
    """Whether the name begins with that of the project, such as `${COMPOSE_PROJECT_NAME}_data`."""
    return name.startswith((f"{project}_", f"{project}-"))
