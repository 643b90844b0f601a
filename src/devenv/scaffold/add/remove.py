"""`devenv remove`: a service out of the Compose file, with what `devenv add` put into others for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from devenv.compose import yaml12
from devenv.compose.files import everything, service_names
from devenv.compose.outline import Selection
from devenv.errors import UsageError
from devenv.scaffold.add import mentions
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add import record as added
from devenv.scaffold.add.mentions import Mention
from devenv.scaffold.add.proposal import FileEdit, MainFile, Proposal, opened, pairs
from devenv.scaffold.add.record import Added
from devenv.scaffold.add.services import assigned, variable


async def remove(selection: Selection, name: str, records: str) -> Proposal:
    """The edits that remove the service, checked and not written. `records` is the folder of what `add` recorded.

    In other services, only what `add` put in for this one is removed; other places that name it are notes.
    Raises UsageError if others need the service; else as `add`.
    """
    file = opened(selection)
    model = file.service(name)
    known = added.recorded(records, file.source.path)
    record = known.get(name)
    if needed := list(_needed(file, name, record)):
        parts = " and ".join(dict.fromkeys(f"`{mention.part}`" for _, mention in needed))
        hint = f"Take `{name}` out of their {parts} first, or remove them."
        raise UsageError(f"`{name}` is needed by {mentions.shown(needed)}", hint=hint)
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
    env_files = {env: assigned(_content(file, env)) for env in (".env", ".env.example")}
    for key in sorted(set(re.findall(rf"\$\{{({variable(name)}_\w+)", str(model)))):
        names = [env for env, values in env_files.items() if key in values]
        file.notes += [f"{key} stays in {' and '.join(names)}"] if names else []
    if isinstance(build := model.get("build"), (str, dict)):
        file.notes.append(f"{build if isinstance(build, str) else build.get('context', '.')} stays as it is")
    file.notes += _named_still(file, edit, name)
    record_edit = added.recording(records, file.source.path, rest) if record is not None else None
    return Proposal(file.source.folder, (edit,), tuple(file.notes), record_edit)


def _needed(file: MainFile, name: str, record: Added | None) -> Iterator[tuple[str, Mention]]:
    """Yield the places that cannot do without the service, with their files; not those that `add` wrote."""
    for source in everything(file.sources):
        for mention in mentions.mentions(source.node, name):
            is_ours = source is file.source and record is not None and record.to == mention.service
            if mention.needed and not (is_ours and mention.part == "depends_on"):
                yield source.shown, mention


def _cut(file: MainFile, name: str, record: Added | None, volumes: list[str]) -> None:
    """Remove the service, its volumes and, as far as it is still there, what `add` put into another service."""
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
    ours = [key for key, value in variables if key in record.variables and mentions.host(value) == name.lower()]
    for key in reversed(ours):
        left = file.service(other)["environment"]
        is_list = isinstance(left, list)
        at = next(n for n, entry in enumerate(left) if str(entry).startswith(f"{key}=")) if is_list else key
        file.draft.cut(["services", other, "environment", at])


def _removed_variables(file: MainFile) -> Iterator[str]:
    """Yield a note for each variable that the draft takes out of a service that stays, with its line until now."""
    before = yaml12.construct(file.source.text, file=file.source.shown)["services"]
    for name in file.services:
        kept = {key for key, _ in pairs(file.service(name).get("environment"))}
        path: tuple[str | int, ...] = ("services", name, "environment")
        environment = (before[name] or {}).get("environment")
        for index, (key, _) in enumerate(pairs(environment)):
            if key not in kept:
                at = index if isinstance(environment, list) else key
                line = yaml12.line_of(file.source.node, (*path, at))
                yield f"{file.source.shown}:{line}: {name} loses the variable {key}, which `devenv add` wrote"


def _own_volumes(file: MainFile, name: str, record: Added | None) -> list[str]:
    """The volumes that only the service mounts and that `add` declared or may have declared, the last one first.

    `add` calls them `NAME-...` and gives them no settings: one that has settings was written by a person.
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
    """Yield a note for each place that names the service after the edit, with its line in the edited file."""
    for source in everything(file.sources):
        node = yaml12.check(edit.after, file=source.shown) if source is file.source else source.node
        if source is not file.source and (line := yaml12.line_of(node, ("services", name))):
            yield f"{source.shown}:{line}: `{name}` has settings here, too"
        for mention in mentions.mentions(node, name):
            place = f"services.{mention.service}.{mention.part}" if mention.service else mention.part
            yield f"{source.shown}:{mention.line}: {place} still names `{name}`"
    variables = mentions.variables(_content(file, ".env").decode(errors="replace"), name)
    yield from (f".env:{line}: {key} still names `{name}`" for line, key in variables)


def _content(file: MainFile, name: str) -> bytes:
    """The content of a file in the project's folder; empty if it does not exist."""
    return proposals.read(os.path.join(file.source.folder, name)) or b""
