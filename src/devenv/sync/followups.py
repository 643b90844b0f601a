"""Commands, restarts and recreations that follow a sync after a quiet time (`QUIET`) in which no file changes."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import field

import anyio
from anyio.abc import TaskGroup

from devenv.errors import DevenvError, EngineError
from devenv.events import Executed, Problem, Restarted
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.project import Hook
from devenv.model.sync_plan import Exec, Restart, ServicePlan
from devenv.sync.container.target import Target
from devenv.sync.queue import FEW
from devenv.sync.service_state import SyncState, process_mark
from devenv.tasks import each

QUIET = 0.12  # seconds without a change until a command, a restart or a rebuild follows
FLOOD_QUIET = 0.3  # the same during a checkout: one restart, not one per slice


@dataclass(slots=True)
class QuietPeriod:
    """Ends when nothing has changed for a while; it is longer after many changes at once."""

    ends_at: float = 0.0
    _flood_until: float = 0.0

    def extend(self, paths: int, now: float) -> None:
        """Start the period again: this many paths have changed."""
        if paths > FEW or now < self._flood_until:
            self._flood_until = now + FLOOD_QUIET
        self.ends_at = max(now + QUIET, self._flood_until)


@dataclass
class FollowUps:
    """Pending commands and restarts of one service's containers; files synced in the meantime may add more."""

    state: SyncState
    execs: dict[Hook, Exec] = field(default_factory=dict)
    restart: Restart | None = None
    recreation: str = ""  # its cause
    quiet: QuietPeriod = field(default_factory=QuietPeriod)
    is_acting: bool = False

    def owe(self, step: ServicePlan) -> None:
        """Add what the step requires besides files; the first cause of a restart is kept."""
        self.execs.update((execution.hook, execution) for execution in step.execs)
        self.restart = self.restart or step.restart

    def inherit(self, before: FollowUps) -> None:
        """Take over what is pending under the previous rules."""
        self.execs, self.restart, self.recreation = before.execs, before.restart, before.recreation

    @property
    def are_owed(self) -> bool:
        """Whether anything is pending and not yet in progress."""
        return not self.is_acting and bool(self.execs or self.restart or self.recreation)

    def due(self) -> float:
        """When to call `start_if_quiet`; infinity if nothing is pending."""
        return self.quiet.ends_at if self.are_owed else math.inf

    def start_if_quiet(self, tasks: TaskGroup) -> None:
        """Begin what is pending unless files are still changing."""
        now = anyio.current_time()
        if not self.are_owed or now < self.quiet.ends_at:
            return
        if self.state.context.is_at_rest():
            self.is_acting = True
            tasks.start_soon(self._act)
        else:
            self.quiet.ends_at = now + QUIET

    async def until_quiet(self, paths: set[str]) -> None:
        """Return when nothing changes any more; paths that changed in the meantime move from the queue to `paths`."""
        waiting, quiet = self.state.waiting, self.quiet
        quiet.extend(len(paths), anyio.current_time())
        while (now := anyio.current_time()) < quiet.ends_at or not self.state.context.is_at_rest():
            await anyio.sleep_until(max(quiet.ends_at, now + QUIET))
            if waiting:
                more = waiting.take_all()
                paths |= more
                quiet.extend(len(more), anyio.current_time())

    async def rebuild(self, cause: str) -> bool:
        """Build the image and replace the containers. Return whether that succeeded; a failure is reported."""
        return await self._replace(self.state.context.actions.rebuild, cause)

    async def _act(self) -> None:
        execs, restart, recreation = self.execs, self.restart, self.recreation
        self.execs, self.restart, self.recreation = {}, None, ""
        try:
            if recreation:
                await self._replace(self.state.context.actions.recreate, recreation)
            for execution in execs.values():
                await self._execute(execution)
            if restart is not None:
                await self._restart(restart)
        except anyio.get_cancelled_exc_class():  # the rules have changed: `inherit` takes what has not ended
            self.execs, self.restart = execs | self.execs, restart or self.restart
            self.recreation = recreation or self.recreation
            raise
        self.is_acting = False
        self.state.wake()

    async def _replace(self, replace: Callable[[str, str], Awaitable[None]], cause: str) -> bool:
        try:
            await replace(self.state.service, cause)
        except DevenvError as error:
            self.state.context.emit(Problem(error.said, error.hint, self.state.service))
            return False
        return True

    async def _execute(self, execution: Exec) -> None:
        context, service, hook = self.state.context, self.state.service, execution.hook

        async def run(target: Target) -> None:
            began = time.monotonic()
            try:
                code, output = await context.engine_of(target.container).exec.run(
                    target.container.id,
                    hook.command,
                    user=hook.user or "",
                    working_dir=hook.working_dir,
                    environment=dict(hook.environment),
                    privileged=hook.privileged,
                    mark=process_mark(context.project),
                )
            except EngineError as error:
                # A container that has ended, or one in its place, starts with all files.
                if (now := await self._current(target)) is not None and now.running:
                    context.emit(Problem(error.message, error.hint, service))
                return
            ms = round((time.monotonic() - began) * 1000, 1)
            context.emit(Executed(service, " ".join(hook.command), code, output, ms))

        await each(run, (target for target in self.state.targets.values() if target.container.running))

    async def _current(self, target: Target) -> Container | None:
        """The container as it is now, or as it was if the engine does not answer; None if it was removed."""
        try:
            return await self.state.context.engine_of(target.container).containers.inspect(target.container.id)
        except EngineError:
            return target.container

    async def _restart(self, restart: Restart) -> None:
        context, service, targets = self.state.context, self.state.service, self.state.targets
        began = time.monotonic()

        async def run(target: Target) -> None:
            try:
                await context.engine_of(target.container).containers.restart(target.container)
            except EngineError as error:
                if await self._current(target) is not None:
                    context.emit(Problem(error.message, error.hint, service))

        async with context.actions.restarting([target.container for target in targets.values()]), self.state.turn:
            await each(run, targets.values())
        context.emit(Restarted(service, restart.cause, round((time.monotonic() - began) * 1000, 1)))
