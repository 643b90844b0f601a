"""The sync of one service: paths wait in a queue, and are carried into its containers one plan after another."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection
from dataclasses import field
from functools import partial

import anyio
from anyio.abc import TaskGroup

from devenv.errors import EngineError
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.project import Action
from devenv.model.sync_plan import ServicePlan
from devenv.sync import planner
from devenv.sync.adoption import Adoption
from devenv.sync.container.host_files import LARGE_BYTES
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.target import Target
from devenv.sync.container.transports import NO_SHELL
from devenv.sync.followups import FollowUps
from devenv.sync.host.file_state import FileKind
from devenv.sync.host.manifest import Changes
from devenv.sync.rules.rules import BoundRule
from devenv.sync.service_state import SyncContext, SyncState
from devenv.tasks import each

LOST_FOR = 5.0  # seconds for which a container cannot be reached until that is reported
PATIENCE = 10  # a large file waits this many times the duration of its last try, to limit the load


Slice = tuple[set[str], Changes, ServicePlan | None]  # host paths, how they differ, and the plan for that if any


@dataclass
class ServiceSync:
    """Keeps the containers of one service equal to the host, from `serve` until cancelled."""

    context: SyncContext
    service: str
    rules: tuple[BoundRule, ...]
    is_open: bool = False
    is_advancing: bool = False
    lost: dict[str, float] = field(default_factory=dict)  # id of a container -> since when it cannot be reached
    ahead: Slice | None = None  # is carried out next
    state: SyncState = field(init=False)
    followups: FollowUps = field(init=False)
    adoption: Adoption = field(init=False)

    def __post_init__(self) -> None:
        self.state = SyncState(self.context, self.service, self.rules)
        self.followups = FollowUps(self.state)
        self.adoption = Adoption(self.state)

    def begin(self, before: ServiceSync | None) -> None:
        """Start from the current state of the host; `before` has the previous rules."""
        self.state.begin(before.state if before is not None else None)
        if before is not None:
            self.followups.inherit(before.followups)

    def open(self) -> None:
        """Carry out changes from now on; until then they are only collected."""
        self.is_open = True
        self.state.wake()

    async def close(self) -> None:
        """Stop serving all containers."""
        for container_id in tuple(self.state.targets):
            await self.adoption.drop(container_id)

    async def serve(self, tasks: TaskGroup) -> None:
        """Carry out what waits, until cancelled; follow-ups run in `tasks`."""
        state, followups = self.state, self.followups
        while True:
            await state.until_woken(min(state.retries.due, followups.due()))
            for path in state.retries.take(anyio.current_time()):
                state.wait(path)
            while self.is_open and (state.waiting or self.ahead is not None):
                began, self.is_advancing = anyio.current_time(), True
                if failed := await self.advance():  # files saved in the meantime do not wait with these
                    took, now = anyio.current_time() - began, self.context.now
                    is_large = any(path in now and now[path].size > LARGE_BYTES for path in failed)
                    state.retries.add(failed, began + took, at_least=PATIENCE * took if is_large else 0.0)
                else:
                    state.retries.relax()
                self.is_advancing = False
            followups.start_if_quiet(tasks)
            if not self.progress[1]:
                state.busy_since = None

    @property
    def progress(self) -> tuple[str, bool]:
        """Why a path cannot be synced, and whether changes, or what follows from them, are under way."""
        state, followups = self.state, self.followups
        failed = [path for path in state.retries.paths if path in state.report.reported]
        shown = [planner.shown(path, self.context.project.directory) for path in failed[:1]]
        problem = f"{shown[0]}: {state.report.reported[failed[0]]}" if failed else ""
        is_busy = state.waiting or self.is_advancing or not self.is_open or (state.retries.paths and not failed)
        return problem, bool(is_busy or followups.is_acting or followups.are_owed)

    async def advance(self) -> set[str]:
        """Make one plan and carry it out. Return the host paths to try again."""
        state = self.state
        async with state.turn:
            paths, changes, step = self._next()
            if step is None or step.rebuild is None:
                failed = await self._carry_out(step, changes, partial(self._plan_ahead, paths))
                if self.ahead is not None and state.turn.statistics().tasks_waiting:
                    again, self.ahead = self.ahead[0], None  # who takes the turn may change what the plan depends on
                    for path in again:
                        state.wait(path)
                return failed
        await self.followups.until_quiet(paths)
        changes, step = state.plan(paths, self.rules)
        if step is not None and step.rebuild and await self.followups.rebuild(step.rebuild.cause):
            state.record(changes)
            return set()
        async with state.turn:
            # The old container keeps running: it gets all other saved files, and the next edit builds again.
            changes, step = state.plan(paths, [r for r in self.rules if r.rule.action is not Action.REBUILD])
            return await self._carry_out(step, changes)

    def _next(self) -> Slice:
        if self.ahead is None:
            paths = self.state.waiting.take()
            return (paths, *self.state.plan(paths, self.rules))
        ahead, self.ahead = self.ahead, None
        return ahead

    def _plan_ahead(self, current: Collection[str]) -> None:
        """Plan the next slice of a flood while the container writes the last files of the current one.

        The plan compares its paths with what was delivered before the current slice, so no path may be in both.
        """
        waiting = self.state.waiting
        if self.ahead is None and waiting.has_many and not any(path in waiting for path in current):
            self.ahead = self._next()

    async def _carry_out(
        self, step: ServicePlan | None, changes: Changes, meanwhile: Callable[[], object] = lambda: None
    ) -> set[str]:
        state, followups = self.state, self.followups
        if step is None:
            state.record(changes)
            return set()
        began, clock = time.time(), anyio.current_time()
        count = len(changes.present) + len(changes.gone)
        followups.quiet.extend(count, clock)
        outcome, is_lost = await self._deliver(step, meanwhile)
        state.waiting.took(count, anyio.current_time() - clock)
        if self.context.project.settings.deletes_recreate:
            followups.recreation = _left_to_recreation(outcome, step) or followups.recreation
        failed = self._failed(step, outcome, changes)
        state.report.outcome(step, outcome, failed)
        if is_lost:  # paths that one container did not get count as failed, so that they differ the next time
            failed |= {path for path, _ in (*changes.present, *changes.gone)}
        state.record(changes.without(failed))
        state.add_folders(step.syncs)
        # Also a file that was restored after another rule's file was deleted.
        state.mark_unknown({path: state.delivered[path] for path in failed if path in state.delivered})
        if is_lost or len(state.targets) > 1:
            state.mark_unknown({path: was for path, was in (*changes.gone, *changes.present) if path in failed})
        state.report.synced(step, outcome, changes, began)
        if not is_lost:
            state.report.over([self.service])
            followups.owe(step)
        return failed

    async def _deliver(self, step: ServicePlan, meanwhile: Callable[[], object]) -> tuple[SyncOutcome, bool]:
        merged = SyncOutcome()
        lost: dict[str, str] = {}  # container -> message to report, or ""

        async def deliver(target: Target) -> None:
            try:
                merged.add(await target.deliver(step.deletes, step.syncs, meanwhile), max)
            except EngineError as error:
                lost[target.container.id] = error.message if await self._is_lost_for_long(target) else ""

        await each(deliver, self.state.targets.values())
        self.lost = {container_id: self.lost.get(container_id, anyio.current_time()) for container_id in lost}
        for message in filter(None, lost.values()):
            self.state.report.problems({self.service: message})
        return merged, bool(lost)

    async def _is_lost_for_long(self, target: Target) -> bool:
        """Whether an existing container cannot be reached for a while: what the next try mends is not reported.

        A container that was removed, or restarted and is about to be adopted, is not reported either, nor is one
        whose engine is away: that is reported by others. A container that has just ended gets its files without a
        shell.
        """
        current: Container | None = target.container
        with contextlib.suppress(EngineError):
            engine = self.context.engine_of(target.container)
            if engine.is_away():
                self.lost.pop(target.container.id, None)
                return False
            current = await engine.containers.inspect(target.container.id)
        if current is None or current.key != target.container.key:
            return False
        target.has_changed(current)
        return anyio.current_time() - self.lost.get(target.container.id, math.inf) >= LOST_FOR

    def _failed(self, step: ServicePlan, outcome: SyncOutcome, changes: Changes) -> set[str]:
        failed = {sync.source for sync in step.syncs if sync.target in outcome.failed}
        undeleted: Collection[str] = {delete.target for delete in step.deletes if delete.target in outcome.failed}
        if undeleted:
            put = {path for path, state in changes.present if state.kind is not FileKind.OTHER}
            for path in {path for path, _ in changes.gone} - put:
                if any(rule.matches(path) and rule.target_for(path) in undeleted for rule in self.rules):
                    failed.add(path)
        return failed


def _left_to_recreation(outcome: SyncOutcome, step: ServicePlan) -> str:
    """Remove failures that recreating the container fixes. Return their cause, "" if there are none."""
    left = [delete for delete in step.deletes if outcome.failed.get(delete.target) == NO_SHELL]
    for delete in left:
        del outcome.failed[delete.target]
    return left[0].cause if left else ""
