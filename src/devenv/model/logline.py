"""A line of a log with its time, and patterns for lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from devenv.errors import UsageError

Search = Callable[[str, int], Callable[[str], bool]]
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z ")


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a container of the service printed, with its escape codes.

    `at` is by the engine's clock, in UTC and with nine digits of fraction, so that texts compare like times; empty if
    the engine did not say.
    """

    at: str
    service: str
    stream: str
    text: str


def line(service: str, stream: str, timed: str) -> Line:
    """The line of a text that begins with its time."""
    if found := _TIME.match(timed):
        return Line(f"{found[1]}.{(found[2] or ''):0<9}Z", service, stream, timed[found.end() :])
    return Line("", service, stream, timed)


def unbounded(pattern: str, flags: int) -> Callable[[str], bool]:
    """Return a search for a regular expression, without a limit of time. Raises ValueError for an invalid one."""
    try:
        expression = re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return lambda text: expression.search(text) is not None


def matcher(pattern: str | None, search: Search = unbounded) -> Callable[[str], bool]:
    """Return whether a text contains the pattern: a text in any case, or `/regex/`, or `/regex/i` in any case.

    `search` makes a search from an expression and its flags. Raises UsageError for an invalid regular expression.
    """
    found = re.fullmatch(r"/(.+)/(i?)", pattern or "")
    if not found:
        wanted = (pattern or "").casefold()
        return lambda text: wanted in text.casefold()
    try:
        return search(found[1], re.IGNORECASE if found[2] else 0)
    except ValueError as error:
        hint = f"As plain text, without the slashes: --grep '{found[1]}'"
        raise UsageError(f"--grep: {pattern} is not a regular expression: {error}", hint=hint) from None
