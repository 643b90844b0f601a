"""A container that files are delivered to, as long as its process lives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import anyio

from devenv.docker.client import Engine
from devenv.model.containers import Container
from devenv.model.sync_plan import Delete, Sync
from devenv.paths import ancestors
from devenv.sync import reconcile
from devenv.sync.container import access, readback, shell_commands
from devenv.sync.container.access import Access
from devenv.sync.container.delivery import Delivery
from devenv.sync.container.journal import StagedPaths, SyncJournal
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.readback import Seen
from devenv.sync.container.shell import Shell
from devenv.sync.container.shell_commands import plain
from devenv.sync.container.transports import NO_SHELL
from devenv.sync.rules.rules import BoundRule

Step = TypeVar("Step", Delete, Sync)


class Target:
    """A container with its open shell; `staged` are the paths where something may be staged.

    `executable` are the files that the image made executable.
    """

    def __init__(self, engine: Engine, container: Container, access: Access, journal: SyncJournal) -> None:
        self.container = container
        self.staged = StagedPaths(journal)
        self.executable: set[str] = set()
        self._engine = engine
        self._access = access
        self._journal = journal
        self._known_folders = {"/"}
        self._new_folders: set[str] = set()
        self._unremovable: set[str] = set()
        self._turn = anyio.Lock(fast_acquire=True)

    @classmethod
    async def reach(
        cls, engine: Engine, container: Container, mark: str, journal: SyncJournal, rule_targets: Sequence[str] = ()
    ) -> Target:
        """The target for an existing container; its shell, identified by `mark`, is opened when it is needed."""
        owner = await access.owner(engine, container)
        return cls(engine, container, Access(engine, container, owner, mark, rule_targets), journal)

    def has_changed(self, container: Container) -> None:
        """Deliver to the container as it is now: while it ran, its processes may have put links into its folders."""
        self.container = container
        self._known_folders, self._new_folders = {"/"}, set()

    async def close(self) -> None:
        """Close the shell for good; the container is not touched."""
        await self._access.close()

    async def deliver(
        self, deletes: Sequence[Delete], syncs: Sequence[Sync], meanwhile: Callable[[], object] = lambda: None
    ) -> SyncOutcome:
        """Carry out deletes, then syncs. A failed path is in the outcome and does not stop the others.

        `meanwhile` is as for `Delivery.put`.
        Nothing is deleted in a stopped container: its next start does that, from the journal. Raises EngineError if
        the engine cannot be reached, or the container was removed.
        """
        async with self._turn:
            self._journal.note(placed=reconcile.journal_paths(syncs))
            syncs = self._as_made(syncs)
            outcome = await self._attempt(deletes, syncs, meanwhile)
            if await self._access.become_root(outcome.failed.values()):
                denied, outcome.failed = outcome.failed, {}
                left = [d for d in deletes if d.target in denied]
                outcome.add(await self._attempt(left, [s for s in syncs if s.target in denied]))
            return outcome

    async def _attempt(
        self, deletes: Sequence[Delete], syncs: Sequence[Sync], meanwhile: Callable[[], object] = lambda: None
    ) -> SyncOutcome:
        shell = await self._open()
        deletes, syncs = self._real(deletes), self._real(syncs)
        put = {s.target for s in syncs}
        in_the_way: set[str] = set()
        if shell is not None:
            await self._remove_staged(shell)
        elif self.container.running:
            # The engine replaces files and links itself, but not folders.
            in_the_way = {d.target for d in deletes if d.directory and d.target in put}
            deletes = [d for d in deletes if d.target not in put]
        else:
            deletes = []
        files = self._engine.archive
        folders = self._known_folders, self._new_folders
        delivery = Delivery(files, self.container, self._access, shell, *folders, self.staged)
        outcome = delivery.outcome
        if deletes:
            await delivery.remove(deletes)
            self._note_deleted(deletes, outcome, syncs)
        if syncs:
            await delivery.put([s for s in syncs if s.target not in outcome.failed], meanwhile)
        self._finish(outcome, in_the_way)
        return outcome

    def _real(self, steps: Sequence[Step]) -> Sequence[Step]:
        if not self._access.has_moves:
            return steps
        return [step._replace(target=self._access.real(step.target)) for step in steps]

    def _finish(self, outcome: SyncOutcome, in_the_way: Collection[str]) -> None:
        """Use the rules' names for failed paths. The folders above them are no longer known."""
        reasons = outcome.failed | {target: NO_SHELL for target in in_the_way if target in outcome.failed}
        doubtful = {above for target in reasons for above in ancestors(target)}
        self._known_folders -= doubtful
        self._new_folders -= doubtful
        outcome.failed = {self._access.given(target): plain(reason, target) for target, reason in reasons.items()}

    def _note_deleted(self, deletes: Sequence[Delete], outcome: SyncOutcome, syncs: Sequence[Sync]) -> None:
        gone = [d for d in deletes if d.target not in outcome.failed]
        put_again = reconcile.journal_paths(syncs)  # stays in the journal, where it was noted before
        ends = (("/" if d.directory else "", d.target) for d in gone)
        names = (self._access.given(target) + end for end, target in ends if target + end not in put_again)
        self._journal.note(gone=names)
        outcome.deleted = len({d.target for d in gone}.difference(s.target for s in syncs))  # without what made room

    async def _open(self) -> Shell | None:
        if self._access.is_broken:
            self._known_folders = {"/"}  # it may have done more than it has confirmed
        return await self._access.open(self.container)

    async def open_shell(self) -> None:
        """Open the shell before the first save, so that it is as fast as others; remove staged files."""
        async with self._turn:
            if not self._access.is_closed and (shell := await self._open()) is not None:
                await self._remove_staged(shell)

    async def _remove_staged(self, shell: Shell) -> None:
        places = sorted(self.staged.paths)
        failures = await shell.run([shell_commands.unstage(place) for place in places])
        left = {places[index] for index in failures}
        if (tries := sorted(left - self._unremovable)) and not self._access.is_root:
            # A shell of root staged them before the container was restarted. A path that root cannot remove is not
            # tried again: a shell of root with each save would cost more than the save.
            failures = await self._access.run_as_root(self.container.id, [*map(shell_commands.unstage, tries)])
            self._unremovable.update(tries[index] for index in failures)
            left &= self._unremovable
        self.staged.keep(left)

    def _as_made(self, syncs: Sequence[Sync]) -> Sequence[Sync]:
        return [s._replace(executable=s.target in self.executable) for s in syncs] if self.executable else syncs

    async def compare(
        self,
        syncs: Sequence[Sync],
        bound: Sequence[BoundRule],
        placed: Collection[str] = (),
        given: Collection[str] | None = None,
    ) -> Seen:
        """Read back which of the syncs the container lacks, and which of these names of the journal it has.

        `given` are all names of the journal, if they are known: of other files, the image's x bits are kept.
        """
        roots = reconcile.readback_roots([*(s.target for s in syncs), *placed], bound)
        seen = await readback.look(self._engine, self.container.id, self._as_made(syncs), roots, placed, given=given)
        self._journal.note(executable=seen.executable - self.executable)
        self.executable |= seen.executable
        self._known_folders |= seen.folders
        return seen
