"""What `devenv add` wrote into a Compose file, recorded so that `devenv remove` removes exactly that."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from devenv import private_files
from devenv.errors import ConfigError, StateError
from devenv.lazy_dataclass import dataclass
from devenv.scaffold.add.proposal import FileEdit
from devenv.scaffold.add.yaml_edit import STARTED, ComposeDraft, EditStep, TextChange, undone

VERSION = 1


@dataclass(frozen=True, slots=True)
class Added:
    """What the `add` of one service wrote into a Compose file.

    `changes` lead from the text with the SHA-256 `before` to that with `after`; `steps` are the edits that made them.
    The service `to`, if any, got `variables` and an entry in `depends_on`; `volumes` are the keys that were declared.
    """

    before: str
    after: str
    changes: tuple[TextChange, ...]
    steps: tuple[EditStep, ...]
    to: str | None = None
    variables: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def taken_back(self, text: str) -> str | None:
        """The exact text before the `add`; None if `text` is not the one that `add` wrote."""
        before = undone(text, self.changes) if digest(text) == self.after else None
        return before if before is not None and digest(before) == self.before else None

    def taken_out(self, text: str, removed: ComposeDraft) -> ComposeDraft:
        """The edited text without what `add` wrote, if that means the same as `removed`; otherwise `removed`.

        Only this restores what `add` has replaced: an empty mapping, a list of names.
        """
        before = undone(text, self.changes)
        try:
            draft = None if before is None else ComposeDraft(before, removed.file)
        except ConfigError:
            return removed
        return draft if draft and _meaning(draft.model) == _meaning(removed.model) else removed

    def made(self, before: str, draft: ComposeDraft) -> Added:
        """The record of the same service, added to the text `before` by the edits of the draft."""
        changes, steps = tuple(draft.changes), tuple(draft.steps)
        return replace(self, before=digest(before), after=digest(draft.text), changes=changes, steps=steps)


def never_added(
    text: str, file: str, name: str, known: Mapping[str, Added]
) -> tuple[ComposeDraft, dict[str, Added]] | None:
    """The text as if the service had never been added, and the records of the services added after it.

    None if the text was edited since then: it is no longer the one that the last `add` wrote.
    """
    later: list[str] = []
    while name not in later:
        last = next((key for key, record in known.items() if key not in later and record.after == digest(text)), None)
        before = known[last].taken_back(text) if last is not None else None
        if last is None or before is None:
            return None
        later.append(last)
        text = before
    records = {key: record for key, record in known.items() if key != name}
    for key in reversed(later[:-1]):
        draft = ComposeDraft(text, file)
        try:
            draft.repeat(known[key].steps)
        except ConfigError:
            return None
        records[key] = known[key].made(text, draft)
        text = draft.text
    return ComposeDraft(text, file), records


def _meaning(model: Any) -> Any:
    """The model without empty entries, and with lists of dependencies as the equivalent mappings."""
    if not isinstance(model, dict):
        return model
    full = {key: _meaning(value) for key, value in model.items()}
    if isinstance(names := full.get("depends_on"), list):
        full["depends_on"] = {str(name): STARTED for name in names}
    return {key: value for key, value in full.items() if value not in (None, {}, [])}


def digest(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def recorded(folder: str, file: str) -> dict[str, Added]:
    """The records about a Compose file, by service; empty if the file of records is missing or damaged.

    Raises StateError if it is a link.
    """
    try:
        data: Any = json.loads(private_files.read_bytes(_path(folder, file)) or b"{}")
        services = data["services"] if data.get("v") == VERSION else {}
        return {name: _added(fields) for name, fields in services.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


def recording(folder: str, file: str, services: Mapping[str, Added]) -> FileEdit:
    """The edit of the file of records that stores these records about a Compose file.

    Raises StateError if the file cannot be read.
    """
    path = _path(folder, file)
    data = {"v": VERSION, "file": file, "services": {name: asdict(record) for name, record in services.items()}}
    try:
        before = private_files.read_bytes(path)
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    return FileEdit(path, before, json.dumps(data).encode(), private=True)


def _added(fields: Mapping[str, Any]) -> Added:
    return Added(
        before=fields["before"],
        after=fields["after"],
        changes=tuple(TextChange(int(c["at"]), str(c["old"]), str(c["new"])) for c in fields["changes"]),
        steps=tuple(EditStep(str(s["verb"]), tuple(s["path"]), str(s["text"])) for s in fields["steps"]),
        to=fields["to"],
        variables=tuple(fields["variables"]),
        volumes=tuple(fields["volumes"]),
    )


def _path(folder: str, file: str) -> str:
    key = hashlib.sha256(os.fsencode(os.path.realpath(file))).hexdigest()[:24]
    return os.path.join(folder, f"{key}.json")
