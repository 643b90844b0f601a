"""The volumes of an active project: created with what they begin with, and noted once they hold a whole state."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from devenv.model.containers import Container
from devenv.run.active.current import CurrentState
from devenv.run.active.observe.observer import Observer
from devenv.run.run_volumes import RunVolumes
from devenv.state.ledger import Ledger

SETTLE_EVERY = 0.5  # seconds


@dataclass
class ActiveVolumes:
    """Keeps the ledger's volumes true while services start and become well."""

    run_volumes: RunVolumes
    current: CurrentState
    observer: Observer
    _is_settling: bool = False

    @property
    def ledger(self) -> Ledger:
        """What the run has created, and what becomes of it."""
        return self.run_volumes.ledger

    async def begin(self, tasks: TaskGroup, *, fresh: bool, source: str = "") -> None:
        """Create the new volumes, in the ledger first, with what they begin with, or with the saved set `source`.

        Raises DevenvError if one cannot be created or restored: the teardown removes it.
        """
        self.current.desired = await self.run_volumes.begin(self.current.desired, fresh=fresh, source=source)
        if self.run_volumes.unsettled and not self._is_settling:
            self._is_settling = True
            tasks.start_soon(self._settle_all)

    async def _settle_all(self) -> None:
        while self.run_volumes.unsettled:
            await anyio.sleep(SETTLE_EVERY)
            self.settle()
        self._is_settling = False

    def settle(self) -> None:
        """Note which volumes hold a whole state now."""
        self.run_volumes.settle(self.current.desired, self.observer.project_state, self.observer.standings())

    def note_started(self) -> None:
        """Note that the services have been started with their volumes."""
        self.run_volumes.note_started()

    def note_anonymous(self, containers: Collection[Container]) -> None:
        """Enter the volumes that these containers leave behind when they are replaced."""
        self.run_volumes.enter(self.ledger.noting(containers))
