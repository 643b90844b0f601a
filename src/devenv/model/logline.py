"""A line of a log with its time, and which lines somebody wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from devenv.errors import UsageError

Search = Callable[[str, int], Callable[[str], bool]]
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z ")


@dataclass(frozen=True, slots=True)
class Line:
    """What a container of the service printed, escape codes still in it.

    `at` is by the engine's clock, in UTC and with nine digits of fraction, so that texts compare as times do; empty
    where it did not say.
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
    """Whether a text holds the regular expression, however long that takes. Raises ValueError if it is none."""
    try:
        expression = re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
    return lambda text: expression.search(text) is not None


def matcher(pattern: str | None, search: Search = unbounded) -> Callable[[str], bool]:
    """Whether a text holds the pattern: a text in any case, or `/regex/`, or `/regex/i` in any case.

    Raises UsageError for what is no regular expression. `search` makes a search of an expression and its flags.
    """
    found = re.fullmatch(r"/(.+)/(i?)", pattern or "")
    if not found:
        wanted = (pattern or "").casefold()
        return lambda text: wanted in text.casefold()
    try:
        return search(found[1], re.IGNORECASE if found[2] else 0)
    except ValueError as error:
        hint = f"As plain text, without the slashes: --grep '{found[1]}'"
        raise UsageError(f"--grep: {pattern} is no regular expression: {error}", hint=hint) from None
