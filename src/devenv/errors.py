"""All errors that devenv raises on purpose, each with its exit code."""

from __future__ import annotations

import re
from collections.abc import Iterable

WIDEST = 100  # characters of a line that is shown
_VALUE = r"""(?x)                  # compiled at its use: each command imports this module
    ([:=][ \t]+ | =                 # the value of a key or a variable
    | (?:^[ \t]*(?:-[ \t]+)+        # an item of a list
      | (?<!\S)(?=\S{20}))          # or a word as long as in a token or a certificate
      (?!\S*:(?:\s|$)|\w+=[^=\s])   # that is no key
    )(\S.*)"""


class DevenvError(Exception):
    """What failed, on what, and a hint with the command to type; without traceback and secrets.

    `file`, `line` and `column` (counted from 1) are the place of the cause, if it is known; `excerpt` shows it.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.file = file
        self.line = line
        self.column = column
        self.excerpt: tuple[str, ...] = ()

    @property
    def where(self) -> str | None:
        """`file:line`, `file`, or None without a file."""
        return self.file if self.file is None or self.line is None else f"{self.file}:{self.line}"

    @property
    def said(self) -> str:
        """The message, after the place if it is known."""
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(DevenvError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class StateError(DevenvError):
    """Another run has the project, or devenv's state cannot be used."""

    exit_code = 3


class EngineError(DevenvError):
    """The engine or a registry cannot be reached, the engine refused a request, or a port is taken."""

    exit_code = 4


class PortError(EngineError):
    """A host port that a service publishes is taken or forbidden."""


class ConfigError(DevenvError):
    """A Compose file, a Dockerfile, an env_file or an x-devenv key is wrong, or asks for what does not exist."""

    exit_code = 5


class RefusedError(DevenvError):
    """The command is possible, but could harm something that devenv did not create."""

    exit_code = 6


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most similar, or None."""
    import difflib  # noqa: PLC0415 - only for errors

    return next(iter(difflib.get_close_matches(word, [*known], n=1)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the most similar known word, or all known words."""
    names = [*known]
    close = closest(word, names)
    return f"Did you mean `{close}`?" if close else f"Known here: {', '.join(names) or 'none'}."


def unknown(kind: str, word: str, known: Iterable[str]) -> UsageError:
    """The error for a name on the command line that is not known."""
    return UsageError(f"there is no {kind} `{word}`", hint=did_you_mean(word, known))


def excerpt(text: str, line: int, column: int) -> tuple[str, ...]:
    """The line, the one above it, and a mark below the column; with stars for values, which may be secrets."""
    lines = text.splitlines()
    numbers = [number for number in (line - 1, line) if 0 < number <= len(lines)]
    shown = (f"{number:4} | {re.sub(_VALUE, _starred, lines[number - 1])[:WIDEST]}" for number in numbers)
    return (*shown, f"     | {' ' * (column - 1)}^") if line <= len(lines) and column <= WIDEST else tuple(shown)


def _starred(match: re.Match[str]) -> str:
    return match[1] + "*" * len(match[2])
