"""Failures between a client and the engine in memory, and the requests at which they happen."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field


class Crash(BaseException):
    """The client's process is gone, as after `kill -9`. Its later requests have no effect."""


class Fault(enum.Enum):
    """What happens to a request.

    `KILLED_BEFORE` and `KILLED_AFTER` end the client before and after the effect. `REFUSED`: no connection. `HANGS`:
    no effect and no answer. `LOST`: the effect, and no answer. `CHILD_KILLED_BEFORE` and `CHILD_KILLED_AFTER` end the
    child that made the request (Compose), not the client.
    """

    KILLED_BEFORE = enum.auto()
    KILLED_AFTER = enum.auto()
    REFUSED = enum.auto()
    HANGS = enum.auto()
    LOST = enum.auto()
    CHILD_KILLED_BEFORE = enum.auto()
    CHILD_KILLED_AFTER = enum.auto()


@dataclass(frozen=True, slots=True)
class Fails:
    """The engine answers with an error and does nothing."""

    status: int = 500
    reason: str = "something went wrong"


@dataclass
class Faults:
    """The requests of one client and its children, and their faults.

    `asked` has a text for each request: `devenv POST containers/create`, or `compose ...` for its children.
    `at_crash` are called at the moment of a crash, before any cleanup.
    """

    asked: list[str] = field(default_factory=list)
    at_crash: list[Callable[[], object]] = field(default_factory=list)
    is_dead: bool = False
    _at: dict[int, Fault | Fails] = field(default_factory=dict)
    _on: list[tuple[re.Pattern[str], Fault | Fails, list[int]]] = field(default_factory=list)

    def at(self, number: int, fault: Fault | Fails) -> None:
        """Let the `number`th request from now on (1 is the next one) fail."""
        self._at[len(self.asked) + number] = fault

    def on(self, pattern: str, fault: Fault | Fails, times: int = 1, *, after: int = 0) -> None:
        """Let that many requests that match the pattern fail, after `after` that do not fail."""
        self._on.append((re.compile(pattern), fault, [after, times]))

    def clear(self) -> None:
        """Remove all faults."""
        self._at.clear()
        self._on.clear()

    def next(self, request: str) -> Fault | Fails | None:
        """The fault of the request. Raises Crash if the client is dead."""
        if self.is_dead:
            raise Crash(request)
        self.asked.append(request)
        if fault := self._at.pop(len(self.asked), None):
            return fault
        for pattern, planned, counts in self._on:
            if pattern.search(request):
                if counts[0]:
                    counts[0] -= 1
                elif counts[1]:
                    counts[1] -= 1
                    return planned
        return None

    def crash(self, request: str) -> Crash:
        """The exception that ends the client; from now on it is dead."""
        self.is_dead = True
        for call in self.at_crash:
            call()
        return Crash(request)
