"""What the containers of one service hold, and which paths still differ from the host."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from devenv.docker.client import Engine
from devenv.events import Emit
from devenv.model.project import Project
from devenv.model.sync_plan import ServicePlan, Sync
from devenv.paths import ancestors, is_below
from devenv.sync import planner, reconcile
from devenv.sync.actions import ServiceActions
from devenv.sync.container.target import Target
from devenv.sync.host import manifest
from devenv.sync.host.manifest import Changes, FileState, Kind, Manifest
from devenv.sync.queue import Retries, Waiting
from devenv.sync.report import Report
from devenv.sync.rules.rules import BoundRule


def process_mark(project: Project) -> str:
    """The name by which processes of this devenv process in containers of the project are recognized."""
    return f"{project.name}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class SyncContext:
    """What the services of a sync session share. `now` is the host as last seen, changed in place by its owner.

    `journals` is the folder of the journals; `is_at_rest` tells whether no look at the host is due, nor git at work.
    """

    engine: Engine
    project: Project
    emit: Emit
    actions: ServiceActions
    journals: str
    is_at_rest: Callable[[], bool]
    now: Manifest = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """The name by which processes of this run in containers are recognized."""
        return process_mark(self.project)


@dataclass
class ServiceState:
    """What the containers of one service hold, and what still differs: shared by all that changes the containers.

    `delivered` is the manifest of what the containers hold. The paths in `waiting` and `retries` differ from it, or
    may. `targets` are the containers in service, by id; only the holder of `turn` changes files in them.
    """

    context: SyncContext
    service: str
    rules: tuple[BoundRule, ...]
    delivered: Manifest = field(default_factory=dict)
    waiting: Waiting = field(default_factory=Waiting)
    retries: Retries = field(default_factory=Retries)
    targets: dict[str, Target] = field(default_factory=dict)
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    report: Report = field(init=False)
    _woken: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.report = Report(self.context.emit, self.service, self.context.project.directory)

    def begin(self, before: ServiceState | None) -> None:
        """Take the host as it is now for delivered: each container is brought up to date when it is adopted.

        `before` is the state under the rules that were in force until now: what was not delivered yet under them
        waits here.
        """
        self.delivered = {path: state for path, state in self.context.now.items() if self.wants(path)}
        if before is not None:
            self._inherit(before)
        self.report.problems(planner.skipped(self.delivered, self.rules))
        self.report.env_files(planner.env_files(Changes(present=tuple(self.delivered.items())), self.rules))

    def _inherit(self, before: ServiceState) -> None:
        for path in {*self.delivered, *before.delivered}:
            old, now = before.delivered.get(path), self.delivered.get(path)
            if old != now and self.wants(path) and before.wants(path):
                self.waiting.add(path, gone=now is None)
                if old is None:
                    del self.delivered[path]
                else:
                    self.delivered[path] = old
        self.report = before.report

    def wants(self, path: str) -> bool:
        """Whether any rule of the service is for this host path."""
        return any(rule.matches(path) for rule in self.rules)

    def wait(self, path: str) -> None:
        """Queue the host path: it differs, or may."""
        self.waiting.add(path, gone=path not in self.context.now)

    def notice(self, paths: Iterable[str]) -> None:
        """Queue those of these changed host paths that a rule is for."""
        for path in paths:
            if self.wants(path):
                self.wait(path)
        if self.waiting:
            self.wake()

    # --- the task that serves ----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the task that serves this service look for work."""
        self._woken.set()

    async def until_woken(self, deadline: float) -> None:
        """Return after a call of `wake` since the last return, or at the deadline."""
        with anyio.CancelScope(deadline=deadline):
            await self._woken.wait()
        self._woken = anyio.Event()

    # --- plans -------------------------------------------------------------------------------------------------

    def plan(self, paths: Iterable[str], bound: Sequence[BoundRule]) -> tuple[Changes, ServicePlan | None]:
        """The difference of these paths from what was delivered, and what these rules make of it; None if nothing.

        Paths that cannot be synced are reported.
        """
        now = self.context.now
        changes = manifest.diff(self.delivered, {path: now.get(path) for path in paths})
        skipped = planner.skipped(dict(changes.present), bound)
        self.report.over({path for path, state in changes.gone if state.kind is Kind.OTHER} - skipped.keys())
        self.report.problems(skipped)
        self.report.env_files(planner.env_files(changes, bound))
        plan = planner.plan(changes, bound, directory=self.context.project.directory, states=now)
        return changes, plan.services[0] if plan else None

    # --- what the containers hold ------------------------------------------------------------------------------

    def record(self, changes: Changes) -> None:
        """Enter the changes: the containers hold them now."""
        manifest.apply(self.delivered, changes)

    def add_folders(self, syncs: Iterable[Sync]) -> None:
        """Enter the folders that these files brought along, even if the host lost them before they were noticed."""
        seen: set[str] = set()
        for sync in syncs:
            for folder in ancestors(sync.source):
                if folder in seen or folder in self.delivered or not is_below(folder, sync.root):
                    break
                seen.add(folder)
                if self.wants(folder):
                    self.delivered[folder] = reconcile.FOLDER
                    self.wait(folder)

    def mark_unknown(self, states: Mapping[str, FileState]) -> None:
        """Enter that a container may hold these paths, or not: whatever the host has there next is a change.

        What may be a folder or a file counts as a file, since the delete of a file removes an empty folder, too.
        """
        for path, state in states.items():
            old = self.delivered.get(path, state)
            self.delivered[path] = (old if state.kind is Kind.DIR else state).doubtful()
