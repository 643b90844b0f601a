"""The way up, as one tuple of steps; the way down follows, whatever happened."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
from anyio.abc import TaskGroup

from devenv.compose import resolve
from devenv.compose.resolve import Loaded
from devenv.docker import process
from devenv.docker.client import Engine
from devenv.doctor import quick_check
from devenv.errors import EngineError, UsageError
from devenv.events import Emit, Kept, Notice, Problem, Ready, Step, Stopped
from devenv.host.free_ports import require_free
from devenv.model.project import Moment
from devenv.run.active.control import RunController
from devenv.run.active.phases import BAD
from devenv.run.active.project import ActiveProject, build, supplied
from devenv.run.active.reload import Reload
from devenv.run.active.stats import cast
from devenv.run.cleanup import guardian_note
from devenv.run.cleanup.guardian import Guardian
from devenv.run.cleanup.teardown import CUT_OFF_SWEEPS, Teardown
from devenv.run.consent import require_trust, weigh
from devenv.run.desired import DesiredState, chosen, look, published, require_checks
from devenv.run.hooks import Hooks
from devenv.run.options import Options
from devenv.run.run_volumes import RunVolumes
from devenv.run.takeover import Takeover
from devenv.run.timings import Record
from devenv.run.urls import addresses
from devenv.signals import ShutdownSignals
from devenv.state import ledger as ledgers
from devenv.state.identity import Content, Place
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import LOOKED_AT, Run
from devenv.state.runs import key_of, open_run, place_of
from devenv.sync.rules import lint
from devenv.tasks import first, patiently
from devenv.volumes.transfer import VolumeTransfer, volume_transfer

PATIENCE = 60.0
HANDED_OVER = "the run was left running; it is yours now"


async def up(options: Options, emit: Emit, controller: RunController | None = None) -> int:
    """The exit code of a run that has ended, by itself or by a signal, and that was cleaned up after.

    `helm`: somebody watches it, and may ask for more than its end.

    Raises DevenvError for what failed; that run is cleaned up after as well.
    """
    ending = ShutdownSignals(controller.ended) if controller else ShutdownSignals()
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(ending.listen)
            code = await _up(options, emit, ending, controller)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first(group) from None
    return code


async def _up(options: Options, emit: Emit, ending: ShutdownSignals, controller: RunController | None) -> int:
    began = time.monotonic()
    record = Record(emit, time.monotonic)
    emit = record.emit
    async with contextlib.AsyncExitStack() as stack:
        up_run = None
        with ending.scope():
            emit(Step("load", "begin"))
            loaded = await (options.ahead or partial(resolve.load, options.selection, faults=lint.faults))()
            emit(Step("load", "end", seconds=time.monotonic() - began))
            for warning in loaded.warnings:
                emit(Notice(warning))
            for _, line in guardian_note.at_work(loaded.project.name):
                emit(Notice(line))
            engine = await quick_check.connected(stack)
            run = await open_run(engine, loaded.project.name)
            await _cleaned(run, emit)
            stack.enter_context(run.lock(wait=LOOKED_AT))
            up_run = UpRun(options, emit, ending, loaded, engine, run, began, record, controller)
        return ending.exit_code if up_run is None else await up_run.go()


async def _cleaned(run: Run, emit: Emit) -> None:
    """Returns when nobody cleans up after an earlier run any more, at the latest after a minute."""
    if run.is_cleaned():
        emit(Notice("waiting until the run before this one is cleaned up"))
        with anyio.move_on_after(PATIENCE):
            while run.is_cleaned():  # noqa: ASYNC110 - another process cannot set our event
                await anyio.sleep(0.1)


@dataclass
class UpRun:
    """One run on its way: what it has learned so far, and the steps that learn it."""

    options: Options
    emit: Emit
    ending: ShutdownSignals
    loaded: Loaded
    engine: Engine
    run: Run
    began: float
    record: Record
    controller: RunController | None = None
    ledger: Ledger | None = None
    guardian: Guardian | None = None
    stage: DesiredState | None = None
    running: ActiveProject | None = None
    volume_transfer: VolumeTransfer = field(init=False)
    place: Place = field(init=False)
    entered: bool = False  # what `before_up` has to do is done, so that `before_down` has something to undo
    failed: bool = False  # all has ended by itself, and not well

    def __post_init__(self) -> None:
        project = self.loaded.project
        self.place = place_of(project.directory)
        self.volume_transfer = volume_transfer(self.engine, self.emit, self.run, project.name, self.place.path)

    @property
    def steps(self) -> tuple[tuple[str, Callable[[TaskGroup], Awaitable[None]]], ...]:
        """The way up, in order; each is an event to the outside."""
        return (
            ("check", self.check),
            *self._hooked(Moment.BEFORE_UP),
            ("images", self.images),
            ("build", self.build),
            ("restore", self.restore),
            ("create", self.create),
            ("sync", self.sync),
            ("start", self.start),
            ("healthy", self.healthy),
            *self._hooked(Moment.AFTER_HEALTHY),
        )

    def _hooked(self, moment: Moment) -> Iterator[tuple[str, Callable[[TaskGroup], Awaitable[None]]]]:
        if any(hook.moment is moment for hook in self.loaded.project.hooks):
            yield moment.value, partial(self.hook, moment)

    async def go(self) -> int:
        """Up, stay, and down again. The error that ended the run, if one did, is raised after the way down."""
        error: BaseException | None = None
        try:
            with self.ending.scope():
                async with anyio.create_task_group() as tasks:
                    if self.controller is not None:
                        tasks.start_soon(self.controller.serve, lambda: self.running, self.emit)
                    await self._rise(tasks)
                    await self._stay(tasks)
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
        assert self.running is not None  # noqa: S101 - the steps are over
        names = self.running.stage.names
        containers = [c for c in self.running.observer.project_state.containers if c.service in names]
        found = await addresses(containers, self.engine.endpoint.host)
        ports = found.ports if self.running.stage.auto else ()
        self.emit(Ready(self.loaded.project.name, found.urls, time.monotonic() - self.began, ports))
        timings, steps = self.record.end(self.loaded.project)
        images = {c.service: c.image for c in containers}
        began = self.running.ledger.began
        last = {"timings": timings.fields(), "steps": steps, "images": images, "urls": found.urls, "began": began}
        self.run.remember(last)
        if self.options.timings:
            self.emit(timings)
        if found.refused and self.running.stage.addresses:
            where = ", ".join(found.refused)
            said = f"all is healthy, but connections from here to {where} are refused: try all addresses"
            self.emit(Notice(said, "devenv up --lan"))
        if self.options.open and found.urls:
            import webbrowser  # noqa: PLC0415 - only for those who ask

            await anyio.to_thread.run_sync(webbrowser.open, found.urls[0])

    async def _stay(self, tasks: TaskGroup) -> None:
        running = self.running
        if self.options.detach or running is None:
            return
        if self.options.watch:

            async def act(loaded: Loaded, files: tuple[str, ...]) -> bool:
                return await running.reload(tasks, loaded, files)

            tasks.start_soon(Reload(self.options.selection, self.loaded, self.emit, act).run)
        if self.controller is None:
            await running.observer.until_over()
        elif await self._is_detached(self.controller, running):
            self.options = replace(self.options, detach=True)
            return
        self.failed = any(standing.phase in BAD for standing in running.observer.standings())

    async def _is_detached(self, controller: RunController, running: ActiveProject) -> bool:
        """Whether somebody wants it to go on without us; False where it is over before."""
        async with anyio.create_task_group() as tasks:

            async def over() -> None:
                await running.observer.until_over()
                tasks.cancel_scope.cancel()

            tasks.start_soon(over)
            await controller.detached.wait()
            tasks.cancel_scope.cancel()
        return controller.detached.is_set()

    # --- the steps -----------------------------------------------------------------------------------------------

    async def check(self, _tasks: TaskGroup) -> None:
        """What is there already, whose it is, and whether the ports are free."""
        project, endpoint = self.loaded.project, self.engine.endpoint
        names = chosen(project, self.options.selection.services)
        if not any(service.scale for service in project.services if service.name in names):
            raise UsageError("there is nothing to bring up: every service has a scale of 0", hint="--scale SERVICE=1")
        weigh(self.loaded, names, self.emit)
        await quick_check.warn(self.engine, self.emit)
        require_trust(project, trust=self.options.trust)
        earlier = self.run.read()
        if earlier is not None and earlier.phase == "up":
            # That run died: what its children still create would come after our look.
            await process.end_recorded(self.run.children)
        process.record_children(self.run.children)
        drawn = os.ttyname(1) if self.controller is not None else ""
        self.guardian = Guardian(endpoint.host, endpoint.context, self.run, drawn)
        takeover = Takeover(self.engine, self.run, self.volume_transfer, self.place, self.emit)
        earlier, project_state = await takeover.go(earlier, fresh=self.options.fresh)
        stage = DesiredState(self.loaded, names, await look(self.engine, project_state), owner=self.run.made.owner)
        self.stage = await published(stage, self.options, self.engine, project_state)
        if self.controller is not None:
            self.controller.learn(cast(self.stage))
        if self.stage.is_narrowed:
            where = " and ".join(self.stage.addresses)
            self.emit(Notice(f"ports are published on {where} only; --lan opens them to the network"))
        if endpoint.local:
            held = {host for container in project_state.containers for _, host, _ in container.ports}
            wanted = self.stage.wanted_ports(self.stage.own)
            missing = [port for port in wanted if port.port not in held]
            await require_free(missing, self.engine, self.options.ports)
        key = await key_of(self.engine)
        self.ledger = (
            ledgers.take_over(earlier, project_state, self.place, key)
            if earlier is not None
            else ledgers.begin(
                project_state,
                self.stage.found.times,
                project=project.name,
                place=self.place,
                engine=key,
                endpoint=endpoint.host,
                context=endpoint.context,
            )
        )
        self.run.asked()  # a wish that came too late for the run before
        self.entered = not any(hook.moment is Moment.BEFORE_UP for hook in project.hooks)

    async def images(self, _tasks: TaskGroup) -> None:
        """Every image that the services and the Dockerfiles need: present, pulled, or made."""
        assert self.stage is not None  # noqa: S101 - the step before
        self.stage = await supplied(self.engine, self.stage, self.stage.own, self.options, self.emit)

    async def build(self, _tasks: TaskGroup) -> None:
        """The images of the services that have a build section."""
        assert self.stage is not None  # noqa: S101 - an earlier step
        if self.options.build:
            await build(self.stage, self.stage.built, self.emit)
        await require_checks(self.stage, self.options, self.engine)

    async def restore(self, tasks: TaskGroup) -> None:
        """Saved volumes hold again what they held; the guardian and the ledger come before anything is made."""
        assert self.stage is not None  # noqa: S101 - an earlier step
        assert self.ledger is not None  # noqa: S101 - an earlier step
        assert self.guardian is not None  # noqa: S101 - an earlier step
        if not await anyio.to_thread.run_sync(self.guardian.wait_ready, abandon_on_cancel=True):
            self.emit(Notice("the guardian did not start: after a crash, clean up with `devenv down`"))
        data = RunVolumes(self.run, self.volume_transfer, self.ledger)
        data.adopt(self.stage, await self.engine.project_state(self.loaded.project.name))
        self.running = ActiveProject(self.options, self.emit, self.engine, self.run, data, self.stage)
        await self.running.volumes(tasks, self.options.source)

    async def create(self, tasks: TaskGroup) -> None:
        """Containers, networks and volumes made, none running yet."""
        assert self.running is not None  # noqa: S101 - the step before
        if not await self.running.create(tasks) and self.options.watch:
            self.emit(_nothing_to_watch())

    async def sync(self, tasks: TaskGroup) -> None:
        """Every container as fresh as the tree, before its first process runs."""
        assert self.running is not None  # noqa: S101 - the step before
        await self.running.sync(tasks)

    async def start(self, tasks: TaskGroup) -> None:
        """Compose starts the services in order; conditions hold it up while the observer tells who waits."""
        assert self.running is not None  # noqa: S101 - an earlier step
        tasks.start_soon(self.running.start)

    async def healthy(self, _tasks: TaskGroup) -> None:
        """Every service is up: started, healthy where it has a health check, ended with 0 where it is to end."""
        assert self.running is not None  # noqa: S101 - an earlier step
        observer = self.running.observer
        if not await patiently(self.options.timeout, observer.until_ready):
            raise await observer.late(self.options.timeout)
        self.running.settle()  # who dies right after `ready` has been well

    async def hook(self, moment: Moment, _tasks: TaskGroup) -> None:
        """The commands that `x-devenv.hooks` has for the moment."""
        await self._hooks().run(moment)
        self.entered = True

    def _hooks(self) -> Hooks:
        stage = self.stage if self.running is None else self.running.stage
        assert stage is not None  # noqa: S101 - an earlier step
        return Hooks(self.engine, stage.project, stage.names, self.emit)

    # --- the way down --------------------------------------------------------------------------------------------

    async def _leave(self, error: BaseException | None) -> Stopped | None:
        ended_well, stopped = error is None and self.ending.signal is None, None
        stays = (self.options.detach and ended_well) or (self.options.keep and error is None)
        if self.entered and not stays:
            with self.ending.skippable() as skip:
                await self._hooks().before_down(skip, "Ctrl-C skips it")
        if self.running is not None:
            await self.running.sync_session.end()
            self.running.settle()
            ledger = self.running.ledger
            if self.options.detach and ended_well:
                settled = [replace(r, content=Content.SETTLED) for r in ledger.volumes]
                self.run.write(replace(ledger.with_records(settled), phase="detached"))
            elif self.options.keep and error is None:
                self._hand_over(ledger)
            else:
                try:
                    stopped = await self._down(ledger, error)
                except EngineError as lost:
                    return self._lost(ledger, lost)
        if self.guardian is not None:
            self.guardian.dismiss()  # only now: a way down that failed is the guardian's to try again
        return stopped

    def _hand_over(self, ledger: Ledger) -> None:
        """All stays running; `down` may still end the containers, but the volumes are the user's."""
        for name in ledger.creates:
            self.emit(Kept("volume", name, HANDED_OVER, f"docker volume rm {name}"))
        self.run.write(replace(ledger, phase="kept", volumes=()))
        self.emit(Notice("left running", "devenv down"))

    async def _down(self, ledger: Ledger, error: BaseException | None) -> Stopped:
        sign = self.ending.signal
        said = sign.name.removeprefix("SIG") if sign else "error" if error else "done"
        wish = self.run.asked() or (VolumePolicy.KEEP if self.options.keep_volumes else VolumePolicy.SAVE)
        assert self.running is not None  # noqa: S101 - there is a ledger
        down = Teardown(
            self.engine,
            self.run,
            ledger,
            self.emit,
            self.volume_transfer,
            wish,
            hurry=self.ending.hurry,
            quiet_sweeps=CUT_OFF_SWEEPS if self.running.is_cut_off else 1,
        )
        return await down.run_down(said, self.running.observer.project_state)

    def _lost(self, ledger: Ledger, error: EngineError) -> Stopped:
        """Without an engine nothing can be ended: what was seen last is left, to the guardian or the next command."""
        assert self.running is not None  # noqa: S101 - there is a ledger
        left = ledger.left(self.running.observer.project_state)
        said = f"{error.message}; left as they are: {', '.join(left)}; a guardian tries again for a day"
        self.emit(Problem(said, "devenv down"))
        self.emit(stopped := Stopped(left))
        return stopped


def _nothing_to_watch() -> Notice:
    return Notice(
        "no service has watch rules: saved files reach containers only by bind mounts or a rebuild",
        "add `develop: {watch: [{path: ./src, action: sync, target: /app/src}]}` to a service",
    )
