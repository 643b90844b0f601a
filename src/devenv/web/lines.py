"""Lines of logs as the page gets them: numbered, cleaned, without secrets, and grouped by traceback. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import NamedTuple

from devenv.explain import log_lines
from devenv.explain.log_lines import ERROR, WARN, LoggedError
from devenv.lazy_dataclass import dataclass
from devenv.redact import Redactor
from devenv.ui.cells import coloured

LONGEST = 4000  # characters of a line
LEVELS = (ERROR, WARN)
TEXTS = 20  # texts of a service by which its first line is found again
NEAR = 500  # lines
OURS = ""  # the service of devenv's own lines
Codes = tuple[int, int, str]  # begin and end in the text, and the numbers of an SGR sequence


class PageLine(NamedTuple):
    """A line; `at` in seconds; `group`: number of the first line of the error that it belongs to, or 0."""

    number: int
    at: float
    service: str
    level: str
    text: str
    group: int
    codes: tuple[Codes, ...] = ()

    def message(self) -> list[object]:
        """The line as the page gets it; colours last, if it has some."""
        values = [self.number, round(self.at * 1000), self.service, self.level, self.text, self.group]
        return [*values, self.codes] if self.codes else values


@dataclass(slots=True)
class FirstLines:
    """The first texts of a service that a page has, and how many lines it has had."""

    texts: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, text: str) -> None:
        """Count a line."""
        self.count += 1
        if len(self.texts) < TEXTS:
            self.texts.append(text)

    def index(self, texts: Sequence[str]) -> int:
        """The number of the log's lines, of which these are the texts, before the first line that the page has.

        The log was read later, so it ends with about `count` lines of the page; near there, the first texts decide.
        """
        guess = max(len(texts) - self.count, 0)
        for distance in range(NEAR):
            for index in (guess - distance, guess + distance):
                rest = texts[index : index + len(self.texts)] if index >= 0 else ()
                if rest and rest == self.texts[: len(rest)]:
                    return index
        return guess


class Begun(NamedTuple):
    """The error that is being printed, and the number of its first line."""

    error: LoggedError
    number: int


@dataclass(slots=True)
class PageLines:
    """Makes lines of what services print. `number`: that of the next line."""

    redactor: Redactor
    number: int = 1
    _errors: dict[tuple[str, str], Begun] = field(default_factory=dict)  # by service and stream

    def line(self, service: str, stream: str, raw: str, level: str, at: float) -> PageLine:
        """The next line; of a line that overwrites itself, as progress bars do, the last state."""
        raw = raw.rstrip("\r\n").rpartition("\r")[2][:LONGEST]
        group = 0 if service == OURS else self._group((service, stream), raw, level)
        text, codes = self._shown(raw)
        number, self.number = self.number, self.number + 1
        return PageLine(number, at, service, level if level in LEVELS else "", text, group, codes)

    def _shown(self, raw: str) -> tuple[str, tuple[Codes, ...]]:
        """The text without secrets and escape sequences, and its colours."""
        if raw.isprintable():  # most lines are
            return self.redactor.line(raw.rstrip()), ()
        pieces = coloured(raw)
        whole = "".join(piece.text for piece in pieces).rstrip()
        text, codes, begin = self.redactor.line(whole), list[Codes](), 0
        for piece in pieces if text == whole else ():
            if piece.codes:
                codes.append((begin, begin + len(piece.text), ";".join(piece.codes)))
            begin += len(piece.text)
        return text, (*codes,)

    def _group(self, source: tuple[str, str], raw: str, level: str) -> int:
        if level != ERROR and raw and not raw.isspace():  # an error may contain empty lines
            if self._errors:
                self._errors.pop(source, None)
            return 0
        before = self._errors.get(source)
        _, error = log_lines.read(raw, before.error if before else None)
        if error is None:
            self._errors.pop(source, None)
            return 0
        begun = Begun(error, before.number if before and error.lines > 1 else self.number)
        self._errors[source] = begun
        return begun.number
