"""A project that runs: from its first create on, while parts of it are replaced and the others go on."""

from __future__ import annotations

from anyio.abc import TaskGroup

from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.events import Emit
from devenv.model.containers import Container
from devenv.run.active.compose_calls import ComposeCalls
from devenv.run.active.current import CurrentState
from devenv.run.active.dependents import DependentRestarts
from devenv.run.active.failures import FailureReporter
from devenv.run.active.observe.observer import Observer
from devenv.run.active.replace import ServiceReplacement
from devenv.run.active.update import ProjectUpdate, bound_rules
from devenv.run.active.volumes import ActiveVolumes
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.desired import DesiredState
from devenv.run.options import Options
from devenv.run.run_volumes import RunVolumes
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run
from devenv.sync.container import journal
from devenv.sync.session import SyncSession
from devenv.tasks import each


class ActiveProject:
    """The parts of a project that runs, put together, and the steps that bring it up.

    `observer` sees what runs, `sync_session` syncs files into it, `compose` creates and starts, `actions` are for
    single services.
    """

    def __init__(
        self,
        options: Options,
        emit: Emit,
        engine: Engine,
        run: Run,
        run_volumes: RunVolumes,
        desired: DesiredState,
    ) -> None:
        self.engine = engine
        self._options = options
        self._journals = run.journals
        self._current = current = CurrentState(desired)
        self.observer = Observer(
            engine,
            desired.project,
            desired.names,
            emit=emit,
            logs=options.logs and not options.detach,
            on_start=self._adopt,
            on_gone=self._drop,
            on_return=self._resume,
            reporter=lambda: FailureReporter(engine, current.desired.loaded, options.selection),
        )
        self.compose = ComposeCalls(engine, run, current, self.observer)
        self._volumes = ActiveVolumes(run_volumes, current, self.observer)
        self.actions = ServiceReplacement(
            engine,
            emit,
            options.images,
            current,
            self.observer,
            self.compose,
            self._volumes,
            KeptLogs(run.path),
            DependentRestarts(engine, self.observer, emit, options.timeout),
            self._first_sync,
        )
        self.sync_session = SyncSession(
            engine, emit=emit, actions=self.actions, journals=run.journals, watcher=options.watcher
        )
        self._update = ProjectUpdate(
            options, emit, engine, current, self.observer, self._volumes, self.sync_session, self.actions
        )

    @property
    def desired(self) -> DesiredState:
        """The desired state in force."""
        return self._current.desired

    @property
    def ledger(self) -> Ledger:
        """What the run has created, and what becomes of it."""
        return self._volumes.ledger

    @property
    def is_cut_off(self) -> bool:
        """Whether a verb of Compose did not run to its end: what it asked the engine for last may still come."""
        return self.compose.is_cut_off

    async def volumes(self, tasks: TaskGroup, source: str = "") -> None:
        """Create the new volumes, in the ledger first, with what they begin with, or with the saved set `source`.

        Raises DevenvError if one cannot be created or restored: the teardown removes it.
        """
        await self._volumes.begin(tasks, fresh=self._options.fresh, source=source)

    def settle(self) -> None:
        """Note which volumes hold a whole state now."""
        self._volumes.settle()

    async def create(self, tasks: TaskGroup) -> bool:
        """Create everything; nothing runs. Returns whether there are rules to sync by."""
        current = self._current
        self.actions.dependents.tasks = tasks
        rules_now = await bound_rules(current.desired, watch=self._options.watch)
        await self._update.follow(tasks, rules_now)
        if names := sorted(current.desired.own):
            async with self.compose.turn:
                await self.compose.create(names)
        current.created = dict(current.desired.services)
        return bool(rules_now[1])

    async def sync(self, tasks: TaskGroup) -> None:
        """Bring every container up to date with the tree; from now on it is kept so and observed."""
        project_state = await self.compose.project_state()
        self.observer.view.forget(project_state.containers)
        journal.forget_others(self._journals, {c.id for c in project_state.containers})
        names = self._current.desired.names
        await each(self._first_sync, [c for c in project_state.containers if c.service in names])
        tasks.start_soon(self.observer.run)
        self.sync_session.open()

    async def start(self) -> None:
        """Start all services in order. Raises the error of the service that failed."""
        current = self._current
        current.is_starting = True
        try:
            async with self.compose.turn:
                await self.compose.start(current.desired.compose, current.desired.names)
            self._volumes.note_started()
        finally:
            current.is_starting = False
            self.observer.view.all_started()

    async def reload(self, tasks: TaskGroup, loaded: Loaded, files: tuple[str, ...]) -> bool:
        """Put edited files in force: as `ProjectUpdate.apply`."""
        return await self._update.apply(tasks, loaded, files)

    async def _first_sync(self, container: Container) -> None:
        await self._adopt(container)
        if container.running:
            self.observer.known(container)

    # The observer sees containers before the parts that act on them exist.

    async def _adopt(self, container: Container) -> None:
        await self.sync_session.adopt(container)

    async def _drop(self, container_id: str) -> None:
        await self.sync_session.drop(container_id)

    async def _resume(self, ended: tuple[Container, ...]) -> None:
        await self.actions.resume(ended)
