"""The error for a service that failed: its cause, a hint, the place in the files, and the last output."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import anyio

from devenv.compose import resolve
from devenv.compose.files import Place
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.docker.compose_failures import VerbError, plain
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, ProjectState, unix_time
from devenv.model.project import Mount, Service
from devenv.model.status import BAD, Phase, Standing
from devenv.paths import is_within
from devenv.run.active import causes
from devenv.run.active.causes import Cause, FailureFacts, Script

SHOWN_LINES = 12
KNOWN_LINES = 40
CHECK_LINES = 3
SHEBANG_LIMIT = 256  # bytes
FOLDERS_SEARCHED = 500
SKIPPED = frozenset({".git", ".venv", "__pycache__", "node_modules", "target", "vendor"})

Diagnosis = tuple[FailureFacts, Cause | None]


@dataclass(frozen=True)
class FailureReporter:
    """Finds out why a service of the loaded project failed, and the place in the files to correct."""

    engine: Engine
    loaded: Loaded
    selection: Selection
    since: Callable[[Container], str] = lambda _: ""  # the end of the process before the container's last one

    async def failed(self, standing: Standing, containers: Sequence[Container]) -> DevenvError:
        """The error for a failed service, with the last output of its health check and its log."""
        diagnoses, cause = await self._diagnosed(standing.service, containers)
        first = f"service {standing.service} failed: {standing.how}{self._why(cause)}"
        file, line = await self._place(cause, standing.service)
        hint = f"To look inside: devenv run --rm --no-deps --entrypoint sh {standing.service}"
        if any(c.health == "unhealthy" for c in containers):
            hint = f"If it only starts slowly, raise `healthcheck.start_period` of {standing.service}."
        elif standing.phase is Phase.UNHEALTHY:
            hint = "devenv up   (somebody disconnected it while it was starting)"
        hint = cause.hint if cause else hint
        return DevenvError("\n".join([first, *_output(diagnoses)]), hint=hint, file=file, line=line)

    async def refused(self, error: VerbError, project_state: ProjectState) -> DevenvError:
        """The error for a service that Compose or the engine refused to create or start."""
        stuck = next((c for c in project_state.containers if c.error and plain(c.error) == error.reason), None)
        service = error.service or (stuck.service if stuck else None)
        cause = causes.explain(await self._known_facts(service or "", stuck, error.reason))
        if cause is None:
            hint = f"Correct `{service}` in the Compose file: the message is that of the engine." if service else None
            return EngineError(VerbError(error.verb, error.reason, service).message, hint=hint)
        file, line = await self._place(cause, service or "")
        kind = {1: DevenvError, 4: EngineError, 5: ConfigError}[cause.exit_code]
        message = VerbError(error.verb, self._why(cause).removeprefix(": "), service).message
        return kind(message, hint=cause.hint, file=file, line=line)

    async def late(self, standings: Sequence[Standing], project_state: ProjectState, timeout: float) -> DevenvError:
        """The error for services that are not up after `timeout` seconds, with their last output."""
        text = [f"not healthy after {timeout:.0f} s: {'; '.join(f'{s.service} {s.how}' for s in standings)}"]
        hint = None
        for standing in (s for s in standings if s.phase in (*BAD, Phase.STARTING, Phase.RESTARTING)):
            diagnoses, cause = await self._diagnosed(standing.service, project_state.of(standing.service))
            text += [f"{standing.service} {standing.how}{self._why(cause)}", *_output(diagnoses)]
            hint = hint or (cause.hint if cause else None)
        return DevenvError("\n".join(text), hint=hint or f"devenv up --timeout {2 * timeout:.0f}")

    async def _diagnosed(self, service: str, containers: Iterable[Container]) -> tuple[list[Diagnosis], Cause | None]:
        facts = [await self._facts(service, container) for container in containers]
        diagnoses = [(known, _cause(known)) for known in facts]
        return diagnoses, next((cause for _, cause in diagnoses if cause), None)

    async def _facts(self, service: str, container: Container) -> FailureFacts:
        since = unix_time(self.since(container))
        logs = self.engine.containers.logs(container, since=since, tail=str(KNOWN_LINES), follow=False)
        is_unwell = container.health not in (None, "healthy")
        check = await self.engine.containers.health_output(container.id) if is_unwell else ""
        return replace(
            await self._known_facts(service, container, plain(container.error) if container.error else ""),
            exit_code=container.exit_code,
            out_of_memory=container.out_of_memory,
            lines=tuple([line async for _, line in logs]),
            check=check,
        )

    async def _known_facts(self, service: str, container: Container | None, refusal: str) -> FailureFacts:
        project = self.loaded.project
        service_ = next((s for s in project.services if s.name == service), None)
        mounts = (*service_.volumes, *(Mount("tmpfs", path) for path in service_.tmpfs)) if service_ else ()
        return FailureFacts(
            service,
            refusal=refusal,
            limited=_has_memory_limit(self.loaded.model, service),
            user=container.user if container else "",
            platform=await self.engine.images.platform(container.image) if container else "",
            engine_platform=self.engine.platform,
            mounts=mounts,
            services=tuple(s.name for s in project.services),
            owners=causes.owners(self.loaded.model),
            local_variables=causes.local_variables(self.loaded.model, service),
            find_script=partial(find_script, project.directory, service_),
        )

    def _why(self, cause: Cause | None) -> str:
        """The cause after a colon, with paths relative to the project."""
        return "" if cause is None else f": {cause.what}".replace(f"{self.loaded.project.directory}/", "")

    async def _place(self, cause: Cause | None, service: str) -> Place:
        """The place of the cause's first path that is in the files, or else of the service; else (None, None)."""
        for path in (*(cause.paths if cause else ()), *([("services", service)] if service else ())):
            if _is_written(self.loaded.model, path):
                try:
                    return await anyio.to_thread.run_sync(resolve.where, self.selection, path)
                except DevenvError:  # the files were edited meanwhile
                    break
        return None, None


def find_script(directory: str, service: Service | None, program: str) -> Script | None:
    """The file on this machine that is this program in the service's containers: mounted, or in the build context."""
    paths = (
        []
        if service is None
        else [
            os.path.normpath(f"{mount.source}/{program[len(mount.target) :]}")
            for mount in service.volumes
            if mount.type == "bind" and mount.source and is_within(program, mount.target)
        ]
    )
    if service is not None and service.build is not None:
        paths += _named(service.build.context, os.path.basename(program))
    for path in filter(os.path.isfile, paths):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            first_line = file.readline(SHEBANG_LIMIT).decode(errors="replace").removesuffix("\n")
            return Script(os.path.relpath(path, directory) if is_within(path, directory) else path, first_line)
    return None


def _named(folder: str, name: str) -> list[str]:
    """The only file with that name in the folder tree, of which a limited number of folders is searched."""
    paths: list[str] = []
    for count, (above, folders, files) in enumerate(os.walk(folder)):
        folders[:] = sorted(set(folders) - SKIPPED) if count < FOLDERS_SEARCHED else []
        paths += [os.path.join(above, name)] if name in files else []
    return paths if len(paths) == 1 else []


def _cause(facts: FailureFacts) -> Cause | None:
    """The cause. A process that ended by itself has its own reason, whatever its last health check said."""
    own = causes.explain(replace(facts, check="")) if facts.exit_code and facts.check else None
    return own or causes.explain(facts)


def _has_memory_limit(model: Mapping[str, Any], service: str) -> bool:
    definition = (model.get("services") or {}).get(service) or {}
    limits = ((definition.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    return bool(definition.get("mem_limit") or limits.get("memory"))


def _output(diagnoses: Iterable[Diagnosis]) -> list[str]:
    """The last lines of health checks and logs, preceded by the line that shows the cause."""
    output: list[str] = []
    for facts, cause in diagnoses:
        output += [f"  health check: {line.strip()}" for line in _lines(facts.check)[-CHECK_LINES:]]
        begin = max(0, len(facts.lines) - SHOWN_LINES)
        output += [f"  {facts.lines[cause.line]}", "  ..."] if cause and 0 <= cause.line < begin else []
        output += [f"  {line}" for line in facts.lines[begin:] if line.strip()]
    return output


def _lines(text: str) -> list[str]:
    """The lines that are not blank. In a progress bar, each carriage return begins a line."""
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


def _is_written(model: Mapping[str, Any], path: Iterable[str]) -> bool:
    value: Any = model
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value is not None
