"""The status of the project in a folder, and the commands that make sense now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

STATES = ("none", "broken", "down", "starting", "up", "stopped", "ending", "dead", "left", "unreachable")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A command, and what it does."""

    command: str
    does: str


@dataclass(frozen=True, slots=True)
class Here:
    """The project of this folder; containers of plain Compose do not count.

    `none`: no Compose file found; `broken`: it cannot be read; `stopped`: left running, and no container runs now;
    `dead`: the process of the run has died, and something of the run still exists; `left`: the run has ended, and
    something that could not be removed, or a volume that could not be saved, still exists; `unreachable`: the engine
    does not answer.
    """

    state: Annotated[str, STATES]
    said: Annotated[str, "the status in one line"]
    project: str | None = None
    services: Annotated[tuple[str, ...], "as written, with all profiles"] = ()
    running: Annotated[int, "running containers of the run"] = 0
    urls: tuple[str, ...] = ()
    others: Annotated[tuple[str, ...], "projects in other folders whose runs have died or left something"] = ()
    guardians: Annotated[tuple[str, ...], "what guardians of dead runs do or wait for, a line for each"] = ()

    @property
    def commands(self) -> tuple[Suggestion, ...]:
        """The commands that make sense now, the likeliest first."""
        found = [Suggestion(*row) for row in _COMMANDS[self.state]]
        if self.others:
            found.append(Suggestion("devenv gc", f"remove what dead runs left of {', '.join(self.others)}"))
        return (*found, Suggestion("devenv --help", "list all commands"))


_UP = ("devenv up", "start it, in sync with your editor")
_DOWN = ("devenv down", "end it; its volumes are saved")
_DOCTOR = ("devenv doctor", "find out why, and what to do")
_LOOK = (("devenv logs -f", "follow what the services print"), ("devenv ps", "list the services"))
_COMMANDS = {
    "none": (
        ("devenv new", "create a project, from the code in this folder or from a template"),
        ("devenv new --list", "list the templates"),
    ),
    "broken": (("devenv config --validate", "list the mistakes in the parts of the file that devenv reads"),),
    "down": (
        _UP,
        ("devenv graph", "show which service waits for which"),
        ("devenv config", "show what a save would do"),
    ),
    "starting": (_LOOK[1], _LOOK[0], _DOWN),
    "up": (*_LOOK, _DOWN),
    "stopped": (_UP, _DOWN),
    "ending": (),
    "dead": (_DOWN, _UP),
    "left": (_DOWN, _UP),
    "unreachable": (_DOCTOR,),
}
