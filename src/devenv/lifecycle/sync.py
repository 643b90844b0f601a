"""`devenv sync`: every container brought to the state of the tree once, whoever started it; read back if asked."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import anyio

from devenv.concurrent import each
from devenv.config import load
from devenv.config.load import Selection
from devenv.engine.api import Engine
from devenv.errors import unknown
from devenv.lifecycle.runs import open_run
from devenv.model.events import Compared, Emit, Notice, Problem, Synced
from devenv.model.observed import Container
from devenv.model.plan import Delete, Plan, ServicePlan, Sync
from devenv.model.project import Project
from devenv.watch import faults, planner, reconcile, rules, scan
from devenv.watch.apply import Outcome, Target
from devenv.watch.changes import Changes, FileState, Kind
from devenv.watch.puts import Puts
from devenv.watch.rules import BoundRule

SHOWN_PATHS = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line of `sync` says."""

    selection: Selection
    services: tuple[str, ...] = ()
    verify: bool = False
    dry_run: bool = False


async def sync(options: Options, emit: Emit) -> int:
    """0 when every container equals the tree, 1 where a path could not be brought over or differs when read back.

    A running `devenv up` is not disturbed. What `devenv` did not put into a container is not deleted there, nor
    anything of a rule whose path is not there.
    """
    loaded = await load.load(options.selection, faults=faults.faults)
    project = loaded.project
    known = [service.name for service in project.services]
    for name in options.services:
        if name not in known:
            raise unknown("service", name, known)
    ignores = await anyio.to_thread.run_sync(scan.dockerignores, project)
    wanted = set(options.services or known)
    bound = tuple(r for r in rules.bind(project, ignores) if r.copies and r.service in wanted)
    async with Engine.connect() as engine:
        run = await open_run(engine, project.name)
        scene = await engine.scene(project.name)
        containers = [c for c in scene.containers if any(r.service == c.service for r in bound)]
        if not containers:
            emit(Notice("no container of a service with sync rules is there", "devenv up"))
            return 0
        now = await anyio.to_thread.run_sync(scan.scan, rules.roots(bound), lambda folder: rules.prune(bound, folder))
        held = frozenset(root for root in rules.roots(bound) if _is_away(root, now))
        for path in sorted(held):
            shown = rules.relative_to(path, project.directory) or path
            emit(Notice(f"{shown} is not there or empty: nothing of it is deleted in containers"))
        puts = run.puts
        one = _Once(engine, project, bound, now, held, puts, options, emit)
        return int(not all(await each(one.go, containers)))


@dataclass(frozen=True, slots=True)
class _Once:
    engine: Engine
    project: Project
    bound: Sequence[BoundRule]
    now: dict[str, FileState]
    held: frozenset[str]
    puts: str
    options: Options
    emit: Emit

    async def go(self, container: Container) -> bool:
        """Whether the container equals the tree by now."""
        bound = [r for r in self.bound if r.service == container.service]
        syncs = planner.initial(self.now, bound)
        puts = Puts.of(self.puts, container.id)
        record = await anyio.to_thread.run_sync(puts.read)
        deletes = self._deletes(record.placed, bound)
        mark, tops = f"{self.project.name}-{os.getpid()}", [rule.top for rule in bound]
        target = await Target.reach(self.engine, container, mark, puts, tops)
        try:
            missing = await target.differing(syncs, reconcile.tops(syncs, bound))
            if self.options.dry_run:
                plan = Plan((ServicePlan(container.service, deletes=deletes, syncs=tuple(missing)),))
                for line in str(plan).splitlines():
                    self.emit(Notice(line))
                return True
            puts.note(placed=reconcile.named(syncs) - record.placed)
            began = time.monotonic()
            outcome = await target.deliver(deletes, missing)
            self._tell(container, outcome, deletes, missing, (time.monotonic() - began) * 1000)
            is_done = not outcome.failed and (container.running or not deletes)
            is_equal = not self.options.verify or await self._equals(target, syncs, deletes, bound)
            return is_done and is_equal
        finally:
            await target.close()

    def _deletes(self, placed: Collection[str], bound: Sequence[BoundRule]) -> tuple[Delete, ...]:
        """What the journal says the container was given, and the host has no more."""
        there = [r for r in bound if not any(rules.relative_to(r.rule.path, root) is not None for root in self.held)]
        stale = reconcile.stale(placed, there, self.now)
        gone = Changes(gone=tuple(sorted(stale.items(), key=lambda one: (-one[0].count("/"), one[0]))))
        plan = planner.plan(gone, bound, directory=self.project.directory, states=self.now)
        return tuple(delete for step in plan.services for delete in step.deletes)

    def _tell(
        self, container: Container, outcome: Outcome, deletes: Sequence[Delete], syncs: Sequence[Sync], ms: float
    ) -> None:
        for path, reason in outcome.failed.items():
            self.emit(Problem(f"{path}: {reason}", None, container.service, path))
        if deletes and not container.running:
            hint = f"docker compose start {container.service}, then: devenv sync"
            message = f"{container.name} does not run: {len(deletes)} paths that have gone stay in it"
            self.emit(Problem(message, hint, container.service))
        if outcome.files or outcome.deleted:
            paths = [os.path.relpath(s.source, self.project.directory) for s in syncs] + [d.cause for d in deletes]
            counts = (outcome.files, outcome.deleted, outcome.bytes, round(ms, 1))
            self.emit(Synced(container.service, *counts, tuple(paths[:SHOWN_PATHS]), outcome.atomic))

    async def _equals(
        self, target: Target, syncs: Sequence[Sync], deletes: Sequence[Delete], bound: Sequence[BoundRule]
    ) -> bool:
        """Whether a second look finds nothing; what it finds is told."""
        container = target.container
        different = [s.target for s in await target.differing(syncs, reconcile.tops(syncs, bound))]
        files = [d.target for d in deletes if not d.directory]
        different += [path for path in files if await self.engine.exists(container.id, path)]
        self.emit(Compared(container.service, container.name, len(syncs), tuple(different)))
        return not different


def _is_away(root: str, now: Mapping[str, FileState]) -> bool:
    """Whether the path of a rule may only not be mounted: it is not there, or a folder without anything in it."""
    return root not in now or (now[root].kind is Kind.DIR and not any(p.startswith(f"{root}/") for p in now))
