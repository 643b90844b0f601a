"""The phases of all services of a project, which service waits for which, and which ended with the engine.

This module only explains: `start_order` orders the start, and the teardown orders the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, ProjectState
from devenv.model.project import Condition, Dependency, Project, Service
from devenv.model.status import (
    ALWAYS,
    BAD,
    DATABASE_BEGINS,
    GOOD,
    OTHERS,
    Phase,
    Purpose,
    Standing,
    Watched,
    standing,
)

UNTIL = {Condition.HEALTHY: "to be healthy", Condition.STARTED: "to start", Condition.COMPLETED: "to complete"}
GRACE = 15.0  # seconds before its own end in which an engine may end its containers
WINDOW = 10.0  # seconds after its return in which an engine may still notice that they have ended


def closure(project: Project, wanted: Iterable[str]) -> frozenset[str]:
    """The wanted services (all if none is named) and what they depend on. Raises KeyError for an unknown name."""
    return _closure({service.name: service for service in project.services}, wanted)


def _closure(known: Mapping[str, Service], wanted: Iterable[str]) -> frozenset[str]:
    todo = list(wanted) or list(known)
    names: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in names:
            names.add(name)
            todo.extend(d.service for d in known[name].depends_on if d.required or d.service in known)
    return frozenset(names)


def standings(
    project: Project,
    names: frozenset[str],
    project_state: ProjectState,
    *,
    watched: Mapping[str, Watched] = MappingProxyType({}),
    removed: Collection[str] = (),
) -> tuple[Standing, ...]:
    """Every named service with replicas: its phase, and what it waits for or how it ended.

    `watched` is keyed by container id; the containers of `removed` services were removed by somebody else.
    """
    services = [s for s in project.services if s.name in names and (s.scale or project_state.of(s.name))]
    running = frozenset(c.service for c in project_state.containers if c.running)
    purposes = {s.name: purpose(project, s, running) for s in services}

    def of(service: Service, starting: Sequence[str] = ()) -> Standing:
        containers = project_state.of(service.name)
        if not containers and service.name in removed:
            return Standing(service.name, Phase.REMOVED, OTHERS)
        return standing(service.name, containers, purposes[service.name], watched, starting)

    reached = {s.name: of(s).phase for s in services}
    late = with_needs(project, still_starting(project, project_state, reached, watched))
    final = [(s, of(s, late_for(s.name, late))) for s in services]
    reached = {standing.service: standing.phase for _, standing in final}
    return tuple(
        standing if standing.detail else replace(standing, detail=_waits(s, reached)) for s, standing in final
    )


def purpose(project: Project, service: Service, running: Collection[str]) -> Purpose:
    """What the service is for."""
    users = [(s.name, d.condition) for s in project.services for d in s.depends_on if d.service == service.name]
    return Purpose(
        serves=bool(service.ports) or service.has_healthcheck or service.restart in ALWAYS,
        is_checked=service.has_healthcheck,
        is_awaited=any(condition is Condition.COMPLETED for _, condition in users),
        users=tuple(name for name, _ in users if name in running),
    )


def still_starting(
    project: Project, project_state: ProjectState, reached: Mapping[str, Phase], watched: Mapping[str, Watched]
) -> list[str]:
    """The services that others may be waiting for: starting, about to start, or a new database.

    A service that waits for another one is not included.
    """
    databases = [
        c.service
        for c in project_state.containers
        if c.running and c.database and c.health is None and watched.get(c.id, Watched()).lasted < DATABASE_BEGINS
    ]
    return [
        s.name
        for s in project.services
        if (phase := reached.get(s.name)) is Phase.STARTING
        or s.name in databases
        or (phase in (Phase.ABSENT, Phase.CREATED) and not unmet(s, reached))
    ]


def with_needs(project: Project, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Each of these services, with itself and what it depends on."""
    known = {service.name: service for service in project.services}
    return {name: _closure(known, [name]) for name in names}


def late_for(service: str, late: Mapping[str, frozenset[str]]) -> list[str]:
    """Those of the late services (see `with_needs`) that this one may be waiting for: none that depends on it."""
    return [name for name, needed in late.items() if service not in needed]


def awaited(project: Project, project_state: ProjectState) -> frozenset[str]:
    """The services that services not yet running wait for: if they ended, those could not start."""
    begun = {s.name for s in project.services if project_state.of(s.name)}
    begun -= {c.service for c in project_state.containers if c.state == "created"}
    late = [s for s in project.services if s.name not in begun]
    return frozenset(d.service for s in late for d in s.depends_on if d.condition is not Condition.STARTED)


def optional(project: Project) -> frozenset[str]:
    """The services that others depend on only with `required: false`: they may fail."""
    needs = [d for s in project.services for d in s.depends_on]
    return frozenset(d.service for d in needs) - {d.service for d in needs if d.required}


def culprit(project: Project, failed: Standing, current: Iterable[Standing]) -> Standing:
    """The service that a failed service cannot do without, if that has failed or crashes, too; else the service."""
    crashing = {s.service: s for s in current if s.phase in (*BAD, Phase.RESTARTING) and s.service != failed.service}
    while True:
        needs = [d.service for d in project.service(failed.service).depends_on if d.service in crashing]
        if not needs:
            return failed
        failed = crashing.pop(needs[0])


def held_up(project: Project, current: Iterable[Standing]) -> dict[str, tuple[str, ...]]:
    """For each service that others wait for, the services that are not running yet because of it."""
    reached = {standing.service: standing.phase for standing in current}
    late = [s for s in project.services if reached.get(s.name) in (Phase.ABSENT, Phase.CREATED)]
    pairs = [(d.service, s.name) for s in late for d in unmet(s, reached)]
    return {name: tuple(other for needed, other in pairs if needed == name) for name, _ in pairs}


def followers(project: Project, changed: Iterable[str]) -> tuple[str, ...]:
    """The services that `restart: true` restarts after these services; direct dependents first."""
    names = list(changed)
    first = len(names)
    for name in names:
        depends = (s.name for s in project.services if any(d.restart and d.service == name for d in s.depends_on))
        names += [other for other in depends if other not in names]
    return tuple(names[first:])


def reminder(reports: int) -> float:
    """Seconds of waiting after which the next report is due: 5, 15 and 60, then every minute."""
    return (5.0, 15.0)[reports] if reports < 2 else 60.0 * (reports - 1)  # noqa: PLR2004 - the length of the pair


def _waits(service: Service, reached: Mapping[str, Phase]) -> str:
    if reached[service.name] not in (Phase.ABSENT, Phase.CREATED):
        return ""
    left = unmet(service, reached)
    waits = [
        f"{', '.join(d.service for d in left if d.condition is condition)} {words}"
        for condition, words in UNTIL.items()
        if any(d.condition is condition for d in left)
    ]
    return f"waits for {' and '.join(waits)}" if waits else ""


def unmet(service: Service, reached: Mapping[str, Phase]) -> list[Dependency]:
    """The dependencies that the service still waits for."""
    return [d for d in service.depends_on if d.service in reached and not met(d.condition, reached[d.service])]


def met(condition: Condition, reached: Phase) -> bool:
    """Whether a service in this phase meets the condition of a dependent."""
    match condition:
        case Condition.STARTED:
            return reached in GOOD or reached is Phase.STARTING
        case Condition.HEALTHY:
            return reached is Phase.HEALTHY
        case Condition.COMPLETED:
            return reached is Phase.COMPLETED


def stop_after(containers: Sequence[Container]) -> dict[str, frozenset[str]]:
    """Container id -> the ids of the containers that stop before it: those that depend on its service.

    Dependencies come from the label that Compose wrote at creation, so no file is needed. Containers in a cycle, and
    their dependencies, do not wait for each other.
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
    """Finds the containers to start again after an outage. All times are in seconds of any one clock."""

    is_lost: bool = False
    _ended: dict[str, float | None] = field(
        default_factory=dict
    )  # id of a container that ran -> when its end was seen
    _keys: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # of the containers that ran when the engine was lost
    _until: float = 0.0

    def lost(self, containers: Iterable[Container], now: float) -> None:
        """Note that the engine does not answer; `containers` as last seen."""
        if not self.is_lost:
            self.is_lost = True
            recent = {id_ for id_, ended in self._ended.items() if ended is None or now - ended <= GRACE}
            self._keys = {c.id: c.key for c in containers if c.id in recent}

    def seen(self, containers: Iterable[Container], now: float) -> tuple[Container, ...]:
        """Return each container that ran until the engine was lost and has ended, once.

        Returns none while any of them still runs: then only the connection was lost, and a container that ended did
        so by itself.
        """
        if self.is_lost:
            self.is_lost, self._until = False, now + WINDOW
        current = tuple(containers)
        for container in current:
            if container.running:
                self._ended[container.id] = None
            elif container.id in self._ended and self._ended[container.id] is None:
                self._ended[container.id] = now
        if now > self._until:
            self._keys = {}
        if any(c.running and self._keys.get(c.id) == c.key for c in current):
            return ()
        return tuple(c for c in current if c.state == "exited" and self._keys.pop(c.id, None) is not None)
