"""`devenv add`: a service into the Compose file that is there."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devenv import templates_folder
from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, everything, service_names
from devenv.compose.outline import Selection
from devenv.errors import UsageError, nearest
from devenv.host.listeners import LOOPBACK, free_port
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add import record as added
from devenv.scaffold.add.env_files import env_edits
from devenv.scaffold.add.main_file import MainFile, opened, pairs
from devenv.scaffold.add.proposal import FileEdit, Proposal
from devenv.scaffold.add.record import Added
from devenv.scaffold.add.yaml_edit import flow, nested

NAME = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)\Z)[a-z][a-z0-9_-]{0,62}")
_PLACE = re.compile(r"\{\{ (\w+) \}\}")
_DATABASES = ("postgres", "mysql", "mariadb")


@dataclass(frozen=True, slots=True)
class Template:
    """A service as it is shipped: `front` ones stand before another, `code` ones take a name of their own."""

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

    @property
    def image(self) -> str:
        """The repository of its image; empty where it is built."""
        found = re.search(r"^image: (\S+):", self.service, re.MULTILINE)
        return found[1] if found else ""


def templates() -> dict[str, Template]:
    """All services that can be added, by name."""
    folder = os.path.join(templates_folder(), "services")
    found = {}
    for file in sorted(name for name in os.listdir(folder) if name.endswith(".toml")):
        with open(os.path.join(folder, file), "rb") as source:
            data = tomllib.load(source)
        key = file.removesuffix(".toml")
        found[key] = Template(key, **data)
    return found


async def add(
    selection: Selection,
    asked: str,
    records: str,
    *,
    name: str | None = None,
    to: str | None = None,
    template: str | None = None,
) -> Proposal:
    """What adds the service, checked and not written; what it puts in is recorded in the folder `records`.

    UsageError for names that do not exist or are taken, ConfigError where the file cannot be edited.
    """
    kind = _template(asked, template)
    file = opened(selection)
    names = service_names(file.sources)
    name = _name(name or (asked if template else None), kind, names, _volumes(file.sources))
    to = to or (_database(file) if kind.front else None)
    if kind.front and to is None:
        raise UsageError(f"{kind.key} stands before another service", hint=f"devenv add {kind.key} --to SERVICE")
    values = _values(kind, name, to, file)
    shared = file.networks(to) if to is not None else []
    text = render(kind.service, values) + (f"networks: {flow(shared)}\n" if shared else "")
    file.draft.insert(["services"], nested([name], text.strip("\n")))
    for volume in kind.volumes:
        file.draft.insert(["volumes"], f"{name}-{volume}:")
    user = None if kind.front else to
    wired: tuple[str, ...] = ()
    if user is not None:
        wiring = {render(key, values): render(value, values) for key, value in kind.wiring.items()}
        wired = _wire(file, user, name, wiring)
    edit = file.edit()
    draft, volumes = file.draft, tuple(f"{name}-{volume}" for volume in kind.volumes)
    record = Added("", "", (), (), user, wired, volumes).made(file.source.text, draft)
    known = added.recorded(records, file.source.path)
    variables = [f"{values['VAR']}_{secret}" for secret in kind.secrets]
    await proposals.check(selection, edit, variables)
    more = [*_code(kind, name, file.source.folder, values), *await env_edits(file, variables)]
    if kind.port:
        file.notes.append(f"{name} will be at http://127.0.0.1:{values['port']}")
    if "profiles:" in kind.service:
        file.notes.append(f"{name} has the profile `tools`: devenv up {name}")
    recording = added.recording(records, file.source.path, {**known, name: record})
    return Proposal(file.source.folder, (edit, *more), tuple(file.notes), recording)


def render(text: str, values: Mapping[str, str]) -> str:
    """The text with its `{{ names }}` replaced."""
    return _PLACE.sub(lambda found: values[found[1]], text)


def _template(asked: str, template: str | None) -> Template:
    known = templates()
    kind = known.get(template or asked)
    if kind is None or kind.code != (template is not None):
        if kind is not None and kind.code:
            raise UsageError(f"{asked} takes a name", hint=f"devenv add api --template {asked}")
        fitting = [key for key, one in known.items() if one.code == (template is not None)]
        what = f"template `{template}`" if template else f"service `{asked}` to add"
        raise UsageError(f"there is no {what}", hint=nearest(template or asked, sorted(fitting)))
    return kind


def _volumes(sources: Sequence[ComposeFile]) -> frozenset[str]:
    nodes = (yaml12.at(source.node, ["volumes"]) for source in everything(sources))
    return frozenset(str(key.value) for node in nodes for key, _ in yaml12.items(node))


def _name(wanted: str | None, kind: Template, names: Collection[str], volumes: Collection[str]) -> str:
    """The name asked for, or the first that no service and no volume has. UsageError where it is taken."""

    def clashing(name: str) -> list[str]:
        return [full for volume in kind.volumes if (full := f"{name}-{volume}") in volumes]

    if wanted is None:
        offered = (kind.key, *(f"{kind.key}-{n}" for n in range(2, 1000)))
        return next(name for name in offered if name not in names and not clashing(name))
    if not NAME.fullmatch(wanted):
        hint = "It is made of a-z, 0-9, `_` and `-`, begins with a letter, and is no word of YAML's."
        raise UsageError(f"`{wanted}` is not a name for a service", hint=hint)
    if wanted in names:
        raise UsageError(f"there is a service `{wanted}` already", hint="Give another name with --name.")
    if there := clashing(wanted):
        raise UsageError(f"there is a volume `{there[0]}` already", hint="Give another name with --name.")
    return wanted


def _database(file: MainFile) -> str | None:
    found = [name for name, model in file.services.items() if _repository(model).rpartition("/")[2] in _DATABASES]
    return found[0] if len(found) == 1 else None


def _repository(model: Any) -> str:
    image = model.get("image") if isinstance(model, dict) else None
    return image.partition("@")[0].rpartition(":")[0] or image if isinstance(image, str) else ""


def _values(kind: Template, name: str, to: str | None, file: MainFile) -> dict[str, str]:
    values = {"name": name, "VAR": variable(name), "port": "", "to": to or "", "to_port": "", "condition": ""}
    if kind.port:
        numbers = {int(n) for one in everything(file.sources) for n in re.findall(r"\b\d{2,5}\b", one.text)}
        port = free_port((LOOPBACK,), kind.port - 1, numbers)
        values["port"] = str(port or kind.port)
    if to is not None and kind.front:
        behind = file.service(to)
        values["to_port"] = _port(behind)
        values["condition"] = f"service_{'healthy' if behind.get('healthcheck') else 'started'}"
    return values


def variable(name: str) -> str:
    """What the variables of a service begin with."""
    return name.upper().replace("-", "_")


def _port(model: Mapping[str, Any]) -> str:
    """The port that a service listens on, by what it publishes or exposes; 80 where it does not say."""
    for entry in (*(model.get("ports") or ()), *(model.get("expose") or ())):
        written = entry.get("target") if isinstance(entry, dict) else str(entry).rpartition(":")[2].partition("/")[0]
        if str(written).isdecimal():
            return str(written)
    return "80"


def _wire(file: MainFile, to: str, name: str, wiring: Mapping[str, str]) -> tuple[str, ...]:
    """Give the service `to` the variables and a dependency on `name`. Return the names of the variables."""
    environment = file.own(to, "environment")
    path, used = ["services", to, "environment"], []
    taken = _keys(environment)
    for wanted, value in wiring.items():
        own = f"{variable(name)}_URL"
        offered = (wanted, own, *(f"{own}_{number}" for number in range(2, len(taken) + 3)))
        key = next(one for one in offered if one not in taken)
        if key != wanted:
            file.notes.append(f"{to} has {wanted} already, which stays as it is; the new service is in {key}")
        if isinstance(environment, list):
            file.draft.insert(path, f'- "{key}={value}"')
        else:
            file.draft.insert(path, f"{key}: {value}")
        used.append(key)
    file.own(to, "depends_on")
    file.draft.depend(["services", to, "depends_on"], name)
    return tuple(used)


def _keys(entries: Any) -> set[str]:
    return {key for key, _ in pairs(entries)}


def _code(kind: Template, name: str, folder: str, values: Mapping[str, str]) -> Iterator[FileEdit]:
    """The files of a service's own folder. UsageError where there is one already."""
    if not kind.folder:
        return
    base = os.path.join(templates_folder(), "services", kind.folder)
    if os.path.lexists(target := os.path.join(folder, name)):
        raise UsageError(f"{name}/ is there already", hint="Give another name with --name.")
    for above, folders, files in os.walk(base):
        folders[:] = sorted(one for one in folders if one != "__pycache__")
        for one in sorted(files):
            with open(os.path.join(above, one), encoding="utf-8") as source:
                text = render(source.read(), values)
            path = os.path.join(target, os.path.relpath(above, base), one)
            yield FileEdit(os.path.normpath(path), None, text.encode())
