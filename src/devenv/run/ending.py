"""The end of a run: what happens to the project, and the cleanup."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from devenv.compose.resolve import Loaded
from devenv.errors import EngineError
from devenv.events import Problem, Stopped
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.run import hand_over
from devenv.run.desired import DesiredState
from devenv.run.preload import UpOptions
from devenv.run.step_values import Active, Context, Entered, Value
from devenv.signals import ShutdownSignals
from devenv.state.identity import Content
from devenv.state.ledger import VolumePolicy

with LazyImports():  # a start needs none of these
    from devenv.run.cleanup import reach, recovery, teardown

if TYPE_CHECKING:
    from devenv.run.active.project import ActiveProject


class RunOutcome(Enum):
    """How a run ended if neither a signal nor an error ended it."""

    ENDED = auto()  # the services have ended by themselves
    FAILED = auto()  # like ENDED, and at least one service failed
    DETACHED = auto()  # the services keep running without this process


class Fate(Enum):
    """What happens to the project when the run ends."""

    REMOVE = auto()
    DETACH = auto()  # it stays; a later command may continue or end it
    KEEP = auto()  # it stays, and its volumes belong to the user


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended. `failed`: by an error; `outcome` counts only without an error and without a signal.

    `policy`: what `devenv down` wants to happen to the volumes, if it asked a keeper to end the run.
    """

    ending: ShutdownSignals
    outcome: RunOutcome
    failed: bool
    policy: VolumePolicy | None = None

    @property
    def is_detached(self) -> bool:
        """Whether the services keep running, held by a keeper."""
        return not self.failed and self.ending.signal is None and self.outcome is RunOutcome.DETACHED

    def fate(self, *, keep: bool) -> Fate:
        """What happens to the project; `keep`: the option `--keep` is given."""
        if self.failed:
            return Fate.REMOVE
        if self.is_detached:
            return Fate.DETACH
        return Fate.KEEP if keep else Fate.REMOVE

    @property
    def reason(self) -> str:
        """Why the project is removed, for the event."""
        if sign := self.ending.signal:
            return sign.name.removeprefix("SIG")
        return "error" if self.failed else "done" if self.policy is None else "down"

    def exit_code(self, stopped: Stopped | None) -> int:
        """The exit code of `up`, if no error is raised."""
        has_failed = self.outcome is RunOutcome.FAILED or (stopped is not None and bool(stopped.survivors))
        return self.ending.exit_code or int(has_failed)


async def stop(context: Context, reached: Value, end: End) -> Stopped | None:
    """End what the run has begun, given the value that its last step returned; None if nothing was removed.

    The guardian goes last: if the engine is lost before all is removed, the guardian stays and tries again. It also
    removes what a dead earlier run left, if this run ended before it took that over.
    """
    if isinstance(reached, Loaded | DesiredState):
        return None
    fate, stopped = end.fate(keep=context.options.keep), None
    if fate is Fate.REMOVE:
        context.run.lock.mark_ending()  # `devenv down` elsewhere then waits: a second signal would skip hooks
    if fate is Fate.REMOVE and isinstance(reached, Entered | Active):
        with end.ending.skippable() as skip:
            await context.hooks(reached.desired).before_down(skip, "Ctrl-C skips it")
    if isinstance(reached, Active):
        project = reached.project
        await project.sync_session.end()
        project.volumes.settle()
        match fate:
            case Fate.DETACH:
                settled = [replace(record, content=Content.SETTLED) for record in project.ledger.volumes]
                context.run.write(replace(project.ledger.with_records(settled), phase="detached"))
            case Fate.KEEP:
                hand_over.leave(context, project.ledger)
            case Fate.REMOVE:
                try:
                    stopped = await _remove(context, project, end)
                except EngineError as error:
                    return _report_lost(context, project, error)
    if not isinstance(reached, Active) and recovery.identity(context.run):  # a dead run, since we hold the lock
        reached.guardian.release()  # the guardian of the dead run has left, since this run began
    else:
        reached.guardian.dismiss()
    return stopped


def _policy(options: UpOptions) -> VolumePolicy:
    """What happens to the volumes, unless another command asks for something else."""
    if options.keep_volumes:
        return VolumePolicy.KEEP
    return VolumePolicy.SNAPSHOT if options.snapshot else VolumePolicy.SAVE


async def _remove(context: Context, project: ActiveProject, end: End) -> Stopped:
    # A keeper follows others, which may have died in the middle of a create.
    is_cut_off = project.compose.is_cut_off or (end.policy is not None and context.run.made.is_open)
    work = teardown.Teardown(
        project.ledger,
        context.volume_transfer,
        end.policy or context.run.asked() or _policy(context.options),
        teardown.CUT_OFF_SWEEPS if is_cut_off else 1,
        end.ending.hurry,
    )
    down = partial(work.run_down, end.reason, project.observer.project_state)
    is_lost = project.observer.is_engine_lost
    if context.line is not None:
        is_lost = context.line.is_lost
    return await reach.while_reachable(context.engine, down, context.emit, end.ending.hurry, is_lost=is_lost)


def _report_lost(context: Context, project: ActiveProject, error: EngineError) -> Stopped:
    """Report what existed when the engine was lost; the guardian, or the next command, removes it."""
    left, machine = project.ledger.left(project.observer.project_state), context.engine.endpoint.machine
    where = f" on {machine}" if machine else ""
    tries = f"a guardian ends the run as soon as {machine or 'the engine'} answers, and tries for a day"
    context.emit(Problem(f"{error.message}; left as they are{where}: {', '.join(left)}; {tries}", "devenv down"))
    context.emit(stopped := Stopped(left))
    return stopped
