"""The level of log lines, and the errors in them: a line, or a traceback of many lines as one error. Pure.

If a line names its level (as a field, in JSON, or as a word before the message), that level counts. In an access log,
the status decides; in all other lines, words such as `error` do. The patterns are in `log_lines.toml`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from devenv.explain import table
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import bare

LONGEST = 2000  # characters of a line that are read
_SOURCE_LINE = 2  # the line of the source in an error of Node.js
_SOURCE_LINES = 8
LONGEST_ERROR = 200  # lines of a traceback
ERROR, WARN, INFO = "error", "warn", "info"

_PINO_ERROR, _PINO_WARN, _SERVER_ERROR = 50, 40, 500
_BEFORE = 100  # characters at the begin of a line in which a level may stand
_LONGEST_NAME = 100  # of a file, without its ending
_CAUSED = "Caused by: "

TABLE = table.data("explain/log_lines.toml")
_SUSPECT = tuple(TABLE["suspect"])
_KEYS = TABLE["keys"]
_LEVELS: dict[str, str] = {name: level for level, names in TABLE["levels"].items() for name in names.split()}


class _Patterns(dict[str, re.Pattern[str]]):
    """The patterns by name, each compiled when it is first used: few lines need more than one of them."""

    def __missing__(self, name: str) -> re.Pattern[str]:
        self[name] = re.compile(table.filled(TABLE["patterns"][name], TABLE["fragments"]))
        return self[name]


PATTERNS = _Patterns()


@dataclass(frozen=True, slots=True)
class LoggedError:
    """An error, as far as the log has been read: its message, its `file:line`, and the number of lines.

    `awaits`: the line that has the message: `last` (Python), `next`, or `named` (the first that names an error,
    Node.js).
    """

    message: str = ""
    place: str = ""
    lines: int = 1
    awaits: str = ""
    is_trace: bool = False
    is_own: bool = False  # the place is in the project's own code
    indent: str = ""  # before each line of a traceback below a line of the log

    @property
    def text(self) -> str:
        """The error on one line; empty as long as its message is missing."""
        if not self.message or self.place in self.message:
            return self.message
        return f"{self.place}: {self.message}"


@dataclass(slots=True)
class LevelReader:
    """Reads a container's log: the level of each line, and the last error of each stream."""

    errors: dict[str, LoggedError | None] = field(default_factory=dict)

    def level(self, stream: str, line: str) -> str:
        """The level of the stream's next line."""
        level, self.errors[stream] = read(line, self.errors.get(stream))
        return level


def _is_suspect(text: str) -> bool:
    small = text.lower()
    return any(part in small for part in _SUSPECT) or PATTERNS["suspect_start"].match(text) is not None


def level(line: str) -> str:
    """`error`, `warn` or "" for a single line; escape sequences are ignored."""
    text = bare(line[:LONGEST])
    return _level(text) if _is_suspect(text) else ""


def _level(text: str) -> str:
    level_ = _of_json(text) if text.lstrip()[:1] == "{" else None
    if level_ is None:
        level_ = _of_text(text)
    return "" if level_ == INFO else level_


def read(line: str, before: LoggedError | None) -> tuple[str, LoggedError | None]:
    """The level of a line, and the error that the line belongs to: the error `before` it, a new one, or none."""
    text = bare(line[:LONGEST]).rstrip()
    if before is not None and before.lines < LONGEST_ERROR:
        if not text:
            return "", replace(before, lines=before.lines + 1)
        if (longer := _longer(text, before)) is not None:
            return ERROR, longer
    if not _is_suspect(text):
        return "", None
    if (begun := _trace(text)) is not None:
        return ERROR, begun
    level_ = _level(text)
    return level_, _single(text) if level_ == ERROR else None


def _trace(text: str) -> LoggedError | None:
    """The traceback that begins with this line; None if none does."""
    if PATTERNS["traceback"].match(text):
        return _placed(LoggedError(awaits="last", is_trace=True, indent=_indent(text)), text)
    if PATTERNS["source"].match(text):
        return _placed(LoggedError(awaits="named", is_trace=True), text)
    if PATTERNS["panic"].match(text):
        return _placed(LoggedError(awaits="next", is_trace=True), text)
    return None


def _single(text: str) -> LoggedError:
    """The error on this line."""
    message, stack = _parts(text)
    error = LoggedError(message)
    for line in (message, *stack):
        error = _placed(error, line)
    return replace(error, is_trace=bool(stack) or text.startswith("panic: "))


def _longer(text: str, before: LoggedError) -> LoggedError | None:
    """The error `before` with this line added; None if the line does not belong to it."""
    begins_again = before.awaits == "named" and PATTERNS["source"].match(text)  # after the lines of Node.js itself
    if begins_again or PATTERNS["notice"].match(text):
        return None
    error = replace(before, lines=before.lines + 1)
    if error.awaits == "last":
        return _longer_python(PATTERNS["box"].sub("", text), error)
    if error.awaits == "next" or (error.awaits and error.lines > _SOURCE_LINE and PATTERNS[ERROR].search(text)):
        return replace(error, message=text.strip(), awaits="")
    if error.awaits:  # the line of the source, a mark below it, and an empty line
        return error if error.lines < _SOURCE_LINES else None
    if not PATTERNS["next" if error.is_trace else "frame"].match(text):
        return None
    if PATTERNS["traceback"].match(text):
        error = replace(error, awaits="last", indent=_indent(text))
    if text.startswith(_CAUSED):  # the last cause is the original one
        error = LoggedError(text.removeprefix(_CAUSED), lines=error.lines)
    return _placed(replace(error, is_trace=True), text)


def _indent(text: str) -> str:
    rest = text.lstrip()
    return text[: -len(rest)] if rest.startswith("Traceback") else ""


def _longer_python(text: str, error: LoggedError) -> LoggedError | None:
    text = text.removeprefix(error.indent)
    if text[:1].isspace() or not text or text.startswith("-") or PATTERNS["traceback"].match(text):
        return _placed(error, text)
    if (PATTERNS["exception"].match(text) and _token(text) is None) or text.startswith("SyntaxError"):
        return replace(error, message=text, awaits="")
    return None


def _placed(error: LoggedError, text: str) -> LoggedError:
    """The error with the place of this frame if that is better: the project's own code rather than a library."""
    place = (
        next(reversed(tuple(PATTERNS["place"].finditer(text))), None)
        if error.awaits == "last"
        else PATTERNS["place"].search(text)
    )
    if place is None or not (name := PATTERNS["name"].search(text, place.start() - _LONGEST_NAME, place.start())):
        return error
    is_own = not PATTERNS["foreign"].search(text)
    if not error.place or (is_own and not error.is_own) or (error.awaits == "last" and is_own >= error.is_own):
        return replace(error, place=f"{name[0]}{place['ending']}:{place['line']}", is_own=is_own)
    return error


def _of_text(text: str) -> str:
    rest = text
    for access in PATTERNS["access"].finditer(text):
        if int(access[access.lastgroup or 0]) >= _SERVER_ERROR:
            return ERROR
        rest = rest.replace(access[0], " ")
    if named := PATTERNS["field"].search(rest):
        return _of_name(named["name"])
    rest = PATTERNS["no_error"].sub("", rest)
    if (token := _token(rest)) is None:
        return _of_words(rest)
    level_ = _LEVELS[str(token[token.lastgroup or 0]).lower().rstrip("!")]
    return _of_words(rest[: token.start()]) if level_ == INFO else level_


def _of_name(name: str) -> str:
    """The level for a name, or for a number of pino or bunyan."""
    if name.isdecimal():
        return ERROR if int(name) >= _PINO_ERROR else WARN if int(name) >= _PINO_WARN else INFO
    return _LEVELS.get(name.lower(), INFO)


def _token(text: str) -> re.Match[str] | None:
    return PATTERNS["token"].search(text[:_BEFORE])


def _of_words(text: str) -> str:
    return next((name for name in (ERROR, WARN) if PATTERNS[name].search(text)), "")


def _object(text: str) -> Mapping[str, Any] | None:
    """The JSON object on the line; None if the line is not an object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _of_json(text: str) -> str | None:
    """The level of a JSON object; None if the line is not an object."""
    if (entry := _object(text)) is None:
        return None
    status = next((entry[key] for key in _KEYS["status"] if key in entry), 0)
    if isinstance(status, int) and _SERVER_ERROR <= status < 600:  # noqa: PLR2004 - the end of HTTP's codes
        return ERROR
    name = next((entry[key] for key in _KEYS["level"] if key in entry), None)
    if name is None and isinstance(inner := entry.get("log"), dict):
        name = inner.get("level")
    if isinstance(name, int | str):
        return _of_name(str(name))
    has_error = any(isinstance(entry.get(key), str | dict) and entry[key] for key in _KEYS["error"])
    return ERROR if has_error else INFO


def _parts(text: str) -> tuple[str, list[str]]:
    """The message of a line without its time, and the lines of the traceback in it (in JSON, a field)."""
    entry = _object(text) if text.lstrip()[:1] == "{" else None
    if entry is None:
        return PATTERNS["times"].sub("", text).strip(), []
    inner: Mapping[str, Any] = next((entry[key] for key in _KEYS["error"] if isinstance(entry.get(key), dict)), {})
    texts = [*(entry.get(key) for key in _KEYS["message"]), inner.get("message")]
    message = next((each for each in texts if isinstance(each, str) and each), text.strip())
    stacks = [inner.get("stack"), *(entry.get(key) for key in _KEYS["stack"])]
    stack = next((each for each in stacks if isinstance(each, str)), "")
    return message.partition("\n")[0], stack.splitlines()
