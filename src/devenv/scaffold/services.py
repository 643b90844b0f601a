"""`devenv add` and `devenv remove`: a service into the Compose file that is there, and out of it again."""

from __future__ import annotations

import os
import re
import secrets
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devenv.config import yamlcore
from devenv.config.load import Selection
from devenv.config.sources import Source, everything, find, place, read, service_names
from devenv.engine import process
from devenv.errors import ConfigError, EngineError, RefusedError, UsageError, nearest, unknown
from devenv.preflight.facts import LOOPBACK, free_port
from devenv.scaffold import proposal as proposals
from devenv.scaffold.proposal import FileEdit, Proposal
from devenv.scaffold.splice import Draft, flow, nested
from devenv.templates import templates_folder
from devenv.watch.rules import relative_to

NAME = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)\Z)[a-z][a-z0-9_-]{0,62}")
_PLACE = re.compile(r"\{\{ (\w+) \}\}")
_DATABASES = ("postgres", "mysql", "mariadb")
_ASSIGNED = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*[=:][ \t]*("(?:\\.|[^"\\])*"|'[^']*'|[^#\r\n]*)""",
    re.MULTILINE | re.DOTALL,
)
BOM = b"\xef\xbb\xbf"


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


@dataclass(slots=True)
class MainFile:
    """The project's main Compose file while it is edited, and the other files beside it."""

    source: Source
    sources: tuple[Source, ...]
    before: bytes
    draft: Draft
    notes: list[str] = field(default_factory=list)

    @property
    def services(self) -> dict[str, Any]:
        """The services that this file defines, by name."""
        found = self.draft.model.get("services")
        return found if isinstance(found, dict) else {}

    def service(self, name: str) -> dict[str, Any]:
        """The model of a service that this file defines. UsageError where it does not."""
        if name in self.services:
            return self.services[name] if isinstance(self.services[name], dict) else {}
        if name in service_names(self.sources):
            file, line = place(self.sources, ("services", name))
            hint = f"Only {self.source.shown} is edited."
            raise UsageError(f"service `{name}` is in another file, {file}:{line}", hint=hint)
        raise unknown("service", name, sorted(service_names(self.sources)))

    def own(self, name: str, key: str) -> Any:
        """What a service says for a key itself; ConfigError where it gets that by a merge, which ours would hide."""
        value = self.service(name).get(key)
        merged = yamlcore.at(self.source.node, ("services", name, key))
        if value is None and merged is not None and merged.value:
            message = f"`{name}` gets its `{key}` by a merge (`<<`), which an own one would hide"
            hint = f"Give it a `{key}:` of its own that has the merged entries too, then try again."
            line = merged.start_mark.line + 1
            raise ConfigError(message, hint=hint, file=self.source.shown, line=line)
        return value

    def networks(self, name: str) -> list[str]:
        """The networks that a service names, also by a merge; without one it is in the default network."""
        self.service(name)
        node = yamlcore.at(self.source.node, ("services", name, "networks"))
        return [
            str(key.value)
            for key in (*yamlcore.strings(node), *(key for key, _ in yamlcore.items(node)))
            if key.value
        ]

    def edit(self) -> FileEdit:
        """The verified edit."""
        bom = BOM if self.before.startswith(BOM) else b""
        return FileEdit(os.path.realpath(self.source.path), self.before, bom + self.draft.verified().encode())


def opened(selection: Selection) -> MainFile:
    """The project's main file, ready to be edited. Raises as `load` does for what is wrong in any file."""
    sources = read(find(selection.directory, selection.files), base=selection.directory)
    main = sources[0]
    return MainFile(main, sources, proposals.read(main.path) or b"", Draft(main.text, main.shown))


# --- add ----------------------------------------------------------------------------------------------------------


async def add(
    selection: Selection, asked: str, *, name: str | None = None, to: str | None = None, template: str | None = None
) -> Proposal:
    """What adds the service, checked and not written.

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
    if to is not None and not kind.front:
        _wire(file, to, name, {render(key, values): render(value, values) for key, value in kind.wiring.items()})
    edit = file.edit()
    variables = [f"{values['VAR']}_{secret}" for secret in kind.secrets]
    await proposals.check(selection, edit, variables)
    more = [*_code(kind, name, file.source.folder, values), *await _settings(file, variables)]
    if kind.port:
        file.notes.append(f"{name} will be at http://127.0.0.1:{values['port']}")
    if "profiles:" in kind.service:
        file.notes.append(f"{name} has the profile `tools`: devenv up {name}")
    return Proposal(file.source.folder, (edit, *more), tuple(file.notes))


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


def _volumes(sources: Sequence[Source]) -> frozenset[str]:
    nodes = (yamlcore.at(source.node, ["volumes"]) for source in everything(sources))
    return frozenset(str(key.value) for node in nodes for key, _ in yamlcore.items(node))


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


def _wire(file: MainFile, to: str, name: str, wiring: Mapping[str, str]) -> None:
    environment = file.own(to, "environment")
    path = ["services", to, "environment"]
    for key, value in wiring.items():
        if (wanted := key) in _keys(environment):
            key = f"{variable(name)}_URL"  # noqa: PLW2901 - what is there stays, so ours gets another name
            file.notes.append(f"{to} has {wanted} already, which stays as it is; the new service is in {key}")
        if isinstance(environment, list):
            file.draft.insert(path, f'- "{key}={value}"')
        else:
            file.draft.insert(path, f"{key}: {value}")
    file.own(to, "depends_on")
    file.draft.depend(["services", to, "depends_on"], name)


def _keys(entries: Any) -> set[str]:
    return {key for key, _ in _pairs(entries)}


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


async def _settings(file: MainFile, variables: Sequence[str]) -> list[FileEdit]:
    """The variables in .env, with values where it has none; their names in .env.example; .env ignored by git."""
    folder = file.source.folder
    if not variables:
        return []
    names = (".env", ".env.example", ".gitignore", ".dockerignore")
    written = {one: os.path.join(folder, one) for one in names}
    before = {one: proposals.read(path) for one, path in written.items()}
    said = _variables(before[".env"])
    new = [name for name in variables if not said.get(name)]
    named = _variables(before[".env.example"])
    lines = {
        ".env": [f"{name}={secrets.token_hex(16)}" for name in new],
        ".env.example": [f"{name}=" for name in variables if name not in named],
        ".gitignore": [] if await _ignored(folder, before[".gitignore"]) else [".env"],
        ".dockerignore": [".env"] if _is_sent(file, before[".dockerignore"]) else [],
    }
    file.notes += [f"{name} is in .env already and stays as it is" for name in variables if name not in new]
    if new and await _git(folder, "ls-files", "--error-unmatch", ".env"):
        file.notes.append(".env is in git, where passwords do not belong: git rm --cached .env")
    for one, path in written.items():
        if lines[one] and relative_to(os.path.realpath(path), os.path.realpath(folder)) is None:
            hint = f"Write it into that file yourself, then try again: {lines[one][0].partition('=')[0]}"
            raise RefusedError(f"{one} is a link out of the project; nothing was written", hint=hint)
    return [
        FileEdit(os.path.realpath(path), before[one], _appended(before[one], lines[one]), private=one == ".env")
        for one, path in written.items()
        if lines[one]
    ]


def _variables(data: bytes | None) -> dict[str, str]:
    """Name -> value of what a file of variables sets, without its quotes; the last one counts."""
    found = _ASSIGNED.findall((data or b"").decode(errors="replace"))
    return {name: value.strip("\"' \t") for name, value in found}


def _appended(data: bytes | None, lines: Sequence[str]) -> bytes:
    data = data or b""
    end = b"\r\n" if b"\r\n" in data else b"\n"
    gap = end if data and not data.endswith(b"\n") else b""
    return data + gap + b"".join(line.encode() + end for line in lines)


def _is_sent(file: MainFile, ignores: bytes | None) -> bool:
    """Whether a build of the project's folder would get .env, and an image could keep it."""
    builds = [model.get("build") for model in file.services.values() if isinstance(model, dict)]
    contexts = [build.get("context") if isinstance(build, dict) else build for build in builds]
    whole = any(isinstance(one, str) and os.path.normpath(one) == "." for one in contexts)
    return whole and not re.search(rb"^(/?(\*\*/)?\.env\*?|\*\*?)\s*$", ignores or b"", re.MULTILINE)


async def _ignored(folder: str, ignores: bytes | None) -> bool:
    if re.search(rb"^/?\.env\s*$", ignores or b"", re.MULTILINE):
        return True
    return await _git(folder, "check-ignore", "-q", ".env")


async def _git(folder: str, *arguments: str) -> bool:
    """Whether git says yes; without a repository it says no."""
    try:
        done = await process.run(["git", "-C", folder, *arguments])
    except EngineError:  # there is no git
        return False
    return done.returncode == 0


# --- remove -------------------------------------------------------------------------------------------------------


async def remove(selection: Selection, name: str) -> Proposal:
    """What takes the service out, with what `add` put into others for it; checked and not written.

    UsageError where others depend on it that were not wired by `add`; else as `add`.
    """
    file = opened(selection)
    model = file.service(name)
    wired = {other: found for other in file.services if (found := _wired(file, other, name, model))}
    depending = [
        other for other in file.services if other != name and name in _keys(file.service(other).get("depends_on"))
    ]
    if others := [other for other in depending if other not in wired]:
        hint = f"Take `{name}` out of their `depends_on` first, or remove them."
        raise UsageError(f"`{name}` is needed by {', '.join(others)}", hint=hint)
    if len(file.services) == 1:
        raise UsageError(f"`{name}` is the only service of {file.source.shown}", hint="Nothing would be left to run.")
    volumes = _own_volumes(file, name)
    for volume in volumes:
        file.draft.cut(["volumes", volume])
    for other, keys in wired.items():
        _unwire(file, other, name, keys, depends=other in depending)
    file.draft.cut(["services", name])
    edit = file.edit()
    await proposals.check(selection, edit, ())
    file.notes += [f"the content of the volume {volume} is not touched: devenv snapshot list" for volume in volumes]
    if variables := sorted(set(re.findall(rf"\$\{{({variable(name)}_\w+)", str(model)))):
        file.notes.append(f"{', '.join(variables)} stays in .env")
    if isinstance(build := model.get("build"), (str, dict)):
        file.notes.append(f"{build if isinstance(build, str) else build.get('context', '.')} stays as it is")
    return Proposal(file.source.folder, (edit,), tuple(file.notes))


def _wired(file: MainFile, other: str, name: str, model: Mapping[str, Any]) -> list[str]:
    """The variables of another service that `add` set for this one."""
    kinds = [
        kind for kind in templates().values() if kind.image == _repository(model) or (kind.code and "build" in model)
    ]
    values = {"name": name, "VAR": variable(name)}
    keys = {f"{values['VAR']}_URL", *(render(key, values) for kind in kinds for key in kind.wiring)}
    host = re.compile(rf"(?:^|[/@]){re.escape(name)}(?::|$)")
    environment = file.service(other).get("environment") if other != name else None
    return [key for key, value in _pairs(environment) if key in keys and host.search(value)]


def _pairs(environment: Any) -> Iterator[tuple[str, str]]:
    if isinstance(environment, list):
        for entry in environment:
            key, _, value = str(entry).partition("=")
            yield key, value
    elif isinstance(environment, dict):
        yield from ((str(key), str(value)) for key, value in environment.items())


def _unwire(file: MainFile, other: str, name: str, keys: Sequence[str], *, depends: bool) -> None:
    if depends:
        file.draft.independ(["services", other, "depends_on"], name)
    for key in reversed(keys):
        environment = file.service(other)["environment"]
        at: str | int = key
        if isinstance(environment, list):
            at = next(index for index, entry in enumerate(environment) if str(entry).startswith(f"{key}="))
        file.draft.cut(["services", other, "environment", at])


def _own_volumes(file: MainFile, name: str) -> list[str]:
    """The volumes `NAME-...` that the service alone mounts, the last one first."""
    declared = file.draft.model.get("volumes")
    used = {other: _sources(file.service(other)) for other in file.services}
    elsewhere = {volume for other, volumes in used.items() if other != name for volume in volumes}
    mine = [volume for volume in declared or () if volume in used[name] - elsewhere and volume.startswith(f"{name}-")]
    return mine[::-1] if isinstance(declared, dict) else []


def _sources(model: Mapping[str, Any]) -> set[str]:
    entries = model.get("volumes") or ()
    return {str(one.get("source") if isinstance(one, dict) else str(one).partition(":")[0]) for one in entries}
