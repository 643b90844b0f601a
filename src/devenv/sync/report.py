"""Reports on the paths of a service: each problem once, until it is over or changes; and what was synced."""

from __future__ import annotations

import os
import posixpath
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from devenv.events import Emit, Notice, Problem, Synced
from devenv.model.sync_plan import ServicePlan
from devenv.paths import relative_to
from devenv.sync.container.host_files import GONE
from devenv.sync.container.outcome import Outcome
from devenv.sync.container.transports import TOO_LARGE
from devenv.sync.host.manifest import Changes
from devenv.sync.planner import LOOP, NO_FILE

SHOWN_PATHS = 5
LONGEST_SYNC = 4.0  # seconds from a save until it is in the container; what took longer was not saved just now
HINTS = {
    "a folder is there in the container": "to put a file into that folder, end the rule's `target` with a slash",
    LOOP: "remove it, or add `ignore: [{name}]` to the rule",
    TOO_LARGE: "to leave it out: add `ignore: [{name}]` to the rule",
    NO_FILE: "to leave it out: add `ignore: [{name}]` to the rule",
}


@dataclass(slots=True)
class Report:
    """The reports of one service; paths are shown relative to `directory`, the project's folder."""

    emit: Emit
    service: str
    directory: str
    reported: dict[str, str] = field(default_factory=dict)  # path -> what is wrong with it
    reported_env_files: set[str] = field(default_factory=set)

    def problems(self, reasons: Mapping[str, str]) -> None:
        """Report what is wrong with each path; many of one kind are one line."""
        paths: dict[str, list[str]] = defaultdict(list)
        for path, reason in reasons.items():
            if self.reported.get(path) != reason:
                paths[reason].append(path)
        self.reported.update(reasons)
        for reason, (first, *others) in paths.items():
            more = f" (+{len(others)} more)" if others else ""
            hint = HINTS.get(reason)
            hint = hint.format(name=posixpath.basename(first)) if hint else None
            self.emit(Problem(f"{self._shown(first)}{more}: {reason}", hint, self.service, first))

    def over(self, paths: Collection[str]) -> None:
        """Note that nothing is wrong with these paths any more."""
        for path in self.reported.keys() & set(paths):
            del self.reported[path]

    def outcome(self, step: ServicePlan, outcome: Outcome, failed: Collection[str]) -> None:
        """Report what could not be synced or deleted, and end what is over. `failed` are host paths."""
        undeleted = [delete.target for delete in step.deletes if delete.target in outcome.failed]
        synced = {sync.target for sync in step.syncs}
        reasons = {target: outcome.failed[target] for target in undeleted if target not in synced}
        for sync in step.syncs:
            # A temporary file that was gone before it could be read is no problem.
            reason = outcome.failed.get(sync.target, GONE)
            if reason != GONE and os.path.lexists(sync.source):
                reasons[sync.source] = reason
        self.problems(reasons)
        tried = {*(sync.source for sync in step.syncs), *(delete.target for delete in step.deletes)}
        self.over(tried.difference(failed, undeleted))

    def synced(self, step: ServicePlan, outcome: Outcome, changes: Changes, began: float) -> None:
        """Emit what arrived, if anything did. `began` (Unix seconds) counts if the time of the save is not known."""
        if not outcome.files and not outcome.deleted:
            return
        now = time.time()
        saved = max((state.ctime_ns / 1e9 for _, state in changes.present), default=began)
        if not 0 <= now - saved <= LONGEST_SYNC:
            saved = began
        paths = [os.path.relpath(sync.source, self.directory) for sync in step.syncs[:SHOWN_PATHS]]
        put = {sync.target for sync in step.syncs}
        paths += [delete.cause for delete in step.deletes if delete.target not in put][:SHOWN_PATHS]
        ms = round((now - saved) * 1000, 1)
        counts = (outcome.files, outcome.deleted, outcome.bytes, ms)
        self.emit(Synced(self.service, *counts, tuple(paths[:SHOWN_PATHS]), outcome.atomic))

    def env_files(self, paths: Iterable[str]) -> None:
        """Report files with secrets that a rule copies, each once."""
        for path in paths:
            if path not in self.reported_env_files:
                self.reported_env_files.add(path)
                hint = "to keep it out: add `ignore: [.env]` to the rule, or .env to .dockerignore"
                self.emit(Notice(f"{self._shown(path)} is copied into {self.service}", hint))

    def _shown(self, path: str) -> str:
        return relative_to(path, self.directory) or path
