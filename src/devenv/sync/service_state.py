"""What the containers of one service contain, which paths still differ from the host, and reports about them."""

from __future__ import annotations

import os
import posixpath
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from typing import Protocol

import anyio

from devenv.docker.client import Engine
from devenv.events import Emit, Notice, Problem, Solved, Synced
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.project import Action, Project
from devenv.model.sync_plan import ServicePlan, Sync
from devenv.paths import ancestors, is_below
from devenv.sync import planner, reconcile
from devenv.sync.container.host_files import GONE
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.target import Target
from devenv.sync.container.transports import TOO_LARGE
from devenv.sync.host import manifest
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Changes, Manifest
from devenv.sync.planner import LOOP, NO_FILE
from devenv.sync.queue import Retries, SyncQueue
from devenv.sync.rules.rules import BoundRule

SHOWN_PATHS = 5
LONGEST_SYNC = 4.0  # maximum seconds from a save to the container; a file with an older time was not saved just now
HINTS = {
    "a folder is there in the container": "to put a file into that folder, end the rule's `target` with a slash",
    LOOP: "remove it, or add `ignore: [{name}]` to the rule",
    TOO_LARGE: "to leave it out: add `ignore: [{name}]` to the rule",
    NO_FILE: "to leave it out: add `ignore: [{name}]` to the rule",
}


EngineOf = Callable[[Container], Engine]


class ServiceActions(Protocol):
    """Actions beyond a sync of files; `cause` is what changed. `rebuild` and `recreate` raise DevenvError."""

    async def rebuild(self, service: str, cause: str) -> None:
        """Build the service's image again and replace its containers."""

    async def recreate(self, service: str, cause: str) -> None:
        """Replace the service's containers by new ones of the same image."""

    def restarting(self, containers: Sequence[Container]) -> AbstractAsyncContextManager[None]:
        """While the context is open, these containers may end without a failure of their services."""
        ...


@dataclass(slots=True)
class SyncReport:
    """The reports of one service; paths are shown relative to `directory`, the project's folder."""

    emit: Emit
    service: str
    directory: str
    reported: dict[str, str] = field(default_factory=dict)  # path -> its problem
    problem_paths: set[tuple[str, str]] = field(default_factory=set)  # (problem, path in its event)
    reported_env_files: set[str] = field(default_factory=set)

    def problems(self, reasons: Mapping[str, str]) -> None:
        """Report the problem of each path; many paths with the same problem are one line.

        The name of the service in place of a path is a problem of all its paths.
        """
        paths: dict[str, list[str]] = defaultdict(list)
        for path, reason in reasons.items():
            if self.reported.get(path) != reason:
                paths[reason].append(path)
        self.reported.update(reasons)
        for reason, (first, *others) in paths.items():
            more = f" (+{len(others)} more)" if others else ""
            hint = HINTS.get(reason, "").format(name=posixpath.basename(first)) or None
            self.problem_paths.add((reason, first))
            message = reason if first == self.service else f"{planner.shown(first, self.directory)}{more}: {reason}"
            self.emit(Problem(message, hint, self.service, first))

    def over(self, paths: Collection[str]) -> None:
        """Note that these paths have no problem any more."""
        for path in self.reported.keys() & set(paths):
            del self.reported[path]
        reasons = {*self.reported.values()}
        for reason, path in [problem for problem in self.problem_paths if problem[0] not in reasons]:
            self.problem_paths.remove((reason, path))
            self.emit(Solved(path, self.service))

    def outcome(self, step: ServicePlan, outcome: SyncOutcome, failed: Collection[str]) -> None:
        """Report what could not be synced or deleted, and close solved problems. `failed` are host paths."""
        undeleted = [delete.target for delete in step.deletes if delete.target in outcome.failed]
        synced = {sync.target for sync in step.syncs}
        reasons = {target: outcome.failed[target] for target in undeleted if target not in synced}
        for sync in step.syncs:
            # A temporary file that was removed before it could be read is not a problem.
            reason = outcome.failed.get(sync.target, GONE)
            if reason != GONE and os.path.lexists(sync.source):
                reasons[sync.source] = reason
        self.problems(reasons)
        tried = {*(sync.source for sync in step.syncs), *(delete.target for delete in step.deletes)}
        self.over(tried.difference(failed, undeleted))

    def synced(self, step: ServicePlan, outcome: SyncOutcome, changes: Changes, began: float) -> None:
        """Emit what was synced, if anything. `began` (Unix seconds) counts if the time of the save is unknown."""
        if not outcome.files and not outcome.deleted:
            return
        now = time.time()
        saved = max((state.ctime_ns / 1e9 for _, state in changes.present), default=began)
        ms = round((now - (saved if 0 <= now - saved <= LONGEST_SYNC else began)) * 1000, 1)
        paths = [os.path.relpath(sync.source, self.directory) for sync in step.syncs[:SHOWN_PATHS]]
        put = {sync.target for sync in step.syncs}
        paths += [delete.cause for delete in step.deletes if delete.target not in put][:SHOWN_PATHS]
        counts = (outcome.files, outcome.deleted, outcome.bytes, ms)
        self.emit(Synced(self.service, *counts, tuple(paths[:SHOWN_PATHS]), outcome.atomic))

    def env_files(self, paths: Iterable[str]) -> None:
        """Report files with secrets that a rule copies, each once."""
        for path in paths:
            if path not in self.reported_env_files:
                self.reported_env_files.add(path)
                hint = "to keep it out: add `ignore: [.env]` to the rule, or .env to .dockerignore"
                self.emit(Notice(f"{planner.shown(path, self.directory)} is copied into {self.service}", hint))


def process_mark(project: Project) -> str:
    """The name that identifies processes of this devenv process in containers of the project."""
    return f"{project.name}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class SyncContext:
    """What the services of a sync session share. `now` is the host as last seen, changed in place by its owner.

    `engine_of` returns the engine that has a container, and raises EngineError if that engine is lost. `journals` is
    the folder of the journals; `is_at_rest` returns whether no look at the host is pending and git is not at work.
    """

    engine_of: EngineOf
    project: Project
    emit: Emit
    actions: ServiceActions
    journals: str
    is_at_rest: Callable[[], bool]
    now: Manifest = field(default_factory=Manifest)


@dataclass
class SyncState:
    """What the containers of one service contain, and what still differs; shared by all that change the containers.

    `delivered` is the manifest of the containers' content. The paths in `waiting` and `retries` differ from it, or
    may. `targets` are the served containers, by id; only the holder of `turn` changes files in them. `busy_since` is
    the time (Unix seconds) of the first save that is not yet in effect; None if there is none.
    """

    context: SyncContext
    service: str
    rules: tuple[BoundRule, ...]
    delivered: Manifest = field(default_factory=Manifest)
    waiting: SyncQueue = field(default_factory=SyncQueue)
    retries: Retries = field(default_factory=Retries)
    targets: dict[str, Target] = field(default_factory=dict)
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    busy_since: float | None = None
    report: SyncReport = field(init=False)
    _woken: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.report = SyncReport(self.context.emit, self.service, self.context.project.directory)

    def begin(self, before: SyncState | None) -> None:
        """Record the host as delivered as it is now: each container is brought up to date when it is adopted.

        `before` is the state under the previous rules: its undelivered paths wait here.
        """
        self.delivered = self.context.now.selection(self.wants)
        if before is not None:
            self.busy_since = before.busy_since
            for path in self.delivered.differing(before.delivered):
                old, now = before.delivered.get(path), self.delivered.get(path)
                if self.wants(path) and before.wants(path):
                    self.waiting.add(path, gone=now is None)
                    if old is None:
                        del self.delivered[path]
                    else:
                        self.delivered[path] = old
            self.report = before.report
        self.report.problems(planner.skipped(self.delivered.special(), self.rules))
        env_files = Changes(present=tuple(self.delivered.named(".env").items()))
        self.report.env_files(planner.env_files(env_files, self.rules))

    def wants(self, path: str) -> bool:
        """Whether any rule of the service covers this host path."""
        for rule in self.rules:  # noqa: SIM110 - quicker than `any`: it is asked for each path of a tree
            if rule.matches(path):
                return True
        return False

    def wait(self, path: str) -> None:
        """Queue the host path, which differs, or may."""
        self.busy_since = self.busy_since or time.time()
        self.waiting.add(path, gone=path not in self.context.now)

    def notice(self, paths: Iterable[str]) -> None:
        """Queue the changed host paths that a rule covers."""
        for path in paths:
            if self.wants(path):
                self.wait(path)
        if self.waiting:
            self.wake()

    def saved_since(self, since: float, *, rebuilds: bool) -> None:
        """Let files that were saved since then (Unix seconds) count as changed, for the restarts that they cause.

        Without `rebuilds`, files that rebuild an image do not.
        """
        new = {
            path: state
            for path, state in self.delivered.items()
            if state.kind is not FileKind.DIR and state.ctime_ns >= since * 1e9
        }
        building = [] if rebuilds else [bound for bound in self.rules if bound.rule.action is Action.REBUILD]
        new = {path: state for path, state in new.items() if not any(rule.matches(path) for rule in building)}
        self.mark_unknown(new)
        self.notice(new)
        if new:
            self.busy_since = min(since, self.busy_since or since)

    def wake(self) -> None:
        """Wake the task that serves this service."""
        self._woken.set()

    async def until_woken(self, deadline: float) -> None:
        """Return after a call of `wake` since the last return, or at the deadline."""
        with anyio.CancelScope(deadline=deadline):
            await self._woken.wait()
        self._woken = anyio.Event()

    def plan(self, paths: Iterable[str], bound: Sequence[BoundRule]) -> tuple[Changes, ServicePlan | None]:
        """The difference of these paths from what was delivered, and the plan for it; None if it is empty."""
        now = self.context.now
        changes = manifest.diff(self.delivered, {path: now.get(path) for path in paths})
        skipped = planner.skipped(dict(changes.present), bound)
        self.report.over({path for path, state in changes.gone if state.kind is FileKind.OTHER} - skipped.keys())
        self.report.problems(skipped)
        self.report.env_files(planner.env_files(changes, bound))
        plan = planner.plan(changes, bound, directory=self.context.project.directory, states=now)
        return changes, plan.services[0] if plan else None

    def record(self, changes: Changes) -> None:
        """Record that the containers now have these changes."""
        manifest.apply(self.delivered, changes)

    def add_folders(self, syncs: Iterable[Sync]) -> None:
        """Record the folders created with these files, even if the host has lost them in the meantime."""
        seen: set[str] = set()
        for sync in syncs:
            for folder in ancestors(sync.source):
                if folder in seen or not is_below(folder, sync.root):
                    break
                seen.add(folder)
                # A look may see a folder before its parent, so each is checked by itself.
                if folder not in self.delivered and self.wants(folder):
                    self.delivered[folder] = reconcile.FOLDER
                    self.wait(folder)

    def mark_unknown(self, states: Mapping[str, FileState]) -> None:
        """Record that it is unknown whether a container has these paths: any next state on the host is a change.

        A path that may be a folder or a file counts as a file, since deleting a file removes an empty folder, too.
        """
        for path, state in states.items():
            old = self.delivered.get(path, state)
            self.delivered[path] = (old if state.kind is FileKind.DIR else state).doubtful()
