"""Starts containers in the order of `depends_on`, each service as soon as its conditions hold.

`docker compose start` looks at conditions every half second, and has to read the project first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import anyio

from devenv.docker.client import Engine
from devenv.docker.compose_failures import Failures, VerbError
from devenv.docker.transport import CallError
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, ProjectState
from devenv.model.project import Condition, Dependency
from devenv.model.status import BAD, Phase
from devenv.run.active.observe.observer import Observer
from devenv.run.active.phases import met
from devenv.tasks import each, task_group


def needs_compose(model: Mapping[str, Any]) -> bool:
    """Whether only Compose can start the services of a run model.

    It runs hooks, and puts configs and secrets without a file into containers, when it starts them.
    """
    given = {
        (kind, key)
        for kind in ("configs", "secrets")
        for key, value in (model.get(kind) or {}).items()
        if {"content", "environment"} & {*(value or {})}
    }
    return any(
        {"post_start", "pre_start", "provider"} & service.keys()
        or given & {(kind, _source(use)) for kind in ("configs", "secrets") for use in service.get(kind) or ()}
        for service in model["services"].values()
    )


def _source(use: Any) -> Any:
    return use.get("source") if isinstance(use, Mapping) else use


@dataclass
class OrderedStart:
    """A start of services of an observed project; `failures` returns the reader of the engine's errors."""

    engine: Engine
    observer: Observer
    failures: Callable[[], Failures]

    async def start(self, names: Collection[str], project_state: ProjectState) -> None:
        """Start the containers of these services that do not run.

        Dependencies that are neither started here nor running are not waited for. Raises VerbError, PortError.
        """
        started = {name: anyio.Event() for name in names}
        before = {c.key for c in project_state.containers if c.service in started and _is_ended(c)}

        async def start(name: str) -> None:
            for needed in self.observer.view.project.service(name).depends_on:
                if needed.service in started:
                    await started[needed.service].wait()
                    await self._until_met(needed, before)
                elif any(c.running for c in project_state.of(needed.service)):
                    await self._until_met(needed, before)
            await each(self._start, filter(_is_ended, project_state.of(name)))
            started[name].set()

        async with task_group() as tasks:
            for name in sorted(names):
                tasks.start_soon(start, name)

    async def _start(self, container: Container) -> None:
        try:
            await self.engine.containers.start(container)
        except CallError as error:
            raise self.failures().of_verb("start", error.reason, container.service) from error

    async def _until_met(self, needed: Dependency, before: Collection[tuple[str, str]]) -> None:
        """Wait until the condition holds; `before` are the containers as they were before their start."""
        while needed.condition is not Condition.STARTED:
            moved = self.observer.moved()
            is_seen = not any(c.key in before for c in self.observer.project_state.of(needed.service))
            phases = [s.phase for s in self.observer.standings() if s.service == needed.service and is_seen]
            if any(met(needed.condition, phase) for phase in phases):
                return
            is_unchecked = needed.condition is Condition.HEALTHY and Phase.STARTED in phases
            if is_unchecked or BAD.intersection(phases):
                if not needed.required:
                    return
                how = "has no health check" if is_unchecked else "failed to start"
                raise VerbError("start", f"dependency `{needed.service}` {how}")
            await moved.wait()


def _is_ended(container: Container) -> bool:
    return container.state not in ("running", "paused", "restarting")
