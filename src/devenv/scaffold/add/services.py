"""`devenv add`: add a service of `templates/services` to the Compose file, with the variables that it needs."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from devenv import templates_folder
from devenv.compose import yaml12
from devenv.compose.files import everything, service_names
from devenv.compose.outline import Selection
from devenv.errors import UsageError, did_you_mean
from devenv.host.listeners import LOOPBACK, free_port
from devenv.lazy_dataclass import dataclass
from devenv.scaffold.add import env_files
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add import record as added
from devenv.scaffold.add.proposal import FileEdit, MainFile, Proposal, opened, pairs
from devenv.scaffold.add.record import Added
from devenv.scaffold.add.yaml_places import flow, nested

NAME = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)\Z)[a-z][a-z0-9_-]{0,62}")
_PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")
_MYSQL = ("mysql", "mariadb", "percona")
# The databases that a tool can show.
_DATABASES = {"adminer": ("postgres", "postgis", "pgvector", *_MYSQL), "phpmyadmin": _MYSQL}


@dataclass(frozen=True, slots=True)
class ServiceTemplate:
    """A service template: `front` services forward to another service, `code` services are named by the user."""

    key: str
    title: str
    service: str
    wiring: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[str] = ()
    secrets: Sequence[str] = ()
    port: int = 0
    front: bool = False
    code: bool = False
    folder: str = ""


def templates() -> dict[str, ServiceTemplate]:
    """All service templates, by name."""
    folder = os.path.join(templates_folder(), "services")
    services = {}
    for file in sorted(name for name in os.listdir(folder) if name.endswith(".toml")):
        with open(os.path.join(folder, file), "rb") as source:
            key = file.removesuffix(".toml")
            services[key] = ServiceTemplate(key, **tomllib.load(source))
    return services


async def add(
    selection: Selection,
    asked: str,
    records: str,
    *,
    name: str | None = None,
    to: str | None = None,
    template: str | None = None,
) -> Proposal:
    """The edits that add the service, checked and not written; they are recorded in the folder `records`.

    Raises UsageError for names that do not exist or are taken, ConfigError if the file cannot be edited.
    """
    kind = _template(asked, template)
    file = opened(selection)
    name = _name(name or (asked if template else None), kind, file)
    if kind.front and to is None:
        to = _behind(file, kind)
    values = _values(kind, name, to, file)
    record = _edit(file, kind, name, to, values)
    edit = file.edit()
    variables = [f"{values['VAR']}_{secret}" for secret in kind.secrets]
    known = added.recorded(records, file.source.path)
    await proposals.check(selection, edit, variables)
    more = [*_code(kind, name, file.source.folder, values), *await env_files.edits(file, variables)]
    if kind.port:
        file.notes.append(f"{name} will be at http://127.0.0.1:{values['port']}")
    if "profiles:" in kind.service:
        file.notes.append(f"{name} has the profile `tools`: devenv up {name}")
    recording = added.recording(records, file.source.path, {**known, name: record})
    return Proposal(file.source.folder, (edit, *more), tuple(file.notes), recording)


def _edit(file: MainFile, kind: ServiceTemplate, name: str, to: str | None, values: Mapping[str, str]) -> Added:
    """Put the service into the draft, with its volumes and, unless it is a front, what `to` needs to use it."""
    text = _render(kind.service, values)
    if to is not None and (networks := _networks(file, to)):
        text += f"networks: {flow(networks)}\n"
    file.draft.insert(["services"], nested([name], text.strip("\n")))
    volumes = tuple(f"{name}-{volume}" for volume in kind.volumes)
    for volume in volumes:
        file.draft.insert(["volumes"], f"{volume}:")
    user = None if kind.front else to
    wiring = {_render(key, values): _render(value, values) for key, value in kind.wiring.items()}
    variables = [] if user is None else _wire(file, user, name, wiring)
    return Added("", "", (), (), user, tuple(variables), volumes).made(file.source.text, file.draft)


def _render(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def _template(asked: str, template: str | None) -> ServiceTemplate:
    known = templates()
    kind = known.get(template or asked)
    if kind is not None and kind.code == (template is not None):
        return kind
    if kind is not None and kind.code:
        raise UsageError(f"{asked} takes a name", hint=f"devenv add api --template {asked}")
    fitting = sorted(key for key, other in known.items() if other.code == (template is not None))
    missing = f"template `{template}`" if template else f"service `{asked}` to add"
    raise UsageError(f"there is no {missing}", hint=did_you_mean(template or asked, fitting))


def _name(wanted: str | None, kind: ServiceTemplate, file: MainFile) -> str:
    """The wanted name, or the first one that no service and no volume has. Raises UsageError if it is taken."""
    names = service_names(file.sources)
    nodes = (yaml12.at(source.node, ["volumes"]) for source in everything(file.sources))
    volumes = {str(key.value) for node in nodes for key, _ in yaml12.items(node)}

    def clashing(name: str) -> list[str]:
        return [full for volume in kind.volumes if (full := f"{name}-{volume}") in volumes]

    if wanted is None:
        offered = (kind.key, *(f"{kind.key}-{n}" for n in range(2, 1000)))
        return next(name for name in offered if name not in names and not clashing(name))
    if not NAME.fullmatch(wanted):
        hint = "It is made of a-z, 0-9, `_` and `-`, begins with a letter, and is not a word of YAML."
        raise UsageError(f"`{wanted}` is not a name for a service", hint=hint)
    if wanted in names:
        raise UsageError(f"there is a service `{wanted}` already", hint="Give another name with --name.")
    if existing := clashing(wanted):
        raise UsageError(f"there is a volume `{existing[0]}` already", hint="Give another name with --name.")
    return wanted


def _behind(file: MainFile, kind: ServiceTemplate) -> str:
    """The only service with a database that the tool can show. Raises UsageError with the candidates."""
    command = f"devenv add {kind.key} --to"
    names = sorted(file.services)
    if images := _DATABASES.get(kind.key):
        repository = re.compile(rf"(?:.*/)?(?:{'|'.join(images)})(?:ql)?(?:[:@].*)?")
        databases = [name for name in names if repository.fullmatch(str(file.service(name).get("image")))]
        if len(databases) == 1:
            return databases[0]
        if not databases:
            message = f"{kind.key} needs a database, and no service has the image of one that it can show"
            hint = f"devenv add {images[0]}, or name a service: {command} SERVICE ({', '.join(names)})"
            raise UsageError(message, hint=hint)
        names = databases
    raise UsageError(f"{kind.key} needs the service that it is for: {', '.join(names)}", hint=f"{command} {names[0]}")


def _values(kind: ServiceTemplate, name: str, to: str | None, file: MainFile) -> dict[str, str]:
    values = {"name": name, "VAR": variable(name), "port": "", "to": to or "", "to_port": "", "condition": ""}
    if kind.port:
        numbers = {int(n) for source in everything(file.sources) for n in re.findall(r"\b\d{2,5}\b", source.text)}
        values["port"] = str(free_port((LOOPBACK,), kind.port - 1, numbers) or kind.port)
    if to is not None and kind.front:
        behind = file.service(to)
        values["to_port"] = _port(behind)
        values["condition"] = f"service_{'healthy' if behind.get('healthcheck') else 'started'}"
    return values


def variable(name: str) -> str:
    """The prefix of the names of a service's variables."""
    return name.upper().replace("-", "_")


def _port(model: Mapping[str, Any]) -> str:
    """The port that a service listens on, from what it publishes or exposes; 80 if unknown."""
    for entry in (*(model.get("ports") or ()), *(model.get("expose") or ())):
        port = entry.get("target") if isinstance(entry, dict) else str(entry).rpartition(":")[2].partition("/")[0]
        if str(port).isdecimal():
            return str(port)
    return "80"


def _networks(file: MainFile, name: str) -> list[str]:
    """The networks of a service, including merged ones; empty for the default network."""
    file.service(name)
    node = yaml12.at(file.source.node, ("services", name, "networks"))
    return [str(key.value) for key in (*yaml12.strings(node), *(key for key, _ in yaml12.items(node))) if key.value]


def _wire(file: MainFile, to: str, name: str, wiring: Mapping[str, str]) -> list[str]:
    """Give the service `to` the variables and a dependency on `name`. Return the names of the variables."""
    environment = file.own(to, "environment")
    path, used = ["services", to, "environment"], []
    taken = {key for key, _ in pairs(environment)}
    for wanted, value in wiring.items():
        own = f"{variable(name)}_URL"
        offered = (wanted, own, *(f"{own}_{number}" for number in range(2, len(taken) + 3)))
        key = next(key for key in offered if key not in taken)
        if key != wanted:
            file.notes.append(f"{to} has {wanted} already, which stays as it is; the new service is in {key}")
        file.draft.insert(path, f'- "{key}={value}"' if isinstance(environment, list) else f"{key}: {value}")
        used.append(key)
    file.own(to, "depends_on")
    file.draft.depend(["services", to, "depends_on"], name)
    return used


def _code(kind: ServiceTemplate, name: str, folder: str, values: Mapping[str, str]) -> Iterator[FileEdit]:
    """The files of a service's own folder. Raises UsageError if that folder exists."""
    if not kind.folder:
        return
    base = os.path.join(templates_folder(), "services", kind.folder)
    if os.path.lexists(target := os.path.join(folder, name)):
        raise UsageError(f"{name}/ exists already", hint="Give another name with --name.")
    for above, folders, files in os.walk(base):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for file in sorted(files):
            with open(os.path.join(above, file), encoding="utf-8") as source:
                text = _render(source.read(), values)
            path = os.path.join(target, os.path.relpath(above, base), file)
            yield FileEdit(os.path.normpath(path), None, text.encode())
