"""What a service that failed leaves behind, gathered into the error that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from devenv.compose import resolve
from devenv.compose.files import Place
from devenv.compose.resolve import Loaded, Selection
from devenv.docker.client import Engine
from devenv.docker.compose_failures import VerbError, plain
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.model.containers import Container, ProjectState
from devenv.run.active import causes
from devenv.run.active.causes import Cause, Facts
from devenv.run.active.phases import BAD, Phase, Standing

SHOWN_LINES = 12
KNOWN_LINES = 40
CHECK_LINES = 3

Found = tuple[Facts, Cause | None]


@dataclass(frozen=True)
class FailureReporter:
    """Finds out why a service of the loaded project failed, and where in its files that is to be mended."""

    engine: Engine
    loaded: Loaded
    selection: Selection

    async def failed(self, standing: Standing, containers: Sequence[Container]) -> DevenvError:
        """The error for a service that has failed: how, why, what its health check and its log say last."""
        found = await self._found(standing.service, containers)
        cause = next((cause for _, cause in found if cause), None)
        sick = standing.phase is Phase.UNHEALTHY
        how = standing.detail if sick else f"ended with {standing.detail}"
        first = f"service {standing.service} failed: {how}{self._why(cause)}"
        file, line = await self._place(cause)
        hint = cause.hint if cause else _look(standing.service, sick=sick)
        return DevenvError("\n".join([first, *_said(found)]), hint=hint, file=file, line=line)

    async def refused(self, error: VerbError, project_state: ProjectState) -> DevenvError:
        """The error for what Compose or the engine would not create or start."""
        stuck = next((c for c in project_state.containers if c.error and plain(c.error) == error.reason), None)
        service = error.service or (stuck.service if stuck else None)
        cause = causes.explain(await self._around(service or "", stuck, error.reason))
        if cause is None:
            hint = f"Correct `{service}` in the compose file: these are the engine's own words." if service else None
            return EngineError(VerbError(error.verb, error.reason, service).message, hint=hint)
        file, line = await self._place(cause)
        kind = ConfigError if line and not cause.outside else EngineError
        said = VerbError(error.verb, self._why(cause).removeprefix(": "), service).message
        return kind(said, hint=cause.hint, file=file, line=line)

    async def late(self, found: Sequence[Standing], project_state: ProjectState, timeout: float) -> DevenvError:
        """The error for not being up after `timeout` seconds, with the last words of those that are late."""
        text = [
            f"not healthy after {timeout:.0f} s: {'; '.join(f'{s.service} {s.detail or s.phase}' for s in found)}"
        ]
        hint = None
        for standing in (s for s in found if s.phase in BAD or s.phase is Phase.STARTING):
            facts = await self._found(standing.service, project_state.of(standing.service))
            cause = next((cause for _, cause in facts if cause), None)
            text += [f"{standing.service} {standing.detail}{self._why(cause)}", *_said(facts)]
            hint = hint or (cause.hint if cause else None)
        return DevenvError("\n".join(text), hint=hint or f"devenv up --timeout {2 * timeout:.0f}")

    async def _found(self, service: str, containers: Iterable[Container]) -> list[Found]:
        facts = [await self._facts(service, container) for container in containers]
        return [(one, causes.explain(one)) for one in facts]

    async def _facts(self, service: str, container: Container) -> Facts:
        logs = self.engine.containers.logs(container, tail=str(KNOWN_LINES), follow=False)
        return replace(
            await self._around(service, container, plain(container.error) if container.error else ""),
            exit_code=container.exit_code,
            out_of_memory=container.out_of_memory,
            lines=tuple([line async for _, line in logs]),
            check=""
            if container.health in (None, "healthy")
            else await self.engine.containers.health_output(container.id),
        )

    async def _around(self, service: str, container: Container | None, refusal: str) -> Facts:
        """What is known without asking the container."""
        project = self.loaded.project
        return Facts(
            service,
            refusal=refusal,
            limited=_has_memory_limit(self.loaded.model, service),
            user=container.user if container else "",
            platform=await self.engine.images.platform(container.image) if container else "",
            engine_platform=self.engine.platform,
            mounts=next((s.volumes for s in project.services if s.name == service), ()),
            services=tuple(s.name for s in project.services),
            owners=causes.owners(self.loaded.model),
        )

    def _why(self, cause: Cause | None) -> str:
        """The cause after a colon, the files of the project as they are called in it."""
        return "" if cause is None else f": {cause.what}".replace(f"{self.loaded.project.directory}/", "")

    async def _place(self, cause: Cause | None) -> Place:
        """Where the first of the places to blame is written; nowhere where none is."""
        for path in cause.paths if cause else ():
            if _is_written(self.loaded.model, path):
                try:
                    return await anyio.to_thread.run_sync(resolve.where, self.selection, path)
                except DevenvError:  # the files have been edited meanwhile
                    break
        return None, None


def _has_memory_limit(model: Mapping[str, Any], service: str) -> bool:
    wish = (model.get("services") or {}).get(service) or {}
    limits = ((wish.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    return bool(wish.get("mem_limit") or limits.get("memory"))


def _said(found: Iterable[Found]) -> list[str]:
    """What the checks and the logs said last, and before that the line that gave the cause away."""
    said: list[str] = []
    for facts, cause in found:
        said += [f"  health check: {line.strip()}" for line in _lines(facts.check)[-CHECK_LINES:]]
        begin = max(0, len(facts.lines) - SHOWN_LINES)
        said += [f"  {facts.lines[cause.line]}", "  ..."] if cause and 0 <= cause.line < begin else []
        said += [f"  {line}" for line in facts.lines[begin:] if line.strip()]
    return said


def _lines(text: str) -> list[str]:
    """The lines that say something; a bar of progress says one after each carriage return."""
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


def _look(service: str, *, sick: bool) -> str:
    if sick:
        return f"If it only begins slowly, raise `healthcheck.start_period` of {service}."
    return f"To look inside: devenv run --rm --no-deps --entrypoint sh {service}"


def _is_written(model: Mapping[str, Any], path: Iterable[str]) -> bool:
    found: Any = model
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found is not None
