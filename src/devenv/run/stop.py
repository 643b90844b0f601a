"""The end of a run of `devenv up`: what becomes of the project, decided from how the run went."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from devenv.compose.resolve import Loaded
from devenv.errors import EngineError
from devenv.events import Kept, Notice, Problem, Stopped
from devenv.run.active.project import ActiveProject
from devenv.run.cleanup.recovery import identity
from devenv.run.cleanup.teardown import CUT_OFF_SWEEPS, Teardown
from devenv.run.desired import DesiredState
from devenv.run.steps import Active, Context, Entered, Value
from devenv.signals import ShutdownSignals
from devenv.state.identity import Content
from devenv.state.ledger import Ledger, VolumePolicy

HANDED_OVER = "the run was left running; it is yours now"


class RunOutcome(Enum):
    """How a run went that no signal and no error ended."""

    ENDED = auto()  # the services have ended by themselves
    FAILED = auto()  # as ENDED, and at least one of them not well
    DETACHED = auto()  # the services go on without this process


class Fate(Enum):
    """What becomes of the project when the run ends."""

    REMOVE = auto()
    DETACH = auto()  # it stays, and a later command may go on with it or end it
    KEEP = auto()  # it stays, and its volumes are the user's


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended. `failed`: an error ended it; `outcome` counts only if neither that nor a signal did."""

    ending: ShutdownSignals
    outcome: RunOutcome
    failed: bool

    def fate(self, *, keep: bool) -> Fate:
        """What becomes of the project; `keep`: the command line asks for it to stay."""
        if self.failed:
            return Fate.REMOVE
        if self.ending.signal is None and self.outcome is RunOutcome.DETACHED:
            return Fate.DETACH
        return Fate.KEEP if keep else Fate.REMOVE

    @property
    def reason(self) -> str:
        """Why the project is removed, for the event."""
        if sign := self.ending.signal:
            return sign.name.removeprefix("SIG")
        return "error" if self.failed else "done"

    def exit_code(self, stopped: Stopped | None) -> int:
        """The exit code of `up`, if no error is raised."""
        has_failed = self.outcome is RunOutcome.FAILED or (stopped is not None and bool(stopped.survivors))
        return self.ending.exit_code or int(has_failed)


async def stop(context: Context, reached: Value, end: End) -> Stopped | None:
    """End what the run has begun, from the value that its last step returned; None if nothing was removed.

    The guardian goes last: if the engine is lost before all is removed, it stays and tries again. It also ends what a
    run that died had left, if this run ended before it could go on with that.
    """
    if isinstance(reached, Loaded | DesiredState):
        return None
    fate, stopped = end.fate(keep=context.options.keep), None
    if fate is Fate.REMOVE:
        context.run.lock.mark_ending()  # `devenv down` elsewhere waits: another signal would skip hooks and kill
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
                _hand_over(context, project.ledger)
            case Fate.REMOVE:
                try:
                    stopped = await _remove(context, project, end)
                except EngineError as error:
                    return _report_lost(context, project, error)
    if not isinstance(reached, Active) and identity(context.run):  # no process runs it: we hold the lock
        reached.guardian.release()  # the guardian of the run that died has gone: it saw this run begin
    else:
        reached.guardian.dismiss()
    return stopped


def _hand_over(context: Context, ledger: Ledger) -> None:
    """Leave everything running; `down` may still end the containers, but the volumes are the user's."""
    for name in ledger.creates:
        context.emit(Kept("volume", name, HANDED_OVER, f"docker volume rm {name}"))
    context.run.write(replace(ledger, phase="kept", volumes=()))
    context.emit(Notice("left running", "devenv down"))


async def _remove(context: Context, project: ActiveProject, end: End) -> Stopped:
    policy = VolumePolicy.KEEP if context.options.keep_volumes else VolumePolicy.SAVE
    teardown = Teardown(
        project.ledger,
        context.volume_transfer,
        context.run.asked() or policy,
        CUT_OFF_SWEEPS if project.compose.is_cut_off else 1,
        end.ending.hurry,
    )
    return await teardown.run_down(end.reason, project.observer.project_state)


def _report_lost(context: Context, project: ActiveProject, error: EngineError) -> Stopped:
    """Report what existed when the engine was lost; the guardian, or the next command, removes it."""
    left = project.ledger.left(project.observer.project_state)
    message = f"{error.message}; left as they are: {', '.join(left)}; a guardian tries again for a day"
    context.emit(Problem(message, "devenv down"))
    context.emit(stopped := Stopped(left))
    return stopped
