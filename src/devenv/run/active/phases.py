"""Who waits for whom, from observed states: it explains, Compose orders the start, teardown the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from devenv.model.containers import Container, ProjectState
from devenv.model.project import Condition, Dependency, Project, Service


class Phase(StrEnum):
    """How far a service has come, the worst first."""

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


@dataclass(frozen=True, slots=True)
class Standing:
    """A service's phase, and in words what it waits for or why it failed."""

    service: str
    phase: Phase
    detail: str = ""


def closure(project: Project, wanted: Iterable[str]) -> frozenset[str]:
    """The services asked for (all where none is named) with everything that they depend on.

    Raises KeyError with the name of a service that is not in the project.
    """
    known = {service.name: service for service in project.services}
    todo = list(wanted) or list(known)
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(d.service for d in known[name].depends_on if d.required or d.service in known)
    return frozenset(found)


def phase(containers: Iterable[Container], *, one_shot: bool) -> tuple[Phase, Container | None]:
    """The phase of the replica that is furthest behind, and that replica.

    A container that ended with 0 has completed; a one-shot service (somebody waits for its completion) is not
    done before that. A failed container that the engine is restarting still counts as failed.
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
    """Every named service with its phase; `detail` says on what it waits or how it ended.

    A service of no replicas has none, unless somebody scaled it up.
    """
    awaited = {d.service for s in project.services for d in s.depends_on if d.condition is Condition.COMPLETED}
    there = [s for s in project.services if s.name in names and (s.scale or project_state.of(s.name))]
    phases = {s.name: phase(project_state.of(s.name), one_shot=s.name in awaited) for s in there}
    reached = {name: found[0] for name, found in phases.items()}
    return tuple(Standing(s.name, reached[s.name], _detail(s, reached, phases[s.name][1])) for s in there)


def awaited(project: Project, project_state: ProjectState) -> frozenset[str]:
    """The services that another one, which does not run yet, waits for: were they to end, its start would fail."""
    late = [
        s
        for s in project.services
        if not project_state.of(s.name) or any(c.state == "created" for c in project_state.of(s.name))
    ]
    return frozenset(d.service for s in late for d in s.depends_on if d.condition is not Condition.STARTED)


def optional(project: Project) -> frozenset[str]:
    """The services that others depend on, but all with `required: false`: these may fail and hold up nobody."""
    needs = [d for s in project.services for d in s.depends_on]
    return frozenset(d.service for d in needs) - {d.service for d in needs if d.required}


def held_up(project: Project, found: Iterable[Standing]) -> dict[str, tuple[str, ...]]:
    """Services that others wait for -> those others, which do not run yet."""
    reached = {standing.service: standing.phase for standing in found}
    late = [s for s in project.services if reached.get(s.name) in (Phase.ABSENT, Phase.CREATED)]
    pairs = [(d.service, s.name) for s in late for d in unmet(s, reached)]
    return {name: tuple(other for needed, other in pairs if needed == name) for name, _ in pairs}


def followers(project: Project, changed: Iterable[str]) -> tuple[str, ...]:
    """The services that `restart: true` restarts when these were, the nearest first."""
    found = list(changed)
    begun = len(found)
    for name in found:
        depends = (s.name for s in project.services if any(d.restart and d.service == name for d in s.depends_on))
        found += [other for other in depends if other not in found]
    return tuple(found[begun:])


def reminder(told: int) -> float:
    """Seconds until a wait, told of so many times, is told of (again): after 5, 15 and 60, then every minute."""
    return (5.0, 15.0)[told] if told < 2 else 60.0 * (told - 1)  # noqa: PLR2004 - the length of the pair


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
    """Container id -> the ids of those that have to stop before it: who depends on its service.

    Dependencies come from the label that Compose wrote at birth, so no file is needed. Those in a cycle, and what
    they need, wait for none of each other.
    """
    users = {c.id: [d for d in containers if c.service in d.depends_on] for c in containers}
    left, found = list(containers), dict[str, frozenset[str]]()
    while left:
        free = [c for c in left if not any(user in left for user in users[c.id])]
        found |= {c.id: frozenset(user.id for user in users[c.id] if user.id in found) for c in free or left}
        left = [c for c in left if c not in free] if free else []
    return found
