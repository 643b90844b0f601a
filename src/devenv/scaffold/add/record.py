"""What `devenv add` put into a Compose file, recorded so that `devenv remove` takes out that and no more."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from devenv import private_files
from devenv.errors import ConfigError, StateError
from devenv.scaffold.add.edits import Change, Step, undone
from devenv.scaffold.add.proposal import FileEdit
from devenv.scaffold.add.yaml_edit import Draft

VERSION = 1


@dataclass(frozen=True, slots=True)
class Added:
    """What the `add` of one service put into a Compose file.

    `changes` lead from the text with the SHA-256 `before` to that with `after`, and `steps` are how they were made.
    The service `to`, if there is one, got `variables` and an entry in `depends_on`; `volumes` are the keys that were
    declared.
    """

    before: str
    after: str
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    to: str | None = None
    variables: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def taken_back(self, text: str) -> str | None:
        """Return the text as it was before, to the character; None if `text` is not the one that `add` wrote."""
        before = undone(text, self.changes) if digest(text) == self.after else None
        return before if before is not None and digest(before) == self.before else None

    def made(self, before: str, draft: Draft) -> Added:
        """Return the record of the same, made in the text `before` with the edits of the draft."""
        changes, steps = tuple(draft.changes), tuple(draft.steps)
        return replace(self, before=digest(before), after=digest(draft.text), changes=changes, steps=steps)


def never_added(text: str, file: str, name: str, known: Mapping[str, Added]) -> tuple[Draft, dict[str, Added]] | None:
    """Return the text as if the service had never been added, and the records of the services added after it.

    None if somebody has edited the text since then: it is no longer the one that the last `add` wrote.
    """
    later: list[str] = []
    while name not in later:
        last = next((one for one, record in known.items() if one not in later and record.after == digest(text)), None)
        before = known[last].taken_back(text) if last is not None else None
        if last is None or before is None:
            return None
        later.append(last)
        text = before
    records = {one: record for one, record in known.items() if one != name}
    for one in reversed(later[:-1]):
        draft = Draft(text, file)
        try:
            draft.repeat(known[one].steps)
        except ConfigError:
            return None
        records[one] = known[one].made(text, draft)
        text = draft.text
    return Draft(text, file), records


def digest(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def recorded(folder: str, file: str) -> dict[str, Added]:
    """Return the records about a Compose file by service; none if the file of records is missing or damaged.

    Raises StateError if it is a link.
    """
    try:
        data: Any = json.loads(private_files.read_bytes(_path(folder, file)) or b"{}")
        found = data["services"] if data.get("v") == VERSION else {}
        return {name: _added(one) for name, one in found.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}


def recording(folder: str, file: str, services: Mapping[str, Added]) -> FileEdit:
    """Return the edit of the file of records that makes these the records about a Compose file.

    Raises StateError if it cannot be read.
    """
    path = _path(folder, file)
    data = {"v": VERSION, "file": file, "services": {name: asdict(one) for name, one in services.items()}}
    try:
        before = private_files.read_bytes(path)
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    return FileEdit(path, before, json.dumps(data).encode(), private=True)


def _added(one: Mapping[str, Any]) -> Added:
    return Added(
        before=one["before"],
        after=one["after"],
        changes=tuple(Change(int(c["at"]), str(c["old"]), str(c["new"])) for c in one["changes"]),
        steps=tuple(Step(str(s["verb"]), tuple(s["path"]), str(s["text"])) for s in one["steps"]),
        to=one["to"],
        variables=tuple(one["variables"]),
        volumes=tuple(one["volumes"]),
    )


def _path(folder: str, file: str) -> str:
    key = hashlib.sha256(os.fsencode(os.path.realpath(file))).hexdigest()[:24]
    return os.path.join(folder, f"{key}.json")
