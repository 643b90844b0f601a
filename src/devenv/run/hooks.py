"""The commands of `x-devenv.hooks` run, on the host or in a service, and what they print told line by line."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import anyio

from devenv.docker import process
from devenv.docker.client import Engine
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, HookLine, Notice, Problem, Step
from devenv.model.project import Moment, Project, ProjectHook
from devenv.run.consent import require_trust

LAST_LINES = 12
DOWN_LIMIT = 30.0  # seconds for all of before_down: `devenv down` elsewhere waits for the run


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a project has to run for those of its services that were chosen."""

    engine: Engine
    project: Project
    names: Collection[str]
    emit: Emit

    def of(self, moment: Moment) -> Sequence[ProjectHook]:
        """The commands of one moment, in order; none of a service that was not chosen."""
        hooks = self.project.hooks
        return [h for h in hooks if h.moment is moment and (h.service is None or h.service in self.names)]

    async def run(self, moment: Moment) -> None:
        """All commands of the moment ended well. Raises DevenvError for the first that did not: its last lines."""
        for hook in self.of(moment):
            await self._run(hook)

    async def before_down(self, skip: anyio.Event, how: str = "") -> None:
        """Every command of `before_down` tried, for a bounded time and until somebody skips it.

        What fails is a problem, and the way down goes on. `how` says how to skip it.
        """
        if not (hooks := self.of(Moment.BEFORE_DOWN)):
            return
        self.emit(Step("before_down", "begin", how))
        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:

            async def skipped() -> None:
                await skip.wait()
                self.emit(Notice("before_down was cut short"))
                tasks.cancel_scope.cancel()

            tasks.start_soon(skipped)
            with anyio.move_on_after(DOWN_LIMIT) as limit:
                await self._try(hooks)
            tasks.cancel_scope.cancel()
        if limit.cancelled_caught:
            self.emit(Problem(f"before_down took more than {DOWN_LIMIT:.0f} s and was ended"))
        self.emit(Step("before_down", "end", seconds=anyio.current_time() - began))

    async def _try(self, hooks: Sequence[ProjectHook]) -> None:
        for hook in hooks:
            try:
                if (
                    hook.service is None or hook.hook.privileged
                ):  # they may have changed since the run was allowed them
                    require_trust(self.project)
                await self._run(hook)
            except DevenvError as error:
                self.emit(Problem(error.message, error.hint, hook.service))

    async def _run(self, hook: ProjectHook) -> None:
        last: deque[str] = deque(maxlen=LAST_LINES)

        def tell(line: str, stream: str = "stdout") -> None:
            last.append(line)
            self.emit(HookLine(hook.moment, line, hook.service, stream))

        try:
            if hook.service is None:
                done = await process.run(
                    hook.hook.command,
                    cwd=self.project.directory,
                    on_line=tell,
                    on_error_line=lambda line: tell(line, "stderr"),
                )
                code = done.returncode
            else:
                code = await self._execute(hook, hook.service, tell)
        except (EngineError, OSError) as error:
            why = error.message if isinstance(error, EngineError) else error.strerror
            raise _failure(hook, f"failed: {why}", ()) from error
        if code:
            how = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
            raise _failure(hook, how, last)

    async def _execute(self, hook: ProjectHook, service: str, tell: process.OnOutput) -> int:
        """The exit code of the command in the service's first container that runs."""
        project_state = await self.engine.project_state(self.project.name)
        running = [container for container in project_state.of(service) if container.running]
        if not running:
            raise EngineError(f"{service} does not run")
        code, _ = await self.engine.exec.run(
            running[0].id,
            hook.hook.command,
            user=hook.hook.user or "",
            working_dir=hook.hook.working_dir,
            environment=dict(hook.hook.environment),
            privileged=hook.hook.privileged,
            timeout=math.inf,
            on_line=tell,
        )
        return code


def _failure(hook: ProjectHook, how: str, last: Collection[str]) -> DevenvError:
    lines = "".join(f"\n  {line}" for line in last)
    command, more, _ = hook.typed.strip().partition("\n")
    said = f"{hook.where}: {hook.moment}: `{command}{' …' if more else ''}` {how}{lines}"
    return DevenvError(said, hint=f"Mend it, or take it out of `x-devenv.hooks.{hook.moment}`.")
