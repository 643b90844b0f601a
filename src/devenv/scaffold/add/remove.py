"""`devenv remove`: remove a service and what `devenv add` wrote into others for it; and find mentions of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from devenv.compose import yaml12
from devenv.compose.files import everything, service_names
from devenv.compose.outline import Selection
from devenv.errors import UsageError
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add import record as added
from devenv.scaffold.add.env_files import assigned
from devenv.scaffold.add.proposal import FileEdit, MainFile, Proposal, opened, pairs
from devenv.scaffold.add.record import Added
from devenv.scaffold.add.services import variable

# Parts of a service in which a host name means another service. In other parts (image, volumes) names are not hosts.
TEXTS = ("environment", "command", "entrypoint", "healthcheck", "labels", "extra_hosts", "post_start", "pre_stop")
NAMESPACES = ("network_mode", "pid", "ipc")
_INTERPOLATED = re.compile(r"\$\{[^{}]*\}|\$[A-Za-z_]\w*")
_URL = re.compile(r"[A-Za-z][\w+.-]*://(?:[^\s/?#'\"<>]*@)?([^\s/?#'\"<>@]+)")
_ADDRESS = re.compile(r"(?:[^\s@]*@)?([\w.-]+):(?:\d+|x)(?:/\S*)?")
_HOST_VARIABLE = re.compile(r"HOST|SERVER|ADDR|NODE|ENDPOINT|BROKER|URL|URI|DSN", re.IGNORECASE)


async def remove(selection: Selection, name: str, records: str) -> Proposal:
    """The edits that remove the service, checked and not written. `records` is the folder of the records of `add`.

    In other services, only what `add` wrote for this service is removed; other places that name it are notes. Raises
    UsageError if other services need the service; otherwise like `add`.
    """
    file = opened(selection)
    model = file.service(name)
    known = added.recorded(records, file.source.path)
    record = known.get(name)
    if needed := list(_needed(file, name, record)):
        parts = " and ".join(dict.fromkeys(f"`{mention.part}`" for _, mention in needed))
        hint = f"Take `{name}` out of their {parts} first, or remove them."
        users = ", ".join(f"{m.service} ({file}:{m.line}: {m.part})" for file, m in needed)
        raise UsageError(f"`{name}` is needed by {users}", hint=hint)
    if len(service_names(file.sources)) == 1:
        raise UsageError(f"`{name}` is the only service of {file.source.shown}", hint="Nothing would be left to run.")
    volumes = _own_volumes(file, name, record)
    rest = {other: addition for other, addition in known.items() if other != name}
    text = file.draft.text
    if restored := added.never_added(text, file.draft.file, name, known):
        file.draft, rest = restored
    else:
        _cut(file, name, record, volumes)
        file.draft = record.taken_out(text, file.draft) if record is not None else file.draft
    edit = file.edit()
    await proposals.check(selection, edit, ())
    file.notes += _removed_variables(file)
    file.notes += [f"the content of the volume {volume} is not touched: devenv snapshot list" for volume in volumes]
    file.notes += _kept_beside(file, name, model)
    file.notes += _named_still(file, edit, name)
    record_edit = added.recording(records, file.source.path, rest) if record is not None else None
    return Proposal(file.source.folder, (edit,), tuple(file.notes), record_edit)


def _needed(file: MainFile, name: str, record: Added | None) -> Iterator[tuple[str, Mention]]:
    """Yield the places that require the service, with their files; not those that `add` wrote."""
    for source in everything(file.sources):
        for mention in find_mentions(source.node, name):
            is_added = source is file.source and record is not None and record.to == mention.service
            if mention.needed and not (is_added and mention.part == "depends_on"):
                yield source.shown, mention


def _cut(file: MainFile, name: str, record: Added | None, volumes: list[str]) -> None:
    """Remove the service, its volumes and, if still present, what `add` wrote into another service."""
    for volume in volumes:
        file.draft.cut(["volumes", volume])
    if record is not None and record.to in file.services and record.to != name:
        _unwire(file, record.to, name, record)
    file.draft.cut(["services", name])


def _unwire(file: MainFile, other: str, name: str, record: Added) -> None:
    depends = file.service(other).get("depends_on")
    if isinstance(depends, (list, dict)) and name in depends:
        at = depends.index(name) if isinstance(depends, list) else name
        file.draft.cut(["services", other, "depends_on", at])
    variables = pairs(file.service(other).get("environment"))
    added_keys = [key for key, value in variables if key in record.variables and host(value) == name.lower()]
    for key in reversed(added_keys):
        left = file.service(other)["environment"]
        is_list = isinstance(left, list)
        at = next(n for n, entry in enumerate(left) if str(entry).startswith(f"{key}=")) if is_list else key
        file.draft.cut(["services", other, "environment", at])


def _removed_variables(file: MainFile) -> Iterator[str]:
    """Yield a note for each variable that the draft removes from a remaining service, with its old line."""
    before = yaml12.construct(file.source.text, file=file.source.shown)["services"]
    for name in file.services:
        remaining = {key for key, _ in pairs(file.service(name).get("environment"))}
        path: tuple[str | int, ...] = ("services", name, "environment")
        environment = (before[name] or {}).get("environment")
        for index, (key, _) in enumerate(pairs(environment)):
            if key not in remaining:
                at = index if isinstance(environment, list) else key
                line = yaml12.line_of(file.source.node, (*path, at))
                yield f"{file.source.shown}:{line}: {name} loses the variable {key}, which `devenv add` wrote"


def _kept_beside(file: MainFile, name: str, model: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note for each variable of the service in an env file, and for the folder that it was built from."""
    env_files = {env: assigned(_content(file, env)) for env in (".env", ".env.example")}
    for key in sorted(set(re.findall(rf"\$\{{({variable(name)}_\w+)", str(model)))):
        if names := [env for env, values in env_files.items() if key in values]:
            yield f"{key} stays in {' and '.join(names)}"
    if isinstance(build := model.get("build"), (str, dict)):
        yield f"{build if isinstance(build, str) else build.get('context', '.')} stays as it is"


def _own_volumes(file: MainFile, name: str, record: Added | None) -> list[str]:
    """The volumes that only the service mounts and that `add` declared or may have declared, the last one first.

    `add` names them `NAME-...` without settings: a volume with settings was written by a person.
    """
    declared = file.draft.model.get("volumes")
    if not isinstance(declared, dict):
        return []
    used = {other: _sources(file.service(other)) for other in file.services}
    elsewhere = {volume for other, volumes in used.items() if other != name for volume in volumes}
    recorded = record.volumes if record is not None else ()
    own = [
        volume
        for volume, settings in declared.items()
        if volume in used[name] - elsewhere
        and (volume in recorded or (volume.startswith(f"{name}-") and not settings))
    ]
    return own[::-1]


def _sources(model: Mapping[str, Any]) -> set[str]:
    mounts = model.get("volumes") or ()
    return {str(m.get("source") if isinstance(m, dict) else str(m).partition(":")[0]) for m in mounts}


def _named_still(file: MainFile, edit: FileEdit, name: str) -> Iterator[str]:
    """Yield a note for each place that still names the service, with its line in the edited file."""
    for source in everything(file.sources):
        node = yaml12.check(edit.after, file=source.shown) if source is file.source else source.node
        if source is not file.source and (line := yaml12.line_of(node, ("services", name))):
            yield f"{source.shown}:{line}: `{name}` has settings here, too"
        for mention in find_mentions(node, name):
            place = f"services.{mention.service}.{mention.part}" if mention.service else mention.part
            yield f"{source.shown}:{mention.line}: {place} still names `{name}`"
    variables = named_variables(_content(file, ".env").decode(errors="replace"), name)
    yield from (f".env:{line}: {key} still names `{name}`" for line, key in variables)


def _content(file: MainFile, name: str) -> bytes:
    """The content of a file in the project's folder; empty if it does not exist."""
    return proposals.read(os.path.join(file.source.folder, name)) or b""


class Mention(NamedTuple):
    """A place that names a service: its line, the service that contains it, if any, and the part, such as `links`.

    `needed`: Compose refuses the project without the named service.
    """

    line: int
    service: str
    part: str
    needed: bool


def host(value: str) -> str | None:
    """The host of a URL or of `HOST:PORT`, in lower case; None if there is none."""
    plain = _plain(value)
    try:
        return urlsplit(plain if "//" in plain else f"//{plain}").hostname
    except ValueError:
        return None


def find_mentions(node: yaml.Node, name: str) -> Iterator[Mention]:
    """Yield the places of a Compose file that name a service, each line of a part once, in the order of the file.

    Places in the service itself do not count.
    """
    places = []
    for key, value in _items(node, "services"):
        if key.value != name:
            places += [mention._replace(service=str(key.value)) for mention in _of_service(value, name)]
    for key, value in _items(node, "configs"):
        texts = _texts(yaml12.at(value, ("content",)), "", name)
        places += [mention._replace(part=f"configs.{key.value}") for mention in texts]
    for key, value in _items(node, "x-devenv"):
        scalars = yaml12.scalars_under(value, ("service",))
        places += [Mention(_line(s), "", f"x-devenv.{key.value}", needed=False) for s in scalars if s.value == name]
    yield from sorted(dict.fromkeys(places))


def _items(node: yaml.Node, *path: str) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    return iter(yaml12.items(yaml12.at(node, path)))


def _strings(node: yaml.Node, *path: str) -> Iterator[yaml.Node]:
    """The texts of a list, or a single text."""
    return iter(yaml12.strings(yaml12.at(node, path)))


def named_variables(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of the variables of a .env file whose value holds the service's host name."""
    for number, line in enumerate(text.splitlines(), start=1):
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#") and _holds(value.strip("\"'"), key, name):
            yield number, key.removeprefix("export ").strip()


def _of_service(node: yaml.Node, name: str) -> Iterator[Mention]:
    for scalar, part, service in _references(node):
        if service == name:
            yield Mention(_line(scalar), "", part, needed=True)
    for part in TEXTS:
        yield from _texts(yaml12.at(node, (part,)), part, name)
    yield from _texts(yaml12.at(node, ("build", "args")), "build.args", name)
    for _, network in _items(node, "networks"):
        for alias in _strings(network, "aliases"):
            if alias.value == name:
                yield Mention(_line(alias), "", "networks", needed=False)


def _references(node: yaml.Node) -> Iterator[tuple[yaml.Node, str, str]]:
    """Yield the services that a service needs: the node, the part that contains it, and the name of the service."""
    for scalar in (*_strings(node, "depends_on"), *(key for key, _ in _items(node, "depends_on"))):
        yield scalar, "depends_on", str(scalar.value)
    for part in ("links", "volumes_from"):
        for scalar in _strings(node, part):
            yield scalar, part, scalar.value.partition(":")[0]
    for part in NAMESPACES:
        for scalar in _strings(node, part):
            yield scalar, part, _meant(scalar.value)
    contexts = ("build", "additional_contexts")
    for scalar in (*_strings(node, *contexts), *(value for _, value in _items(node, *contexts))):
        yield scalar, ".".join(contexts), _meant(str(scalar.value).rpartition("=")[2])
    if yaml12.at(node, ("extends", "file")) is None:
        for scalar in (*_strings(node, "extends"), *_strings(node, "extends", "service")):
            yield scalar, "extends", str(scalar.value)


def _meant(value: str) -> str:
    """The service of `service:NAME`; empty for other values."""
    kind, _, name = value.partition(":")
    return name if kind == "service" else ""


def _texts(node: yaml.Node | None, part: str, name: str, key: str = "") -> Iterator[Mention]:
    """Yield a mention for each text at any depth that contains the host name; `key` is the key of the text."""
    if isinstance(node, yaml.ScalarNode):
        variable, equals, value = node.value.partition("=")
        is_pair = bool(equals) and not key and re.fullmatch(r"[\w.-]+", variable) is not None
        if _holds(value if is_pair else node.value, variable if is_pair else key, name):
            yield Mention(_line(node), "", f"{part}.{variable if is_pair else key}".rstrip("."), needed=False)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _texts(item, part, name)
    else:
        for inner, value in yaml12.items(node):
            yield from _texts(value, part, name, str(inner.value))


def _holds(text: str, key: str, name: str) -> bool:
    return name.lower() in _hosts(text) or (text == name and _HOST_VARIABLE.search(key) is not None)


def _hosts(text: str) -> set[str]:
    """All hosts of the URLs and addresses in a text, in lower case."""
    plain = _plain(text)
    authorities = [host for match in _URL.findall(plain) for host in match.split(",")]
    words = re.split(r"[\s,;='\"()\[\]]+", _URL.sub(" ", plain))
    addresses = [match[1] for word in words if (match := _ADDRESS.fullmatch(word))]
    return {address.partition(":")[0].lower() for address in (*authorities, *addresses)}


def _plain(text: str) -> str:
    """The text with `x` for each variable that Compose interpolates."""
    while (plain := _INTERPOLATED.sub("x", text)) != text:
        text = plain
    return plain


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
