"""One service's share of the corridor: what it still has to do, and the containers that it does it in."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from devenv import memory
from devenv.docker.client import Engine
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, Executed, Problem, Restarted, Synced
from devenv.model.containers import Container
from devenv.model.project import Action, Hook, Project
from devenv.model.sync_plan import Exec, Restart, ServicePlan, Sync
from devenv.sync import planner, reconcile
from devenv.sync.actions import ServiceActions
from devenv.sync.container.host_files import LARGE_BYTES
from devenv.sync.container.journal import Record, SyncJournal
from devenv.sync.container.outcome import Outcome
from devenv.sync.container.readback import Seen
from devenv.sync.container.target import Target
from devenv.sync.container.transports import NO_SHELL
from devenv.sync.host import manifest
from devenv.sync.host.manifest import FileState, Kind
from devenv.sync.queue import FEW, Waiting
from devenv.sync.report import Report
from devenv.sync.rules import rules
from devenv.sync.rules.rules import BoundRule
from devenv.tasks import each

FIRST_RETRY = 0.25
LAST_RETRY = 4.0
PATIENCE = 10
SHOWN_PATHS = 5
GONE = os.strerror(errno.ENOENT)
AT_ONCE = 2000  # files of a first sync
LARGE = 5000  # files of a tree that is worth it to tidy up after a first sync
REST = 0.12  # seconds without a change until a command, a restart or a rebuild follows
FLOOD_REST = 0.3  # the same in the middle of a checkout: one restart, not one a slice


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
    now: dict[str, FileState] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """The name by which processes of this run in containers are recognized."""
        return f"{self.project.name}-{os.getpid()}"


@dataclass
class ServiceSync:
    """`done` is the manifest as this service's containers have it; paths in `waiting` differ, or may.

    What is owed is done when the changes that started it have arrived and nothing more comes.
    """

    site: SyncContext
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
    lost: set[str] = field(default_factory=set)  # containers that could not be asked the last time
    owed_execs: dict[Hook, Exec] = field(default_factory=dict)
    owed_restart: Restart | None = None
    owed_recreation: str = ""  # its cause
    flood_until: float = 0.0
    rests_from: float = 0.0
    is_acting: bool = False
    prepared: set[str] = field(default_factory=set)  # containers that were made, and wait for their start
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        self.report = Report(self.site.emit, self.service, self.site.project.directory)

    def begin(self, before: ServiceSync | None) -> None:
        """The host is known now; `before` is the lane whose rules held until now."""
        self.done = {path: state for path, state in self.site.now.items() if self.wants(path)}
        if before is not None:
            self._inherit(before)
        self.report.problems(planner.skipped(self.done, self.rules))
        self.report.env_files(planner.env_files(manifest.Changes(present=tuple(self.done.items())), self.rules))

    def notice(self, paths: Iterable[str]) -> None:
        """These host paths have changed."""
        for path in paths:
            if self.wants(path):
                self._wait(path)
        if self.waiting:
            self.wake.set()

    def open(self) -> None:
        """From now on changes are carried out; until then they were only gathered."""
        self.is_open = True
        self.wake.set()

    def wants(self, path: str) -> bool:
        """Whether any rule of the service is for this host path."""
        return any(rule.matches(path) for rule in self.rules)

    def _wait(self, path: str) -> None:
        self.waiting.add(path, gone=path not in self.site.now)

    def _inherit(self, before: ServiceSync) -> None:
        """What a lane with other rules had not done yet is to be done here, as far as both are for it.

        `done` holds what the host has now.
        """
        for path in {*self.done, *before.done}:
            old, now = before.done.get(path), self.done.get(path)
            if old != now and self.wants(path) and before.wants(path):
                self.waiting.add(path, gone=now is None)
                if old is None:
                    del self.done[path]
                else:
                    self.done[path] = old
        self.report = before.report
        self.owed_execs, self.owed_restart = before.owed_execs, before.owed_restart
        self.owed_recreation = before.owed_recreation

    @property
    def _owes(self) -> bool:
        return not self.is_acting and bool(self.owed_execs or self.owed_restart or self.owed_recreation)

    def _due(self) -> float:
        return min(self.retry_at, self.rests_from if self._owes else math.inf)

    def _stir(self, paths: int) -> None:
        """So many paths have changed: what is owed waits until nothing more has for a while."""
        now = anyio.current_time()
        if paths > FEW or now < self.flood_until:
            self.flood_until = now + FLOOD_REST
        self.rests_from = max(now + REST, self.flood_until)

    # --- to the containers -------------------------------------------------------------------------------------

    async def serve(self, tasks: TaskGroup) -> None:
        """Carries out what waits, until cancelled."""
        while True:
            with anyio.CancelScope(deadline=self._due()):
                await self.wake.wait()
            self.wake = anyio.Event()
            if anyio.current_time() >= self.retry_at:
                for path in self.failed:
                    self._wait(path)
                self.failed, self.retry_at = set(), math.inf
            while self.is_open and self.waiting:
                began = anyio.current_time()
                self._put_off(await self.advance(), anyio.current_time() - began)
            if self._owes and anyio.current_time() >= self.rests_from:
                self._act_when_calm(tasks)

    def _act_when_calm(self, tasks: TaskGroup) -> None:
        if self.site.is_at_rest():
            self.is_acting = True
            tasks.start_soon(self._act)
        else:
            self.rests_from = anyio.current_time() + REST

    def _put_off(self, failed: set[str], took: float) -> None:
        """What failed waits for its time; what is saved meanwhile does not wait with it.

        A large file whose try `took` seconds waits for ten times as long: it must not take all of the machine.
        """
        if failed:
            now = self.site.now
            is_large = any(path in now and now[path].size > LARGE_BYTES for path in failed)
            self.failed |= failed
            pause = max(self.retry, PATIENCE * took if is_large else 0.0)
            self.retry_at = min(self.retry_at, anyio.current_time() + pause)
            self.retry = min(2 * self.retry, LAST_RETRY)
        elif not self.failed:
            self.retry = FIRST_RETRY

    async def advance(self) -> set[str]:
        """One plan made and carried out; the host paths that have to be tried again."""
        async with self.turn:
            paths = self.waiting.take()
            found, step = self._planned(paths, self.rules)
            if step is None:
                manifest.apply(self.done, found)
                return set()
            if step.rebuild is None:
                return await self._carry_out(step, found)
        await self._until_rest(paths)
        found, step = self._planned(paths, self.rules)
        if step is not None and step.rebuild and await self._replaced(self.site.actions.rebuild, step.rebuild.cause):
            manifest.apply(self.done, found)
            return set()
        async with self.turn:
            # The old container runs on: what else was saved belongs into it, and the next edit builds again.
            found, step = self._planned(paths, [r for r in self.rules if r.rule.action is not Action.REBUILD])
            if step is not None:
                return await self._carry_out(step, found)
            manifest.apply(self.done, found)
            return set()

    def _planned(
        self, paths: Iterable[str], bound: Sequence[BoundRule]
    ) -> tuple[manifest.Changes, ServicePlan | None]:
        found = manifest.diff(self.done, {p: self.site.now.get(p) for p in paths})
        skipped = planner.skipped(dict(found.present), bound)
        self.report.over({path for path, state in found.gone if state.kind is Kind.OTHER} - skipped.keys())
        self.report.problems(skipped)
        self.report.env_files(planner.env_files(found, bound))
        plan = planner.plan(found, bound, directory=self.site.project.directory, states=self.site.now)
        return found, plan.services[0] if plan else None

    async def _until_rest(self, paths: set[str]) -> None:
        """Returns when nothing more comes; what came is in `paths`."""
        self._stir(len(paths))
        while (now := anyio.current_time()) < self.rests_from or not self.site.is_at_rest():
            await anyio.sleep_until(max(self.rests_from, now + REST))
            if self.waiting:
                more = self.waiting.take_all()
                paths |= more
                self._stir(len(more))

    async def _act(self) -> None:
        """Commands and the restart that are owed; syncs go on beside, and may owe more."""
        execs, restart, recreation = tuple(self.owed_execs.values()), self.owed_restart, self.owed_recreation
        self.owed_execs, self.owed_restart, self.owed_recreation = {}, None, ""
        if recreation:
            await self._replaced(self.site.actions.recreate, recreation)
        for execution in execs:
            await self._execute(execution)
        if restart is not None:
            await self._restart(restart)
        self.is_acting = False
        self.wake.set()

    async def _replaced(self, how: Callable[[str, str], Awaitable[None]], cause: str) -> bool:
        try:
            await how(self.service, cause)
        except DevenvError as error:
            self.site.emit(Problem(error.said, error.hint, self.service))
            return False
        return True

    async def _carry_out(self, step: ServicePlan, found: manifest.Changes) -> set[str]:
        began = time.time()
        paths, clock = len(found.present) + len(found.gone), anyio.current_time()
        self._stir(paths)
        fresh = {s.target for s in step.syncs if (old := self.done.get(s.source)) is None or old.is_doubtful}
        outcome, lost = await self._deliver(step, fresh)
        self.waiting.took(paths, anyio.current_time() - clock)
        if self.site.project.settings.deletes_recreate:
            self.owed_recreation = _left_to_recreation(outcome, step) or self.owed_recreation
        bad = self._bad_paths(step, outcome)
        if lost:  # what one container did not get is not done: otherwise nothing would differ the next time
            bad |= {p for p, _ in (*found.present, *found.gone)}
        manifest.apply(self.done, _without(found, bad))
        self._know_folders(step.syncs)
        self._doubt({p: self.done[p] for p in bad if p in self.done})  # a file that another one gave its place back
        if lost or len(self.targets) > 1:
            self._doubt({p: s for p, s in (*found.gone, *found.present) if p in bad})
        if outcome.files or outcome.deleted:
            self.site.emit(self._synced(step, outcome, found, began))
        if not lost:
            self.owed_execs.update((execution.hook, execution) for execution in step.execs)
            self.owed_restart = self.owed_restart or step.restart
        return bad

    async def _deliver(self, step: ServicePlan, fresh: Collection[str]) -> tuple[Outcome, bool]:
        """What happened in all containers of the service, and whether any of them could not be asked."""
        merged = Outcome()
        lost: list[str] = []
        lost_now: set[str] = set()

        async def one(target: Target) -> None:
            try:
                merged.merge(await target.deliver(step.deletes, step.syncs, fresh))
            except EngineError as error:
                now = await self._now_of(target)
                # Gone, or begun anew and about to be adopted: nothing to tell. Nor is one broken call worth a line.
                is_there = now is not None and now.key == target.container.key
                lost.append(error.message if is_there and target.container.id in self.lost else "")
                lost_now.add(target.container.id)

        await each(one, self.targets.values())
        self.lost = lost_now
        for message in filter(None, lost):
            self.report.problems({self.service: message})
        return merged, bool(lost)

    async def _now_of(self, target: Target) -> Container | None:
        """The container as far as it can be told, or None where it has gone."""
        try:
            now = await self.site.engine.containers.inspect(target.container.id)
        except EngineError:
            return target.container
        if now is not None and now.key == target.container.key:
            target.container = now  # it may have ended meanwhile: then files go in without a shell
        return now

    def _know_folders(self, syncs: Iterable[Sync]) -> None:
        """The folders that files came with, also where they had vanished again before anybody saw them."""
        seen: set[str] = set()
        for sync in syncs:
            folder = sync.source.rpartition("/")[0]
            while folder not in seen and folder not in self.done and rules.relative_to(folder, sync.root):
                seen.add(folder)
                if self.wants(folder):
                    self.done[folder] = reconcile.FOLDER
                    self._wait(folder)
                folder = folder.rpartition("/")[0]

    def _bad_paths(self, step: ServicePlan, outcome: Outcome) -> set[str]:
        bad = {s.source for s in step.syncs if s.target in outcome.failed}
        causes = {d.target: d for d in step.deletes if d.target in outcome.failed}
        synced = {s.target for s in step.syncs}
        reasons = {target: outcome.failed[target] for target in causes if target not in synced}
        for sync in step.syncs:
            # A temporary file that was gone before it could be read is no problem of anybody's.
            reason = outcome.failed.get(sync.target, GONE)
            if reason != GONE and os.path.lexists(sync.source):
                reasons[sync.source] = reason
        self.report.problems(reasons)
        if causes:
            gone = {p for p in self.done if p not in self.site.now}
            bad |= {p for p in gone for r in self.rules if r.matches(p) and r.target_for(p) in causes}
        tried = {*(s.source for s in step.syncs), *(d.target for d in step.deletes)}
        self.report.over(tried - bad - causes.keys())
        return bad

    def _synced(self, step: ServicePlan, outcome: Outcome, found: manifest.Changes, began: float) -> Synced:
        now = time.time()
        saved = max((s.ctime_ns / 1e9 for _, s in found.present), default=began)
        if not 0 <= now - saved <= LAST_RETRY:
            saved = began
        paths = [os.path.relpath(s.source, self.site.project.directory) for s in step.syncs[:SHOWN_PATHS]]
        put = {s.target for s in step.syncs}
        paths += [d.cause for d in step.deletes if d.target not in put][:SHOWN_PATHS]
        return Synced(
            service=self.service,
            files=outcome.files,
            deleted=outcome.deleted,
            bytes=outcome.bytes,
            ms=round((now - saved) * 1000, 1),
            paths=tuple(paths[:SHOWN_PATHS]),
            atomic=outcome.atomic,
        )

    async def _execute(self, execution: Exec) -> None:
        hook = execution.hook

        async def one(target: Target) -> None:
            began = time.monotonic()
            try:
                code, output = await self.site.engine.exec.run(
                    target.container.id,
                    hook.command,
                    user=hook.user or "",
                    working_dir=hook.working_dir,
                    environment=dict(hook.environment),
                    privileged=hook.privileged,
                    mark=self.site.mark,
                )
            except EngineError as error:
                self.site.emit(Problem(error.message, error.hint, self.service))
                return
            ms = round((time.monotonic() - began) * 1000, 1)
            self.site.emit(Executed(self.service, " ".join(hook.command), code, output, ms))

        await each(one, (t for t in self.targets.values() if t.container.running))

    async def _restart(self, restart: Restart) -> None:
        began = time.monotonic()

        async def one(target: Target) -> None:
            try:
                await self.site.engine.containers.restart(target.container)
            except EngineError as error:
                self.site.emit(Problem(error.message, error.hint, self.service))

        containers = [target.container for target in self.targets.values()]
        async with self.site.actions.restarting(containers), self.turn:
            await each(one, self.targets.values())
        ms = round((time.monotonic() - began) * 1000, 1)
        self.site.emit(Restarted(self.service, restart.cause, ms))

    # --- containers come and go --------------------------------------------------------------------------------

    async def adopt(self, container: Container) -> int:
        """The container brought up to date and served from now on; the number of files it lacked.

        Raises EngineError where it has gone meanwhile.
        """
        async with self.turn:
            await self.drop(container.id)
            is_first = container.running and container.id in self.prepared
            self.prepared.discard(container.id)  # at once: where this fails, all of it has to be looked at
            puts = SyncJournal.of(self.site.journals, container.id)
            record = await anyio.to_thread.run_sync(puts.read)
            tops = [rule.top for rule in self.rules if rule.copies]
            target = await Target.reach(self.site.engine, container, self.site.mark, puts, tops)
            target.staged.paths |= record.staged
            try:
                files = await self._bring_up_to_date(target, puts, record, is_first=is_first)
            except BaseException:
                await target.close()
                raise
            self.targets[container.id] = target
            self.retry = FIRST_RETRY
            if self.failed:
                self.retry_at = anyio.current_time() + self.retry
            self.wake.set()
        if len(self.done) > LARGE:
            memory.settle()
        if container.running:
            hooks = [bound.rule.exec for bound in self.rules if bound.rule.exec]
            for user, privileged in {(hook.user or "", hook.privileged) for hook in hooks}:
                await self.site.engine.exec.end_leftovers(
                    container.id, user=user, privileged=privileged, mark=self.site.mark
                )
        return files

    async def _bring_up_to_date(self, target: Target, puts: SyncJournal, record: Record, *, is_first: bool) -> int:
        """What a container lacks is put into it; what it has too much waits. The number of files it lacked.

        `is_first`: it was brought up to date before its first process ran, and is so still; what changed meanwhile
        waits.
        """
        container = target.container
        if container.running:
            await target.open_shell()  # ends what an earlier one was sent and has not done yet
        syncs = planner.initial(self.site.now, self._initial_rules())
        left = reconcile.leftovers(record.placed, self.rules, self.site.now)
        if not is_first:
            # What waits for its turn arrives here already: gone before that turn, it still has to be deleted.
            now = {path: self.site.now.get(path) for path in (*self.waiting, *self.failed)}
            put = {path: state for path, state in now.items() if state and state.kind is not Kind.OTHER}
            self._doubt({path: state for path in now if (state := put.get(path) or self.done.get(path))})
        seen = Seen(placed=left) if is_first else await target.compare(syncs, self.rules, left)
        puts.note(gone=left - seen.placed)
        stale = reconcile.stale_targets(seen.placed, self.rules, self.site.now, left - seen.placed)
        missing, after = reconcile.split_blocked(seen.missing, [path for path in stale if path in self.site.now])
        puts.note(placed=reconcile.journal_paths(syncs) - record.placed)
        outcome = Outcome()
        for at in range(0, len(missing), AT_ONCE):
            outcome.add(await target.deliver((), missing[at : at + AT_ONCE], ()))
        self._know_folders(missing)
        bad = {s.source for s in missing if s.target in outcome.failed}
        self.failed |= bad
        self._doubt({p: s for p, s in self.done.items() if p in bad})
        reasons = {s.source: outcome.failed.get(s.target, GONE) for s in missing}
        self.report.problems({path: reason for path, reason in reasons.items() if reason != GONE})
        for sync in after:
            self.done.pop(sync.source, None)
            self._wait(sync.source)
        for path, state in stale.items():
            self.done[path] = state
            self._wait(path)
        if container.state == "created":
            self.prepared.add(container.id)
        return outcome.files

    def _initial_rules(self) -> tuple[BoundRule, ...]:
        if self.site.project.settings.initial_sync_spec:
            return tuple(r for r in self.rules if r.rule.initial_sync)
        return self.rules

    async def drop(self, container_id: str) -> None:
        """The container is not served any more."""
        target = self.targets.pop(container_id, None)
        if target is not None:
            await target.close()

    def _doubt(self, states: Mapping[str, FileState]) -> None:
        """Some container may hold these, no one can say which: whatever becomes of them on the host is a change.

        Where it may be a folder or a file it counts as a file: that delete takes an empty folder, too.
        """
        for path, state in states.items():
            old = self.done.get(path, state)
            self.done[path] = (old if state.kind is Kind.DIR else state).doubtful()


def _left_to_recreation(outcome: Outcome, step: ServicePlan) -> str:
    """What a recreation of the container does is no failure; the cause, if there is one."""
    left = [d for d in step.deletes if outcome.failed.get(d.target) == NO_SHELL]
    for delete in left:
        del outcome.failed[delete.target]
    return left[0].cause if left else ""


def _without(found: manifest.Changes, bad: set[str]) -> manifest.Changes:
    return manifest.Changes(
        present=tuple((p, s) for p, s in found.present if p not in bad),
        gone=tuple((p, s) for p, s in found.gone if p not in bad),
    )
