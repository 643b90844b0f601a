"""What is known of a project from inspections and events: what its services do. No I/O."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, NamedTuple

import anyio

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, ProjectState
from devenv.model.project import Project
from devenv.model.status import ENDED, GOOD, STEADY, Phase, Standing, Watched
from devenv.run.active.observe.watch import ContainerWatch, Life
from devenv.run.active.phases import late_for, standings, still_starting, with_needs


class Signal:
    """Wakes all tasks that are waiting for the next `send`."""

    def __init__(self) -> None:
        self.sent = 0  # how often
        self._event = anyio.Event()

    def send(self) -> None:
        """Wake all waiting tasks."""
        self.sent += 1
        self._event.set()
        self._event = anyio.Event()

    def next(self) -> anyio.Event:
        """The event of the next `send`."""
        return self._event


class BegunLook(NamedTuple):
    """A look at the engine: when it began, and the ids of containers that we had ended before."""

    at: float
    over: frozenset[str]


@dataclass
class ProjectView:
    """The project as last seen; times are in seconds of one clock."""

    project: Project
    names: frozenset[str]
    state: ProjectState = field(default_factory=ProjectState)
    watch: ContainerWatch = field(default_factory=ContainerWatch)
    looked_at: float = 0.0  # when the last finished look began
    look_again: Signal = field(default_factory=Signal)  # sent when something may have changed
    _reported: dict[str, Standing] = field(default_factory=dict)
    _history: set[Life] = field(default_factory=set)
    _had: dict[str, frozenset[str]] = field(default_factory=dict)  # service -> ids of the containers seen last
    _missing: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())  # services, in the last two looks
    _ending: set[str] = field(default_factory=set)  # ids of containers that we end ourselves
    _over: set[str] = field(default_factory=set)  # those of them that have ended

    def follow(self, project: Project, names: frozenset[str]) -> None:
        """Observe this project, and these services of it, from now on."""
        self.project, self.names = project, names
        self._reported = {name: standing for name, standing in self._reported.items() if name in names}

    def look_at(self, state: ProjectState) -> None:
        """Set the current state."""
        containers = (replace(c, state="created") if c.key in self._history else c for c in state.containers)
        self.state = replace(state, containers=tuple(containers))

    def begin_look(self, now: float) -> BegunLook:
        """Return the value for `finish_look`: a look that began before one of our ends was over may still see it."""
        return BegunLook(now, frozenset(self._over))

    def finish_look(self, state: ProjectState, begun: BegunLook, now: float) -> None:
        """Set the result of a look; `begun` is the value that `begin_look` returned."""
        self.look_at(state)
        self.looked_at = begun.at
        over = begun.over & self._over
        self._note_missing()
        self._ending -= over
        self._over -= over
        reached = {s.service: s.phase for s in self.standings()}
        late = with_needs(self.project, still_starting(self.project, self.state, reached, self._watched()))
        for container in self.chosen:
            self.watch.look(container, now, counts=not late_for(container.service, late))

    def _note_missing(self) -> None:
        """Note which services have lost their containers, except through this run."""
        missing = set[str]()
        for service in self.names:
            if ids := frozenset(c.id for c in self.state.of(service)):
                self._had[service] = ids
            elif self._ending & self._had.get(service, frozenset()):
                del self._had[service]
            elif service in self._had:
                missing.add(service)
        self._missing = self._missing[1], frozenset(missing)

    @property
    def removed(self) -> frozenset[str]:
        """Services whose containers somebody else removed: missing in two looks, as one answer may be wrong."""
        return self._missing[0] & self._missing[1]

    @property
    def chosen(self) -> tuple[Container, ...]:
        """The containers of the chosen services."""
        return tuple(c for c in self.state.containers if c.service in self.names)

    def forget(self, containers: Iterable[Container]) -> None:
        """Let ended containers count as created until they are started, or until `all_started`."""
        self._history |= {c.key for c in containers if c.state in ("exited", "dead")}

    def all_started(self) -> None:
        """Note that everything has been started: from now on, an ended container has ended."""
        self._history.clear()
        self.look_again.send()

    @contextlib.contextmanager
    def ending(self, containers: Iterable[Container]) -> Iterator[None]:
        """While the context is open, we end these containers: that is neither reported nor a failure."""
        ids = {c.id for c in containers}
        self._ending |= ids
        self._over -= ids
        try:
            yield
        finally:
            self._over |= ids  # the current look may still see them ended; the next look counts
            self.look_again.send()

    def expect_end(self, containers: Iterable[Container]) -> None:
        """Note that these containers have ended and are about to be started again, in a context of `ending`."""
        self._ending |= {c.id for c in containers}

    def standings(self) -> tuple[Standing, ...]:
        """Every chosen service as last seen; services that this run is ending keep their previous standing."""
        if not self.state.containers and not self.removed:
            return ()
        ours = {c.service for c in self.state.containers if c.id in self._ending}
        return tuple(
            self._reported.get(s.service, s) if s.phase in ENDED and s.service in ours else s
            for s in standings(self.project, self.names, self.state, watched=self._watched(), removed=self.removed)
        )

    def _watched(self) -> dict[str, Watched]:
        networks = {network.name for network in self.project.networks}
        return {c.id: self.watch.of(c, self.looked_at, networks) for c in self.chosen}

    def note(self, event: Mapping[str, Any], now: float) -> bool:
        """Take in an event that came now. Return whether it is of a container, or of a network of the project."""
        self.watch.event(event, self._ending, now)
        name = ((event.get("Actor") or {}).get("Attributes") or {}).get("name")
        return event.get("Type") != "network" or name in {network.name for network in self.project.networks}

    def has_moved(self, standing: Standing) -> bool:
        """Whether phase or reason differ from what was last reported."""
        reported = self._reported.get(standing.service)
        return reported is None or (reported.phase, reported.detail) != (standing.phase, standing.detail)

    def is_news(self, standing: Standing) -> bool:
        """Whether the standing differs from what was last reported; it counts as reported from now on."""
        if self._reported.get(standing.service) == standing:
            return False
        self._reported[standing.service] = standing
        return True

    def is_well(self) -> bool:
        """Whether every service is up or has completed."""
        now = self.standings()
        return bool(now) and all(s.phase in GOOD for s in now)

    def is_over(self) -> bool:
        """Whether every service has ended by itself; services that the user stopped may be started again."""
        now, alive = self.standings(), any(c.running or c.state == "restarting" for c in self.chosen)
        return bool(now) and not alive and all(s.phase in ENDED and s.phase is not Phase.STOPPED for s in now)

    def has_to_last(self, standing: Standing) -> float:
        """Seconds after the last look until the service counts as up; 0 if it does already."""
        if standing.phase is not Phase.STARTED:
            return 0.0
        lives = {c.key: self.watch.since(c, self.looked_at) for c in self.state.of(standing.service)}
        watch = self.watch
        until = (since + (watch.patience if life in watch.busy else STEADY) for life, since in lives.items())
        return max(until) - self.looked_at

    def has_lost_network(self, service: str) -> bool:
        """Whether a container of the service was disconnected from a network of the project."""
        watched = self._watched()
        return any(watched[c.id].lost for c in self.chosen if c.service == service)
