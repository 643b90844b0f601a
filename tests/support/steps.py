"""The steps of `devenv up` on a machine in memory, one at a time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.events import Notice
from devenv.model.project import ProjectHook
from devenv.run.active.control import RunController
from devenv.run.preload import UpOptions
from devenv.run.step_values import Context
from devenv.run.steps import STEPS
from devenv.run.up import open_context
from support.memory.command import CURRENT, Command
from support.memory.machine import Machine, Site


@dataclass
class Opened:
    """A run before its first step: its context, the project, and its command."""

    context: Context
    loaded: Loaded
    command: Command

    async def after(self, last: Callable[..., Any]) -> Any:
        """Run the steps up to that one; return its result."""
        value: Any = self.loaded
        for step in (step for steps in STEPS.values() for step in steps):
            value = await step(self.context, value)
            if step is last:
                return value
        raise AssertionError(last)

    def notices(self) -> list[str]:
        """The texts of all notices."""
        return [event.message for event in self.command.events if isinstance(event, Notice)]


@contextlib.asynccontextmanager
async def opened(
    machine: Machine,
    site: Site,
    *services: str,
    hooks: tuple[ProjectHook, ...] = (),
    controller: RunController | None = None,
    **options: Any,
) -> AsyncIterator[Opened]:
    """A run that holds the project; its background tasks end with the block."""
    command = Command(machine)
    machine.commands.append(command)
    CURRENT.set(command)
    chosen = {"watch": False, "logs": False, "build": False, **options}
    given = UpOptions(Selection(str(site.folder), services=services), **chosen)
    loaded = site.loaded(given.selection)
    loaded = replace(loaded, project=replace(loaded.project, hooks=hooks))
    async with contextlib.AsyncExitStack() as stack:
        context = await open_context(stack, given, command.emit, loaded, controller)
        async with context.tasks as tasks:
            yield Opened(context, loaded, command)
            tasks.cancel_scope.cancel()
