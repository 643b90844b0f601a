"""Keep the lines of all services in order, within limits; filter them, and search them for errors. Pure."""

from __future__ import annotations

import functools
import heapq
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from devenv.errors import UsageError
from devenv.lazy_dataclass import dataclass
from devenv.ui.cells import clean

if TYPE_CHECKING:
    from devenv.explain.log_lines import LoggedError

LONGEST = 4000  # characters of a line
BUDGET = 8_000_000  # characters of all that is kept
KEPT = 20_000  # lines of all that is kept
SHOWN = 10_000  # lines that can be scrolled through
OVERHEAD = 100  # characters that a line costs in addition to its text
LEVELS = ERROR, WARN = ("error", "warn")
OURS = ""  # the service of devenv's own lines
MOST_PLACES = 50  # matches that are marked in a line
ADDRESS = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])|::1\b")
STATUS = re.compile(r"\b\d{3}\b")
Matcher = Callable[[str, int], re.Match[str] | None]  # finds the first match in a text from a position on
Search = Callable[[str, int], Matcher]


class LogLine(NamedTuple):
    """A line as it was printed, and its number."""

    number: int
    service: str
    raw: str
    level: str = ""  # `error`, `warn` or empty; `info` for some of our own lines
    at: float = 0.0
    begins: bool = False  # it is the first line of an error

    @property
    def text(self) -> str:
        """The cleaned line."""
        return clean(self.raw).rstrip()


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions for lines: all the words, one of the services, the level. `fault`: why the filter is invalid."""

    typed: str = ""
    words: tuple[str, ...] = ()
    patterns: tuple[Matcher, ...] = ()
    services: tuple[str, ...] = ()
    level: str = ""
    fault: str = ""

    @property
    def seeks(self) -> bool:
        """Whether the filter looks for a text."""
        return bool(self.words or self.patterns)

    def takes(self, line: LogLine) -> bool:
        """Whether the line is shown."""
        if self.services and not any(line.service.startswith(name) for name in self.services):
            return False
        if self.level and line.level not in (LEVELS if self.level == WARN else (self.level,)):
            return False
        if not self.seeks:
            return True
        text = line.text
        low = text.lower()
        return all(word in low for word in self.words) and all(find(text, 0) for find in self.patterns)

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """The begin and end of each match in a line. Raises UsageError, as a search may."""
        for find in (*(unbounded(re.escape(word), re.IGNORECASE) for word in self.words), *self.patterns):
            begin = 0
            for _ in range(MOST_PLACES):
                if begin > len(text) or (match := find(text, begin)) is None:
                    break
                yield match.span()
                begin = match.end() + (not match[0])


@functools.cache
def requests(path: str) -> Callable[[str], bool]:
    """A test whether a line is the access line of a health check on this path: local, and answered without error."""
    access = re.compile(rf"\b(?:GET|HEAD)\b\W{{1,5}}(?:\w+\W{{1,5}})?{re.escape(path)}(?=[\s\"'?]|$)")

    def is_request(text: str) -> bool:
        match = access.search(text) if path in text else None
        if match is None:
            return False
        status, addresses = STATUS.search(text, match.end()), ADDRESS.findall(text)
        own = any(address.startswith(("127.", "::1")) for address in addresses) if addresses else path != "/"
        return own and not (status and status[0][0] in "45")

    return is_request


def unbounded(pattern: str, flags: int) -> Matcher:
    """A matcher for a regular expression, without a time limit. Raises ValueError for an invalid expression."""
    try:
        expression = re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return expression.search


def parse(typed: str, search: Search = unbounded) -> Filter:
    r"""Parse a filter of `text`, `/regex/`, `@service` and `level:error`, which must all hold.

    A regular expression ends at the last slash and may contain spaces. `search` makes a matcher from expression and
    flags.
    """
    fault, patterns, rest = "", [], typed
    if match := re.search(r"(?:^|\s)/(.*)/(?=\s|$)", typed):
        rest = f"{typed[: match.start()]} {typed[match.end() :]}"
        try:
            patterns = [search(match[1], re.IGNORECASE)]
        except ValueError as error:
            fault = f"not a regular expression: {error}"
    words, services, wanted = [], [], ""
    for word in rest.split():
        if word.startswith("@"):
            services += [word[1:]] if word[1:] else []
        elif word.startswith("level:"):
            asked = word.removeprefix("level:").lower()
            wanted = next((name for name in LEVELS if asked and name.startswith(asked[:4])), "")
            fault = fault or ("" if wanted else "level: must be error or warn")
        else:
            words.append(word.lower())
    return Filter(typed.strip(), tuple(words), tuple(patterns), tuple(services), wanted, fault)


class Logbook:
    """Lines by service, and the lines that the filter shows. The service with most text loses its oldest lines."""

    def __init__(self) -> None:
        self.filter = Filter()
        self.shown: deque[LogLine] = deque(maxlen=SHOWN)
        self.number = 0
        self.errors: Counter[str] = Counter()  # by service, since its last sync or the last search for errors
        self._last: dict[str, LoggedError | None] = {}
        self.folds = True  # hide access lines of health checks
        self.folded = 0  # number of lines hidden in this way
        self._checks: dict[str, str] = {}  # service -> the path that its health check requests
        self._kept: dict[str, deque[LogLine]] = {}
        self._sizes: dict[str, int] = {}
        self._size = self._count = 0

    def add(self, service: str, raw: str, level: str = "", at: float = 0.0) -> None:
        """Add a line with its level; of a line that overwrites itself, as progress bars do, the last state."""
        self.number += 1
        raw, begins = raw.rstrip("\r\n").rpartition("\r")[2][:LONGEST], level == ERROR
        if service != OURS and (begins or not raw.strip()):  # an error may contain empty lines
            from devenv.explain import log_lines  # noqa: PLC0415 - takes 6 ms, and errors come long after the start

            _, error = log_lines.read(raw, self._last.get(service))
            self._last[service], begins = error, error is not None and error.lines == 1
            self.errors[service] += begins
        elif service != OURS:
            self._last.pop(service, None)
        line = LogLine(self.number, service, raw, level, at, begins)
        self._kept.setdefault(service, deque()).append(line)
        cost = len(line.raw) + OVERHEAD
        self._sizes[service] = self._sizes.get(service, 0) + cost
        self._size += cost
        self._count += 1
        while self._size > BUDGET or self._count > KEPT:
            self._drop()
        try:
            if self._is_shown(line):
                self.shown.append(line)
        except UsageError as error:
            self._turn_off(error)

    def _drop(self) -> None:
        largest = max(self._sizes, key=lambda name: self._sizes[name])
        self._subtract(self._kept[largest].popleft())

    def _subtract(self, line: LogLine) -> None:
        cost = len(line.raw) + OVERHEAD
        self._sizes[line.service] -= cost
        self._size -= cost
        self._count -= 1

    def _is_shown(self, line: LogLine) -> bool:
        if not self.filter.takes(line):
            return False
        check = self._checks.get(line.service) if self.folds and not self.filter.seeks else None
        is_folded = check is not None and requests(check)(line.text) and not line.level
        self.folded += is_folded
        return not is_folded

    def expect(self, service: str, path: str) -> None:
        """Set the path that the health check of a service requests; empty while the service has no container."""
        if path and self._checks.get(service) != path:
            self._checks[service] = path
            self.narrow(self.filter)

    def drop(self, number: int) -> None:
        """Remove a line of devenv's own, if it is still kept."""
        for lines in (self._kept.get(OURS, deque()), self.shown):
            index = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].number <= number), None)
            if index is None or lines[index][:2] != (number, OURS):
                continue
            if lines is not self.shown:
                self._subtract(lines[index])
            del lines[index]

    def narrow(self, chosen: Filter) -> None:
        """Show only the lines that match the filter."""
        self.filter, self.folded = chosen, 0
        try:
            self.shown = deque(filter(self._is_shown, self._all()), maxlen=SHOWN)
        except UsageError as error:
            self._turn_off(error)

    def _turn_off(self, error: UsageError) -> None:
        """Turn off a filter whose search takes too long."""
        self.narrow(Filter(self.filter.typed, fault=error.message))

    def _all(self) -> Iterator[LogLine]:
        return heapq.merge(*self._kept.values(), key=lambda line: line.number)

    def recent(self, count: int) -> list[LogLine]:
        """The last `count` lines, regardless of the filter."""
        return list(self._all())[-count:]

    def above(self, number: int | None) -> Iterator[LogLine]:
        """The shown lines upwards from this number; from the last line if it is None."""
        for line in reversed(self.shown):
            if number is None or line.number <= number:
                yield line

    @property
    def newest(self) -> int | None:
        """The number of the last shown line."""
        return self.shown[-1].number if self.shown else None

    def below(self, number: int) -> int:
        """The number of shown lines after this one."""
        count = 0
        for line in reversed(self.shown):
            if line.number <= number:
                break
            count += 1
        return count

    def step(self, number: int | None, lines: int) -> int | None:
        """The number of the line that is `lines` below (above if negative); None for the last line or beyond."""
        if not self.shown:
            return None
        place = len(self.shown) - 1 - (0 if number is None else self.below(number)) + lines
        return None if place >= len(self.shown) - 1 else self.shown[max(place, 0)].number

    def last(self, wanted: Callable[[LogLine], bool], before: int | None = None) -> int | None:
        """The number of the last wanted line that is shown, above `before` if it is given; None if there is none."""
        lines = self.above(None if before is None else before - 1)
        return next((line.number for line in lines if wanted(line)), None)
