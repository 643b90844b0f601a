"""The log of a keeper: its events as JSON lines, of limited size and without secrets; and its unsolved problems."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from devenv import private_files
from devenv.errors import StateError
from devenv.events import Event, Log, Problem, ServiceState, Solved, Step, Traced
from devenv.lazy_dataclass import dataclass
from devenv.model.status import GOOD, Phase
from devenv.redact import Redactor

NAME = "events.jsonl"
LIMIT = 512 * 1024  # bytes of a file; there are two
VERSION = 1
LONGEST = 2000  # characters of a text


@dataclass
class EventLog:
    """Two files in the folder of a run: when the first is full, it replaces the second."""

    folder: str
    environment: Mapping[str, str]
    limit: int = LIMIT
    _redactor: Redactor = field(init=False)

    def __post_init__(self) -> None:
        self._redactor = Redactor(self.environment)

    @property
    def path(self) -> str:
        """The path of the file with the newest events."""
        return os.path.join(self.folder, NAME)

    def write(self, event: Event) -> None:
        """Append the event, if the disk allows. The engine keeps the lines of containers."""
        if isinstance(event, Log | Traced) or (isinstance(event, Step) and event.state == "detail"):
            return
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {"v": VERSION, "ts": at, "event": event.event, **self._bare(event.fields())}
        with contextlib.suppress(OSError, StateError):
            private_files.append(self.path, f"{json.dumps(fields)}\n")
            if os.stat(self.path).st_size >= self.limit:
                os.replace(self.path, f"{self.path}.1")

    def _bare(self, value: Any) -> Any:
        """The value with all texts redacted, on one line and cut."""
        if isinstance(value, dict):
            return {key: self._bare(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._bare(part) for part in value]
        return self._redactor.text(value)[:LONGEST] if isinstance(value, str) else value


@dataclass
class Unsolved:
    """The problems that are not solved yet, the newest last."""

    _problems: dict[tuple[str | None, str | None], str] = field(default_factory=dict)  # by path and service

    def note(self, event: Event) -> bool:
        """Take an event into account; return whether the newest problem is another one now."""
        before = self.newest
        match event:
            case Problem(message, _, service, path):
                self._problems.pop((path, service), None)
                self._problems[path, service] = message
            case Solved(path):
                self._problems = {key: text for key, text in self._problems.items() if key[0] != path}
            case ServiceState(service, state) if Phase(state) in GOOD and not event.error:
                self._problems.pop((None, service), None)
            case _:
                pass
        return self.newest != before

    def recovered(self) -> None:
        """Forget the problem of the run as a whole."""
        self._problems.pop((None, None), None)

    @property
    def newest(self) -> str:
        """The newest problem that is not solved; empty if there is none."""
        return next(reversed(self._problems.values()), "")
