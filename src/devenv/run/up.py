"""`devenv up`: load the project, run the steps, supervise the services, and always end cleanly (`ending`)."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from devenv.compose import resolve
from devenv.compose.resolve import Loaded
from devenv.docker.cli import Compose
from devenv.doctor import quick_check
from devenv.events import Emit, Fault, Notice, Ready, Step
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.status import BAD
from devenv.run import hand_over
from devenv.run.active.control import RunController
from devenv.run.active.feed import Feed
from devenv.run.active.settle import Effects
from devenv.run.cleanup.remains import at_work
from devenv.run.ending import End, RunOutcome, stop
from devenv.run.preload import UpOptions
from devenv.run.step_values import Active, Context, Value
from devenv.run.steps import groups
from devenv.run.timings import StartRecord
from devenv.run.urls import addresses
from devenv.signals import ShutdownSignals
from devenv.state.run_dir import Run, key_of, open_run, place_of
from devenv.sync.rules import lint
from devenv.tasks import task_group, unless
from devenv.volumes.transfer import volume_transfer

with LazyImports():  # the step `build` imports these while BuildKit works, except `forwards`
    from devenv.remote import forwards
    from devenv.run.active import port_forwards, reload
    from devenv.run.active import requests as run_requests

if TYPE_CHECKING:
    from devenv.run.active.project import ActiveProject
    from devenv.run.active.requests import Requests
    from devenv.run.page import LoadPage

PATIENCE = 60.0


async def up(
    options: UpOptions, emit: Emit, controller: RunController | None = None, load_page: LoadPage | None = None
) -> int:
    """Run the project and return the exit code after the cleanup. DevenvError is raised after the cleanup, too.

    `load_page` imports the server of the page, if somebody asks for it.
    """
    ending = ShutdownSignals(controller.ended) if controller else ShutdownSignals()
    async with task_group() as tasks:
        await tasks.start(ending.listen)
        code = await _up(options, emit, ending, controller, load_page)
        tasks.cancel_scope.cancel()
    return code


async def _up(
    options: UpOptions,
    emit: Emit,
    ending: ShutdownSignals,
    controller: RunController | None,
    load_page: LoadPage | None = None,
) -> int:
    record = StartRecord(emit, time.monotonic)
    async with contextlib.AsyncExitStack() as stack:
        up_run = None
        with ending.scope():
            loaded = await _load(options, record)
            feed = Feed(record.emit)
            effects = Effects(feed.emit)
            context = await open_context(stack, options, effects.emit, loaded, controller)
            up_run = UpRun(context, ending, record, effects, feed, load_page, loaded)
        code = ending.exit_code if up_run is None else await up_run.go()
        if ending.signal and (up_run is None or up_run.active_project() is None):
            record.emit(Notice("interrupted before any container was created"))
    return code


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
    for _, message in at_work(loaded.project.name):
        emit(Notice(message))
    login = await options.login() if options.login is not None else None
    engine, line = await quick_check.connected_by_line(stack, emit, login)
    if line is not None:
        line.begin_to_ask(forwards.FIND_LISTENERS)  # if that has not begun before: another line may be in use
    key = await key_of(engine)
    run = await open_run(engine, loaded.project.name, key)
    await _wait_until_cleaned(run, emit)
    place = place_of(loaded.project.directory)
    held = await hand_over.hold(stack, run, place)
    transfer = volume_transfer(engine, emit, run, loaded.project.name, place.path)
    tasks = anyio.create_task_group()
    compose = Compose(loaded.project.name, loaded.project.directory, b"")
    early = {**{verb: compose.early(verb) for verb in ("build", "create")}, **options.early}
    return Context(options, emit, engine, key, run, place, transfer, tasks, controller, held, line, early)


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
    effects: Effects
    feed: Feed
    load_page: LoadPage | None
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
                    requests = run_requests.Requests(
                        self.context.run, active.project, self.effects, self.feed, load_page=self.load_page
                    )
                    await tasks.start(requests.listen)
                    await report_ready(self.context, active.project, self.record)
                    self.outcome = await supervise(self.context, active.project, requests)
                    requests.goes_on = self.outcome is RunOutcome.DETACHED
                    tasks.cancel_scope.cancel()
            failed = False
        finally:
            end = End(self.ending, self.outcome, failed)
            note = hand_over.note(self.context, self.reached, is_detached=end.is_detached)
            with anyio.CancelScope(shield=True):
                stopped = await stop(self.context, self.reached, end)
                hand_over.keep(self.context, note)
        return end.exit_code(stopped)

    def active_project(self) -> ActiveProject | None:
        """The active project, or None as long as nothing of it can exist."""
        return self.reached.project if isinstance(self.reached, Active) else None

    async def _start(self) -> Active:
        value: Any = self.reached
        for event, steps in groups(value.project).items():
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
    forwarded_from = ""
    if context.line is not None:
        forwarded_from = context.line.remote.name
        await anyio.to_thread.run_sync(
            context.line.forward, port_forwards.wanted_by(project.observer.project_state.containers)
        )
    published = await addresses(containers, context.engine.endpoint)
    faults = tuple(Fault(s.service, s.error or s.how) for s in project.observer.standings() if s.has_fault)
    seconds, name = record.seconds(), desired.project.name
    context.emit(Ready(name, published.urls, seconds, published.ports, faults, forwarded_from))
    timings, steps = record.end(desired.project)
    images, began = {c.service: c.image for c in containers}, project.ledger.began
    last = {"timings": timings.fields(), "steps": steps, "images": images, "urls": published.urls, "began": began}
    context.run.remember({**last, "forwarded_from": forwarded_from, "containers": len(containers)})
    if context.options.timings:
        context.emit(timings)
    for failing in published.failing:
        message = f"{failing} answers, but reaches no service behind it (502, 503 or 504)"
        context.emit(Notice(message, "devenv logs"))
    if published.refused and desired.addresses:
        refused = ", ".join(published.refused)
        message = f"all is healthy, but connections from here to {refused} are refused: try all addresses"
        context.emit(Notice(message, "devenv up --lan"))
    if context.options.open and published.urls:
        import webbrowser  # noqa: PLC0415 - only if a browser is asked for

        await anyio.to_thread.run_sync(webbrowser.open, published.urls[0])


async def supervise(context: Context, project: ActiveProject, requests: Requests) -> RunOutcome:
    """Sync, observe and answer until the services have ended, or are to keep running without this process."""
    if context.options.detach:
        await project.observer.until_known()
        return RunOutcome.DETACHED
    if context.options.watch:
        selection, loaded = context.options.selection, project.desired.loaded
        requests.reload = reload.Reload(
            selection, loaded, context.emit, project.update.apply, context.engine.until_back
        )
        context.tasks.start_soon(requests.reload.run)
    if context.controller is None:
        await project.observer.until_over()
    elif not await unless(context.controller.detached, project.observer.until_over):
        return RunOutcome.DETACHED  # detached by a key of the live view
    has_failed = any(standing.phase in BAD for standing in project.observer.standings())
    return RunOutcome.FAILED if has_failed else RunOutcome.ENDED
