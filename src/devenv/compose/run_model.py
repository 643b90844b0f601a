"""The resolved model -> the model that every Compose verb gets on stdin. Your files stay as they are.

What may change is bound by Compose's hashes. A service's hash must stay the same from run to run, so the label
that marks it is constant; a named volume gets no label at all, since a newer Compose would ask to recreate it
and lose its data; whatever exists already becomes `external`, which no Compose compares.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from devenv.errors import UsageError, nearest
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
    """`target` of the service is published on the host's port `published`, whatever the file says."""

    service: str
    published: str
    target: int


@dataclass(frozen=True, slots=True)
class Scale:
    """The service has so many containers, whatever the file says."""

    service: str
    containers: int


@dataclass(frozen=True, slots=True)
class Found:
    """What exists before the run: services with a container that is not ours, real names of the rest.

    `old_services` have containers of devenv 0.1, whose label stays until they are replaced for another reason.
    `times` has the `CreatedAt` of the volumes.
    """

    foreign_services: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    old_services: frozenset[str] = frozenset()
    times: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuildChange:
    """What the build of one service is given.

    `bases`: a name in its Dockerfile (`FROM`, `COPY --from`) -> the image that it stands for. `arguments` holds for
    those that the file does not set. `dockerfile` is a file in the place of the project's. `labels` mark the image.
    """

    bases: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    dockerfile: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choices:
    """What this run changes on purpose.

    A port that names no address is published on those of `addresses`, where there are any. `environment` is by
    service, and holds for what the service does not set itself. `images` replaces the `image` of services that are
    not built, and what their builds name as `docker-image://`; `builds` is for those that are. `owner` is what our
    label says; the services in `unmarked` do not become ours, nor do networks if there is no other service.
    """

    addresses: tuple[str, ...] = (LOOPBACK,)
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    builds: Mapping[str, BuildChange] = field(default_factory=dict)
    ports: tuple[PortChange, ...] = ()
    owner: str = ""
    unmarked: frozenset[str] = frozenset()


def run_model(
    model: Mapping[str, Any],
    *,
    found: Found,
    choices: Choices,
    services: frozenset[str] | None = None,
) -> dict[str, Any]:
    """A changed copy of the resolved `model`, restricted to `services` where given.

    Raises UsageError for a port change that fits no published port.
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
            service["memswap_limit"] = -1  # Compose prints it as text and then does not read that
        # a foreign one stays whole: its watch rules and, on an older Compose, its profiles are in its hash
        if name not in found.foreign_services:
            marks = {} if name in choices.unmarked else old if name in found.old_services else labels
            _adapt(service, marks, choices, choices.environment.get(name))
            _swap_images(service, choices.images, choices.builds.get(name, BuildChange()))
    _drop_dependencies(chosen)
    result["services"] = chosen
    _adapt_resources(result, "networks", found.networks, labels if chosen.keys() - choices.unmarked else {})
    _adapt_resources(result, "volumes", found.volumes, {})
    return result


def dump(model: Mapping[str, Any]) -> bytes:
    """The model as JSON that every YAML reader accepts; `$` stays doubled, as Compose printed it."""
    text = json.dumps(model, ensure_ascii=False, separators=(", ", ": "))
    if _LONE.search(text):
        text = _BINARY.sub(_as_binary, text)
    return _ESCAPE.sub(lambda odd: f"\\u{ord(odd[0]):04x}", text).encode()


def port_change(text: str) -> PortChange:
    """`SERVICE:HOST=CONTAINER` as written after `--port`; UsageError where it is not that."""
    match = _PORT_CHANGE.fullmatch(text)
    if match is None or not all(0 < int(match[key]) < 65536 for key in ("published", "target")):  # noqa: PLR2004 - ports
        hint = "Write SERVICE:HOST=CONTAINER, for example --port web:8080=80."
        raise UsageError(f"`{text}` is not a port change", hint=hint)
    return PortChange(match["service"], match["published"], int(match["target"]))


def scale(text: str) -> Scale:
    """`SERVICE=N` as written after `--scale`; UsageError where it is not that."""
    match = _SCALE.fullmatch(text)
    if match is None:
        raise UsageError(f"`{text}` is not a number of containers", hint="Write SERVICE=N, such as --scale web=3.")
    return Scale(match["service"], int(match["containers"]))


def rescale(services: Mapping[str, dict[str, Any]], changes: tuple[Scale, ...]) -> None:
    """The services of a resolved model changed. Raises UsageError for one that cannot have so many containers."""
    for change in changes:
        service = services.get(change.service)
        if service is None:
            hint = nearest(change.service, sorted(services))
            raise UsageError(f"--scale names the service `{change.service}`, which is not there", hint=hint)
        fixed = [f"the host port {port['published']}" for port in service.get("ports") or () if _is_one(port)]
        fixed += [f"the name {service['container_name']}"] if "container_name" in service else []
        if change.containers > 1 and fixed:
            message = f"`{change.service}` cannot have {change.containers} containers: only one of them can have"
            raise UsageError(f"{message} {fixed[0]}", hint="Leave it out of the file, and the engine chooses one.")
        service["scale"] = change.containers
        if "replicas" in (service.get("deploy") or {}):
            service["deploy"]["replicas"] = change.containers


def _is_one(port: Mapping[str, Any]) -> bool:
    """Whether it is one port of the host, not a range and not the engine's choice."""
    return str(port.get("published") or "").isdecimal() and port["published"] != "0"


def context_key(reference: str) -> str:
    """The name under which BuildKit looks an image up among `additional_contexts`."""
    name = re.sub(r"\A(?:(?:index\.)?docker\.io/)(?:library/)?|\Alibrary/", "", reference)
    return name.removesuffix(":latest")


def _adapt(
    service: dict[str, Any], labels: Mapping[str, str], choices: Choices, environment: Mapping[str, str] | None
) -> None:
    for key in ("develop", "profiles"):
        service.pop(key, None)
    service.pop("pull_policy", None)  # what is to be pulled has been, before any verb; a verb must not ask again
    service["labels"] = {**(service.get("labels") or {}), **labels}
    if environment:
        service["environment"] = {**environment, **(service.get("environment") or {})}
    if service.get("ports"):
        service["ports"] = [placed for port in service["ports"] for placed in _placed(port, choices.addresses)]


def _placed(port: dict[str, Any], addresses: tuple[str, ...]) -> list[dict[str, Any]]:
    """The port on each address; on the first alone where the engine picks a number: it would pick one for each."""
    if "host_ip" in port or not addresses:
        return [port]
    fixed = str(port.get("published") or "0").strip("0").isdigit()
    return [{**port, "host_ip": address} for address in (addresses if fixed else addresses[:1])]


def _swap_images(service: dict[str, Any], images: Mapping[str, str], change: BuildChange) -> None:
    build = service.get("build")
    if build is None:
        if service.get("image") in images:
            service["image"] = images[service["image"]]
            service["pull_policy"] = "never"  # it is here under a name of ours, which no registry knows
        return
    build.pop("pull", None)  # what is to be pulled has been; with it, BuildKit would ask a registry all the same
    named = {context_key(name): f"{CONTEXT}{image}" for name, image in change.bases.items()}
    if contexts := named | (build.get("additional_contexts") or {}):
        places = {f"{CONTEXT}{name}": f"{CONTEXT}{image}" for name, image in images.items()}
        build["additional_contexts"] = {name: places.get(value, value) for name, value in contexts.items()}
    if change.arguments:
        build["args"] = {**_escaped(change.arguments), **(build.get("args") or {})}
    if change.labels:
        build["labels"] = {**(build.get("labels") or {}), **_escaped(change.labels)}
    if change.dockerfile is not None:
        build.pop("dockerfile_inline", None)
        build["dockerfile"] = change.dockerfile.replace("$", "$$")


def _escaped(values: Mapping[str, str]) -> dict[str, str]:
    """For Compose, which takes a single `$` for a variable."""
    return {name: value.replace("$", "$$") for name, value in values.items()}


def _change_ports(services: Mapping[str, dict[str, Any]], changes: tuple[PortChange, ...]) -> None:
    for change in changes:
        if change.service not in services:
            hint = nearest(change.service, sorted(services))
            raise UsageError(f"--port names the service `{change.service}`, which is not there", hint=hint)
        service = services[change.service]
        ports = service.get("ports") or []
        if change.target not in (port["target"] for port in ports):
            targets = ", ".join(sorted({str(port["target"]) for port in ports}, key=int)) or "none"
            message = f"`{change.service}` does not publish the container port {change.target}"
            raise UsageError(message, hint=f"Container ports that it publishes: {targets}.")
        service["ports"] = list(_changed(ports, change))


def _changed(ports: list[dict[str, Any]], change: PortChange) -> Iterator[dict[str, Any]]:
    """The ports with the change; of several entries for one target and protocol, the first stays."""
    seen: set[str] = set()
    for port in ports:
        if port["target"] != change.target:
            yield port
        elif port.get("protocol", "tcp") not in seen:
            seen.add(port.get("protocol", "tcp"))
            yield {**port, "published": change.published}


def _drop_dependencies(services: Mapping[str, dict[str, Any]]) -> None:
    """Nobody waits for a service that is not in the model: left out here, or optional and of another profile."""
    for service in services.values():
        needs = service.get("depends_on") or {}
        if needs.keys() - services.keys():
            service["depends_on"] = {name: need for name, need in needs.items() if name in services}


def _adapt_resources(model: dict[str, Any], kind: str, existing: frozenset[str], labels: Mapping[str, str]) -> None:
    if kind in model:
        model[kind] = {key: _resource(key, one or {}, existing, labels) for key, one in model[kind].items()}


def _resource(
    key: str, resource: dict[str, Any], existing: frozenset[str], labels: Mapping[str, str]
) -> dict[str, Any]:
    """What is there already is only named; what is new carries the labels."""
    name = resource.get("name", key)
    if name in existing:
        return {"name": name, "external": True}
    if not labels or resource.get("external"):
        return resource
    return {**resource, "labels": {**(resource.get("labels") or {}), **labels}}


def _as_binary(quoted: re.Match[str]) -> str:
    """A string that is no Unicode as `!!binary`; all others as they are."""
    value: str = json.loads(quoted[0])
    if not _LONE.search(value):
        return quoted[0]
    return f'!!binary "{base64.b64encode(value.encode(errors="surrogateescape")).decode()}"'
