"""What is said of a service's paths: each thing once, until it is over or changes."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from devenv.events import Emit, Notice, Problem
from devenv.sync.container.transports import TOO_LARGE
from devenv.sync.planner import LOOP, NO_FILE
from devenv.sync.rules.rules import relative_to

HINTS = {
    "a folder is there in the container": "to put a file into that folder, end the rule's `target` with a slash",
    LOOP: "remove it, or add `ignore: [{name}]` to the rule",
    TOO_LARGE: "to leave it out: add `ignore: [{name}]` to the rule",
    NO_FILE: "to leave it out: add `ignore: [{name}]` to the rule",
}


@dataclass(slots=True)
class Report:
    """One service's; `directory` is the project's, which paths are shown relative to."""

    emit: Emit
    service: str
    directory: str
    told: dict[str, str] = field(default_factory=dict)  # path -> what is wrong with it
    told_env_files: set[str] = field(default_factory=set)

    def problems(self, reasons: Mapping[str, str]) -> None:
        """Path -> what is wrong with it; many of one kind are one line."""
        paths: dict[str, list[str]] = defaultdict(list)
        for path, reason in reasons.items():
            if self.told.get(path) != reason:
                paths[reason].append(path)
        self.told.update(reasons)
        for reason, (first, *others) in paths.items():
            more = f" (+{len(others)} more)" if others else ""
            hint = HINTS.get(reason)
            hint = hint.format(name=posixpath.basename(first)) if hint else None
            self.emit(Problem(f"{self._shown(first)}{more}: {reason}", hint, self.service, first))

    def over(self, paths: Collection[str]) -> None:
        """Nothing is wrong with these paths any more."""
        for path in self.told.keys() & set(paths):
            del self.told[path]

    def env_files(self, paths: Iterable[str]) -> None:
        """Files with secrets that a rule copies."""
        for path in paths:
            if path not in self.told_env_files:
                self.told_env_files.add(path)
                hint = "to keep it out: add `ignore: [.env]` to the rule, or .env to .dockerignore"
                self.emit(Notice(f"{self._shown(path)} is copied into {self.service}", hint))

    def _shown(self, path: str) -> str:
        return relative_to(path, self.directory) or path
