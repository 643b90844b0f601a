"""What all steps of `devenv up` share, and the values that the steps take and return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from devenv.compose.resolve import Loaded
from devenv.docker.cli import EarlyCommand
from devenv.docker.client import Engine
from devenv.events import Emit
from devenv.images.early_builds import EarlyBuilds
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import ProjectState
from devenv.run.active.control import RunController
from devenv.run.cleanup.guardian import Guardian
from devenv.run.desired import DesiredState
from devenv.run.hooks import Hooks
from devenv.run.preload import UpOptions
from devenv.state import ledger as ledgers
from devenv.state.identity import Place
from devenv.state.kept import Held
from devenv.state.run_dir import Run
from devenv.volumes.transfer import VolumeTransfer

if TYPE_CHECKING:
    from devenv.remote.line import Line
    from devenv.run.active.project import ActiveProject


@dataclass(frozen=True, slots=True)
class Context:
    """What all steps of a run share. `key` identifies the engine; `tasks` live from the first step to the end.

    `line` leads to an engine on another machine. `early`: by verb, the commands that start while the project is
    checked.
    """

    options: UpOptions
    emit: Emit
    engine: Engine
    key: str
    run: Run
    place: Place
    volume_transfer: VolumeTransfer
    tasks: TaskGroup
    controller: RunController | None = None
    held: Held = field(default_factory=Held)
    line: Line | None = None
    early: Mapping[str, EarlyCommand] = field(default_factory=dict)

    def hooks(self, desired: DesiredState) -> Hooks:
        """The project's hooks."""
        return Hooks(self.engine, desired.project, desired.names, self.emit)


@dataclass(frozen=True, slots=True)
class Guarded:
    """The state once a guardian cleans up if this process dies. `earlier`: the ledger of an earlier run, if any."""

    guardian: Guardian
    desired: DesiredState
    earlier: ledgers.Ledger | None


@dataclass(frozen=True, slots=True)
class TakenOver(Guarded):
    """The state after earlier runs are dealt with: `earlier` is continued, `project_state` exists."""

    project_state: ProjectState


@dataclass(frozen=True, slots=True)
class Checked:
    """The state once nothing prevents the desired state. `ledger`: what this run is responsible for."""

    guardian: Guardian
    desired: DesiredState
    ledger: ledgers.Ledger


@dataclass(frozen=True, slots=True)
class Entered(Checked):
    """The state after the `before_up` hooks: from here on, the `before_down` hooks have something to undo.

    `early_builds`: the builds that have begun.
    """

    early_builds: EarlyBuilds | None = None


@dataclass(frozen=True, slots=True)
class Active:
    """A project of which parts may exist on the engine and have to be torn down.

    `early_builds`: the builds that have begun, until the step `build` has ended.
    """

    guardian: Guardian
    project: ActiveProject
    early_builds: EarlyBuilds | None = None

    @property
    def desired(self) -> DesiredState:
        """The desired state in force; a reload replaces it."""
        return self.project.desired


Value = Loaded | DesiredState | Guarded | Checked | Active
