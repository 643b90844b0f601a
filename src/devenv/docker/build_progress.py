"""BuildKit's plain progress, read line by line, and the current pulls and builds. Pure.

#12 [web dev 3/5] RUN npm ci
#12 0.3 a line of the command's output
#12 sha256:... 1.0MB / 2.0MB
#12 DONE 3.2s
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import field
from typing import Literal, NamedTuple

from devenv.lazy_dataclass import dataclass

LAST_LINES = 15
MOST_STEPS = 500
_LAYERS = re.compile(r"(\d+) of (\d+) layers(?:, (\d+) of (\d+) MB)?")
_FRACTION = re.compile(r"\d+/\d+")
_LINE = re.compile(
    r"#(?P<number>\d+) (?:\[(?P<label>[^\]]+)\] (?P<instruction>.*)"
    r"|(?P<end>DONE|CACHED|ERROR\b)(?: (?P<seconds>[\d.]+)s)?"
    r"|(?:(?P<at>[\d.]+) )?(?P<text>.*))"
)
EndState = Literal["done", "cached", "failed"]
_ENDS: dict[str, EndState] = {"DONE": "done", "CACHED": "cached", "ERROR": "failed"}


class StepBegin(NamedTuple):
    """The begin of a step, which BuildKit may repeat; `instruction` as in the Dockerfile, or BuildKit's description.

    `label` is `[SERVICE] [STAGE] 3/5` or `[SERVICE] internal`; the service only if several are built.
    """

    number: str
    label: str
    instruction: str

    @property
    def is_internal(self) -> bool:
        """Whether the step is BuildKit's own work, not an instruction."""
        return self.label.split()[-1:] == ["internal"]

    @property
    def names(self) -> tuple[str, ...]:
        """The service and the stage, in this order, as far as the label has them."""
        return tuple(word for word in self.label.split() if not _FRACTION.fullmatch(word))

    @property
    def place(self) -> str:
        """The place of the instruction in its Dockerfile, such as `3/5`; empty for other steps."""
        return next(filter(_FRACTION.fullmatch, self.label.split()), "")


class StepOutput(NamedTuple):
    """A line of a step's output; `is_own` if the command of the step printed it, not BuildKit."""

    number: str
    text: str
    is_own: bool


class StepEnd(NamedTuple):
    """The end of a step, with the seconds that the step took if BuildKit prints them."""

    number: str
    state: EndState
    seconds: float | None


def parse(line: str) -> StepBegin | StepOutput | StepEnd | None:
    """The begin, output or end of a step that the line reports; None for any other line."""
    match = _LINE.match(line)
    if match is None:
        return None
    if match["label"] is not None:
        return StepBegin(match["number"], match["label"], match["instruction"])
    if match["end"] is not None:
        return StepEnd(match["number"], _ENDS[match["end"]], float(match["seconds"]) if match["seconds"] else None)
    return StepOutput(match["number"], match["text"], match["at"] is not None)


def of_part(line: str, first: int, service: str = "") -> str:
    """The line of one of several builds that run at the same time: the numbers of its steps are above `first`.

    `service` is added to labels without it: newer versions of Compose leave it out if only one service is built.
    """
    match = _LINE.match(line)
    if match is None:
        return line
    rest = line[match.end("number") :]
    if service and match["label"] and match["label"].split()[0] != service:
        rest = rest.replace("[", f"[{service} ", 1)
    return f"#{first + int(match['number'])}{rest}"


@dataclass(slots=True)
class BuildStep:
    """A step of a build, with its label and its line of the Dockerfile."""

    label: str
    instruction: str
    began: float
    state: str = "running"  # or done, cached, failed
    seconds: float | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))


@dataclass(slots=True)
class Pull:
    """An image that is pulled, built or pushed: `done` of its `layers`, and the `share` of its bytes, if known."""

    state: str
    detail: str
    began: float
    done: int = 0
    layers: int = 0
    share: float | None = None


@dataclass(slots=True)
class ImageProgress:
    """The current pulls and builds. A failed build is shown until the next build begins."""

    pulls: dict[str, Pull] = field(default_factory=dict)
    steps: dict[str, BuildStep] = field(default_factory=dict)
    failed: bool = False

    def image(self, reference: str, state: str, detail: str, at: float) -> None:
        """Update the state of an image."""
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

        An image that was acquired without a pull has no final event.
        """
        if images:
            self.pulls.clear()
        if not self.failed:
            self.clear()

    def line(self, line: str, at: float) -> None:
        """Update the builds by a line of output."""
        match parse(line):
            case StepBegin(number, label, instruction) as begin if not begin.is_internal and number not in self.steps:
                if self.failed:
                    self.clear()
                self.steps[number] = BuildStep(label, instruction, at)
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
