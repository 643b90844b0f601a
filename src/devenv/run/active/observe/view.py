"""What is known of a project from the looks at it: phases, own ends, and since when each process is seen. No I/O."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import anyio

from devenv.model.containers import Container, ProjectState
from devenv.model.project import Project
from devenv.run.active.phases import GOOD, Phase, Standing, standings

ENDED = (Phase.COMPLETED, Phase.EXITED)
QUIET = 0.3  # seconds that a process without a health check has to last until it counts as up
LASTING = 10.0  # seconds after which an end is no longer the same end again and again

Life = tuple[str, str]  # `Container.key`: a container and its start


class Signal:
    """Wakes all tasks that wait for it at this moment."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def send(self) -> None:
        """Wake them."""
        self._event.set()
        self._event = anyio.Event()

    def next(self) -> anyio.Event:
        """The event of the next `send`."""
        return self._event


@dataclass
class ProjectView:
    """The project as last seen, times in seconds of one clock."""

    project: Project
    names: frozenset[str]
    state: ProjectState = field(default_factory=ProjectState)
    stopped: set[str] = field(default_factory=set)  # on request: no failure, and without them nothing is over
    looked_at: float = 0.0
    look_again: Signal = field(default_factory=Signal)  # another look is worth it
    _reported: dict[str, Standing] = field(default_factory=dict)
    _history: set[Life] = field(default_factory=set)
    _seen_since: dict[Life, float] = field(default_factory=dict)
    _ending: set[str] = field(default_factory=set)  # ids of containers that we end ourselves
    _over: set[str] = field(default_factory=set)  # those of them whose end is over

    def follow(self, project: Project, names: frozenset[str]) -> None:
        """See this project, and these services of it, from now on."""
        self.project, self.names = project, names
        self._reported = {name: standing for name, standing in self._reported.items() if name in names}

    def look_at(self, state: ProjectState) -> None:
        """Take this as what is there."""
        containers = (replace(c, state="created") if c.key in self._history else c for c in state.containers)
        self.state = replace(state, containers=tuple(containers))

    def begin_look(self, now: float) -> frozenset[str]:
        """Returns what `finish_look` needs: a look that began before one of our ends was over may still see it."""
        self.looked_at = now
        return frozenset(self._over)

    def finish_look(self, state: ProjectState, over: frozenset[str], now: float) -> None:
        """Take the result of a look, of which `begin_look` returned `over`."""
        self.look_at(state)
        over &= self._over
        self._ending -= over
        self._over -= over
        self.stopped -= {c.service for c in self.chosen if c.running and c.id not in self._ending}
        for container in self.chosen:
            if container.state != "created":
                self._seen_since.setdefault(container.key, now)

    @property
    def chosen(self) -> tuple[Container, ...]:
        """The containers of the chosen services."""
        return tuple(c for c in self.state.containers if c.service in self.names)

    def mark_lasting(self, container: Container) -> None:
        """The container's process has run for long."""
        self._seen_since[container.key] = -LASTING

    def forget(self, containers: Iterable[Container]) -> None:
        """Let those that have ended count as created until they are started, or until `all_started`."""
        self._history |= {c.key for c in containers if c.state in ("exited", "dead")}

    def all_started(self) -> None:
        """All that is to be started has been: what has ended now, has ended."""
        self._history.clear()
        self.look_again.send()

    @contextlib.contextmanager
    def ending(self, containers: Iterable[Container]) -> Iterator[None]:
        """While the context is open we end these containers ourselves: that is neither reported nor a failure."""
        ids = {c.id for c in containers}
        self._ending |= ids
        self._over -= ids
        try:
            yield
        finally:
            self._over |= ids  # a look that has begun may still see them ended: the next look counts
            self.look_again.send()

    def expect_end(self, containers: Iterable[Container]) -> None:
        """These have ended, and somebody starts them again: as in `ending`, which that takes."""
        self._ending |= {c.id for c in containers}

    def standings(self) -> tuple[Standing, ...]:
        """Every chosen service as last seen; a service that we end ourselves as it was before."""
        if not self.state.containers:
            return ()
        ours = {c.service for c in self.state.containers if c.id in self._ending}
        return tuple(
            self._reported.get(s.service, s) if s.phase in ENDED and s.service in ours else s
            for s in standings(self.project, self.names, self.state)
        )

    def is_news(self, standing: Standing) -> bool:
        """Whether the service was reported otherwise, or never; it counts as reported from now on."""
        if self._reported.get(standing.service) == standing:
            return False
        self._reported[standing.service] = standing
        return True

    def is_well(self) -> bool:
        """Whether every service is up, or has completed."""
        now = self.standings()
        return bool(now) and all(s.phase in GOOD for s in now)

    def is_over(self) -> bool:
        """Whether every service has ended, and none is about to be started again."""
        now = self.standings()
        again = self.stopped or any(c.state == "restarting" for c in self.state.containers)
        return bool(now) and not again and all(s.phase in ENDED for s in now)

    def has_to_last(self, standing: Standing) -> float:
        """Seconds after the last look for which the service has to go on until it counts as up; 0 if it does."""
        if standing.phase is not Phase.STARTED:
            return 0.0
        since = (self._seen_since.get(c.key, self.looked_at) for c in self.state.of(standing.service))
        return max(since) + QUIET - self.looked_at

    def lasted(self, container: Container, now: float) -> float:
        """Seconds for which the container's process is, or was, seen."""
        return now - self._seen_since.get(container.key, now)

    def is_restarting(self, standing: Standing) -> bool:
        """Whether the service has failed and the engine starts it again: that ends when its policy is used up."""
        restarting = any(c.state == "restarting" for c in self.state.of(standing.service))
        return standing.phase is Phase.EXITED and restarting
