"""The corridor's wiring: source -> states -> lanes -> containers; retries, and new containers brought up to date."""

from __future__ import annotations

import errno
import math
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskStatus

from devenv.concurrent import each
from devenv.engine.api import Engine
from devenv.errors import DevenvError, EngineError
from devenv.model.events import Emit, Executed, Notice, Problem, Restarted, Synced
from devenv.model.observed import Container
from devenv.model.plan import Delete, Exec, Restart, ServicePlan, Sync
from devenv.model.project import Action, Project
from devenv.watch import changes, planner, rules, scan, source
from devenv.watch.apply import Outcome, Target
from devenv.watch.changes import FileState, Kind
from devenv.watch.rules import BoundRule

Rebuild = Callable[[str, str], Awaitable[None]]
Ending = Callable[[Sequence[Container]], AbstractAsyncContextManager[None]]

FIRST_RETRY = 0.25
LAST_RETRY = 10.0
SHOWN_PATHS = 5
GONE = os.strerror(errno.ENOENT)
READ_WHOLE_FROM = 50  # from so many entries on, a rule's folder is read back at once


@dataclass
class Lane:
    """One service's share of the corridor: what it still has to do, and the containers it does it in.

    `done` is the manifest as this service's containers have it; paths in `pending` differ, or may.
    """

    service: str
    rules: tuple[BoundRule, ...]
    done: dict[str, FileState] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    targets: dict[str, Target] = field(default_factory=dict)
    strays: dict[str, set[str]] = field(default_factory=dict)
    wake: anyio.Event = field(default_factory=anyio.Event)
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    is_open: bool = False
    failed: set[str] = field(default_factory=set)
    retry: float = FIRST_RETRY
    retry_at: float = math.inf
    told: dict[str, str] = field(default_factory=dict)


class Corridor:
    """Keeps the containers of a project equal to its source tree, from `run` until it is cancelled."""

    def __init__(
        self,
        engine: Engine,
        project: Project,
        bound: Sequence[BoundRule],
        *,
        emit: Emit,
        rebuild: Rebuild,
        ending: Ending,
        mark: str,
    ) -> None:
        self._engine = engine
        self._project = project
        self._rules = tuple(bound)
        self._emit = emit
        self._rebuild = rebuild
        self._ending = ending
        self._mark = mark
        self._now: dict[str, FileState] = {}
        services = dict.fromkeys(r.service for r in self._rules)
        self.lanes = {name: Lane(name, tuple(r for r in self._rules if r.service == name)) for name in services}

    # --- from the host to the lanes ----------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled; started once the whole tree is known and the watcher stands."""
        roots = rules.roots(self._rules)
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen, roots)
            for lane in self.lanes.values():
                tasks.start_soon(self._serve, lane)
            task_status.started()

    async def _listen(
        self, roots: Sequence[str], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        raw: set[str] = set()
        arrived = anyio.Event()

        async def receive() -> None:
            async for paths in source.changes(roots, self._prunes, self._say):
                raw.update(paths)
                arrived.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await arrived.wait()  # the watcher stands: what is looked at from now on misses nothing
            arrived, raw = anyio.Event(), set()
            self._now = await anyio.to_thread.run_sync(scan.scan, roots, self._prunes)
            for lane in self.lanes.values():
                lane.done = {p: s for p, s in self._now.items() if any(r.matches(p) for r in lane.rules)}
            task_status.started()
            while True:
                await arrived.wait()
                arrived = anyio.Event()
                paths, raw = raw, set()
                await self._notice(paths)

    def _prunes(self, folder: str) -> bool:
        return rules.prune(self._rules, folder)

    def _say(self, message: str, hint: str) -> None:
        self._emit(Notice(message, hint))

    async def _notice(self, paths: Iterable[str]) -> None:
        fresh = await anyio.to_thread.run_sync(scan.look, paths, self._now, self._prunes)
        found = changes.diff(self._now, fresh)
        changes.apply(self._now, found)
        touched = {p for p, _ in (*found.present, *found.gone)}
        for lane in self.lanes.values():
            mine = {p for p in touched if any(r.matches(p) for r in lane.rules)}
            if mine:
                lane.pending |= mine
                lane.wake.set()

    # --- from a lane to its containers -------------------------------------------------------------------------

    async def _serve(self, lane: Lane) -> None:
        while True:
            with anyio.CancelScope(deadline=lane.retry_at):
                await lane.wake.wait()
            lane.wake = anyio.Event()
            if anyio.current_time() >= lane.retry_at:
                lane.pending |= lane.failed
                lane.failed, lane.retry_at = set(), math.inf
            if not lane.is_open or not lane.pending:
                continue
            failed = await self._advance(lane)
            if failed:
                # What failed waits for its time; what is saved meanwhile does not wait with it.
                lane.failed |= failed
                lane.retry_at = min(lane.retry_at, anyio.current_time() + lane.retry)
                lane.retry = min(2 * lane.retry, LAST_RETRY)
            elif not lane.failed:
                lane.retry = FIRST_RETRY

    async def _advance(self, lane: Lane) -> set[str]:
        """One plan made and carried out; the host paths that have to be tried again."""
        async with lane.turn:
            paths, lane.pending = lane.pending, set()
            found = changes.diff(lane.done, {p: self._now.get(p) for p in paths})
            for path in planner.skipped(found, lane.rules):
                self._tell(lane, {path: "neither a file, a folder nor a link: not synced"})
            plan = planner.plan(found, lane.rules, directory=self._project.directory)
            if not plan:
                changes.apply(lane.done, found)
                return set()
            step = plan.services[0]
            if step.rebuild is None:
                return await self._carry_out(lane, step, found)
        if await self._rebuilt(lane.service, step.rebuild.cause):
            changes.apply(lane.done, found)
            return set()
        async with lane.turn:
            # The old container runs on: what else was saved belongs into it, and the next edit builds again.
            others = [r for r in lane.rules if r.rule.action is not Action.REBUILD]
            instead = planner.plan(found, others, directory=self._project.directory)
            if instead:
                return await self._carry_out(lane, instead.services[0], found)
            changes.apply(lane.done, found)
            return set()

    async def _rebuilt(self, service: str, cause: str) -> bool:
        try:
            await self._rebuild(service, cause)
        except DevenvError as error:
            self._emit(Problem(error.message, error.hint, service))
            return False
        return True

    async def _carry_out(self, lane: Lane, step: ServicePlan, found: changes.Changes) -> set[str]:
        began = time.time()
        outcome, lost = await self._deliver(lane, step.deletes, step.syncs)
        bad = self._bad_paths(lane, step, outcome)
        if lost:  # what one container did not get is not done: otherwise nothing would differ the next time
            bad = {p for p, _ in (*found.present, *found.gone)}
        changes.apply(lane.done, _without(found, bad))
        if lost or len(lane.targets) > 1:
            _doubt(lane, {p: s for p, s in (*found.gone, *found.present) if p in bad})
        if outcome.files or outcome.deleted:
            self._emit(self._synced(lane.service, step, outcome, found, began))
        if not lost:
            for execution in step.execs:
                await self._execute(lane, execution)
            if step.restart is not None:
                await self._restart(lane, step.restart)
        return bad

    async def _deliver(self, lane: Lane, deletes: Sequence[Delete], syncs: Sequence[Sync]) -> tuple[Outcome, bool]:
        """What happened in all containers of the service, and whether any of them could not be asked."""
        outcomes: list[Outcome] = []
        lost: list[str] = []

        async def one(target: Target) -> None:
            try:
                outcomes.append(await target.deliver(deletes, syncs))
            except EngineError as error:
                now = await self._now_of(target)
                if now is not None:
                    # Begun anew it is about to be adopted, which brings files but deletes none: nothing to tell.
                    lost.append("" if now.key != target.container.key else error.message)

        await each(one, lane.targets.values())
        for message in filter(None, lost):
            self._tell(lane, {lane.service: message})
        return _merged(outcomes), bool(lost)

    async def _now_of(self, target: Target) -> Container | None:
        """The container as far as it can be told, or None where it has gone."""
        try:
            now = await self._engine.inspect(target.container.id)
        except EngineError:
            return target.container
        if now is not None and now.key == target.container.key:
            target.container = now  # it may have ended meanwhile: then files go in without a shell
        return now

    def _bad_paths(self, lane: Lane, step: ServicePlan, outcome: Outcome) -> set[str]:
        bad = {s.source for s in step.syncs if s.target in outcome.failed}
        causes = {d.target: d for d in step.deletes if d.target in outcome.failed}
        reasons = {target: outcome.failed[target] for target in causes}
        for sync in step.syncs:
            # A temporary file that was gone before it could be read is no problem of anybody's.
            reason = outcome.failed.get(sync.target, GONE)
            if reason != GONE and sync.target not in causes and os.path.lexists(sync.source):
                reasons[sync.source] = reason
        self._tell(lane, reasons)
        gone = {p for p in lane.done if p not in self._now}
        bad |= {p for p in gone for r in lane.rules if r.matches(p) and r.target_for(p) in causes}
        for path in tuple(lane.told):
            if path not in bad and path not in causes:
                del lane.told[path]
        return bad

    def _tell(self, lane: Lane, reasons: Mapping[str, str]) -> None:
        """Path -> what is wrong with it: said once, until it is over or changes; many of one kind in one line."""
        paths: dict[str, list[str]] = defaultdict(list)
        for path, reason in reasons.items():
            if lane.told.get(path) != reason:
                paths[reason].append(path)
        lane.told.update(reasons)
        for reason, (first, *others) in paths.items():
            shown = rules.relative_to(first, self._project.directory) or first
            more = f" (+{len(others)} more)" if others else ""
            self._emit(Problem(f"{shown}{more}: {reason}", None, lane.service, first))

    def _synced(
        self, service: str, step: ServicePlan, outcome: Outcome, found: changes.Changes, began: float
    ) -> Synced:
        now = time.time()
        saved = max((s.ctime_ns / 1e9 for _, s in found.present), default=began)
        if not 0 <= now - saved <= LAST_RETRY:
            saved = began
        paths = [os.path.relpath(s.source, self._project.directory) for s in step.syncs]
        paths += [d.cause for d in step.deletes]
        return Synced(
            service=service,
            files=outcome.files,
            deleted=outcome.deleted,
            bytes=outcome.bytes,
            ms=round((now - saved) * 1000, 1),
            paths=tuple(paths[:SHOWN_PATHS]),
            atomic=outcome.atomic,
        )

    async def _execute(self, lane: Lane, execution: Exec) -> None:
        hook = execution.hook

        async def one(target: Target) -> None:
            began = time.monotonic()
            try:
                code, output = await self._engine.execute(
                    target.container.id,
                    hook.command,
                    user=hook.user or "",
                    working_dir=hook.working_dir,
                    environment=dict(hook.environment),
                    privileged=hook.privileged,
                    mark=self._mark,
                )
            except EngineError as error:
                self._emit(Problem(error.message, error.hint, lane.service))
                return
            ms = round((time.monotonic() - began) * 1000, 1)
            self._emit(Executed(lane.service, " ".join(hook.command), code, output, ms))

        await each(one, (t for t in lane.targets.values() if t.container.running))

    async def _restart(self, lane: Lane, restart: Restart) -> None:
        began = time.monotonic()

        async def one(target: Target) -> None:
            try:
                await self._engine.restart(target.container)
            except EngineError as error:
                self._emit(Problem(error.message, error.hint, lane.service))

        async with self._ending([target.container for target in lane.targets.values()]):
            await each(one, lane.targets.values())
        ms = round((time.monotonic() - began) * 1000, 1)
        self._emit(Restarted(lane.service, restart.cause, ms))

    # --- containers come and go --------------------------------------------------------------------------------

    async def adopt(self, container: Container) -> int:
        """The container brought up to date and served from now on; the number of files it lacked.

        Raises EngineError where it has gone meanwhile.
        """
        lane = self.lanes.get(container.service)
        if lane is None:
            return 0
        async with lane.turn:
            await self.drop(container.id)
            target = await Target.reach(self._engine, container, self._mark)
            target.strays = lane.strays.setdefault(container.id, target.strays)
            # What waits for its turn arrives here already: gone before that turn, it still has to be deleted.
            _doubt(lane, {p: self._now[p] for p in lane.pending | lane.failed if p in self._now})
            syncs = planner.initial(self._now, self._initial_rules(lane))
            missing = await target.differing(syncs, _tops(syncs, lane.rules)) if syncs else []
            outcome = await target.deliver((), missing) if missing else Outcome()
            bad = {s.source for s in missing if s.target in outcome.failed}
            lane.failed |= bad
            _doubt(lane, {p: s for p, s in lane.done.items() if p in bad})
            self._tell(lane, outcome.failed)
            lane.targets[container.id] = target
            lane.retry = FIRST_RETRY
            if lane.failed:
                lane.retry_at = anyio.current_time() + lane.retry
                lane.wake.set()
        if container.running:
            await target.open_shell()
        return outcome.files

    def _initial_rules(self, lane: Lane) -> tuple[BoundRule, ...]:
        if self._project.settings.initial_sync_spec:
            return tuple(r for r in lane.rules if r.rule.initial_sync)
        return lane.rules

    def open(self) -> None:
        """From now on changes are carried out; until then they were only gathered."""
        for lane in self.lanes.values():
            lane.is_open = True
            lane.wake.set()

    async def drop(self, container_id: str) -> None:
        """The container is not served any more."""
        for lane in self.lanes.values():
            target = lane.targets.pop(container_id, None)
            if target is not None:
                await target.close()

    async def close(self) -> None:
        """Every shell in every container ended."""
        for lane in self.lanes.values():
            for container_id in tuple(lane.targets):
                await self.drop(container_id)


def _merged(outcomes: Iterable[Outcome]) -> Outcome:
    """Replicas count once: a file has arrived when it is in all of them."""
    merged = Outcome()
    for outcome in outcomes:
        merged.files = max(merged.files, outcome.files)
        merged.deleted = max(merged.deleted, outcome.deleted)
        merged.bytes = max(merged.bytes, outcome.bytes)
        merged.atomic = merged.atomic and outcome.atomic
        merged.failed.update(outcome.failed)
    return merged


def _doubt(lane: Lane, states: Mapping[str, FileState]) -> None:
    """Some container may hold these, no one can say which: whatever becomes of them on the host is a change.

    Where it may be a folder or a file it counts as a file: that delete takes an empty folder, too.
    """
    for path, state in states.items():
        old = lane.done.get(path, state)
        lane.done[path] = (old if state.kind is Kind.DIR else state).doubtful()


def _without(found: changes.Changes, bad: set[str]) -> changes.Changes:
    return changes.Changes(
        present=tuple((p, s) for p, s in found.present if p not in bad),
        gone=tuple((p, s) for p, s in found.gone if p not in bad),
    )


def _tops(syncs: Sequence[Sync], bound: Sequence[BoundRule]) -> frozenset[str]:
    """The container paths to read back: below each rule's target only what the host has at its top.

    So folders that exist only in the container (node_modules beside src) are not read.
    """
    tops: set[str] = set()
    for rule in bound:
        if not rule.rule.action.syncs or rule.rule.target is None:
            continue
        base = rule.rule.target.rstrip("/")
        below = {s.target for s in syncs if s.target.startswith(f"{base}/")}
        first = {f"{base}/{t[len(base) + 1 :].split('/', 1)[0]}" for t in below}
        exact = {s.target for s in syncs if s.target == base}
        tops |= exact | (first if len(first) < READ_WHOLE_FROM else {base or "/"})
    return frozenset(tops)
