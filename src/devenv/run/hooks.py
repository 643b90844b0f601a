"""Run the commands of `x-devenv.hooks`, on the host or in a service, and report their output line by line."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial

import anyio

from devenv.docker import process
from devenv.docker.client import Engine
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, HookLine, Notice, Problem, Step
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.project import Moment, Project, ProjectHook
from devenv.run.consent import require_trust
from devenv.tasks import unless

with LazyImports():  # a project without hooks does not need it
    from devenv.explain import log_lines

LAST_LINES = 12
DOWN_LIMIT = 30.0  # seconds for all before_down hooks: `devenv down` elsewhere waits for the run


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a project, for the services in `names`."""

    engine: Engine
    project: Project
    names: Collection[str]
    emit: Emit

    def of(self, moment: Moment) -> Sequence[ProjectHook]:
        """The hooks of one moment, in order, without those of services that were not chosen."""
        return [h for h in self.project.hooks if h.moment is moment and h.service in (None, *self.names)]

    async def run(self, moment: Moment) -> None:
        """Run all hooks of the moment. Raises DevenvError, with the last lines, for the first one that fails."""
        for hook in self.of(moment):
            await self._run(hook)

    async def before_down(self, skip: anyio.Event, how: str = "") -> None:
        """Try every `before_down` hook; report those that fail, and `how` to skip them."""
        if not (hooks := self.of(Moment.BEFORE_DOWN)):
            return
        self.emit(Step("before_down", "begin", how))
        began = anyio.current_time()
        with anyio.move_on_after(DOWN_LIMIT) as limit:
            if not await unless(skip, lambda: self._try(hooks)):
                self.emit(Notice("before_down was cut short"))
        if limit.cancelled_caught:
            self.emit(Problem(f"before_down took more than {DOWN_LIMIT:.0f} s and was ended"))
        self.emit(Step("before_down", "end", seconds=anyio.current_time() - began))

    async def _try(self, hooks: Sequence[ProjectHook]) -> None:
        for hook in hooks:
            try:
                if hook.service is None or hook.hook.privileged:  # the hook may have changed since it was trusted
                    require_trust(self.project)
                await self._run(hook)
            except DevenvError as error:
                self.emit(Problem(error.message, error.hint, hook.service))

    async def _run(self, hook: ProjectHook) -> None:
        last: deque[str] = deque(maxlen=LAST_LINES)
        levels = log_lines.LevelReader()

        def report(line: str, stream: str = "stdout") -> None:
            last.append(line)
            self.emit(HookLine(hook.moment, line, hook.service, stream, levels.level(stream, line)))

        try:
            if hook.service is None:
                directory = self.project.directory
                on_error = partial(report, stream="stderr")
                finished = await process.run(hook.hook.command, cwd=directory, on_line=report, on_error_line=on_error)
                code = finished.returncode
            else:
                code = await self._execute(hook, hook.service, report)
        except (EngineError, OSError) as error:
            why = error.message if isinstance(error, EngineError) else error.strerror
            raise _failure(hook, f"failed: {why}", ()) from error
        if code:
            how = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
            raise _failure(hook, how, last)

    async def _execute(self, hook: ProjectHook, service: str, report: process.OnOutput) -> int:
        project_state = await self.engine.project_state(self.project.name)
        container = next((container for container in project_state.of(service) if container.running), None)
        if container is None:
            raise EngineError(f"{service} is not running")
        code, _ = await self.engine.exec.run(
            container.id,
            hook.hook.command,
            user=hook.hook.user or "",
            working_dir=hook.hook.working_dir,
            environment=dict(hook.hook.environment),
            privileged=hook.hook.privileged,
            timeout=math.inf,
            on_line=report,
        )
        return code


def _failure(hook: ProjectHook, how: str, last: Collection[str]) -> DevenvError:
    lines = "".join(f"\n  {line}" for line in last)
    command, more, _ = hook.typed.strip().partition("\n")
    message = f"{hook.where}: {hook.moment}: `{command}{' …' if more else ''}` {how}{lines}"
    return DevenvError(message, hint=f"Fix the command, or remove it from `x-devenv.hooks.{hook.moment}`.")
