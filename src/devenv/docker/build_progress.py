"""BuildKit's plain progress, line by line; and the pulls and the build that go on. Pure.

#12 [web dev 3/5] RUN npm ci
#12 0.3 a line of its output
#12 sha256:... 1.0MB / 2.0MB
#12 DONE 3.2s
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

LAST_LINES = 15
MOST_STEPS = 500
_LAYERS = re.compile(r"(\d+) of (\d+) layers(?:, (\d+) of (\d+) MB)?")
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
    def place(self) -> str:
        """Its place in a Dockerfile, such as `3/5`; empty if it is no instruction."""
        return next(filter(_FRACTION.fullmatch, self.label.split()), "")

    @property
    def is_instruction(self) -> bool:
        """Whether it is an instruction of a Dockerfile."""
        return bool(self.place)


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


@dataclass(slots=True)
class BuildStep:
    """A step of a build, with its line of the Dockerfile."""

    where: str
    what: str
    began: float
    state: str = "running"  # or done, cached, failed
    seconds: float | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))


@dataclass(slots=True)
class Pull:
    """An image that is pulled, made or pushed: finished layers of all, and the share of the bytes, if known."""

    state: str
    detail: str
    began: float
    done: int = 0
    layers: int = 0
    share: float | None = None


@dataclass(slots=True)
class ImageProgress:
    """Current pulls and builds. A failed build stays until the next begins."""

    pulls: dict[str, Pull] = field(default_factory=dict)
    steps: dict[str, BuildStep] = field(default_factory=dict)
    failed: bool = False

    def image(self, reference: str, state: str, detail: str, at: float) -> None:
        """Follow a change of an image."""
        before = self.pulls.pop(reference, None)
        if state not in ("pulling", "making", "pushing"):
            return
        count = _LAYERS.match(detail)
        done, layers, *size = map(int, filter(None, count.groups())) if count else (0, 0)
        share = size[0] / size[1] if size and size[1] else None
        began = before.began if before and before.state == state else at
        self.pulls[reference] = Pull(state, detail, began, done, layers, share)

    def over(self, *, images: bool = False) -> None:
        """Remove the finished build unless it failed; with `images`, the pulls too.

        An image that was got without a pull has no last event.
        """
        if images:
            self.pulls.clear()
        if not self.failed:
            self.clear()

    def line(self, line: str, at: float) -> None:
        """Follow a line of a build's output."""
        match parse(line):
            case StepBegin(number, label, what) as begin if not begin.is_internal and number not in self.steps:
                if self.failed:
                    self.clear()
                self.steps[number] = BuildStep(label, what, at)
                while len(self.steps) > MOST_STEPS:
                    del self.steps[next(iter(self.steps))]
            case StepEnd(number, state, seconds) if step := self.steps.get(number):
                step.state, step.seconds = state, seconds
                self.failed = self.failed or state == "failed"
            case StepOutput(number, line, is_own=True) if step := self.steps.get(number):
                step.lines.append(line)

    def clear(self) -> None:
        """Remove all builds."""
        self.steps, self.failed = {}, False

    @property
    def is_empty(self) -> bool:
        """Whether no pull and no build is shown."""
        return not (self.pulls or self.steps)
