"""The way up, as one tuple of steps; the way down follows, whatever happened."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup

from devenv.concurrent import each, first
from devenv.config import load, runmodel
from devenv.config.load import Loaded, Selection
from devenv.config.runmodel import Choices, Found, PortChange
from devenv.config.user import user_settings
from devenv.engine import process
from devenv.engine.api import Engine
from devenv.engine.compose import Compose
from devenv.errors import DevenvError, EngineError, UsageError
from devenv.images import pantry
from devenv.lifecycle import ledger as ledgers
from devenv.lifecycle.addresses import addresses
from devenv.lifecycle.guardian import Guardian
from devenv.lifecycle.health import Observer
from devenv.lifecycle.ledger import Ledger, Run
from devenv.lifecycle.order import BAD, closure
from devenv.lifecycle.signals import Ending
from devenv.lifecycle.teardown import Teardown
from devenv.model.events import Emit, Kept, Notice, Ready, Rebuilt, Step, Stopped
from devenv.model.observed import Container
from devenv.model.project import Project
from devenv.preflight import checks
from devenv.preflight.ports import require_free
from devenv.watch import rules, scan
from devenv.watch.loop import Corridor

DEAD_GRACE = 3.0  # seconds for the children of a run that died
PATIENCE = 60.0
HANDED_OVER = "the run was left running; it is yours now"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line of `up` says; `timeout` (seconds) bounds the wait for healthy."""

    selection: Selection
    services: tuple[str, ...] = ()
    detach: bool = False
    watch: bool = True
    logs: bool = True
    build: bool = True
    keep: bool = False
    keep_volumes: bool = False
    ports: tuple[PortChange, ...] = ()
    lan: bool = False
    timeout: float = 300.0
    open: bool = False
    stand_ins: bool = False


async def up(options: Options, emit: Emit) -> int:
    """The exit code of a run that has ended, by itself or by a signal, and that was cleaned up after.

    Raises DevenvError for what failed; that run is cleaned up after as well.
    """
    ending = Ending()
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(ending.listen)
            code = await _up(options, emit, ending)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first(group) from None
    return code


async def _up(options: Options, emit: Emit, ending: Ending) -> int:
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        ascent = None
        with ending.scope():
            emit(Step("load", "begin"))
            loaded = await load.load(options.selection, faults=rules.faults)
            emit(Step("load", "end", seconds=time.monotonic() - began))
            for warning in loaded.warnings:
                emit(Notice(warning))
            engine = await stack.enter_async_context(Engine.connect())
            run = Run(engine.endpoint.host, loaded.project.name)
            await _cleaned(run, emit)
            stack.enter_context(run.lock())
            ascent = Ascent(options, emit, ending, loaded, engine, run, began)
        return ending.exit_code if ascent is None else await ascent.go()


async def _cleaned(run: Run, emit: Emit) -> None:
    """Returns when nobody cleans up after an earlier run any more, at the latest after a minute."""
    if run.is_cleaned():
        emit(Notice("waiting until the run before this one is cleaned up"))
        with anyio.move_on_after(PATIENCE):
            while run.is_cleaned():  # noqa: ASYNC110 - another process cannot set our event
                await anyio.sleep(0.1)


@dataclass
class Ascent:
    """One run on its way: what it has learned so far, and the steps that learn it."""

    options: Options
    emit: Emit
    ending: Ending
    loaded: Loaded
    engine: Engine
    run: Run
    began: float
    names: frozenset[str] = frozenset()
    found: Found = field(default_factory=Found)
    provided: pantry.Provided | None = None
    ledger: Ledger | None = None
    guardian: Guardian | None = None
    compose: Compose | None = None
    making: Compose | None = None
    compose_turn: anyio.Lock = field(default_factory=anyio.Lock)
    corridor: Corridor | None = None
    observer: Observer | None = None
    failed: bool = False  # all has ended by itself, and not well

    @property
    def steps(self) -> tuple[tuple[str, Callable[[TaskGroup], Awaitable[None]]], ...]:
        """The way up, in order; each is an event to the outside."""
        return (
            ("check", self.check),
            ("images", self.images),
            ("build", self.build),
            ("create", self.create),
            ("sync", self.sync),
            ("start", self.start),
            ("healthy", self.healthy),
        )

    async def go(self) -> int:
        """Up, stay, and down again. The error that ended the run, if one did, is raised after the way down."""
        error: BaseException | None = None
        try:
            with self.ending.scope():
                async with anyio.create_task_group() as tasks:
                    await self._rise(tasks)
                    await self._stay()
                    tasks.cancel_scope.cancel()
        except BaseException as caught:  # noqa: BLE001 - nothing may skip the way down
            error = first(caught)
        with anyio.CancelScope(shield=True):
            stopped = await self._leave(error)
        if error is not None:
            raise error
        return self.ending.exit_code or int(self.failed or (stopped is not None and bool(stopped.survivors)))

    async def _rise(self, tasks: TaskGroup) -> None:
        for name, step in self.steps:
            began = time.monotonic()
            self.emit(Step(name, "begin"))
            await step(tasks)
            self.emit(Step(name, "end", seconds=time.monotonic() - began))
        assert self.observer is not None  # noqa: S101 - the steps are over
        containers = [c for c in self.observer.scene.containers if c.service in self.names]
        urls = await addresses(containers, self.engine.endpoint.host)
        self.emit(Ready(self.loaded.project.name, urls, time.monotonic() - self.began))
        if self.options.open and urls:
            import webbrowser  # noqa: PLC0415 - only for those who ask

            await anyio.to_thread.run_sync(webbrowser.open, urls[0])

    async def _stay(self) -> None:
        if not self.options.detach and self.observer is not None:
            await self.observer.until_over()
            self.failed = any(standing.phase in BAD for standing in self.observer.standings())

    # --- the steps -----------------------------------------------------------------------------------------------

    async def check(self, _tasks: TaskGroup) -> None:
        """What is there already, whose it is, and whether the ports are free."""
        project = self.loaded.project
        try:
            self.names = closure(project, self.options.services)
        except KeyError as error:
            known = ", ".join(s.name for s in project.services)
            raise UsageError(f"there is no service {error}", hint=f"one of: {known}") from error
        earlier = self.run.read()
        if earlier is not None and earlier.phase == "up":
            # That run died: what its children still create would come after our look.
            await process.end_recorded(self.run.children, DEAD_GRACE)
        scene = await self.engine.scene(project.name)
        networks, volumes = await self.engine.names()
        foreign = frozenset(c.service for c in scene.containers if not c.ours)
        self.found = Found(foreign, networks, volumes)
        if self.engine.endpoint.local:
            running = {c.service for c in scene.containers if c.running}
            changes = [(c.service, c.published, c.target) for c in self.options.ports]
            await require_free(
                checks.wanted_ports(project, self.names - running, changes, loopback=self._loopback), self.engine
            )
        self.ledger = (
            ledgers.take_over(earlier, scene)
            if earlier is not None
            else ledgers.begin(
                scene,
                project=project.name,
                directory=project.directory,
                endpoint=self.engine.endpoint.host,
                context=self.engine.endpoint.context,
            )
        )
        process.record_children(self.run.children)

    @property
    def _loopback(self) -> bool:
        settings = self.loaded.project.settings
        return self.engine.endpoint.local and not self.options.lan and not settings.ports_as_written

    async def images(self, _tasks: TaskGroup) -> None:
        """Every image that the services and the Dockerfiles need: present, pulled, or made."""
        project = self._own_project()
        consent = self.options.stand_ins or user_settings().stand_ins
        self.provided = await pantry.provide(project, stand_ins=consent, emit=self.emit)
        self.compose = self._compose(self.names)
        # What somebody else started is left out of every create: Compose would replace it where it differs.
        self.making = self._compose(self.names - self.found.foreign_services)

    def _own_project(self) -> Project:
        """The project without what is not ours to prepare: other services, and those that somebody else runs."""
        project = self.loaded.project
        own = self.names - self.found.foreign_services
        return replace(project, services=tuple(s for s in project.services if s.name in own))

    def _compose(self, names: frozenset[str]) -> Compose:
        assert self.provided is not None  # noqa: S101 - the step before
        model = runmodel.run_model(
            self.loaded.model,
            found=self.found,
            choices=Choices(
                loopback=self._loopback,
                images=self.provided.images,
                bases=dict.fromkeys(self._built(), self.provided.images),
                ports=self.options.ports,
            ),
            services=names,
        )
        project = self.loaded.project
        return Compose(project.name, project.directory, runmodel.dump(model))

    async def build(self, _tasks: TaskGroup) -> None:
        """The images of the services that have a build section."""
        names = self._built()
        if names and self.options.build and self.making is not None:
            await self.making.build(names, lambda line: self.emit(Step("build", "detail", line)))

    def _built(self) -> tuple[str, ...]:
        return tuple(s.name for s in self._own_project().services if s.build is not None)

    async def create(self, tasks: TaskGroup) -> None:
        """Containers, networks and volumes made, none running yet; the ledger and the guardian come first."""
        assert self.ledger is not None  # noqa: S101 - an earlier step
        assert self.making is not None  # noqa: S101 - an earlier step
        new = [v.name for v in self.loaded.project.volumes if not v.external and v.name not in self.found.volumes]
        self.ledger = replace(self.ledger, creates=tuple(dict.fromkeys((*self.ledger.creates, *new))))
        await self._guard()
        self.run.write(self.ledger)
        await tasks.start(self._watch)
        if names := sorted(self.names - self.found.foreign_services):
            async with self.compose_turn:
                await self.making.create(names)

    async def _guard(self) -> None:
        endpoint = self.engine.endpoint
        self.guardian = Guardian(endpoint.host, endpoint.context, self.loaded.project.name, self.run.log)
        if not await anyio.to_thread.run_sync(self.guardian.wait_ready, abandon_on_cancel=True):
            self.emit(Notice("the guardian did not start: after a crash, clean up with `devenv down`"))

    async def _watch(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """The corridor, from before the first container until the end of the run."""
        project = self.loaded.project
        ignores = await anyio.to_thread.run_sync(scan.dockerignores, project)
        bound = [r for r in rules.bind(project, ignores) if r.service in self.names]
        if not self.options.watch or not bound:
            if self.options.watch and not bound:
                self.emit(_nothing_to_watch())
            task_status.started()
            return
        self.corridor = Corridor(
            self.engine,
            project,
            bound,
            emit=self.emit,
            rebuild=self.rebuild,
            ending=self._ending,
            mark=f"{project.name}-{os.getpid()}",
        )
        await self.corridor.run(task_status=task_status)

    async def sync(self, tasks: TaskGroup) -> None:
        """Every container as fresh as the tree, before its first process runs."""
        project = self.loaded.project
        self.observer = Observer(
            self.engine,
            project,
            self.names,
            emit=self.emit,
            logs=self.options.logs and not self.options.detach,
            on_start=self._adopt,
            on_gone=self._drop,
        )
        scene = await self.engine.scene(project.name)
        await each(self._first_sync, [c for c in scene.containers if c.service in self.names])
        tasks.start_soon(self.observer.run)
        if self.corridor is not None:
            self.corridor.open()

    async def _first_sync(self, container: Container) -> None:
        await self._adopt(container)
        if container.running and self.observer is not None:
            self.observer.known(container)

    async def _adopt(self, container: Container) -> None:
        if self.corridor is not None:
            await self.corridor.adopt(container)

    async def _drop(self, container_id: str) -> None:
        if self.corridor is not None:
            await self.corridor.drop(container_id)

    async def start(self, tasks: TaskGroup) -> None:
        """Compose starts the services in order; conditions hold it up while the observer tells who waits."""
        tasks.start_soon(self._start)

    async def _start(self) -> None:
        assert self.compose is not None  # noqa: S101 - an earlier step
        assert self.observer is not None  # noqa: S101 - an earlier step
        try:
            async with self.compose_turn:
                await self.compose.start(sorted(self.names))
        except EngineError as error:
            raise await self._explained(error) from error

    async def _explained(self, error: EngineError) -> DevenvError:
        """What Compose could not start, in the words of the service that failed."""
        assert self.observer is not None  # noqa: S101 - an earlier step
        self.observer.scene = await self.engine.scene(self.loaded.project.name)
        for standing in self.observer.standings():
            if standing.phase.value in ("unhealthy", "exited"):
                return await self.observer.failure(standing)
        return error

    async def healthy(self, _tasks: TaskGroup) -> None:
        """Every service is up: started, healthy where it has a health check, ended with 0 where it is to end."""
        assert self.observer is not None  # noqa: S101 - an earlier step
        with anyio.move_on_after(self.options.timeout) as scope:
            await self.observer.until_ready()
        if scope.cancelled_caught:
            late = [f"{s.service} {s.detail or s.phase}" for s in self.observer.standings() if s.detail]
            raise DevenvError(
                f"not healthy after {self.options.timeout:.0f} s: {'; '.join(late)}",
                hint=f"devenv up --timeout {2 * self.options.timeout:.0f}",
            )

    # --- while it runs -------------------------------------------------------------------------------------------

    async def rebuild(self, service: str, cause: str) -> None:
        """The service alone built anew and replaced; what was saved meanwhile is in the new container."""
        assert self.making is not None  # noqa: S101 - the corridor opens after it
        assert self.observer is not None  # noqa: S101 - as above
        began = time.monotonic()
        self.emit(Step("rebuild", "begin", f"{service}: {cause} changed"))
        old = self.observer.scene.of(service)
        await self.making.build((service,), lambda line: self.emit(Step("build", "detail", line)))
        async with self._ending(old):
            await self.making.create((service,))
            scene = await self.engine.scene(self.loaded.project.name)
            try:
                await each(self._first_sync, [c for c in scene.of(service) if not c.running])
            finally:
                await self.making.start((service,))
        for image in {c.image for c in old} - {c.image for c in scene.of(service)}:
            if not await self.engine.image_tags(image):
                await self.engine.remove_image(image)
        self.emit(Step("rebuild", "end", service, time.monotonic() - began))
        self.emit(Rebuilt(service, cause, round(time.monotonic() - began, 2)))

    @contextlib.asynccontextmanager
    async def _ending(self, containers: Sequence[Container]) -> AsyncIterator[None]:
        """While it lasts, these containers may end: Compose waits for none of them, and it counts as no failure."""
        assert self.observer is not None  # noqa: S101 - the corridor opens after it
        async with self.compose_turn:
            with self.observer.ending(containers):
                yield

    # --- the way down --------------------------------------------------------------------------------------------

    async def _leave(self, error: BaseException | None) -> Stopped | None:
        if self.corridor is not None:
            await self.corridor.close()
        ended_well = error is None and self.ending.signal is None
        if self.ledger is None or self.guardian is None:
            return None
        stopped = None
        if self.options.detach and ended_well:
            self.run.write(replace(self.ledger, phase="detached"))
        elif self.options.keep and error is None:
            self._hand_over()
        else:
            stopped = await self._down(error)
        self.guardian.dismiss()  # only now: a way down that failed is the guardian's to try again
        return stopped

    def _hand_over(self) -> None:
        """All stays running; `down` may still end the containers, but the volumes are the user's."""
        assert self.ledger is not None  # noqa: S101 - checked by the caller
        for name in self.ledger.creates:
            self.emit(Kept("volume", name, HANDED_OVER, f"docker volume rm {name}"))
        self.run.write(replace(self.ledger, phase="kept", creates=()))
        self.emit(Notice("left running", "devenv down"))

    async def _down(self, error: BaseException | None) -> Stopped:
        assert self.ledger is not None  # noqa: S101 - checked by the caller
        sign = self.ending.signal
        said = sign.name.removeprefix("SIG") if sign else "error" if error else "done"
        by_choice = error is None and sign is not None and sign.name in ("SIGINT", "SIGTERM")
        reason = "--keep-volumes" if self.options.keep_volumes else f"the run ended by {said}"
        down = Teardown(
            self.engine,
            self.run,
            self.ledger,
            self.emit,
            remove_volumes=by_choice and not self.options.keep_volumes,
            keep_reason=reason,
            hurry=self.ending.hurry,
        )
        return await down.run_down(said)


def _nothing_to_watch() -> Notice:
    return Notice(
        "no service has watch rules: saved files reach containers only by bind mounts or a rebuild",
        "add `develop: {watch: [{path: ./src, action: sync, target: /app/src}]}` to a service",
    )
