"""What a teardown reports: what it has removed, what it keeps, and why something is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import field

import anyio

from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.events import Emit, Kept, Problem, Removed
from devenv.lazy_dataclass import dataclass
from devenv.tasks import unless

REMOVE = {"container": "docker rm -f -v {}", "network": "docker network rm {}", "volume": "docker volume rm {}"}
DOWN = "devenv down   (saves and removes it)"  # a volume that is left may be the only copy of its data
IN_USE = "something that is not ours uses it"


@dataclass
class TeardownProgress:
    """What the parts of one teardown share. Setting `hurry` turns graceful stops into kills."""

    emit: Emit
    hurry: anyio.Event
    saved: dict[str, int] = field(default_factory=dict)  # key of a volume -> bytes of its snapshot
    _removed: set[tuple[str, str]] = field(default_factory=set)
    _failures: dict[str, tuple[str, str]] = field(default_factory=dict)  # "kind name" -> reason, command

    def removed(self, kind: str, name: str) -> None:
        """Report that the object has been removed, once, even if a later sweep sees its name again."""
        if (kind, name) not in self._removed:
            self._removed.add((kind, name))
            self.emit(Removed(kind, name))

    @property
    def counts(self) -> dict[str, int]:
        """How many objects have been removed, by kind."""
        return dict(Counter(kind for kind, _ in sorted(self._removed)))

    def failed(self, kind: str, name: str, reason: str, command: str = "") -> None:
        """Remember why the object could not be removed, and a command that may remove it."""
        self._failures[f"{kind} {name}"] = (reason, command)

    def has_failed(self, kind: str, name: str) -> bool:
        """Whether an attempt to remove the object has failed before."""
        return f"{kind} {name}" in self._failures

    def kept(self, kind: str, name: str, reason: str, *, hint: bool = True) -> None:
        """Report that the object is kept on purpose; `hint`: with the command that removes it."""
        self.emit(Kept(kind, name, reason, REMOVE[kind].format(name) if hint else ""))

    def report_left(self, survivors: Iterable[str]) -> None:
        """Report each of these objects (`kind name`) as left, with the reason and a command."""
        for survivor in survivors:
            kind, _, name = survivor.partition(" ")
            reason, command = self._failures.get(survivor, ("still there", ""))
            default = DOWN if kind == "volume" else REMOVE[kind].format(name)
            self.emit(Problem(f"{survivor} is left: {reason}", command or default))

    async def unhurried(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Run the work, unless `hurry` is or gets set, which cancels it. Return whether it was completed."""
        return await unless(self.hurry, work)


def reason_of(error: EngineError) -> str:
    """The engine's message, without the request."""
    return error.reason if isinstance(error, CallError) else error.message
