"""A project that runs: parts of it are made anew while the others go on."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from anyio.abc import TaskGroup

from devenv.compose import resolve
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.docker.compose_failures import VerbError
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError, UsageError
from devenv.events import Emit, Notice, Problem, Rebuilt, Reloaded, Removed, Restarted, Step
from devenv.host.free_ports import require_free
from devenv.images import build as builds
from devenv.images.prepare import prepare_images
from devenv.model.containers import Container, ProjectState
from devenv.model.project import Settings
from devenv.private_files import written
from devenv.run.active import model_diff
from devenv.run.active.failures import FailureReporter
from devenv.run.active.model_diff import Difference
from devenv.run.active.observer import Observer
from devenv.run.active.phases import BAD, awaited
from devenv.run.active.restarts import DependentRestarts
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.consent import weigh_again, wishes
from devenv.run.desired import DesiredState, chosen, look, published
from devenv.run.options import Options
from devenv.run.run_volumes import RunVolumes
from devenv.state.identity import created
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run
from devenv.sync.container import journal
from devenv.sync.host import scan
from devenv.sync.rules import rules
from devenv.sync.rules.rules import BoundRule
from devenv.sync.session import SyncSession
from devenv.tasks import each

SETTLE_LOOK = 0.5
SETTLE_AFTER = 10.0
PROVEN_AFTER = 1.5  # seconds after which no other volume can have the same second of creation
Rules = tuple[Settings, tuple[BoundRule, ...]]


@dataclass
class ActiveProject:
    """What one project runs as, from the first create on. Compose works for one thing at a time: `compose_turn`."""

    options: Options
    emit: Emit
    engine: Engine
    run: Run
    data: RunVolumes
    stage: DesiredState
    compose_turn: anyio.Lock = field(default_factory=anyio.Lock)
    is_cut_off: bool = False  # a verb of Compose was: what the engine was asked for last may still come
    _turns: defaultdict[str, anyio.Lock] = field(default_factory=lambda: defaultdict(anyio.Lock))
    _made: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # service -> as Compose made it
    _rules: Rules | None = None
    _rises: bool = False
    _settles: bool = False

    def __post_init__(self) -> None:
        self.actions = self
        self._logs = KeptLogs(self.run.path)
        self.sync_session = SyncSession(
            self.engine, emit=self.emit, actions=self, journals=self.run.puts, watcher=self.options.watcher
        )
        self._dangers = wishes(self.stage.loaded, self.stage.names)
        self.observer = Observer(
            self.engine,
            self.stage.project,
            self.stage.names,
            emit=self.emit,
            logs=self.options.logs and not self.options.detach,
            on_start=self.sync_session.adopt,
            on_gone=self.sync_session.drop,
            on_return=self.resume,
            reporter=lambda: FailureReporter(self.engine, self.stage.loaded, self.options.selection),
        )
        self.following = DependentRestarts(self.engine, self.observer, self.emit, self.options.timeout)

    # --- the way up ----------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """What the run has created, and what becomes of it."""
        return self.data.ledger

    async def volumes(self, tasks: TaskGroup, source: str = "") -> None:
        """New volumes exist, in the ledger before, and hold what they begin with, or the saved set `source`.

        Raises DevenvError if one cannot be created or restored: the way down removes what there is of it.
        """
        self.stage = await self.data.begin(self.stage, fresh=self.options.fresh, source=source)
        if self.data.unsettled and not self._settles:
            self._settles = True
            tasks.start_soon(self._settle)

    async def _settle(self) -> None:
        while self.data.unsettled:
            await anyio.sleep(SETTLE_LOOK)
            self.settle()
        self._settles = False

    def settle(self) -> None:
        """Note which volumes hold a whole state now."""
        self.data.settle(self.stage, self.observer.project_state, self.observer.standings())

    async def create(self, tasks: TaskGroup) -> bool:
        """All is created and nothing runs; whether there are rules to keep containers by."""
        self.following.tasks = tasks
        rules_now = await self._rules_of(self.stage)
        await self._keep(tasks, rules_now)
        if names := sorted(self.stage.own):
            async with self.compose_turn:
                await self._composed(self._created(names), names)
        self._made = dict(self.stage.services)
        return bool(rules_now[1])

    async def sync(self, tasks: TaskGroup) -> None:
        """Every container is as fresh as the tree, and is kept and observed from now on."""
        project_state = await self.engine.project_state(self.stage.project.name)
        self.observer.forget(project_state.containers)
        journal.forget_others(self.run.puts, {c.id for c in project_state.containers})
        await each(self._first_sync, [c for c in project_state.containers if c.service in self.stage.names])
        tasks.start_soon(self.observer.run)
        self.sync_session.open()

    async def start(self) -> None:
        """Compose has started all services in order. Raises the error of the service that failed."""
        self._rises = True
        try:
            async with self.compose_turn:
                await self._composed(self.stage.compose.start(sorted(self.stage.names)), self.stage.names)
            self.data.note_started()
        finally:
            self._rises = False
            self.observer.begun()

    async def _created(self, services: Sequence[str], *, force: bool = False) -> None:
        """Compose has created the services' containers; their ids are on disk before anything starts.

        A call that is cut off leaves its window open: what it may have created is recognized by that.
        Raises RefusedError if Compose would replace a container that is not ours.
        """
        project_state = await self.engine.project_state(self.stage.project.name)
        for container in project_state.containers:
            if container.service in services and not container.ours:
                said = f"{container.service}: not devenv, but somebody else created its container {container.name}"
                raise RefusedError(f"{said}, and Compose would replace it", hint=f"docker rm -f {container.name}")
        window, reported = self.stage.window(project_state), set[tuple[str, str]]()
        with written(self.run.made.path):
            token = self.run.made.open(window)
        failure: DevenvError | None = None
        try:
            await self.stage.making.create(services, force=force, on_made=lambda *named: reported.add(named))
        except DevenvError as error:
            failure = error
        after = await self.engine.project_state(self.stage.project.name)
        with written(self.run.made.path):
            self.run.made.close(token, created(window, after, reported))
        if failure is not None:
            raise failure

    async def _composed(self, verb: Awaitable[None], names: Collection[str]) -> None:
        try:
            await verb
        except VerbError as error:
            raise await self._explained(error, names) from error
        except BaseException:
            self.is_cut_off = True
            raise

    async def _explained(self, error: VerbError, names: Collection[str]) -> DevenvError:
        """Why Compose could not do it: in the words of a service that failed and that others wait for, or its own."""
        self.observer.look_at(await self.engine.project_state(self.stage.project.name))
        for standing in self.observer.standings():
            named = any(f"{quote}{standing.service}{quote}" in error.reason for quote in '`"')
            if named and standing.service in names and standing.phase in BAD:
                return await self.observer.failure(standing)
        return await self.observer.reporter().refused(error, self.observer.project_state)

    async def _first_sync(self, container: Container) -> None:
        await self.sync_session.adopt(container)
        if container.running:
            self.observer.known(container)

    async def _rules_of(self, stage: DesiredState) -> Rules:
        if not self.options.watch:
            return stage.project.settings, ()
        ignores = await anyio.to_thread.run_sync(scan.dockerignores, stage.project)
        bound = rules.bind(stage.project, ignores)
        return stage.project.settings, tuple(rule for rule in bound if rule.service in stage.names)

    async def _keep(self, tasks: TaskGroup, rules_now: Rules) -> None:
        self._rules = rules_now
        await self.sync_session.follow(tasks, self.stage.project, rules_now[1])

    # --- one service ---------------------------------------------------------------------------------------------

    async def rebuild(self, service: str, cause: str) -> None:
        """The service alone built anew and replaced; what was saved meanwhile is in the new container."""
        began = time.monotonic()
        self.emit(Step("rebuild", "begin", f"{service}: {f'{cause} changed' if cause else 'somebody asked for it'}"))
        async with self._turns[service]:
            if not await self.stage.supply.is_current(one := self.stage.only((service,))):
                found = await prepare_images(
                    self.engine, one, self.options.images, self.emit, reported=self.stage.supply.reported
                )
                # The stage of now: other files may have come into force meanwhile.
                self.stage = replace(self.stage, supply=found.merged_over(self.stage.supply))
            await build(self.stage, (service,), self.emit)
            await self._replace(service)
        self.emit(Step("rebuild", "end", service, time.monotonic() - began))
        self.emit(Rebuilt(service, cause, round(time.monotonic() - began, 2)))

    async def restart(self, service: str) -> None:
        """The service's containers restarted, started where they had ended, or made anew where they have gone.

        Raises UsageError as `stop`.
        """
        if (
            self._made
            and not self._rises
            and service in self.stage.own
            and not self.observer.project_state.of(service)
        ):
            await self.recreate(service, "")
            return
        began = time.monotonic()
        async with self._turns[service]:
            containers = self._asked_for(service, "restart")
            self.observer.stopped.discard(service)
            async with self.restarting(containers):
                await each(self.engine.containers.restart, containers)
        self.emit(Restarted(service, "", round((time.monotonic() - began) * 1000, 1)))

    async def stop(self, service: str) -> None:
        """The service's containers stopped until somebody starts them again.

        Raises UsageError for what others have started, or where there is none.
        """
        async with self._turns[service]:
            containers = self._asked_for(service, "stop")
            with self.observer.ending(containers):
                await each(self.engine.containers.stop, containers)
                self.observer.stopped.add(service)
        self.emit(Notice(f"{service} is stopped"))

    def _asked_for(self, service: str, verb: str) -> Sequence[Container]:
        containers = self.observer.project_state.of(service)
        if not containers:
            raise UsageError(f"{service} has no container yet")
        if not all(c.ours for c in containers):
            said = f"{service} is left alone: not devenv, but plain Compose or Docker made its container"
            raise UsageError(said, hint=f"docker compose {verb} {service}")
        return containers

    async def recreate(self, service: str, cause: str) -> None:
        """The service's containers made anew from the image that is there, the tree's files in them."""
        began = time.monotonic()
        async with self._turns[service]:
            await self._replace(service)
        self.emit(Restarted(service, cause, round((time.monotonic() - began) * 1000, 1)))

    async def resume(self, ended: Sequence[Container]) -> None:
        """What the engine took along when it ended runs again, now that it is back."""
        names = sorted({c.service for c in ended})
        running = {c.service for c in self.observer.project_state.containers if c.running}
        async with self._ending(ended):
            try:
                await self._composed(self.stage.starting(names, running).start(names), names)
            except DevenvError as error:
                self.emit(Problem(f"the engine is back, but not all services: {error.message}", error.hint))
                return
        self.emit(Notice(f"the engine was away; started again: {', '.join(names)}"))

    async def _replace(self, service: str) -> None:
        self.observer.stopped.discard(service)
        old = self.observer.project_state.of(service)
        async with self._ending(old):
            self.stage = self.stage.renewed(service)
            project_state = await self._remake((service,), force=True)
        self.following.after((service,))
        await self._drop_images(old, project_state)

    async def _remake(self, services: Sequence[str], *, force: bool = False) -> ProjectState:
        """These services created where they are missing or changed, synced and started; all that is there then."""
        failure = None
        try:
            await self._composed(self._created(services, force=force), services)
        except DevenvError as error:
            failure = error  # what has been made anew before it has to run all the same
        project_state = await self.engine.project_state(self.stage.project.name)
        new = [c for c in project_state.containers if c.service in services and c.state == "created"]
        try:
            await each(self._first_sync, new)
        finally:
            if begun := {c.service for c in new}:
                running = {c.service for c in project_state.containers if c.running}
                await self._composed(self.stage.starting(begun, running).start(sorted(begun)), begun)
        if failure is not None:
            raise failure
        return project_state

    async def _drop_images(self, old: Iterable[Container], project_state: ProjectState) -> None:
        """Images that only replaced containers needed and that have no name any more."""
        for image in {c.image for c in old} - {c.image for c in project_state.containers}:
            with contextlib.suppress(EngineError):  # an image too many is no reason to call it failed
                if not await self.engine.images.tags(image):
                    await self.engine.images.remove(image)

    @contextlib.asynccontextmanager
    async def _ending(self, containers: Collection[Container]) -> AsyncIterator[None]:
        """While it lasts, these containers may end: Compose waits for none of them, and it counts as no failure.

        What they leave behind is in the ledger before, and their logs are kept.
        """
        async with self.compose_turn:
            self.data.enter(self.ledger.noting(containers))
            await each(lambda c: self._logs.keep(self.engine, c, self.ledger.began), containers)
            with self.observer.ending(containers):
                yield

    @contextlib.asynccontextmanager
    async def restarting(self, containers: Sequence[Container]) -> AsyncIterator[None]:
        """As `_ending`. On the way up, what Compose has started and waits for no more need not wait for Compose."""
        waited_for = awaited(self.stage.project, self.observer.project_state)
        own_turn = self._rises and all(c.running and c.service not in waited_for for c in containers)
        async with contextlib.nullcontext() if own_turn else self.compose_turn:
            with self.observer.ending(containers):
                yield
        self.following.after({c.service for c in containers})

    # --- other files ---------------------------------------------------------------------------------------------

    async def reload(self, tasks: TaskGroup, loaded: Loaded, files: tuple[str, ...]) -> bool:
        """The project as it is written now, in force: only what differs is acted on; whether anything did.

        Raises DevenvError, with everything as before, for what cannot be in force. Where only some of it could,
        what failed is tried again at the next change.
        """
        began = time.monotonic()
        if fixed := model_diff.fixed(self.stage.loaded.model, loaded.model):
            path, why = fixed
            file, line = await anyio.to_thread.run_sync(resolve.where, self.options.selection, path)
            raise ConfigError(f"{why}: that takes a new run", hint="Ctrl-C, then: devenv up", file=file, line=line)
        project_state = await self.engine.project_state(loaded.project.name)
        after = replace(
            self.stage,
            loaded=loaded,
            names=chosen(loaded.project, self.options.selection.services),
            found=await look(self.engine, project_state),
        )
        self._dangers = weigh_again(loaded, after.names, self.emit, self._dangers)
        after = await published(after, self.options, self.engine, project_state)
        rules_now = await self._rules_of(after)
        theirs, before = after.found.foreign_services, self.stage.ports
        change = model_diff.between({n: s for n, s in self._made.items() if n not in theirs}, after.services)
        self._tell_of_theirs(loaded, theirs)
        if not change and rules_now == self._rules:
            self._enter(after)
            return False
        async with contextlib.AsyncExitStack() as turns:
            for service in change.touched:
                await turns.enter_async_context(self._turns[service])
            after = await self._prepared(after, change)
            event = Reloaded(files, rules=rules_now != self._rules)
            removed = [c for c in self.ledger.containers(project_state) if c.service in change.gone]
            old = [c for c in project_state.containers if c.service in change.touched]
            async with self._ending([*old, *removed]):
                self._enter(after)
                now = await self._apply(tasks, change, removed, rules_now)
        event = replace(event, seconds=round(time.monotonic() - began, 2))
        self.emit(_told(event, change, removed, project_state, now))
        for port in [port for port in after.ports if after.auto and port not in before]:
            self.emit(Notice(f"{port.service} {port.target} is published on port {port.published}"))
        await self._drop_images(old, now)
        return True

    def _tell_of_theirs(self, loaded: Loaded, theirs: Iterable[str]) -> None:
        """What others have started or replaced meanwhile stays as it is, whatever the files say of it now."""
        before, now = self.stage.loaded.model["services"], loaded.model["services"]
        for name in sorted(theirs):
            if before.get(name) != now.get(name):
                said = f"{name} stays as it is: not devenv, but plain Compose or Docker made a container of it"
                self.emit(
                    Notice(said, f"docker compose up -d {name}" if name in now else f"docker compose rm -sf {name}")
                )

    async def _prepared(self, after: DesiredState, change: Difference) -> DesiredState:
        """Ports free and images there, before anything that runs is touched."""
        if self.engine.endpoint.local:
            mine = set(self.stage.wanted_ports(self.stage.own))
            await require_free([p for p in after.wanted_ports(change.touched) if p not in mine], self.engine)
        if not change.images:
            return after
        after = await supplied(self.engine, after, change.images, self.options, self.emit)
        if self.options.build:
            await build(after, [name for name in change.images if name in after.built], self.emit)
        return after

    def _enter(self, after: DesiredState) -> None:
        self.stage = after
        self.observer.follow(after.project, after.names)

    async def _apply(
        self, tasks: TaskGroup, change: Difference, removed: Sequence[Container], rules_now: Rules
    ) -> ProjectState:
        for service in change.touched:
            self._made.pop(service, None)  # until it is known to be made
        await self.volumes(tasks)
        await each(self._remove, removed)
        for service in change.gone:
            self._made.pop(service, None)
        try:
            if rules_now != self._rules:
                await self._keep(tasks, rules_now)
                self.observer.serve_again()
            if change.touched:
                await self._remake(change.touched)
                self.following.after(change.touched)
        finally:
            self.sync_session.open()
        self._made = dict(self.stage.services)
        return await self.engine.project_state(self.stage.project.name)

    async def _remove(self, container: Container) -> None:
        await self.engine.containers.stop(container)
        await self.engine.containers.remove(container.id)
        self.emit(Removed("container", container.name))


async def supplied(
    engine: Engine, stage: DesiredState, names: Iterable[str], options: Options, emit: Emit
) -> DesiredState:
    """The stage with every image that these services and their Dockerfiles need: present, pulled, or made."""
    found = await prepare_images(engine, stage.only(names), options.images, emit, reported=stage.supply.reported)
    return replace(stage, supply=found.merged_over(stage.supply))


async def build(stage: DesiredState, names: Sequence[str], emit: Emit) -> None:
    """The images of these services."""
    if names:
        await builds.build(stage.making, names, emit, host_settings=stage.supply.host_settings)


def _told(
    event: Reloaded, change: Difference, removed: Iterable[Container], before: ProjectState, after: ProjectState
) -> Reloaded:
    """The event with what became of the services, by the ids of their containers."""
    ids = [(name, {c.id for c in before.of(name)}, {c.id for c in after.of(name)}) for name in change.touched]
    return replace(
        event,
        recreated=tuple(name for name, was, now in ids if was - now and now - was),
        added=tuple(name for name, was, now in ids if now and not was),
        scaled=tuple(name for name, was, now in ids if was and (was < now or now < was)),
        removed=tuple(sorted({c.service for c in removed})),
    )
