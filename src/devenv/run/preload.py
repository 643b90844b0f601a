"""`devenv up`, begun: Compose reads the project while we are still being loaded."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import anyio

from devenv.compose import resolve
from devenv.compose.resolve import Loaded, Selection
from devenv.errors import DevenvError
from devenv.events import Emit
from devenv.model.project import Project, RuleFault
from devenv.run.options import Options
from devenv.tasks import first


@dataclass
class Ahead:
    """A project that is being read; who calls it gets it as soon as it is, or the error."""

    selection: Selection
    _loaded: Loaded | None = None
    _error: DevenvError | None = None
    _over: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Read it."""
        try:
            self._loaded = await resolve.load(self.selection, faults=_faults)
        except DevenvError as error:
            self._error = error
        self._over.set()

    async def __call__(self) -> Loaded:
        """What was read. Raises as `load` does."""
        await self._over.wait()
        if self._loaded is None:
            raise self._error or AssertionError
        return self._loaded


def _faults(project: Project, home: str) -> Iterable[RuleFault]:
    from devenv.sync.rules.lint import faults  # noqa: PLC0415 - it is loaded while Compose is at work

    return faults(project, home)


def _modules() -> ModuleType:
    """The way up; what `load` needs only once Compose has answered, comes along."""
    importlib.import_module("devenv.compose.safety.findings")
    return importlib.import_module("devenv.run.up")


async def up(options: Options, emit: Emit, *more: Any) -> int:
    """As `lifecycle.up.up`, which is loaded in a thread as soon as Compose is at work."""
    try:
        async with anyio.create_task_group() as tasks:
            ahead = Ahead(options.selection)
            tasks.start_soon(ahead.run)
            module = await anyio.to_thread.run_sync(_modules)
            code: int = await module.up(replace(options, ahead=ahead), emit, *more)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first(group) from None
    return code
