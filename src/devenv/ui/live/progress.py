"""Current pulls and builds: each layer and step, collapsed when done, open if it failed. Pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from devenv.docker.build_progress import StepBegin, StepEnd, StepOutput, parse
from devenv.events import ImageState
from devenv.ui.text import clean

LAYERS = re.compile(r"(\d+) of (\d+) layers(?:, (\d+) of (\d+) MB)?")
LAST_LINES = 15
MOST_STEPS = 500


@dataclass(slots=True)
class Pull:
    """An image that is pulled: finished layers of all, and a detail."""

    state: str
    detail: str
    done: int = 0
    layers: int = 0


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
class Progress:
    """Current pulls and builds. A failed build stays until the next begins."""

    pulls: dict[str, Pull] = field(default_factory=dict)
    steps: dict[str, BuildStep] = field(default_factory=dict)
    failed: bool = False

    def image(self, event: ImageState) -> None:
        """Follow a change of an image."""
        if event.state not in ("pulling", "making", "pushing"):
            self.pulls.pop(event.reference, None)
            return
        detail = clean(event.detail).strip()
        found = LAYERS.match(detail)
        done, layers = (int(found[1]), int(found[2])) if found else (0, 0)
        self.pulls[event.reference] = Pull(event.state, detail, done, layers)

    def line(self, line: str, at: float) -> None:
        """Follow a line of a build's output."""
        match parse(clean(line).strip()):
            case StepBegin(number, label, what) as begin if not begin.is_internal and number not in self.steps:
                if self.failed:
                    self.clear()
                self.steps[number] = BuildStep(label, what, at)
                while len(self.steps) > MOST_STEPS:
                    del self.steps[next(iter(self.steps))]
            case StepEnd(number, state, seconds) if step := self.steps.get(number):
                step.state, step.seconds = state, seconds
                self.failed = self.failed or state == "failed"
            case StepOutput(number, text, is_own=True) if step := self.steps.get(number):
                step.lines.append(text)

    def over(self, *, images: bool = False) -> None:
        """Remove the finished build unless it failed; with `images`, the pulls too.

        An image that was got without a pull has no last event.
        """
        if images:
            self.pulls.clear()
        if not self.failed:
            self.clear()

    def clear(self) -> None:
        """Remove all builds."""
        self.steps, self.failed = {}, False

    @property
    def is_empty(self) -> bool:
        """Whether no pull and no build is shown."""
        return not (self.pulls or self.steps)
