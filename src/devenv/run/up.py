"""`devenv up`: load the project, run the steps, supervise the services, and stop whatever happened."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from devenv.compose import resolve
from devenv.compose.resolve import Loaded
from devenv.doctor import quick_check
from devenv.events import Emit, Notice, Ready, Step
from devenv.run.active.control import RunController
from devenv.run.active.phases import BAD
from devenv.run.active.project import ActiveProject
from devenv.run.active.reload import Reload
from devenv.run.cleanup.remains import at_work
from devenv.run.options import UpOptions
from devenv.run.steps import Active, Context, Value, groups
from devenv.run.stop import End, RunOutcome, stop
from devenv.run.timings import StartRecord
from devenv.run.urls import addresses
from devenv.signals import ShutdownSignals
from devenv.state.run_dir import Run, key_of, open_run, place_of
from devenv.state.run_lock import LOOKED_AT
from devenv.sync.rules import lint
from devenv.tasks import task_group, unless
from devenv.volumes.transfer import volume_transfer

PATIENCE = 60.0


async def up(options: UpOptions, emit: Emit, controller: RunController | None = None) -> int:
    """Return the exit code of a run that has ended and is cleaned up. Raises DevenvError after that, too."""
    ending = ShutdownSignals(controller.ended) if controller else ShutdownSignals()
    async with task_group() as tasks:
        await tasks.start(ending.listen)
        code = await _up(options, emit, ending, controller)
        tasks.cancel_scope.cancel()
    return code


async def _up(options: UpOptions, emit: Emit, ending: ShutdownSignals, controller: RunController | None) -> int:
    record = StartRecord(emit, time.monotonic)
    async with contextlib.AsyncExitStack() as stack:
        up_run = None
        with ending.scope():
            loaded = await _load(options, record)
            context = await open_context(stack, options, record.emit, loaded, controller)
            up_run = UpRun(context, ending, record, loaded)
        return ending.exit_code if up_run is None else await up_run.go()


async def _load(options: UpOptions, record: StartRecord) -> Loaded:
    record.emit(Step("load", "begin"))
    loaded = await (options.ahead or partial(resolve.load, options.selection, faults=lint.faults))()
    record.emit(Step("load", "end", seconds=record.seconds()))
    for warning in loaded.warnings:
        record.emit(Notice(warning))
    return loaded


async def open_context(
    stack: contextlib.AsyncExitStack,
    options: UpOptions,
    emit: Emit,
    loaded: Loaded,
    controller: RunController | None = None,
) -> Context:
    """Connect to the engine and lock the project until the stack closes. Raises EngineError, StateError."""
    for _, line in at_work(loaded.project.name):
        emit(Notice(line))
    engine = await quick_check.connected(stack)
    key = await key_of(engine)
    run = await open_run(engine, loaded.project.name, key)
    await _wait_until_cleaned(run, emit)
    stack.enter_context(run.lock.hold(wait=LOOKED_AT))
    place = place_of(loaded.project.directory)
    transfer = volume_transfer(engine, emit, run, loaded.project.name, place.path)
    return Context(options, emit, engine, key, run, place, transfer, anyio.create_task_group(), controller)


async def _wait_until_cleaned(run: Run, emit: Emit) -> None:
    if run.lock.is_ending():
        emit(Notice("waiting until the run before this one is cleaned up"))
        with anyio.move_on_after(PATIENCE):
            while run.lock.is_ending():  # noqa: ASYNC110 - another process cannot set our event
                await anyio.sleep(0.1)


@dataclass
class UpRun:
    """One run: its steps, its supervision and its end. `reached` is the value that the last step returned."""

    context: Context
    ending: ShutdownSignals
    record: StartRecord
    reached: Value
    outcome: RunOutcome = RunOutcome.ENDED

    async def go(self) -> int:
        """Start, supervise, and stop, also if an error ended the run."""
        failed = True
        try:
            with self.ending.scope():
                async with self.context.tasks as tasks:
                    if self.context.controller is not None:
                        tasks.start_soon(self.context.controller.serve, self.active_project, self.context.emit)
                    active = await self._start()
                    await report_ready(self.context, active.project, self.record)
                    self.outcome = await supervise(self.context, active.project)
                    tasks.cancel_scope.cancel()
            failed = False
        finally:
            end = End(self.ending, self.outcome, failed)
            with anyio.CancelScope(shield=True):
                stopped = await stop(self.context, self.reached, end)
        return end.exit_code(stopped)

    def active_project(self) -> ActiveProject | None:
        """The project, once parts of it may exist."""
        return self.reached.project if isinstance(self.reached, Active) else None

    async def _start(self) -> Active:
        value: Any = self.reached
        for event, steps in groups(value.project):
            began = time.monotonic()
            self.context.emit(Step(event, "begin"))
            for step in steps:
                self.reached = value = await step(self.context, value)
            self.context.emit(Step(event, "end", seconds=time.monotonic() - began))
        active: Active = value
        return active


async def report_ready(context: Context, project: ActiveProject, record: StartRecord) -> None:
    """Report that every service is up, where its ports are, and what the start took."""
    desired = project.desired
    containers = [c for c in project.observer.project_state.containers if c.service in desired.names]
    published = await addresses(containers, context.engine.endpoint.host)
    ports = published.ports if desired.auto else ()
    context.emit(Ready(desired.project.name, published.urls, record.seconds(), ports))
    timings, steps = record.end(desired.project)
    images, began = {c.service: c.image for c in containers}, project.ledger.began
    last = {"timings": timings.fields(), "steps": steps, "images": images, "urls": published.urls, "began": began}
    context.run.remember(last)
    if context.options.timings:
        context.emit(timings)
    if published.refused and desired.addresses:
        refused = ", ".join(published.refused)
        message = f"all is healthy, but connections from here to {refused} are refused: try all addresses"
        context.emit(Notice(message, "devenv up --lan"))
    if context.options.open and published.urls:
        import webbrowser  # noqa: PLC0415 - only if a browser is asked for

        await anyio.to_thread.run_sync(webbrowser.open, published.urls[0])


async def supervise(context: Context, project: ActiveProject) -> RunOutcome:
    """Keep the services in sync and observed until they have ended, or are to go on without this process."""
    if context.options.detach:
        return RunOutcome.DETACHED
    if context.options.watch:
        selection, loaded = context.options.selection, project.desired.loaded
        context.tasks.start_soon(Reload(selection, loaded, context.emit, project.update.apply).run)
    if context.controller is None:
        await project.observer.until_over()
    elif not await unless(context.controller.detached, project.observer.until_over):
        return RunOutcome.DETACHED  # the view lets go of the services
    has_failed = any(standing.phase in BAD for standing in project.observer.standings())
    return RunOutcome.FAILED if has_failed else RunOutcome.ENDED
