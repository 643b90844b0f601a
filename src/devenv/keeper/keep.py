"""Keep a run: take over what runs, and go on as the foreground does, until another command ends it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import field, replace
from functools import partial

import anyio

from devenv.compose import resolve
from devenv.compose.files import inputs
from devenv.compose.resolve import Loaded
from devenv.docker import endpoint, process
from devenv.doctor import quick_check
from devenv.errors import DevenvError, StateError
from devenv.events import Emit, Event, Problem, Ready
from devenv.keeper.ending import KeeperEnd
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.remote.line import Login, left
from devenv.run import background, steps
from devenv.run.active.feed import Feed
from devenv.run.active.port_forwards import PortForwards
from devenv.run.active.project import ActiveProject
from devenv.run.active.reload import Reload
from devenv.run.active.requests import Requests
from devenv.run.active.settle import Effects
from devenv.run.cleanup.guardian import Guardian
from devenv.run.cleanup.remains import remains
from devenv.run.desired import supplied
from devenv.run.page import PageServer
from devenv.run.preload import UpOptions
from devenv.run.step_values import Context, Entered, Guarded
from devenv.run.takeover import up_elsewhere
from devenv.run.view_messages import TimedEvent
from devenv.signals import ShutdownSignals
from devenv.state.event_log import EventLog
from devenv.state.kept import STARTING, SYNCING, KeeperNote, forget, note_of, unsynced_since
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, began_in, key_of, open_run, place_of
from devenv.state.unfinished import is_cut_off
from devenv.sync.rules import lint
from devenv.tasks import first, task_group, unless
from devenv.volumes.transfer import volume_transfer

with LazyImports():  # somebody may ask for the page
    from devenv.web import server

LOCK_WAIT = 5.0  # seconds, after a keeper that died
ALIVE_EVERY = 5.0  # seconds between two notes, and two looks whether containers exist
SHORTEST, LONGEST = 1.0, 60.0  # seconds until the next try after an error


@dataclass
class Keeper:
    """The keeper of a run.

    `early`: number of keepers before it that died early; `lock`: the descriptor of the lock, if it has the lock;
    `line`: the folder of the line to the engine, if it has inherited one.
    """

    run_: Run
    early: int
    lock: int | None = None
    line: str = ""
    _note: KeeperNote = field(init=False)
    _guardian: Guardian = field(init=False)
    _log: EventLog = field(init=False)
    _feed: Feed = field(init=False)
    _end: KeeperEnd = field(init=False)

    async def run(self) -> int:
        """Keep the run until a signal, or until all its containers are removed. Return 0."""
        with contextlib.ExitStack() as stack:
            try:
                lock = stack.enter_context(self._hold())
            except StateError:  # another command has the project
                return 0
            note, ledger, since = note_of(self.run_), self.run_.read(), unsynced_since(self.run_)
            if note is None or ledger is None or since is None:
                return 0
            self.run_.lock.pass_on(lock, os.getpid())
            start, now = process.start_time(os.getpid()) or "", time.time()
            self._note = replace(
                note, pid=os.getpid(), start=start, since=now, synced=since, state=STARTING, problem=""
            )
            self._note.write(self.run_)
            self._log = EventLog(self.run_.path, os.environ)
            self._feed = Feed(self._record)
            if self.lock is None:  # those of a keeper that died; before, they could be those of a new run
                await process.end_recorded(self.run_.children)
            process.record_children(self.run_.children)
            ending = ShutdownSignals()
            self._end = KeeperEnd(self._feed, ending)
            async with task_group() as tasks:
                await tasks.start(ending.listen)
                words = background.command(self.run_.path, str(self.early))
                self._guardian = Guardian(ledger.endpoint, ledger.context, self.run_, keeper=words)
                options = background.decode(note.options)
                with contextlib.suppress(OSError):  # Compose reads links in paths as the shell of the command did
                    os.chdir(options.selection.directory)
                with ending.scope():
                    await self._go_on(options)
                if self._end.policy is None:
                    self._guardian.dismiss()  # after a crash, it starts a keeper again
                tasks.cancel_scope.cancel()
        return 0

    @contextlib.contextmanager
    def _hold(self) -> Iterator[int]:
        """Hold the project until this keeper ends: by the lock that it has inherited, or its own."""
        if self.lock is None:
            with self.run_.lock.hold(wait=LOCK_WAIT) as lock:
                yield lock
        else:
            try:
                yield self.lock
            finally:
                os.close(self.lock)

    async def _go_on(self, options: UpOptions) -> None:
        """Keep the run; after an error, try again: the engine may come back, and a file may be corrected."""
        pause = SHORTEST
        began = anyio.current_time()
        while (error := await self._failure(options)) is not None:
            self._feed.emit(Problem(error.said, error.hint))
            if self._end.policy is not None:  # the command that asked for the end goes on, or the guardian
                return
            pause = SHORTEST if anyio.current_time() - began > LONGEST else min(2 * pause, LONGEST)
            await self._until_edited(options, pause)
            began = anyio.current_time()

    async def _failure(self, options: UpOptions) -> DevenvError | None:
        """Keep the run to its end; return the error that prevented it, if any."""
        try:
            await self._keep(options)
        except (DevenvError, BaseExceptionGroup) as caught:
            if not isinstance(error := first(caught), DevenvError):
                raise
            return error
        return None

    async def _until_edited(self, options: UpOptions, seconds: float) -> None:
        """Return after so many seconds, or when a file of the project has changed."""
        since = time.time()
        look = partial(_changed, options.selection.directory, options.selection.files)
        with anyio.move_on_after(seconds):
            while await anyio.to_thread.run_sync(look) < since:  # noqa: ASYNC110 - no event of ours reports edits
                await anyio.sleep(SHORTEST)

    async def _keep(self, options: UpOptions) -> None:
        """Take the run over, and sync until all its containers are removed. Raises DevenvError."""
        loaded = await resolve.load(options.selection, faults=lint.faults)
        ledger = self.run_.read()
        if ledger is None:
            return
        async with contextlib.AsyncExitStack() as stack:
            effects = Effects(self._feed.emit)
            context = await self._context(stack, options, effects.emit, loaded, ledger)
            async with context.tasks as tasks:
                project = await self._adopted(context, loaded, ledger)
                try:
                    self._feed.recovered()
                    self._write(state=SYNCING, synced=self._synced(project), problem=self._feed.problem)
                    self._feed.keep(_ready(context.run, ledger))
                    reload = Reload(
                        options.selection, loaded, context.emit, project.update.apply, context.engine.until_back
                    )
                    requests = Requests(context.run, project, effects, self._feed, reload, _page, goes_on=True)
                    requests.end = partial(self._end.answer, context, project)
                    await tasks.start(requests.listen)
                    tasks.start_soon(reload.run)
                    if context.line is not None:
                        tasks.start_soon(PortForwards(context.line, project, context.emit).run)
                    await unless(self._end.asked, partial(self._until_gone, project, reload))
                    requests.goes_on = False
                finally:
                    with anyio.CancelScope(shield=True):
                        self._write(synced=self._synced(project))
                        await project.sync_session.end()
                        project.volumes.settle()
                tasks.cancel_scope.cancel()
            if self._end.policy is not None:
                await self._end.carry_out(context, self._guardian, project)
                return
            project_state = await context.engine.project_state(ledger.project)
            if await remains(context.engine, project.ledger, project_state):
                forget(self.run_)
            else:
                self.run_.clear()

    async def _context(
        self, stack: contextlib.AsyncExitStack, options: UpOptions, emit: Emit, loaded: Loaded, ledger: Ledger
    ) -> Context:
        engine, line = await quick_check.connected_by_line(stack, emit, await self._inherited(stack))
        key = await key_of(engine)
        run = await open_run(engine, loaded.project.name, key)
        place = place_of(loaded.project.directory)
        if run.path != self.run_.path:
            message = f"the files, or the settings of docker, now name another project than {ledger.project}"
            raise StateError(message, hint="devenv up -d")
        if not began_in(ledger, place):
            raise up_elsewhere(ledger)
        transfer = volume_transfer(engine, emit, run, loaded.project.name, place.path)
        return Context(options, emit, engine, key, run, place, transfer, anyio.create_task_group(), line=line)

    async def _inherited(self, stack: contextlib.AsyncExitStack) -> Login | None:
        """The engine and the line to it that this process has inherited, if any; the next call returns None."""
        path, self.line = self.line, ""
        if not path:
            return None
        reached = await endpoint.resolve()
        return reached, stack.enter_context(left(path, reached))

    async def _adopted(self, context: Context, loaded: Loaded, ledger: Ledger) -> ActiveProject:
        """The active project, synced: as the steps of `up`, without those that create, start or ask."""
        desired = await steps.select_services(context, loaded)
        taken = await steps.take_over(context, Guarded(self._guardian, desired, ledger))
        taken = await steps.plan(context, await steps.replace_mounts(context, taken))
        entered = Entered(self._guardian, taken.desired, taken.earlier or ledger)
        try:
            own, images = entered.desired.own, context.options.images
            desired = await supplied(context.engine, entered.desired, own, images, context.emit)
            entered = replace(entered, desired=desired)
        except DevenvError as error:
            self._feed.emit(Problem(error.said, error.hint))
        project = ActiveProject(
            context.tasks, context.options, context.volume_transfer, entered.ledger, entered.desired
        )
        edited = await anyio.to_thread.run_sync(
            _changed, context.options.selection.directory, context.options.selection.files
        )
        is_current = edited < self._note.loaded and not is_cut_off(self.run_)
        await project.adopt(self._note.synced, is_current=is_current)
        return project

    async def _until_gone(self, project: ActiveProject, reload: Reload) -> None:
        """Return once the project has no ledger, or had no container in two looks; record what is in effect."""
        missed, first = 0, reload.loaded
        while missed <= 1 and os.path.exists(self.run_.ledger):
            await anyio.sleep(ALIVE_EVERY)
            # A restore may take minutes between the removal of all containers and the creation of others.
            is_gone = not project.observer.project_state.containers and not project.compose.turn.locked()
            missed = missed + 1 if is_gone else 0
            # Until the first comparison has ended, an edit that was cut off may not be in force.
            loaded = self._note.loaded if reload.loaded is first else reload.loaded.at
            self._write(synced=self._synced(project), loaded=loaded)

    def _synced(self, project: ActiveProject) -> float:
        """The time before which all saves are in effect; while containers are replaced, it does not go on."""
        return self._note.synced if project.compose.turn.locked() else project.sync_session.synced_until()

    def _record(self, event: Event) -> None:
        self._log.write(event)
        if self._note.problem != self._feed.problem:
            self._write(problem=self._feed.problem)

    def _write(self, **changes: object) -> None:
        self._note = replace(self._note, **changes)  # type: ignore[arg-type] # fields of the note
        self._note.write(self.run_)


def _page() -> type[PageServer]:
    return server.RunPage


def _ready(run: Run, ledger: Ledger) -> TimedEvent:
    """The event of the end of the start, as the process before this one reported it."""
    last = run.last()
    seconds = float((last.get("timings") or {}).get("seconds", 0.0))
    urls, forwarded_from = tuple(last.get("urls", ())), str(last.get("forwarded_from", ""))
    return TimedEvent(ledger.began + seconds, Ready(ledger.project, urls, seconds, forwarded_from=forwarded_from))


def _changed(directory: str, files: tuple[str, ...]) -> float:
    """When a file of the project changed last, in seconds since 1970. Blocking."""
    times = [0.0]
    for path in inputs(directory, files):
        with contextlib.suppress(OSError):
            times.append(os.stat(path).st_ctime)
    return max(times)
