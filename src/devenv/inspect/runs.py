"""`devenv ls`: the runs of this machine, from their records and a few requests to the current engine."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace

import anyio

from devenv.compose.worktrees import branch
from devenv.docker.client import Engine
from devenv.errors import DevenvError, EngineError, StateError
from devenv.inspect.status import left_unanswered
from devenv.lazy_dataclass import dataclass
from devenv.model.answers import MachineRun
from devenv.model.containers import Container
from devenv.run.cleanup.remains import at_work
from devenv.state import all_runs, run_dir
from devenv.state.kept import background
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run
from devenv.tasks import each
from devenv.volumes.lineage import Lineage
from devenv.volumes.lineages import Lineages

LIMIT = 2.0  # seconds for the engine
MEASURING = 0.5  # seconds for the memory of all containers
OTHER, UNREACHABLE, VOLUMES, LOST, ENDED = "other engine", "unreachable", "volumes kept", "lost", "ended"


@dataclass(frozen=True, slots=True)
class EngineView:
    """The current engine: its key and address, its containers, and `CreatedAt` of its volumes; or an error."""

    key: str = ""
    host: str = ""
    containers: Sequence[Container] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)  # bytes, by the id of the container
    error: str = ""


async def runs(projects: Collection[str]) -> tuple[tuple[MachineRun, ...], str, list[str]]:
    """The runs of these projects, or of all; the error of the engine, if it does not answer; what dead runs left.

    The last has lines about what guardians work on, and what may be on an engine that does not answer.
    """
    recorded = [each for each in all_runs.every_runs() if not projects or each[1].project in projects]
    view = await _view(recorded)
    working = {run.path: line for run, line in at_work()}
    left = [*working.values(), *(await left_unanswered() if view.error else ())]
    ending = working.keys()
    rows = [_row(run, ledger, view, is_ending=run.path in ending) for run, ledger in recorded]
    rows += [_ended(ledger) for _, ledger in all_runs.removed_folders()]
    known = {(row.project, row.directory) for row in rows if row.state != OTHER}
    rows += [row for row in _kept(view) if (row.project, row.directory) not in known]
    asked = (row for row in rows if not projects or row.project in projects)
    return tuple(sorted(asked, key=lambda row: (row.project, row.directory))), view.error, left


async def _view(recorded: Sequence[tuple[Run, Ledger]]) -> EngineView:
    """What the current engine has of these runs."""
    view = EngineView()
    try:
        with anyio.fail_after(LIMIT):
            async with Engine.connect() as engine:
                view = replace(view, host=engine.endpoint.host, key=await run_dir.key_of(engine))
                containers = await engine.containers.listed()
                volumes = await engine.volumes.times()
                view = replace(view, containers=containers, volumes=volumes)
                return replace(view, memory=await _memory(engine, _ours(recorded, containers)))
    except TimeoutError:
        return replace(view, error=f"the engine has not answered for {LIMIT:.0f} seconds")
    except DevenvError as error:
        return replace(view, error=error.message)


def _ours(recorded: Sequence[tuple[Run, Ledger]], containers: Sequence[Container]) -> Iterator[str]:
    for run, ledger in recorded:
        yield from (c.id for c in _containers(run, ledger, containers) if c.running)


def _containers(run: Run, ledger: Ledger, containers: Sequence[Container]) -> list[Container]:
    return [c for c in containers if c.project == ledger.project and run.made.holds(c)]


async def _memory(engine: Engine, ids: Iterator[str]) -> dict[str, int]:
    """The memory of each container; what the engine has not measured in time is left out."""
    memory: dict[str, int] = {}

    async def measure(container_id: str) -> None:
        with contextlib.suppress(EngineError):
            memory[container_id] = (await engine.containers.usage(container_id)).memory

    with anyio.move_on_after(MEASURING):
        await each(measure, ids)
    return memory


def _row(run: Run, ledger: Ledger, view: EngineView, *, is_ending: bool) -> MachineRun:
    own = _containers(run, ledger, view.containers)
    running = [c for c in own if c.running]
    last = run.last() if run.last().get("began") == ledger.began else None
    memory = [view.memory[c.id] for c in running if c.id in view.memory]
    is_held = run.lock.is_held()
    state = _unknown_state(run, ledger, view)
    if not state:
        is_ending = is_ending or (is_held and run.lock.is_ending())
        state = state_of(ledger.phase, len(running), is_held=is_held, is_ending=is_ending, is_ready=last is not None)
    return MachineRun(
        project=ledger.project,
        directory=ledger.directory,
        is_removed=all_runs.is_removed(ledger.place),
        branch=branch(ledger.directory),
        state=state,
        running=len(running),
        containers=sum(not (c.state == "exited" and c.exit_code == 0) for c in own),
        urls=tuple((last or {}).get("urls", ())) if running else (),
        began=ledger.began,
        memory=sum(memory) if memory else None,
        pid=run.lock.holder() if is_held else None,
        background=background(run)[0],
        forwarded_from=run_dir.forwarded_from(run) if running else "",
    )


def _unknown_state(run: Run, ledger: Ledger, view: EngineView) -> str:
    """The state of a run on another engine, or on one that does not answer; empty if the engine answers."""
    is_here = ledger.is_on(view.key, view.host) or (view.error and (not view.host or run_dir.is_at(run, view.host)))
    return (UNREACHABLE if view.error else "") if is_here else OTHER


def _ended(ledger: Ledger) -> MachineRun:
    return MachineRun(ledger.project, ledger.directory, ENDED, is_removed=True, began=ledger.began)


def state_of(phase: str, running: int, *, is_held: bool, is_ending: bool, is_ready: bool) -> str:
    """The state of a run on an engine that answers.

    `is_held`: a process holds the lock; `is_ready`: all services have been up.
    """
    if is_ending:
        return "ending"
    if phase in ("detached", "kept"):
        return phase if running or is_held else LOST
    if is_held:
        return "running" if is_ready else "starting"
    if phase == "volumes":
        return VOLUMES
    return LOST if phase == "up" else phase


def _kept(view: EngineView) -> Iterator[MachineRun]:
    """Projects without a run whose volumes exist, since a run kept them when it ended."""
    by_project: dict[tuple[str, str], list[Lineage]] = {}
    with contextlib.suppress(StateError):
        for line in Lineages.at_home().all():
            if line.live is not None and line.engine == view.key and line.live.is_in(view.volumes):
                by_project.setdefault((line.project, line.place.path), []).append(line)
    for (project, directory), lines in by_project.items():
        yield MachineRun(
            project=project,
            directory=directory,
            is_removed=bool(directory) and all_runs.is_removed(lines[0].place),
            branch=branch(directory) if directory else None,
            state=VOLUMES,
            volumes=tuple(sorted(line.name for line in lines)),
        )
