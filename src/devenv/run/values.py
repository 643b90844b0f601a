"""What the steps of `devenv up` work with: the context of the run, and the values, in the order of the steps."""

from __future__ import annotations

from dataclasses import dataclass

from anyio.abc import TaskGroup

from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.events import Emit
from devenv.model.containers import ProjectState
from devenv.run.active.control import RunController
from devenv.run.active.project import ActiveProject
from devenv.run.cleanup.guardian import Guardian
from devenv.run.desired import DesiredState
from devenv.run.hooks import Hooks
from devenv.run.options import Options
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run
from devenv.volumes.transfer import VolumeTransfer


@dataclass(frozen=True, slots=True)
class Context:
    """What every step of one run uses. `tasks` runs background tasks from the first step to the end of the run."""

    options: Options
    emit: Emit
    engine: Engine
    run: Run
    place: Place
    volume_transfer: VolumeTransfer
    tasks: TaskGroup
    controller: RunController | None = None

    def hooks(self, desired: DesiredState) -> Hooks:
        """The project's hooks."""
        return Hooks(self.engine, desired.project, desired.names, self.emit)


@dataclass(frozen=True, slots=True)
class Selected:
    """The project, and the names of the services that this run is about."""

    loaded: Loaded
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Guarded:
    """From here on a guardian cleans up if this process dies. `earlier`: the ledger of the run before, if any."""

    guardian: Guardian
    selected: Selected
    earlier: Ledger | None


@dataclass(frozen=True, slots=True)
class TakenOver(Guarded):
    """`earlier` is what this run goes on with, and `project_state` what exists."""

    project_state: ProjectState


@dataclass(frozen=True, slots=True)
class Planned:
    """The desired state, with ports that are free."""

    guardian: Guardian
    desired: DesiredState
    earlier: Ledger | None
    project_state: ProjectState


@dataclass(frozen=True, slots=True)
class Checked:
    """Nothing is in the way of the desired state. `ledger`: what this run is responsible for."""

    guardian: Guardian
    desired: DesiredState
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Entered(Checked):
    """The `before_up` hooks have run, so that the `before_down` hooks have something to undo."""


@dataclass(frozen=True, slots=True)
class Supplied(Entered):
    """The desired state knows where each image comes from."""


@dataclass(frozen=True, slots=True)
class Active:
    """A project of which parts may exist on the engine: it has to be torn down."""

    guardian: Guardian
    project: ActiveProject

    @property
    def desired(self) -> DesiredState:
        """The desired state in force; a reload replaces it."""
        return self.project.desired


Value = Loaded | Selected | Guarded | Planned | Checked | Active
