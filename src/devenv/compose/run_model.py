"""Make the run model, which every Compose command gets on stdin, from the resolved model. The files stay unchanged.

The hashes of Compose limit the changes. A service's hash must be the same in each run, so its owner label is
constant. A named volume gets no label, since a newer Compose would ask to recreate the volume, which loses its data.
An existing network or volume becomes `external`, since Compose does not compare external resources.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field
from typing import Any

from devenv.errors import UsageError, did_you_mean
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import OLD_LABEL, OWNER_LABEL

LOOPBACK = "127.0.0.1"
CONTEXT = "docker-image://"

_PORT_CHANGE = re.compile(r"(?P<service>[a-zA-Z0-9._-]+):(?P<published>[0-9]{1,5})=(?P<target>[0-9]{1,5})")
_SCALE = re.compile(r"(?P<service>[a-zA-Z0-9._-]+)=(?P<containers>[0-9]{1,4})")
_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_BINARY = re.compile(r'"(?:[^"\\]|\\.)*"')
_LONE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PortChange:
    """Publish the container port `target` of the service on the host port `published` instead of the file's."""

    service: str
    published: str
    target: int


@dataclass(frozen=True, slots=True)
class Scale:
    """The number of containers for the service, instead of the file's."""

    service: str
    containers: int


@dataclass(frozen=True, slots=True)
class Existing:
    """What exists before the run: services with foreign containers, and the real names of networks and volumes.

    `old_services` have containers of devenv 0.1, whose label stays until they are replaced for another reason.
    `times`: the `CreatedAt` of each volume.
    """

    foreign_services: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    old_services: frozenset[str] = frozenset()
    times: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuildChange:
    """Changes to the build of a service.

    `bases`: a name in its Dockerfile (`FROM`, `COPY --from`) -> the image to use for it. `arguments` are added if the
    file does not set them. `dockerfile` replaces that of the project. `labels` mark the image.
    """

    bases: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    dockerfile: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choices:
    """Changes of this run to the model.

    A port without an address is published on `addresses`, if there are any. `environment`, by service, is added for
    variables that the service does not set. `images` replaces the `image` of services without a build, and
    `docker-image://` contexts of builds; `builds` changes services with a build. `owner` is the value of the owner
    label; the services in `unmarked` do not get it, nor do networks if there is no other service.
    """

    addresses: tuple[str, ...] = (LOOPBACK,)
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    builds: Mapping[str, BuildChange] = field(default_factory=dict)
    ports: tuple[PortChange, ...] = ()
    owner: str = ""
    unmarked: frozenset[str] = frozenset()


def run_model(
    model: Mapping[str, Any], *, existing: Existing, choices: Choices, services: Collection[str] | None = None
) -> dict[str, Any]:
    """A changed copy of the resolved `model`, with only `services` if given.

    Raises UsageError for a change of a port that is not published.
    """
    result = copy.deepcopy(dict(model))
    result.pop("x-devenv", None)
    everything: dict[str, dict[str, Any]] = result.get("services") or {}
    _change_ports(everything, choices.ports)
    labels = {OWNER_LABEL: choices.owner.replace("$", "$$")} if choices.owner else {}
    old = {OLD_LABEL: result["name"]}
    chosen = {name: service for name, service in everything.items() if services is None or name in services}
    for name, service in chosen.items():
        if service.get("memswap_limit") == "-1":
            service["memswap_limit"] = -1  # Compose prints text here, but does not read it
        # foreign services stay unchanged: watch rules and, with an older Compose, profiles are in their hashes
        if name not in existing.foreign_services:
            marks = {} if name in choices.unmarked else old if name in existing.old_services else labels
            _adapt(service, marks, choices.addresses, choices.environment.get(name, {}))
            _swap_images(service, choices.images, choices.builds.get(name, BuildChange()))
    _drop_dependencies(chosen)
    result["services"] = chosen
    _adapt_resources(result, "networks", existing.networks, labels if chosen.keys() - choices.unmarked else {})
    _adapt_resources(result, "volumes", existing.volumes, {})
    return result


def dump(model: Mapping[str, Any]) -> bytes:
    """The model as JSON that every YAML reader accepts; `$` stays doubled, as Compose printed it."""
    text = json.dumps(model, ensure_ascii=False, separators=(", ", ": "))
    if _LONE.search(text):
        text = _BINARY.sub(_as_binary, text)
    return _ESCAPE.sub(lambda odd: f"\\u{ord(odd[0]):04x}", text).encode()


def port_change(text: str) -> PortChange:
    """Parse a value of `--port`: `SERVICE:HOST=CONTAINER`. Raises UsageError."""
    match = _PORT_CHANGE.fullmatch(text)
    if match is None or not all(0 < int(match[key]) < 65536 for key in ("published", "target")):  # noqa: PLR2004 - ports
        hint = "Write SERVICE:HOST=CONTAINER, for example --port web:8080=80."
        raise UsageError(f"`{text}` is not a port change", hint=hint)
    return PortChange(match["service"], match["published"], int(match["target"]))


def scale(text: str) -> Scale:
    """Parse a value of `--scale`: `SERVICE=N`. Raises UsageError."""
    match = _SCALE.fullmatch(text)
    if match is None:
        raise UsageError(f"`{text}` is not a number of containers", hint="Write SERVICE=N, such as --scale web=3.")
    return Scale(match["service"], int(match["containers"]))


def rescale(services: Mapping[str, dict[str, Any]], changes: tuple[Scale, ...]) -> None:
    """Apply the changes to the services. Raises UsageError for a service that can have only one container."""
    for change in changes:
        service = _named(services, change.service, "--scale")
        # a range, or 0 as the engine's choice, has a port for each container
        published = [str(port.get("published") or "0") for port in service.get("ports") or ()]
        fixed = [f"the host port {port}" for port in published if port.isdecimal() and port != "0"]
        fixed += [f"the name {service['container_name']}"] if "container_name" in service else []
        if change.containers > 1 and fixed:
            message = f"`{change.service}` cannot have {change.containers} containers: only one of them can have"
            raise UsageError(f"{message} {fixed[0]}", hint="Remove it from the file, and the engine chooses another.")
        service["scale"] = change.containers
        if "replicas" in (service.get("deploy") or {}):
            service["deploy"]["replicas"] = change.containers


def _named(services: Mapping[str, dict[str, Any]], name: str, option: str) -> dict[str, Any]:
    """The service that an option names. Raises UsageError if it does not exist."""
    if name not in services:
        message = f"{option} names the service `{name}`, which does not exist"
        raise UsageError(message, hint=did_you_mean(name, sorted(services)))
    return services[name]


def context_key(reference: str) -> str:
    """The name by which BuildKit looks up an image in `additional_contexts`."""
    name = re.sub(r"\A(?:(?:index\.)?docker\.io/)(?:library/)?|\Alibrary/", "", reference)
    return name.removesuffix(":latest")


def _adapt(
    service: dict[str, Any], labels: Mapping[str, str], addresses: tuple[str, ...], environment: Mapping[str, str]
) -> None:
    for key in ("develop", "profiles", "pull_policy"):  # images were pulled before; Compose must not ask a registry
        service.pop(key, None)
    service["labels"] = {**(service.get("labels") or {}), **labels}
    if environment:
        service["environment"] = {**environment, **(service.get("environment") or {})}
    if service.get("ports"):
        service["ports"] = [placed for port in service["ports"] for placed in _placed(port, addresses)]


def _placed(port: dict[str, Any], addresses: tuple[str, ...]) -> list[dict[str, Any]]:
    """The port on each address; only on the first if the engine picks the number, which would differ for each."""
    if "host_ip" in port or not addresses:
        return [port]
    fixed = str(port.get("published") or "0").strip("0").isdigit()
    return [{**port, "host_ip": address} for address in (addresses if fixed else addresses[:1])]


def _swap_images(service: dict[str, Any], images: Mapping[str, str], change: BuildChange) -> None:
    for step in service.get("pre_start") or ():
        if step.get("image") in images:
            step["image"] = images[step["image"]]
    if service.get("build") is not None:
        _change_build(service["build"], images, change)
    elif service.get("image") in images:
        service["image"] = images[service["image"]]
        service["pull_policy"] = "never"  # it has a local name, which no registry knows


def _change_build(build: dict[str, Any], images: Mapping[str, str], change: BuildChange) -> None:
    build.pop("pull", None)  # images were pulled before; BuildKit must not ask a registry again
    bases = {context_key(name): f"{CONTEXT}{image}" for name, image in change.bases.items()}
    if contexts := bases | (build.get("additional_contexts") or {}):
        swaps = {f"{CONTEXT}{name}": f"{CONTEXT}{image}" for name, image in images.items()}
        build["additional_contexts"] = {name: swaps.get(value, value) for name, value in contexts.items()}
    if change.arguments:
        build["args"] = {**_escaped(change.arguments), **(build.get("args") or {})}
    if change.labels:
        build["labels"] = {**(build.get("labels") or {}), **_escaped(change.labels)}
    if change.dockerfile is not None:
        build.pop("dockerfile_inline", None)
        build["dockerfile"] = change.dockerfile.replace("$", "$$")


def _escaped(values: Mapping[str, str]) -> dict[str, str]:
    """The values with `$` doubled, since Compose reads a single `$` as a variable."""
    return {name: value.replace("$", "$$") for name, value in values.items()}


def _change_ports(services: Mapping[str, dict[str, Any]], changes: tuple[PortChange, ...]) -> None:
    for change in changes:
        service = _named(services, change.service, "--port")
        ports = service.get("ports") or []
        if change.target not in (port["target"] for port in ports):
            targets = ", ".join(sorted({str(port["target"]) for port in ports}, key=int)) or "none"
            message = f"`{change.service}` does not publish the container port {change.target}"
            raise UsageError(message, hint=f"Container ports that it publishes: {targets}.")
        service["ports"] = list(_changed(ports, change))


def _changed(ports: list[dict[str, Any]], change: PortChange) -> Iterator[dict[str, Any]]:
    """The ports with the change; of entries that it makes equal (same target and protocol), only the first."""
    seen: set[str] = set()
    for port in ports:
        if port["target"] != change.target:
            yield port
        elif port.get("protocol", "tcp") not in seen:
            seen.add(port.get("protocol", "tcp"))
            yield {**port, "published": change.published}


def _drop_dependencies(services: Mapping[str, dict[str, Any]]) -> None:
    """Remove dependencies on services that are not in the model: not selected, or optional in an inactive profile."""
    for service in services.values():
        needs = service.get("depends_on") or {}
        if needs.keys() - services.keys():
            service["depends_on"] = {name: need for name, need in needs.items() if name in services}


def _adapt_resources(model: dict[str, Any], kind: str, existing: frozenset[str], labels: Mapping[str, str]) -> None:
    """Make the networks or volumes that exist already external; give the labels to the others."""
    for key, written in (model.get(kind) or {}).items():
        resource = written or {}
        if (name := resource.get("name", key)) in existing:
            resource = {"name": name, "external": True}
        elif labels and not resource.get("external"):
            resource = {**resource, "labels": {**(resource.get("labels") or {}), **labels}}
        model[kind][key] = resource


def _as_binary(quoted: re.Match[str]) -> str:
    """A JSON string as `!!binary` if it is not valid Unicode; else unchanged."""
    value: str = json.loads(quoted[0])
    if not _LONE.search(value):
        return quoted[0]
    return f'!!binary "{base64.b64encode(value.encode(errors="surrogateescape")).decode()}"'
