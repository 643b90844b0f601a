"""The events of a run in the background as JSON lines in its folder, of limited size and without secrets."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from devenv import private_files
from devenv.errors import StateError
from devenv.events import Event, Log, Step, Traced
from devenv.lazy_dataclass import dataclass
from devenv.redact import Redactor

NAME = "events.jsonl"
LIMIT = 512 * 1024  # bytes of a file; there are two
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
        fields = self._bare(event.document(time.time()))
        with contextlib.suppress(OSError, StateError):
            private_files.append(self.path, f"{json.dumps(fields)}\n")
            if os.stat(self.path).st_size >= self.limit:
                os.replace(self.path, f"{self.path}.1")

    @staticmethod
    def documents(folder: str) -> Iterator[dict[str, Any]]:
        """The events in the folder of a run, the oldest first; those of earlier runs too, no damaged ones."""
        for name in (f"{NAME}.1", NAME):
            with contextlib.suppress(OSError, StateError):
                for line in (private_files.read(os.path.join(folder, name)) or "").splitlines():
                    with contextlib.suppress(ValueError):
                        yield json.loads(line)

    def _bare(self, value: Any) -> Any:
        """The value with all texts redacted, on one line and cut."""
        if isinstance(value, dict):
            return {key: self._bare(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._bare(part) for part in value]
        return self._redactor.text(value)[:LONGEST] if isinstance(value, str) else value
