"""How far services have come, which wait for which, and which ended with their engine.

Explains only: Compose orders the start, teardown the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from devenv.model.containers import Container, ProjectState
from devenv.model.project import Condition, Dependency, Project, Service


class Phase(StrEnum):
    """How far a service has come, the worst phase first."""

    EXITED = "exited"
    UNHEALTHY = "unhealthy"
    ABSENT = "absent"
    CREATED = "created"
    STARTING = "starting"
    STARTED = "started"
    HEALTHY = "healthy"
    COMPLETED = "completed"


GOOD = frozenset({Phase.STARTED, Phase.HEALTHY, Phase.COMPLETED})
UNTIL = {Condition.HEALTHY: "to be healthy", Condition.STARTED: "to start", Condition.COMPLETED: "to complete"}
BAD = frozenset({Phase.UNHEALTHY, Phase.EXITED})
GRACE = 15.0  # seconds before its end in which an engine that is told to end may end its containers
WINDOW = 10.0  # seconds from its return in which it may still find out that they have ended


@dataclass(frozen=True, slots=True)
class Standing:
    """A service's phase, and in words what it waits for or why it failed."""

    service: str
    phase: Phase
    detail: str = ""


def closure(project: Project, wanted: Iterable[str]) -> frozenset[str]:
    """The wanted services (all if none is named) and what they depend on. Raises KeyError for an unknown name."""
    known = {service.name: service for service in project.services}
    todo = list(wanted) or list(known)
    names: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in names:
            names.add(name)
            todo.extend(d.service for d in known[name].depends_on if d.required or d.service in known)
    return frozenset(names)


def phase(containers: Iterable[Container], *, one_shot: bool) -> tuple[Phase, Container | None]:
    """The phase of the replica that is furthest behind, and that replica.

    A container that ended with 0 has completed; a one-shot service (another service waits for its completion) is
    not up before that. A failed container that the engine is restarting still counts as failed.
    """
    rank = list(Phase)
    reached = ((_phase(container, one_shot=one_shot), container) for container in containers)
    return min(reached, key=lambda pair: rank.index(pair[0]), default=(Phase.ABSENT, None))


def _phase(container: Container, *, one_shot: bool) -> Phase:
    match container.state:
        case "created":
            return Phase.CREATED
        case "running" | "paused":
            by_health = {"starting": Phase.STARTING, "healthy": Phase.HEALTHY, "unhealthy": Phase.UNHEALTHY}
            if container.health is not None:
                return by_health[container.health]
            return Phase.STARTING if one_shot else Phase.STARTED
        case "exited" | "dead" | "removing":
            return Phase.COMPLETED if container.exit_code == 0 else Phase.EXITED
        case _:
            return Phase.EXITED if container.exit_code else Phase.STARTING


def standings(project: Project, names: frozenset[str], project_state: ProjectState) -> tuple[Standing, ...]:
    """Every named service with replicas, its phase, and what it waits for or how it ended."""
    one_shots = {d.service for s in project.services for d in s.depends_on if d.condition is Condition.COMPLETED}
    services = [s for s in project.services if s.name in names and (s.scale or project_state.of(s.name))]
    phases = {s.name: phase(project_state.of(s.name), one_shot=s.name in one_shots) for s in services}
    reached = {name: worst for name, (worst, _) in phases.items()}
    return tuple(Standing(s.name, reached[s.name], _detail(s, reached, phases[s.name][1])) for s in services)


def awaited(project: Project, project_state: ProjectState) -> frozenset[str]:
    """The services that a service which does not run yet waits for: if they ended, its start would fail."""
    begun = {s.name for s in project.services if project_state.of(s.name)}
    begun -= {c.service for c in project_state.containers if c.state == "created"}
    late = [s for s in project.services if s.name not in begun]
    return frozenset(d.service for s in late for d in s.depends_on if d.condition is not Condition.STARTED)


def optional(project: Project) -> frozenset[str]:
    """The services that others depend on only with `required: false`: they may fail."""
    needs = [d for s in project.services for d in s.depends_on]
    return frozenset(d.service for d in needs) - {d.service for d in needs if d.required}


def held_up(project: Project, current: Iterable[Standing]) -> dict[str, tuple[str, ...]]:
    """Service -> the services that do not run yet because they wait for it; only for services with such."""
    reached = {standing.service: standing.phase for standing in current}
    late = [s for s in project.services if reached.get(s.name) in (Phase.ABSENT, Phase.CREATED)]
    pairs = [(d.service, s.name) for s in late for d in unmet(s, reached)]
    return {name: tuple(other for needed, other in pairs if needed == name) for name, _ in pairs}


def followers(project: Project, changed: Iterable[str]) -> tuple[str, ...]:
    """The services that `restart: true` restarts after these were restarted, the nearest first."""
    names = list(changed)
    first = len(names)
    for name in names:
        depends = (s.name for s in project.services if any(d.restart and d.service == name for d in s.depends_on))
        names += [other for other in depends if other not in names]
    return tuple(names[first:])


def reminder(reports: int) -> float:
    """Seconds of a wait after which it is reported, after so many reports: 5, 15 and 60, then every minute."""
    return (5.0, 15.0)[reports] if reports < 2 else 60.0 * (reports - 1)  # noqa: PLR2004 - the length of the pair


def _detail(service: Service, reached: Mapping[str, Phase], container: Container | None) -> str:
    mine = reached[service.name]
    if mine is Phase.EXITED and container is not None:
        return f"exit code {container.exit_code}{', started again' if container.state == 'restarting' else ''}"
    if mine is Phase.UNHEALTHY:
        return "its health check fails"
    if mine in (Phase.ABSENT, Phase.CREATED):
        left = unmet(service, reached)
        waits = [
            f"{', '.join(d.service for d in left if d.condition is condition)} {words}"
            for condition, words in UNTIL.items()
            if any(d.condition is condition for d in left)
        ]
        return f"waits for {' and '.join(waits)}" if waits else ""
    if mine is Phase.STARTING:
        return "waits for its health check" if service.has_healthcheck else "is running to its end"
    return ""


def unmet(service: Service, reached: Mapping[str, Phase]) -> list[Dependency]:
    """What the service still waits for."""
    return [d for d in service.depends_on if d.service in reached and not _met(d.condition, reached[d.service])]


def _met(condition: Condition, reached: Phase) -> bool:
    match condition:
        case Condition.STARTED:
            return reached in GOOD or reached is Phase.STARTING
        case Condition.HEALTHY:
            return reached is Phase.HEALTHY
        case Condition.COMPLETED:
            return reached is Phase.COMPLETED


def stop_after(containers: Sequence[Container]) -> dict[str, frozenset[str]]:
    """Container id -> the ids of the containers that have to stop before it: those that depend on its service.

    Dependencies come from the label that Compose wrote at creation, so no file is needed. Containers in a cycle, and
    what they need, do not wait for each other.
    """
    users = {c.id: [d for d in containers if c.service in d.depends_on] for c in containers}
    left, order = list(containers), dict[str, frozenset[str]]()
    while left:
        free = [c for c in left if not any(user in left for user in users[c.id])]
        order |= {c.id: frozenset(user.id for user in users[c.id] if user.id in order) for c in free or left}
        left = [c for c in left if c not in free] if free else []
    return order


@dataclass
class EngineOutage:
    """Takes what is seen of containers, with the time in seconds of any clock; returns those to start again."""

    is_lost: bool = False
    _ended: dict[str, float | None] = field(default_factory=dict)  # ids of what ran -> when it was seen ended
    _keys: dict[str, tuple[str, str]] = field(default_factory=dict)  # of what ran when the engine went
    _until: float = 0.0

    def lost(self, containers: Iterable[Container], now: float) -> None:
        """Note that the engine does not answer; `containers` as they were seen last."""
        if not self.is_lost:
            self.is_lost = True
            recent = {id_ for id_, ended in self._ended.items() if ended is None or now - ended <= GRACE}
            self._keys = {c.id: c.key for c in containers if c.id in recent}

    def seen(self, containers: Iterable[Container], now: float) -> tuple[Container, ...]:
        """Return each container that ran until the engine went and has ended, once.

        None while any of them still runs: then only the connection was lost, and what ended did so by itself.
        """
        if self.is_lost:
            self.is_lost, self._until = False, now + WINDOW
        there = tuple(containers)
        for container in there:
            if container.running:
                self._ended[container.id] = None
            elif container.id in self._ended and self._ended[container.id] is None:
                self._ended[container.id] = now
        if now > self._until:
            self._keys = {}
        if any(c.running and self._keys.get(c.id) == c.key for c in there):
            return ()
        return tuple(c for c in there if c.state == "exited" and self._keys.pop(c.id, None) is not None)
