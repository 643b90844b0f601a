"""Bring a container with unknown content up to date, and sync it from then on."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Sequence
from dataclasses import field

import anyio

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.sync_plan import Sync
from devenv.sync import planner, reconcile
from devenv.sync.container.host_files import GONE
from devenv.sync.container.journal import JournalRecord, SyncJournal
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.readback import Seen
from devenv.sync.container.target import Target
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.service_state import SyncState, process_mark

AT_ONCE = 2000  # files that are put together into a running container
LARGE_TREE = 5000  # files; after the first sync of a larger tree, memory is given back


@dataclass
class Adoption:
    """Adds and drops the containers of one service. `prepared`: ids of containers synced before their start."""

    state: SyncState
    prepared: set[str] = field(default_factory=set)

    async def adopt(self, container: Container) -> int:
        """Bring the container up to date and serve it. Return the number of files that it lacked.

        Raises EngineError if the container no longer exists.
        """
        state, context = self.state, self.state.context
        async with state.turn:
            await self.drop(container.id)
            files = await self._take_in(container)
            state.retries.hasten(anyio.current_time())
            state.wake()
        if len(state.delivered) > LARGE_TREE:
            _trim_heap()
        if container.running:
            hooks = [bound.rule.exec for bound in state.rules if bound.rule.exec]
            for user, privileged in {(hook.user or "", hook.privileged) for hook in hooks}:
                await context.engine_of(container).exec.end_leftovers(
                    container.id, user=user, privileged=privileged, mark=process_mark(context.project)
                )
        return files

    async def drop(self, container_id: str) -> None:
        """Stop serving the container."""
        target = self.state.targets.pop(container_id, None)
        if target is not None:
            await target.close()

    async def _take_in(self, container: Container) -> int:
        state, context = self.state, self.state.context
        is_first_start = container.running and container.id in self.prepared
        self.prepared.discard(container.id)  # first: if adoption fails, everything has to be compared
        journal = SyncJournal.of(context.journals, container.id)
        record = await anyio.to_thread.run_sync(journal.read)
        rule_targets = [rule.top for rule in state.rules if rule.copies]
        engine, mark = context.engine_of(container), process_mark(context.project)
        target = await Target.reach(engine, container, mark, journal, rule_targets)
        target.staged.paths |= record.staged
        target.executable |= record.executable
        async with contextlib.AsyncExitStack() as opening:
            opening.push_async_callback(target.close)
            if container.running:
                await target.open_shell()  # this ends an earlier shell, which may still have commands to run
            missing, blocked, stale = await self._differences(target, journal, record, is_first_start=is_first_start)
            at_once = AT_ONCE if container.running else max(len(missing), 1)
            outcome = await self._deliver(target, missing, at_once)
            opening.pop_all()
        # Deletes wait in the queue, and so do files that can only be put after them.
        for sync in blocked:
            state.delivered.pop(sync.source, None)
            state.wait(sync.source)
        for path, was in stale.items():
            state.delivered[path] = was
            state.wait(path)
        if container.state == "created":
            self.prepared.add(container.id)
        state.targets[container.id] = target
        return outcome.files

    async def _differences(
        self, target: Target, journal: SyncJournal, record: JournalRecord, *, is_first_start: bool
    ) -> tuple[list[Sync], list[Sync], dict[str, FileState]]:
        """Compare the container with the host, and write to the journal before anything is put.

        Returns the syncs that can be done at once; those at or below a host path that has to be deleted first; and,
        by host path, what was put into the container, still exists there and should not, with a state of its kind.
        `is_first_start`: the container was brought up to date before its first process ran, and still is; later
        changes wait in the queue.
        """
        state, now = self.state, self.state.context.now
        is_wanted = state.context.project.settings.initial_sync_spec
        syncs = planner.initial(now, [rule for rule in state.rules if rule.rule.initial_sync or not is_wanted])
        left = reconcile.leftovers(record.placed, state.rules, now)
        if not is_first_start:
            self._mark_pending_unknown()
        seen = Seen(placed=left) if is_first_start else await target.compare(syncs, state.rules, left, record.placed)
        journal.note(gone=left - seen.placed)
        stale = reconcile.stale_targets(seen.placed, state.rules, now, left - seen.placed)
        missing, blocked = reconcile.split_blocked(seen.missing, [path for path in stale if path in now])
        journal.note(placed=reconcile.journal_paths(syncs) - record.placed)
        return missing, blocked, stale

    def _mark_pending_unknown(self) -> None:
        """Record that this sync may put pending paths, too: if the host loses them, they have to be deleted."""
        state = self.state
        pending = {path: state.context.now.get(path) for path in (*state.waiting, *state.retries.paths)}
        put = {path: now for path, now in pending.items() if now and now.kind is not FileKind.OTHER}
        state.mark_unknown({path: was for path in pending if (was := put.get(path) or state.delivered.get(path))})

    async def _deliver(self, target: Target, missing: Sequence[Sync], at_once: int) -> SyncOutcome:
        state = self.state
        outcome = SyncOutcome()
        for at in range(0, len(missing), at_once):
            outcome.add(await target.deliver((), missing[at : at + at_once]))
        state.add_folders(missing)
        failed = {sync.source for sync in missing if sync.target in outcome.failed}
        state.retries.paths |= failed
        state.mark_unknown({path: state.delivered[path] for path in failed if path in state.delivered})
        reasons = {sync.source: outcome.failed.get(sync.target, GONE) for sync in missing}
        state.report.problems({path: reason for path, reason in reasons.items() if reason != GONE})
        return outcome


def _trim_heap() -> None:
    """Collect garbage, give freed memory back, and exempt living objects from later collections.

    The exemption is for speed: to scan the states of a large tree delays a save by tens of milliseconds. From now on,
    garbage is collected as often as in other programs; see `__main__`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(700)  # as in CPython 3.11
    with contextlib.suppress(AttributeError, OSError):  # only the GNU C library has and needs this function
        ctypes.CDLL(None).malloc_trim(0)
