"""The model that a Compose verb gets, as far as it describes containers, networks and volumes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

VERSION = "2.26.1"
PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONE_OFF = "com.docker.compose.oneoff"
HASH = "com.docker.compose.config-hash"
IMAGE = "com.docker.compose.image"
DEPENDS = "com.docker.compose.depends_on"
REPLACE = "com.docker.compose.replace"
FOLDER = "com.docker.compose.project.working_dir"
FILES = "com.docker.compose.project.config_files"
VERSIONED = "com.docker.compose.version"
VOLUME = "com.docker.compose.volume"
NETWORK = "com.docker.compose.network"
SLUG = "com.docker.compose.slug"

_UNHASHED = ("build", "pull_policy", "scale", "deploy")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6}


@dataclass(frozen=True)
class Resource:
    """A network or volume of the project, by its real name."""

    key: str
    name: str
    is_external: bool
    written: Mapping[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        """The labels in the file."""
        return _labels(self.written)


@dataclass(frozen=True)
class Service:
    """One service; `written` is its section."""

    project: str
    name: str
    written: Mapping[str, Any]

    @property
    def image(self) -> str:
        """The image of its containers."""
        return str(self.written.get("image") or f"{self.project}-{self.name}")

    @property
    def scale(self) -> int:
        """The number of its containers."""
        replicas = (self.written.get("deploy") or {}).get("replicas")
        return int(self.written.get("scale", 1 if replicas is None else replicas))

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its containers in the file."""
        return _labels(self.written)

    @cached_property
    def depends_on(self) -> dict[str, Mapping[str, Any]]:
        """The services that it depends on, with the condition."""
        written = self.written.get("depends_on") or {}
        conditions = (
            dict(written) if isinstance(written, Mapping) else {n: {"condition": "service_started"} for n in written}
        )
        mode = str(self.written.get("network_mode") or "")
        if mode.startswith("service:"):
            conditions.setdefault(mode.removeprefix("service:"), {"condition": "service_started"})
        return conditions

    @cached_property
    def hash(self) -> str:
        """The hash that changes whenever the containers have to be recreated."""
        hashed = {key: value for key, value in self.written.items() if key not in _UNHASHED}
        return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()

    def container_name(self, number: int) -> str:
        """The name of its container of that number."""
        return str(self.written.get("container_name") or f"{self.project}-{self.name}-{number}")


@dataclass(frozen=True)
class Model:
    """A project as a verb sees it, restricted to the requested services."""

    project: str
    directory: str
    services: Mapping[str, Service]
    networks: Mapping[str, Resource]
    volumes: Mapping[str, Resource]
    named: frozenset[str] = field(default_factory=frozenset)  # requested services; empty: all

    @classmethod
    def of(cls, project: str, directory: str, text: bytes | Mapping[str, Any]) -> Model:
        """The model, read as Compose reads it: `$$` is one dollar."""
        written = (
            text if isinstance(text, Mapping) else json.loads(text.replace(b'!!binary "', b'"').replace(b"$$", b"$"))
        )
        services = {n: Service(project, n, section or {}) for n, section in (written.get("services") or {}).items()}
        return cls(
            project,
            directory,
            services,
            _resources(project, written.get("networks") or {"default": None}),
            _resources(project, written.get("volumes") or {}),
        )

    def only(self, names: Iterable[str]) -> Model:
        """The model with these services and their dependencies, or with all if none is named.

        Networks and volumes are those that any service uses. Raises KeyError.
        """
        asked = frozenset(names)
        kept, queue = set[str](), [*asked]
        while queue:
            name = queue.pop()
            if name not in kept:
                kept.add(name)
                needs = self.services[name].depends_on
                queue += [n for n, how in needs.items() if n in self.services or how.get("required", True)]
        used = [*self.services.values()]
        return Model(
            self.project,
            self.directory,
            {n: s for n, s in self.services.items() if n in kept or not asked},
            {key: network for key, network in self.networks.items() if any(key in _network_keys(s) for s in used)},
            {key: volume for key, volume in self.volumes.items() if any(key in _volume_keys(s) for s in used)},
            asked,
        )

    def in_order(self) -> list[Service]:
        """The services, each after its dependencies."""
        services: dict[str, Service] = {}

        def visit(name: str) -> None:
            if name in self.services and name not in services:
                for needed in sorted(self.services[name].depends_on):
                    visit(needed)
                services[name] = self.services[name]

        for name in sorted(self.services):
            visit(name)
        return [*services.values()]

    def network_names(self, service: Service) -> list[str]:
        """Real names of the networks of a service."""
        return [self.networks[key].name for key in _network_keys(service) if key in self.networks]

    def mounts(self, service: Service, old: Mapping[str, str]) -> list[dict[str, Any]]:
        """`HostConfig.Mounts` of a service; `old` has the names of anonymous volumes to reuse, by target."""
        mounts = []
        for mount in service.written.get("volumes") or ():
            kind, source, target = mount.get("type", "volume"), mount.get("source") or "", mount["target"]
            if kind == "bind":
                mounts.append({"Type": "bind", "Source": source, "Target": target})
            elif kind == "volume":
                name = self.volumes[source].name if source in self.volumes else source or old.get(target, "")
                options = {"NoCopy": True} if (mount.get("volume") or {}).get("nocopy") else {}
                mounts.append({"Type": "volume", "Source": name, "Target": target, "VolumeOptions": options})
        declared = {mount["Target"] for mount in mounts}
        more = [{"Type": "volume", "Source": name, "Target": at} for at, name in old.items() if at not in declared]
        return [*mounts, *more]


def anonymous_targets(service: Service) -> Iterator[str]:
    """Targets of the service's anonymous volumes in the file."""
    for mount in service.written.get("volumes") or ():
        if mount.get("type", "volume") == "volume" and not mount.get("source"):
            yield mount["target"]


def seconds(text: str) -> float:
    """The duration that Compose writes as `1m30s`."""
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(ms|us|h|m|s)", str(text)))


def _network_keys(service: Service) -> Iterable[str]:
    mode = str(service.written.get("network_mode") or "")
    return () if mode else service.written.get("networks") or ("default",)


def _volume_keys(service: Service) -> Iterable[str]:
    return [mount.get("source") for mount in service.written.get("volumes") or () if mount.get("type") == "volume"]


def _labels(written: Mapping[str, Any]) -> dict[str, str]:
    labels = written.get("labels") or {}
    if isinstance(labels, Mapping):
        return {key: str(value) for key, value in labels.items()}
    return dict(label.partition("=")[::2] for label in labels)


def _resources(project: str, written: Mapping[str, Any]) -> dict[str, Resource]:
    return {
        key: Resource(
            key,
            str((section or {}).get("name") or f"{project}_{key}"),
            bool((section or {}).get("external")),
            section or {},
        )
        for key, section in written.items()
    }
