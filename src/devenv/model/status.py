"""What stands in a folder now, and what one may type about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

STATES = ("none", "broken", "down", "starting", "up", "stopped", "ending", "dead", "left", "unreachable")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A command, and what it is good for now."""

    command: str
    does: str


@dataclass(frozen=True, slots=True)
class Here:
    """The project of this folder as devenv left it; containers of plain Compose do not count.

    `none`: there is no Compose file; `broken`: it cannot be read; `stopped`: left running, and nothing runs any more;
    `dead`: the process that held the run is gone, and something of the run is still there; `left`: the run has ended,
    and something that could not be removed, or a volume that could not be saved, is still there; `unreachable`: the
    engine does not answer.
    """

    state: Annotated[str, STATES]
    said: Annotated[str, "one line for people"]
    project: str | None = None
    services: Annotated[tuple[str, ...], "as written, whatever their profiles"] = ()
    running: Annotated[int, "containers of the run that run"] = 0
    urls: tuple[str, ...] = ()
    others: Annotated[tuple[str, ...], "projects elsewhere whose runs have died or left something"] = ()
    guardians: Annotated[tuple[str, ...], "what guardians of dead runs do or wait for, a line each"] = ()

    @property
    def commands(self) -> tuple[Suggestion, ...]:
        """What may be typed now, the likeliest first."""
        found = [Suggestion(*row) for row in _COMMANDS[self.state]]
        if self.others:
            found.append(Suggestion("devenv gc", f"end what dead runs left of {', '.join(self.others)}"))
        return (*found, Suggestion("devenv --help", "list all commands"))


_UP = ("devenv up", "bring it up, in sync with your editor")
_DOWN = ("devenv down", "end it; what its volumes hold is saved")
_DOCTOR = ("devenv doctor", "find out why, and what to do")
_LOOK = (("devenv logs -f", "follow what the services print"), ("devenv ps", "list the services"))
_COMMANDS = {
    "none": (
        ("devenv new", "make one: from the code that is here, or from a template"),
        ("devenv new --list", "list the templates"),
    ),
    "broken": (("devenv config --validate", "list the mistakes in devenv's own parts of it"),),
    "down": (_UP, ("devenv graph", "show who waits for whom"), ("devenv config", "show what a save would do")),
    "starting": (_LOOK[1], _LOOK[0], _DOWN),
    "up": (*_LOOK, _DOWN),
    "stopped": (_UP, _DOWN),
    "ending": (),
    "dead": (_DOWN, _UP),
    "left": (_DOWN, _UP),
    "unreachable": (_DOCTOR,),
}
