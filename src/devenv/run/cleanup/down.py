"""`devenv down`, unless a keeper ends the run: end its process, if that is alive, and remove what it created."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace

import anyio

from devenv.compose import files
from devenv.compose.outline import Selection, sketched
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.endpoint import resolve as current
from devenv.errors import ConfigError, DevenvError, RefusedError, StateError, UsageError
from devenv.events import Emit, Notice
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.project import Moment, Project
from devenv.paths import is_within
from devenv.remote.line import begun, line
from devenv.run import background
from devenv.run.cleanup.remains import at_work, command_for, died_elsewhere
from devenv.run.cleanup.teardown import finish
from devenv.state import all_runs, run_dir
from devenv.state.identity import VolumeVerdict
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run, address, key_of, open_run, place_of
from devenv.state.run_lock import LOOKED_AT

with LazyImports():  # only a project with hooks is loaded
    from devenv.compose import resolve
    from devenv.run import hooks

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody has to agree to: the removal of volumes on another machine, without saving them."""

    project: str
    machine: str
    volumes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The question, as a statement."""
        one = len(self.volumes) == 1
        return f"the volume{'' if one else 's'} {', '.join(self.volumes)} on {self.machine} would be lost"


Ask = Callable[[Question], object]


async def down(
    selection: Selection,
    emit: Emit,
    policy: VolumePolicy = VolumePolicy.SAVE,
    project: str = "",
    ask: Ask | None = None,
) -> int:
    """Return 0 if nothing of the run is left, or if there is no run; 1 if something is left.

    `project` names a run in any folder. A run in the foreground of another terminal is asked to end itself. `ask`
    is called before volumes on another machine are removed without saving them, and raises to prevent that. Raises
    StateError (exit 3) if the end of a run takes more than a minute, UsageError for a project without a run.
    """
    place = None
    if project:
        named = await _run_named(project, selection)
        place = Endpoint(named.endpoint, named.context)
        selection = replace(selection, project_name=project, directory=named.directory)  # its hooks are there
    async with contextlib.AsyncExitStack() as stack:
        place = place or await current()
        login = stack.enter_context(begun(place))  # the line of the run that is removed ends too early
        known, loaded, failure = await _read(selection)
        for _, message in at_work(selection.project_name or known):
            emit(Notice(message))
        reached, _ = await stack.enter_async_context(line(place, emit, login))
        engine = await stack.enter_async_context(Engine.connect(reached))
        key = await key_of(engine)
        name = selection.project_name or await _named(selection, engine, key, known, failure)
        run = await open_run(engine, name, key)
        if ask is not None and policy is VolumePolicy.DROP:
            await _ask(run, engine, ask)
        async with held(run, policy) as asked:
            ledger = run.read()
            if ledger is None:
                emit(Notice(f"the run of pid {asked} has ended" if asked else f"nothing of devenv's is up in {name}"))
                for _, dead in died_elsewhere(place_of(selection.directory)) if not asked else ():
                    message = f"the run of {dead.project} on {Endpoint(dead.endpoint).machine} has died"
                    emit(Notice(message, command_for(dead)))
                return 0
            if loaded and ledger.phase != "up":  # a dead run is removed without hooks, as by the guardian
                await _before_down(loaded, engine, ledger, emit)
            return int(bool((await finish(engine, run, emit, policy, "down")).survivors))


async def _read(selection: Selection) -> tuple[str, Project | None, DevenvError | None]:
    """The project's name, the project if it has hooks, and the error if its files cannot be read.

    Compose is not run for a project whose files show that it has no hooks: its run is known by its records.
    """
    try:
        known = sketched(selection)
        if known.name is not None and not known.has_hooks:
            return known.name, None, None
        project = (await resolve.load(selection)).project
    except (ConfigError, RefusedError) as error:
        return "", None, error
    return project.name, project, None


async def _ask(run: Run, engine: Engine, ask: Ask) -> None:
    """Ask whether the existing volumes of the run may be lost, if they are on another machine."""
    machine, ledger = engine.endpoint.machine, run.read()
    if machine and ledger is not None:
        judged = ledger.judged(await engine.project_state(ledger.project))
        at_risk = [v.record for v in judged if v.verdict is not VolumeVerdict.OTHER and not v.volume.elsewhere]
        if names := tuple(sorted(record.name for record in at_risk if not record.is_kept)):
            ask(Question(ledger.project, machine, names))


async def _run_named(project: str, selection: Selection) -> Ledger:
    """The run of the project, on the current engine or else on another.

    Raises UsageError if there is no run, or if the name is also that of a service in this folder; StateError if runs
    are on several other engines.
    """
    ledgers = {run.path: ledger for run, ledger in all_runs.every_runs() if ledger.project == project}
    services: Collection[str] = ()
    with contextlib.suppress(ConfigError):
        paths = files.find(selection.directory, selection.files)
        services = files.service_names(files.read(paths, base=selection.directory))
    stop = f"devenv stop {project}   (the service of this folder)" if project in services else ""
    if not ledgers:
        message = f"no run of {project} found"
        raise UsageError(f"{message}; it is a service of this project" if stop else message, hint=stop or "devenv ls")
    if stop and selection.project_name != project:
        hint = f"devenv down -p {project}, or {stop}"
        raise UsageError(f"{project} is a project, and a service of this folder", hint=hint)
    here, places = address(await current()), {address(Endpoint(each.endpoint)): each for each in ledgers.values()}
    if here in places:
        return places[here]
    if len(places) > 1:
        message = f"{project} runs on several engines: {', '.join(sorted(places))}"
        raise StateError(message, hint=f"DOCKER_HOST={min(places)} devenv down {project}")
    return next(iter(places.values()))


async def _named(selection: Selection, engine: Engine, key: str, name: str, failure: DevenvError | None) -> str:
    """The project name in the files; if no run has that name, the name of the run that began in this folder.

    Raises StateError if several runs began here, and `failure` (why the files cannot be read) if none did.
    """
    if name and ((run := await open_run(engine, name, key)).read() is not None or run.lock.is_held()):
        return name
    begun = sorted(_begun(selection, key, engine.endpoint.host))
    if len(begun) > 1:
        raise StateError(f"several runs began here: {', '.join(begun)}", hint=f"devenv down -p {begun[0]}")
    if not begun and failure is not None:
        raise failure
    return begun[0] if begun else name


def _begun(selection: Selection, key: str, endpoint: str) -> list[str]:
    """The projects whose runs began in the folder of the files; without files, in the nearest folder above."""
    ledgers = [r for _, r in all_runs.every_runs() if r.is_on(key, endpoint)]
    try:
        folder = os.path.realpath(os.path.dirname(files.find(selection.directory, selection.files)[0]))
    except ConfigError:
        here = os.path.realpath(selection.directory)
        above = [r.directory for r in ledgers if is_within(here, r.directory)]
        folder = max(above, key=len, default=here)
    place = run_dir.place_of(folder)
    return [r.project for r in ledgers if run_dir.began_in(r, place)]


async def _before_down(project: Project, engine: Engine, ledger: Ledger, emit: Emit) -> None:
    """Run the project's current `before_down` hooks if a container of the run is running.

    A project in another folder, or one that cannot be read, has no hooks: that must not prevent its removal.
    """
    is_here = os.path.realpath(project.directory) == ledger.directory
    if not is_here or not any(hook.moment is Moment.BEFORE_DOWN for hook in project.hooks):
        return
    running = {c.service for c in ledger.containers(await engine.project_state(ledger.project)) if c.running}
    if running:
        await hooks.Hooks(engine, project, running, emit).before_down(anyio.Event())


@contextlib.asynccontextmanager
async def held(run: Run, policy: VolumePolicy) -> AsyncIterator[int | None]:
    """Hold the project's lock. If a run holds it, ask that run to end, and yield its pid."""
    asked = None
    await background.end(run)
    with contextlib.ExitStack() as stack:
        try:
            # The wait is long enough for the holder to have written its pid.
            stack.enter_context(run.lock.hold(wait=LOOKED_AT, cleaning=True))
        except StateError:
            holder = run.lock.holder()
            if holder is None:
                raise
            if run.lock.is_of_run():
                with contextlib.suppress(StateError) if policy is VolumePolicy.SAVE else contextlib.nullcontext():
                    run.ask(policy)  # `down` must also work on a full disk, with the default policy
            if not run.lock.is_ending():  # a second signal would make an ending run hurry
                asked = holder
                with contextlib.suppress(ProcessLookupError):  # the run has just ended
                    os.kill(holder, signal.SIGINT)
            await _entered(stack, run)
        yield asked


async def _entered(stack: contextlib.ExitStack, run: Run) -> None:
    """Take the lock as soon as it is free. This is no thread, so that Ctrl-C can end the wait."""
    deadline = anyio.current_time() + PATIENCE
    while anyio.current_time() <= deadline:
        with contextlib.suppress(StateError):
            stack.enter_context(run.lock.hold(cleaning=True))
            return
        await anyio.sleep(0.1)
    if run.lock.is_ending():
        message = f"the run is still ending (pid {run.lock.holder()})"
        raise StateError(message, hint="devenv ls   (shows when it has ended)")
    stack.enter_context(run.lock.hold(cleaning=True))
