"""Which containers ended because their engine did, by what was seen before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from devenv.model.containers import Container

GRACE = 15.0  # seconds before its end in which an engine that is told to end may end its containers
WINDOW = 10.0  # seconds from its return in which it may still find out that they have ended


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
