"""A running project, from its first create until its end."""

from __future__ import annotations

from functools import partial

from anyio.abc import TaskGroup

from devenv.docker.cli import EarlyCommand
from devenv.events import Emit, Event, ServiceState
from devenv.model.containers import Container, ProjectState
from devenv.model.status import ENDED
from devenv.run.active.compose_calls import ComposeCalls, CurrentState
from devenv.run.active.dependents import DependentRestarts
from devenv.run.active.failures import FailureReporter
from devenv.run.active.mounted_files import MountedFiles
from devenv.run.active.observe.observer import Observer
from devenv.run.active.project_update import ProjectUpdate, bound_rules
from devenv.run.active.replace import ServiceReplacement
from devenv.run.active.volumes import RunVolumes, VolumeFills
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.desired import DesiredState
from devenv.run.preload import UpOptions
from devenv.run.urls import url
from devenv.state import unfinished
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run
from devenv.sync.container import journal
from devenv.sync.session import SyncSession
from devenv.tasks import each, task_group
from devenv.volumes.transfer import VolumeTransfer


class ActiveProject:
    """The parts of a running project, put together, and the steps that bring it up.

    `observer` watches the containers, `sync_session` syncs files to them, `compose` creates and starts, `volumes`
    keeps the ledger, `actions` are for single services, `update` applies edited files. They work in `tasks`.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        options: UpOptions,
        volume_transfer: VolumeTransfer,
        ledger: Ledger,
        desired: DesiredState,
    ) -> None:
        engine, emit, run = volume_transfer.engine, volume_transfer.emit, volume_transfer.run
        run.note_standings({})
        self.engine = engine
        self._tasks = tasks
        self._options = options
        self._journals = run.journals
        self._current = current = CurrentState(desired)
        self.observer = Observer(
            engine,
            desired.project,
            desired.names,
            emit=partial(_noting, run, {}, emit),
            logs=options.logs and not options.detach,
            on_start=self._adopt,
            on_gone=self._drop,
            on_return=self._resume,
            reporter=lambda: FailureReporter(engine, current.desired.loaded, options.selection),
        )
        self._files = MountedFiles(engine, emit, current, self.observer)
        self.compose = ComposeCalls(engine, run, current, self.observer)
        self.volumes = RunVolumes(volume_transfer, ledger, current, self.observer, tasks)
        self.actions = ServiceReplacement(
            engine,
            emit,
            options.images,
            current,
            self.observer,
            self.compose,
            self.volumes,
            KeptLogs(run.path),
            DependentRestarts(engine, run, self.observer, emit, options.timeout, tasks),
            self._first_sync,
        )
        watcher = options.watcher
        self.sync_session = SyncSession(
            lambda _: engine, emit=self.observer.emit, actions=self.actions, journals=run.journals, watcher=watcher
        )
        self.update = ProjectUpdate(
            options, emit, engine, current, self.observer, self.volumes, self.sync_session, self.actions, tasks
        )

    @property
    def desired(self) -> DesiredState:
        """The desired state in force."""
        return self._current.desired

    @property
    def ledger(self) -> Ledger:
        """What the run has created, and what is to happen to it at the end."""
        return self.volumes.ledger

    def urls(self, service: str) -> tuple[str, ...]:
        """The URLs of the ports that the service publishes, if they speak HTTP."""
        ports = sorted((port, ip) for c in self.observer.project_state.of(service) for ip, port, _ in c.ports)
        return tuple(dict.fromkeys(url(ip, port, self.engine.endpoint) for port, ip in ports))

    async def create(self, early: EarlyCommand | None = None) -> bool:
        """Create everything without starting it, by a command that was begun `early`, if any.

        Return whether there are watch rules.
        """
        unfinished.forget(self.compose.run)  # what an earlier process left is created or started now
        current = self._current
        rules_now = await bound_rules(current.desired, watch=self._options.watch)
        await self.update.follow(rules_now)
        if names := sorted(current.desired.own):
            fills = VolumeFills(current.desired, self.observer.emit)
            async with self.compose.turn, task_group() as tasks:
                tasks.start_soon(fills.report)
                await self.compose.create(names, on_created=fills.made, early=early)
                tasks.cancel_scope.cancel()
        current.created = dict(current.desired.services)
        return bool(rules_now[1])

    async def adopt(self, since: float, *, is_current: bool) -> None:
        """Sync and observe what runs already, which nothing is created or started for.

        Nobody has synced `since` then (Unix seconds).

        Unless `is_current`, the files may have changed since the containers were created: the first look at the files
        then lets Compose compare them.
        """
        await self.update.follow(await bound_rules(self.desired, watch=self._options.watch))
        self._current.created = dict(self.desired.services) if is_current else {}
        project_state = await self.sync()
        await self.actions.finish(project_state)
        self.sync_session.saved_since(since, rebuilds=True)
        self.observer.mark_up()

    async def sync(self) -> ProjectState:
        """Bring every container up to date with the source tree; from now on containers are synced and observed.

        Returns the state of the project before that.
        """
        project_state = self._current.seen or await self.compose.project_state()
        self.observer.view.forget(project_state.containers)
        journal.forget_others(self._journals, {c.id for c in project_state.containers})
        await each(self._first_sync, [c for c in project_state.containers if c.service in self.desired.names])
        self._tasks.start_soon(self.observer.run)
        if self._options.watch and self.desired.loaded.remote is not None:
            self._tasks.start_soon(self._files.run)
        self.sync_session.open()
        return project_state

    async def start(self) -> None:
        """Start all services in order. Raises the error of the service that failed."""
        current = self._current
        current.is_starting = True
        try:
            async with self.compose.turn:
                project_state = current.seen or await self.compose.project_state()
                await self.compose.start(current.desired.names, project_state)
            self.volumes.note_started()
        finally:
            current.is_starting = False
            self.observer.view.all_started()

    async def _first_sync(self, container: Container) -> None:
        await self._files.put(container)
        files = await self.sync_session.adopt(container)
        if container.running:
            self.observer.known(container, files)

    # The observer sees containers before the parts that act on them exist.

    async def _adopt(self, container: Container) -> None:
        await self._files.put(container)
        await self.sync_session.adopt(container)

    async def _drop(self, container_id: str) -> None:
        await self.sync_session.drop(container_id)

    async def _resume(self, ended: tuple[Container, ...]) -> None:
        await self.actions.resume(ended)


def _noting(run: Run, noted: dict[str, tuple[str, str, str]], emit: Emit, event: Event) -> None:
    """Emit the event, and record in the run which services have ended, and which have an error in their log."""
    if isinstance(event, ServiceState):
        before = dict(noted)
        noted.pop(event.service, None)
        if event.state in ENDED or event.error:
            noted[event.service] = event.state, event.detail, event.error
        if noted != before:
            run.note_standings(noted)
    emit(event)
