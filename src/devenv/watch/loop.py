"""The corridor's wiring: source -> states -> lanes -> containers; retries, and new containers brought up to date."""

from __future__ import annotations

import errno
import math
import os
import stat
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup, TaskStatus

from devenv.concurrent import each
from devenv.engine.api import Engine
from devenv.errors import DevenvError, EngineError
from devenv.model.events import Emit, Executed, Notice, Problem, Restarted, Synced
from devenv.model.observed import Container
from devenv.model.plan import Exec, Restart, ServicePlan
from devenv.model.project import Action, Hook, Project
from devenv.watch import changes, guard, planner, reconcile, rules, scan, source
from devenv.watch.apply import Outcome, Target
from devenv.watch.changes import FileState, Kind
from devenv.watch.puts import Puts
from devenv.watch.rules import BoundRule
from devenv.watch.waiting import FEW, Waiting

Rebuild = Callable[[str, str], Awaitable[None]]
Ending = Callable[[Sequence[Container]], AbstractAsyncContextManager[None]]

FIRST_RETRY = 0.25
LAST_RETRY = 10.0
SHOWN_PATHS = 5
GONE = os.strerror(errno.ENOENT)
REST = 0.05  # seconds without a change until a command, a restart or a rebuild follows
FLOOD_REST = 0.3  # the same in the middle of a checkout: one restart, not one a slice
HELD_LOOK = 1.0


@dataclass
class Lane:
    """One service's share of the corridor: what it still has to do, and the containers it does it in.

    `done` is the manifest as this service's containers have it; paths in `waiting` differ, or may. What is owed is
    done when the changes that started it have arrived and nothing more comes.
    """

    service: str
    rules: tuple[BoundRule, ...]
    done: dict[str, FileState] = field(default_factory=dict)
    waiting: Waiting = field(default_factory=Waiting)
    targets: dict[str, Target] = field(default_factory=dict)
    wake: anyio.Event = field(default_factory=anyio.Event)
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    is_open: bool = False
    failed: set[str] = field(default_factory=set)
    retry: float = FIRST_RETRY
    retry_at: float = math.inf
    told: dict[str, str] = field(default_factory=dict)
    owed_execs: dict[Hook, Exec] = field(default_factory=dict)
    owed_restart: Restart | None = None
    flood_until: float = 0.0
    rests_from: float = 0.0
    is_acting: bool = False

    @property
    def owes(self) -> bool:
        """Whether something is owed that is not being done."""
        return not self.is_acting and bool(self.owed_execs or self.owed_restart)

    def due(self) -> float:
        """When this lane has something to do even if nothing more changes."""
        return min(self.retry_at, self.rests_from if self.owes else math.inf)

    def stir(self, paths: int) -> None:
        """So many paths have changed: what is owed waits until nothing more has for a while."""
        now = anyio.current_time()
        if paths > FEW or now < self.flood_until:
            self.flood_until = now + FLOOD_REST
        self.rests_from = max(now + REST, self.flood_until)


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
        puts: str,
    ) -> None:
        self._engine = engine
        self._project = project
        self._rules = tuple(bound)
        self._emit = emit
        self._rebuild = rebuild
        self._ending = ending
        self._mark = mark
        self._puts = puts
        self._now: dict[str, FileState] = {}
        self._guarded = tuple({r.rule.path for r in self._rules})
        self._held: frozenset[str] = frozenset()
        services = dict.fromkeys(r.service for r in self._rules)
        self.lanes = {name: Lane(name, tuple(r for r in self._rules if r.service == name)) for name in services}

    # --- from the host to the lanes ----------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled; started once the whole tree is known and the watcher stands."""
        roots = rules.roots(self._rules)
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen, roots)
            for lane in self.lanes.values():
                tasks.start_soon(self._serve, lane, tasks)
            tasks.start_soon(self._look_at_held)
            task_status.started()

    async def _listen(
        self, roots: Sequence[str], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        raw: set[str] = set()
        arrived = anyio.Event()
        looking = True

        async def receive() -> None:
            async for paths in source.changes(roots, self._prunes, self._say):
                if not looking and not raw and _is_quick(paths, self._now):
                    self._take(scan.look(paths, self._now, self._prunes))
                    continue
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
                looking = False
                await arrived.wait()
                looking = True
                arrived = anyio.Event()
                paths, raw = raw, set()
                await self._look(paths)

    def _prunes(self, folder: str) -> bool:
        return rules.prune(self._rules, folder)

    def _say(self, message: str, hint: str) -> None:
        self._emit(Notice(message, hint))

    async def _look(self, paths: Iterable[str]) -> None:
        self._take(await anyio.to_thread.run_sync(scan.look, paths, self._now, self._prunes))

    async def _look_at_held(self) -> None:
        """A root that is held is looked at again and again; one that stays away is told of."""
        told: frozenset[str] = frozenset()
        while True:
            await anyio.sleep(HELD_LOOK)
            if self._held:
                await self._look(self._held)
            for root in sorted(self._held - told):
                shown = rules.relative_to(root, self._project.directory) or root
                self._say(f"{shown} is not there as it was: nothing is deleted in containers until it is back", "")
            told = self._held

    def _take(self, fresh: guard.Fresh) -> None:
        """Looks at the host made known to every lane that they concern."""
        fresh, self._held = guard.hold(self._now, fresh, self._guarded, self._held)
        found = changes.diff(self._now, fresh)
        changes.apply(self._now, found)
        touched = dict.fromkeys(path for path, _ in (*found.gone, *found.present))
        for lane in self.lanes.values():
            for path in touched:
                if any(r.matches(path) for r in lane.rules):
                    lane.waiting.add(path, gone=path not in self._now)
            if lane.waiting:
                lane.wake.set()

    # --- from a lane to its containers -------------------------------------------------------------------------

    async def _serve(self, lane: Lane, tasks: TaskGroup) -> None:
        while True:
            with anyio.CancelScope(deadline=lane.due()):
                await lane.wake.wait()
            lane.wake = anyio.Event()
            if anyio.current_time() >= lane.retry_at:
                for path in lane.failed:
                    lane.waiting.add(path, gone=path not in self._now)
                lane.failed, lane.retry_at = set(), math.inf
            while lane.is_open and lane.waiting:
                self._put_off(lane, await self._advance(lane))
            if lane.owes and anyio.current_time() >= lane.rests_from:
                lane.is_acting = True
                tasks.start_soon(self._act, lane)

    def _put_off(self, lane: Lane, failed: set[str]) -> None:
        """What failed waits for its time; what is saved meanwhile does not wait with it."""
        if failed:
            lane.failed |= failed
            lane.retry_at = min(lane.retry_at, anyio.current_time() + lane.retry)
            lane.retry = min(2 * lane.retry, LAST_RETRY)
        elif not lane.failed:
            lane.retry = FIRST_RETRY

    async def _advance(self, lane: Lane) -> set[str]:
        """One plan made and carried out; the host paths that have to be tried again."""
        async with lane.turn:
            paths = lane.waiting.take()
            found, step = self._planned(lane, paths, lane.rules)
            if step is None:
                changes.apply(lane.done, found)
                return set()
            if step.rebuild is None:
                return await self._carry_out(lane, step, found)
        await self._until_rest(lane, paths)
        found, step = self._planned(lane, paths, lane.rules)
        if step is not None and step.rebuild and await self._rebuilt(lane.service, step.rebuild.cause):
            changes.apply(lane.done, found)
            return set()
        async with lane.turn:
            # The old container runs on: what else was saved belongs into it, and the next edit builds again.
            found, step = self._planned(lane, paths, [r for r in lane.rules if r.rule.action is not Action.REBUILD])
            if step is not None:
                return await self._carry_out(lane, step, found)
            changes.apply(lane.done, found)
            return set()

    def _planned(
        self, lane: Lane, paths: Iterable[str], bound: Sequence[BoundRule]
    ) -> tuple[changes.Changes, ServicePlan | None]:
        found = changes.diff(lane.done, {p: self._now.get(p) for p in paths})
        for path in planner.skipped(found, bound):
            self._tell(lane, {path: "neither a file, a folder nor a link: not synced"})
        plan = planner.plan(found, bound, directory=self._project.directory)
        return found, plan.services[0] if plan else None

    async def _until_rest(self, lane: Lane, paths: set[str]) -> None:
        """Returns when nothing more comes; what came is in `paths`."""
        lane.stir(len(paths))
        while anyio.current_time() < lane.rests_from:
            await anyio.sleep_until(lane.rests_from)
            if lane.waiting:
                more = lane.waiting.take_all()
                paths |= more
                lane.stir(len(more))

    async def _act(self, lane: Lane) -> None:
        """Commands and the restart that are owed; syncs go on beside, and may owe more."""
        execs, restart = tuple(lane.owed_execs.values()), lane.owed_restart
        lane.owed_execs, lane.owed_restart = {}, None
        for execution in execs:
            await self._execute(lane, execution)
        if restart is not None:
            await self._restart(lane, restart)
        lane.is_acting = False
        lane.wake.set()

    async def _rebuilt(self, service: str, cause: str) -> bool:
        try:
            await self._rebuild(service, cause)
        except DevenvError as error:
            self._emit(Problem(error.message, error.hint, service))
            return False
        return True

    async def _carry_out(self, lane: Lane, step: ServicePlan, found: changes.Changes) -> set[str]:
        began = time.time()
        lane.stir(len(found.present) + len(found.gone))
        fresh = {s.target for s in step.syncs if s.source not in lane.done}
        outcome, lost = await self._deliver(lane, step, fresh)
        bad = self._bad_paths(lane, step, outcome)
        if lost:  # what one container did not get is not done: otherwise nothing would differ the next time
            bad = {p for p, _ in (*found.present, *found.gone)}
        changes.apply(lane.done, _without(found, bad))
        if lost or len(lane.targets) > 1:
            _doubt(lane, {p: s for p, s in (*found.gone, *found.present) if p in bad})
        if outcome.files or outcome.deleted:
            self._emit(self._synced(lane.service, step, outcome, found, began))
        if not lost:
            lane.owed_execs.update((execution.hook, execution) for execution in step.execs)
            lane.owed_restart = lane.owed_restart or step.restart
        return bad

    async def _deliver(self, lane: Lane, step: ServicePlan, fresh: Collection[str]) -> tuple[Outcome, bool]:
        """What happened in all containers of the service, and whether any of them could not be asked."""
        outcomes: list[Outcome] = []
        lost: list[str] = []

        async def one(target: Target) -> None:
            try:
                outcomes.append(await target.deliver(step.deletes, step.syncs, fresh))
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

        async with self._ending([target.container for target in lane.targets.values()]), lane.turn:
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
            puts = Puts.of(self._puts, container.id)
            record = await anyio.to_thread.run_sync(puts.read)
            target = await Target.reach(self._engine, container, self._mark, puts)
            target.strays |= record.staged
            # What waits for its turn arrives here already: gone before that turn, it still has to be deleted.
            _doubt(lane, {p: self._now[p] for p in (*lane.waiting, *lane.failed) if p in self._now})
            syncs = planner.initial(self._now, self._initial_rules(lane))
            missing = await target.differing(syncs, reconcile.tops(syncs, lane.rules)) if syncs else []
            outcome = await target.deliver((), missing, reconcile.named(syncs) - record.placed)
            bad = {s.source for s in missing if s.target in outcome.failed}
            lane.failed |= bad
            _doubt(lane, {p: s for p, s in lane.done.items() if p in bad})
            self._tell(lane, outcome.failed)
            for path, state in reconcile.stale(record.placed, lane.rules, self._now).items():
                lane.done[path] = state.doubtful()
                lane.waiting.add(path, gone=True)
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


def _is_quick(paths: Collection[str], known: Mapping[str, FileState]) -> bool:
    """Whether a look takes no longer than a way to another thread: few paths, and no folder to walk."""
    return len(paths) <= FEW and not any(_is_folder(path, known) for path in paths)


def _is_folder(path: str, known: Mapping[str, FileState]) -> bool:
    before = known.get(path)
    if before is not None and before.kind is Kind.DIR:
        return True
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False
