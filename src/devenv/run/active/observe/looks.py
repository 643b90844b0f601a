"""Looks at a project on the engine: as a whole, or at the containers alone that events have named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from devenv.docker.client import Engine
from devenv.model.containers import Container, ProjectState
from devenv.run.active.observe.view import Signal
from devenv.tasks import each

# Actions that change one container and no list of objects.
CHANGES = frozenset({"start", "die", "stop", "kill", "oom", "pause", "unpause"})


class Looks:
    """The looks of an observer, which `look_again` wakes.

    A look is at the whole project, unless only events of known containers, or `again`, have woken the observer.
    """

    def __init__(self, engine: Engine, look_again: Signal) -> None:
        self.engine = engine
        self._look_again = look_again
        self._state: ProjectState | None = None  # as seen last; None: the next look is at the whole project
        self._named: set[str] = set()  # ids of containers
        self._sent = 0  # how often the signal was sent for the state, or since then for an event

    def note(self, event: Mapping[str, Any]) -> None:
        """Wake the observer because of an event of the engine; an empty event begins the stream."""
        action = str(event.get("Action", ""))
        if event.get("Type") == "container" and (action in CHANGES or action.startswith("health_status")):
            self._named.add(str((event.get("Actor") or {}).get("ID", "")))
            self._sent += 1
        self._look_again.send()

    def again(self, containers: Iterable[Container]) -> None:
        """Wake the observer to look at these containers."""
        self._named.update(container.id for container in containers)
        self._sent += 1
        self._look_again.send()

    def forget(self) -> None:
        """Look at the whole project next time."""
        self._state = None

    async def look(self, project: str) -> ProjectState:
        """The state of the project now. Raises EngineError."""
        before, self._state = self._state, None  # also if this look fails
        named, self._named = self._named, set()
        is_by_events, self._sent = self._sent == self._look_again.sent, self._look_again.sent
        known = {container.id for container in before.containers} if before else frozenset()
        if before is None or not is_by_events or not named <= known:
            self._state = await self.engine.project_state(project)
            return self._state
        changed = {c.id: c for c in await each(self.engine.containers.inspect, sorted(named)) if c is not None}
        self._state = replace(before, containers=tuple(changed.get(c.id, c) for c in before.containers))
        if len(changed) < len(named):  # a container is gone
            self._state = await self.engine.project_state(project)
        return self._state
