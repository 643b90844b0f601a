"""BuildKit's plain progress, line by line. Pure.

#12 [web dev 3/5] RUN npm ci
#12 0.3 a line of its output
#12 sha256:... 1.0MB / 2.0MB
#12 DONE 3.2s
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

_FRACTION = re.compile(r"\d+/\d+")
_LINE = re.compile(
    r"#(?P<number>\d+) (?:\[(?P<label>[^\]]+)\] (?P<what>.*)"
    r"|(?P<end>DONE|CACHED|ERROR\b)(?: (?P<seconds>[\d.]+)s)?"
    r"|(?:(?P<at>[\d.]+) )?(?P<text>.*))"
)
EndState = Literal["done", "cached", "failed"]
_ENDS: dict[str, EndState] = {"DONE": "done", "CACHED": "cached", "ERROR": "failed"}


class StepBegin(NamedTuple):
    """A step begins (or BuildKit mentions it again): what it does, in the words of its Dockerfile.

    `label` is `[SERVICE] [STAGE] 3/5` or `[SERVICE] internal`; the service only if several are built.
    """

    number: str
    label: str
    what: str

    @property
    def is_internal(self) -> bool:
        """Whether it is BuildKit's own work, no instruction."""
        return self.label.split()[-1:] == ["internal"]

    @property
    def names(self) -> tuple[str, ...]:
        """The service and the stage, as far as the label has them; the second of two is the stage."""
        return tuple(word for word in self.label.split() if not _FRACTION.fullmatch(word))

    @property
    def is_instruction(self) -> bool:
        """Whether it is an instruction of a Dockerfile."""
        return len(self.names) < len(self.label.split())


class StepOutput(NamedTuple):
    """A line of a step's output; `is_own`: of the command that it runs, else of BuildKit."""

    number: str
    text: str
    is_own: bool


class StepEnd(NamedTuple):
    """A step has ended; the seconds that it took, if BuildKit says so."""

    number: str
    state: EndState
    seconds: float | None


def parse(line: str) -> StepBegin | StepOutput | StepEnd | None:
    """What a line says; None if it is not a line of a step."""
    match = _LINE.match(line)
    if match is None:
        return None
    if match["label"] is not None:
        return StepBegin(match["number"], match["label"], match["what"])
    if match["end"] is not None:
        return StepEnd(match["number"], _ENDS[match["end"]], float(match["seconds"]) if match["seconds"] else None)
    return StepOutput(match["number"], match["text"], match["at"] is not None)
