"""How a teardown goes: what it has removed and saved, why the rest is left, and whether somebody is in a hurry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import anyio

from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, Kept, Problem, Removed

REMOVE = {"container": "docker rm -f -v {}", "network": "docker network rm {}", "volume": "docker volume rm {}"}
DOWN = "devenv down   (saves and removes it)"  # a volume that is left may be the only copy of its data


@dataclass
class Progress:
    """What the parts of one teardown share; `hurry`, set at any time, turns graceful stops into kills."""

    emit: Emit
    hurry: anyio.Event
    saved: dict[str, int] = field(default_factory=dict)  # key of a volume -> bytes of its snapshot
    _removed: set[tuple[str, str]] = field(default_factory=set)
    _failures: dict[str, tuple[str, str]] = field(default_factory=dict)  # "kind name" -> reason, command

    def removed(self, kind: str, name: str) -> None:
        """Report that the object has been removed; only once, though a sweep may meet its name again."""
        if (kind, name) not in self._removed:
            self._removed.add((kind, name))
            self.emit(Removed(kind, name))

    @property
    def counts(self) -> dict[str, int]:
        """How many objects have been removed, by kind."""
        return dict(Counter(kind for kind, _ in sorted(self._removed)))

    def failed(self, kind: str, name: str, reason: str, command: str = "") -> None:
        """Remember why the object could not be removed, and the command that may do it."""
        self._failures[f"{kind} {name}"] = (reason, command)

    def has_failed(self, kind: str, name: str) -> bool:
        """Whether an attempt to remove the object has failed before."""
        return f"{kind} {name}" in self._failures

    def kept(self, kind: str, name: str, reason: str, *, hint: bool = True) -> None:
        """Report that the object stays on purpose, with the command that removes it if `hint`."""
        self.emit(Kept(kind, name, reason, REMOVE[kind].format(name) if hint else ""))

    def report_left(self, survivors: Iterable[str]) -> None:
        """Report each of these objects (`kind name`) as left, with the reason and a command."""
        for survivor in survivors:
            kind, _, name = survivor.partition(" ")
            reason, command = self._failures.get(survivor, ("still there", ""))
            default = DOWN if kind == "volume" else REMOVE[kind].format(name)
            self.emit(Problem(f"{survivor} is left: {reason}", command or default))

    async def unhurried(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Whether the work was done before somebody was in a hurry; that cancels it. Raises what the work raises."""
        is_done, failure = False, None
        async with anyio.create_task_group() as tasks:

            async def cancel_in_a_hurry() -> None:
                await self.hurry.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(cancel_in_a_hurry)
            try:  # inside the group, which would wrap what is raised
                if not self.hurry.is_set():
                    await work()
                    is_done = True
            except (DevenvError, OSError) as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return is_done


def reason_of(error: EngineError) -> str:
    """What the engine says, without what it was asked."""
    return error.reason if isinstance(error, CallError) else error.message
