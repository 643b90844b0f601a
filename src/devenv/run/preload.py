"""The start of `devenv up`: Compose reads the project while the other modules are still being imported."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import anyio

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.errors import DevenvError
from devenv.events import Emit
from devenv.model.project import Project, RuleFault
from devenv.run.options import UpOptions
from devenv.tasks import task_group


@dataclass
class Ahead:
    """A project that is being loaded in the background; a call waits for it."""

    selection: Selection
    _loaded: Loaded | None = None
    _error: DevenvError | None = None
    _over: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Load the project."""
        try:
            self._loaded = await resolve.load(self.selection, faults=_faults)
        except DevenvError as error:
            self._error = error
        self._over.set()

    async def __call__(self) -> Loaded:
        """Return the project. Raises as `resolve.load` does."""
        await self._over.wait()
        if self._loaded is None:
            raise self._error or AssertionError
        return self._loaded


def _faults(project: Project, home: str) -> Iterable[RuleFault]:
    from devenv.sync.rules.lint import faults  # noqa: PLC0415 - imported while Compose reads the project

    return faults(project, home)


def _modules() -> ModuleType:
    """Import what `up` needs, and what `load` needs only after Compose has answered."""
    importlib.import_module("devenv.compose.safety.findings")
    return importlib.import_module("devenv.run.up")


async def up(options: UpOptions, emit: Emit, *more: Any) -> int:
    """As `run.up.up`, which is imported in a thread while Compose reads the project."""
    async with task_group() as tasks:
        ahead = Ahead(options.selection)
        tasks.start_soon(ahead.run)
        module = await anyio.to_thread.run_sync(_modules)
        code: int = await module.up(replace(options, ahead=ahead), emit, *more)
        tasks.cancel_scope.cancel()
    return code
