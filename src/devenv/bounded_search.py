"""Search for regular expressions typed by a user, within a bounded time; and for plain text.

Some expressions take exponential time on a short line, and Python's `re` has no limit of its own. It does run signal
handlers while it searches, so a timer that counts the processor time of this process ends what takes too long. The
timer runs only while there are searches. Only the main thread can be interrupted; searches in others have no bound.
"""

from __future__ import annotations

import atexit
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import field
from types import FrameType

from devenv.errors import UsageError
from devenv.lazy_dataclass import dataclass

TICK = 0.1  # seconds of processor time
AT_ONCE = 0.7  # seconds that searches may take together
A_LINE = 0.005  # seconds more for each line that was searched
HINT = "Patterns such as (a+)+ try every way to divide a line: a+ finds the same. Or filter by plain text."


@dataclass(slots=True)
class BoundedSearch:
    """Finds an expression in texts."""

    pattern: str
    flags: int = 0
    a_line: float = A_LINE  # seconds of processor time for each text, on average, in the long run
    _search: Callable[[str, int], re.Match[str] | None] = field(init=False)
    lines: int = field(default=0, init=False)
    spent: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Raises ValueError for an invalid regular expression."""
        try:
            self._search = re.compile(self.pattern, self.flags).search
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None

    def __call__(self, text: str, begin: int = 0) -> re.Match[str] | None:
        """The first match from `begin` on. Raises UsageError if the searches have taken too long by now."""
        self.lines += 1
        if not _Timer.is_on:
            _Timer.start()
        return self._search(text, begin)

    def spend(self, seconds: float) -> None:
        """Count the time. Raises UsageError if it is more by now than the lines account for."""
        self.spent += seconds
        if self.spent > AT_ONCE + (self.lines - 1) * self.a_line:
            lines = f"{self.lines} line{'s' if self.lines > 1 else ''}"
            raise UsageError(f"/{self.pattern}/ takes too long: {self.spent:.1f} s for {lines}", hint=HINT)


def matcher(pattern: str | None) -> Callable[[str], bool]:
    """Return whether a text contains the pattern: a text in any case, or `/regex/`, or `/regex/i` in any case.

    Raises UsageError for an invalid regular expression.
    """
    expression = re.fullmatch(r"/(.+)/(i?)", pattern or "")
    if not expression:
        wanted = (pattern or "").casefold()
        return lambda text: wanted in text.casefold()
    try:
        search = BoundedSearch(expression[1], re.IGNORECASE if expression[2] else 0)
    except ValueError as error:
        hint = f"As plain text, without the slashes: --grep '{expression[1]}'"
        raise UsageError(f"--grep: {pattern} is not a regular expression: {error}", hint=hint) from None
    return lambda text: search(text) is not None


class _Timer:
    """The only timer of this process."""

    is_on = False
    idle = 0

    @classmethod
    def start(cls) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        cls.is_on, cls.idle = True, 0
        signal.signal(signal.SIGVTALRM, cls.tick)
        signal.siginterrupt(signal.SIGVTALRM, False)
        signal.setitimer(signal.ITIMER_VIRTUAL, TICK, TICK)
        atexit.register(cls.stop)  # without its handler, the signal ends the process

    @classmethod
    def stop(cls) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        atexit.unregister(cls.stop)
        cls.is_on = False

    @classmethod
    def tick(cls, _sign: int, frame: FrameType | None) -> None:
        """Called while the main thread does anything: if that is a search, it has spent the time."""
        if frame is not None and frame.f_code is BoundedSearch.__call__.__code__:
            cls.idle = 0
            frame.f_locals["self"].spend(TICK)
            return
        cls.idle += 1
        if cls.idle > AT_ONCE / TICK:
            cls.stop()
