"""The level of log lines, and the errors in them: a line, or a traceback of many lines as one error. Pure.

If a line names its level (as a field, in JSON, or as a word before the message), that level counts. In an access log,
the status decides; in all other lines, words such as `error` do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from devenv.model.containers import bare

LONGEST = 2000  # characters of a line that are read
_SOURCE_LINES = 8
LONGEST_ERROR = 200  # lines of a traceback
ERROR, WARN, INFO = "error", "warn", "info"

_NAMES = {
    ERROR: "error err eror fatal ftl critical crit panic dpanic pnc emerg emergency alert severe fail failure e f",
    WARN: "warn warning wrn w",
    INFO: "info inf notice note debug dbug dbg trace trc verbose system log hint detail statement context i d t",
}
_LEVELS = {name: level for level, names in _NAMES.items() for name in names.split()}
_LEVEL_KEYS = ("level", "severity", "lvl", "levelname", "log.level", "@l", "s")
_STATUS_KEYS = ("status", "statusCode", "status_code", "DownstreamStatus")
_MESSAGE_KEYS = ("msg", "message", "@m", "@mt", "error", "err", "event")
_ERROR_KEYS = ("err", "error", "exception")
_PINO_ERROR, _PINO_WARN, _SERVER_ERROR = 50, 40, 500

# Each error or warning contains one of these parts, in lower case: most lines need no other search.
_SUSPECT = (
    "err", "warn", "wrn", "fatal", "ftl", "crit", "panic", "pnc", "exception", "traceback", "emerg", "alert",
    "severe", "fail", "unhandled", "uncaught", "[e", "[w]", "[f]", " 5", "=5", "[5", "level", "lvl", "not found",
    "crashed", "syntax", "segm", "killed", "⨯", "✘", "✖", "cannot", "memory", 'file "', ".go:",
)  # fmt: skip
_SUSPECT_START = re.compile(r"\s*\{|[EWF]\d{4} |/|node:|file:")
_FIELD = re.compile(
    r"(?i)(?<![\w.\-])(?:(?:level|lvl|severity)=|[\"'](?:level|lvl|severity|levelname|log\.level)[\"']\s*:\s*)"
    r"[\"']?(?P<name>\w+)"
)
_METHODS = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS"
_ACCESS = re.compile(
    rf"\"(?:{_METHODS}) [^\"]*\"(?: from \S+ -)?:? (?P<quoted>\d{{3}})\b"
    rf"|\b(?:{_METHODS}) (?:https?://|/)\S*(?: HTTP/[\d.]+)?(?: [-=]>| →)? (?P<plain>\d{{3}})\b"
    r"|\| +(?P<table>\d{3}) \|.*"  # gin
    r"|\b(?:Completed|Sent) (?P<verb>\d{3}) "  # rails, phoenix
    rf"|\[(?P<php>\d{{3}})\]: (?:{_METHODS}) .*"
    r"|(?<![\w.])status=(?P<field>\d{3})\b"
)
_BEFORE = 100  # characters at the begin of a line in which a level may stand
_COMMON = "error|err|fatal|critical|crit|panic|emerg|alert|severe|warn|warning|info|notice|debug|dbug|trace|verbose"
_TOKEN = re.compile(
    r"(?<![\w/.=\-'\"])(?:"
    rf"(?P<caps>{_COMMON.upper()}|FTL|PNC|WRN|INF|DBG|TRC|(?:LOG|HINT|DETAIL|STATEMENT|CONTEXT)(?=:))"
    r"(?![\w=\-'\"]|\.\w)"
    rf"|\[ *(?:\w+:)?(?P<bracket>(?i:{_COMMON}|note|system)|[EWIDF])\*?(?=[ \]/])"
    rf"|(?P<colon>(?i:{_COMMON}|fail)):(?!\S)"
    r"|^(?P<klog>[EWIDF])(?:\d{4} \d\d:|, \[)"
    r"|^(?P<first>error|warning|warn|info) +(?=\S)"
    r"|^npm (?P<npm>error|warn|notice|ERR!|WARN)"
    r")"
)
_NO_ERROR = re.compile(
    r"\b(?:no|0|without|any) (?:error|exception|warning)\b"
    r"|\b(?:error|exception)\b\W{0,3}[:=]\s*(?:null|nil|none|false|0|\"\"|''|\[\]|\{\})(?!\w)"
    r"|\b(?:error|exception)[ -]?(?:handl\w+|pages?|logs?|logging|report\w*|rates?|level|tracking|boundar\w+"
    r"|recovery)\b"
    r"|\bon error\b",
    re.IGNORECASE,
)
_WORDS = {
    ERROR: re.compile(
        r"(?<![\w/.\\=\-])(?:error|fatal|exception|traceback|emerg|unhandled|uncaught)(?![\w/=\-(]|\.\w)"
        r"|\bpanicked at\b|\b[1-9]\d* errors?\b|(?-i:[a-z](?:Error|Exception)\b(?!\())"
        r"|\bfailed to compile\b|\bapp crashed\b|^failed running\b|\bsegmentation fault\b"
        r"|\bout of memory\b|\bsyntax error\b|\bcommand not found\b|: not found$|\bcannot find module\b"
        r"|^killed$|^\s*[⨯✘✖] |^\S+\.go:\d+:\d+: ",
        re.IGNORECASE,
    ),
    WARN: re.compile(r"(?<![\w/.\\=\-])warn(?:ing)?(?![\w/=\-(]|\.\w)|(?-i:[a-z]Warning:)", re.IGNORECASE),
}

_PLACE = re.compile(
    r"(?P<ending>\.(?:py|[mc]?[jt]sx?|vue|svelte|astro|go|rb|erb|php|java|kt|scala|clj|rs|exs?|cs|fs|c|cc|cpp|css|scss|html)"
    r")(?:\", line |\(| on line |:line |:)(?P<line>\d+)"
)
_NAME = re.compile(r"[\w@.+\-\[\]]+\Z")  # of a file, without its ending
_LONGEST_NAME = 100
_FOREIGN = re.compile(
    r"[\\/](?:site|dist)-packages[\\/]|/lib/(?:python|ruby|jvm)|node_modules|node:|<frozen|/usr/local/(?:go|lib)/"
    r"|/go/pkg/|/vendor/|/gems/|/rustc/|/\.cargo/"
    r"|\bat (?:java|javax|jdk|sun|jakarta|kotlin|scala|(?:org|io)\.(?:springframework|apache|hibernate|netty"
    r"|quarkus))[./]"
)
_TRACEBACK = re.compile(
    r"\s*(?:[|+] )?\s*(?:Exception Group )?Traceback \(most recent call last\):|^  File \".+\", line \d+$"
)
_SOURCE = re.compile(r"(?:file://)?(?:/\S+|node:[\w/]+):\d+$")  # the first line of an error of Node.js
_PANIC = re.compile(r"thread '.*' panicked at (?!')")  # the message is on the next line
_BOX = re.compile(r"^\s+[|+][-+]* ?")  # before the lines of exception groups
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: |:?$)")
_CAUSED = "Caused by: "
_FRAME = re.compile(r"\s+(?:at |from )|Caused by: |Stack trace:|\s*Traceback \(")
_NEXT = re.compile(
    r"\s|Caused by: |#\d+ |goroutine \d+ |\[signal |Node\.js v\d|Require stack:|- /"
    r"|created by |exit status \d|\}|note: |[\w./*()]+\([^()]*\)$|\(Background on|\[SQL|\[parameters"
    r"|During handling of|The above exception|Traceback \("
)
_TIMES = re.compile(
    r"^(?:[\[(]?\d{1,4}[-/:]\d\d[-/:]\d\d(?:\d\d)?(?:[T ]\d\d:\d\d:\d\d)?(?:[.,]\d+)?"
    r"(?:Z| ?[+-]\d\d:?\d\d| UTC)?[\])]?\s*)+"
)


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
    return any(part in small for part in _SUSPECT) or _SUSPECT_START.match(text) is not None


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
    if _TRACEBACK.match(text):
        return _placed(LoggedError(awaits="last", is_trace=True, indent=_indent(text)), text)
    if _SOURCE.match(text):
        return _placed(LoggedError(awaits="named", is_trace=True), text)
    if _PANIC.match(text):
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
    error = replace(before, lines=before.lines + 1)
    if error.awaits == "last":
        return _longer_python(_BOX.sub("", text), error)
    if error.awaits == "next" or (error.awaits and _WORDS[ERROR].search(text)):
        return replace(error, message=text.strip(), awaits="")
    if error.awaits:  # the line of the source, a mark below it, and an empty line
        return error if error.lines < _SOURCE_LINES else None
    if not (_NEXT if error.is_trace else _FRAME).match(text):
        return None
    if _TRACEBACK.match(text):
        error = replace(error, awaits="last", indent=_indent(text))
    if text.startswith(_CAUSED):  # the last cause is the original one
        error = LoggedError(text.removeprefix(_CAUSED), lines=error.lines)
    return _placed(replace(error, is_trace=True), text)


def _indent(text: str) -> str:
    rest = text.lstrip()
    return text[: -len(rest)] if rest.startswith("Traceback") else ""


def _longer_python(text: str, error: LoggedError) -> LoggedError | None:
    text = text.removeprefix(error.indent)
    if text[:1].isspace() or not text or text.startswith("-") or _TRACEBACK.match(text):
        return _placed(error, text)
    if (_EXCEPTION.match(text) and _token(text) is None) or text.startswith("SyntaxError"):
        return replace(error, message=text, awaits="")
    return None


def _placed(error: LoggedError, text: str) -> LoggedError:
    """The error with the place of this frame if that is better: the project's own code rather than a library."""
    place = next(reversed(tuple(_PLACE.finditer(text))), None) if error.awaits == "last" else _PLACE.search(text)
    if place is None or not (name := _NAME.search(text, place.start() - _LONGEST_NAME, place.start())):
        return error
    is_own = not _FOREIGN.search(text)
    if not error.place or (is_own and not error.is_own) or (error.awaits == "last" and is_own >= error.is_own):
        return replace(error, place=f"{name[0]}{place['ending']}:{place['line']}", is_own=is_own)
    return error


def _of_text(text: str) -> str:
    rest = text
    for access in _ACCESS.finditer(text):
        if int(access[access.lastgroup or 0]) >= _SERVER_ERROR:
            return ERROR
        rest = rest.replace(access[0], " ")
    if named := _FIELD.search(rest):
        return _of_name(named["name"])
    rest = _NO_ERROR.sub("", rest)
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
    return _TOKEN.search(text[:_BEFORE])


def _of_words(text: str) -> str:
    return next((name for name, pattern in _WORDS.items() if pattern.search(text)), "")


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
    status = next((entry[key] for key in _STATUS_KEYS if key in entry), 0)
    if isinstance(status, int) and _SERVER_ERROR <= status < 600:  # noqa: PLR2004 - the end of HTTP's codes
        return ERROR
    name = next((entry[key] for key in _LEVEL_KEYS if key in entry), None)
    if name is None and isinstance(inner := entry.get("log"), dict):
        name = inner.get("level")
    if isinstance(name, int | str):
        return _of_name(str(name))
    has_error = any(isinstance(entry.get(key), str | dict) and entry[key] for key in _ERROR_KEYS)
    return ERROR if has_error else INFO


def _parts(text: str) -> tuple[str, list[str]]:
    """The message of a line without its time, and the lines of the traceback in it (in JSON, a field)."""
    entry = _object(text) if text.lstrip()[:1] == "{" else None
    if entry is None:
        return _TIMES.sub("", text).strip(), []
    inner: Mapping[str, Any] = next((entry[key] for key in _ERROR_KEYS if isinstance(entry.get(key), dict)), {})
    texts = [*(entry.get(key) for key in _MESSAGE_KEYS), inner.get("message")]
    message = next((each for each in texts if isinstance(each, str) and each), text.strip())
    stacks = [inner.get("stack"), *(entry.get(key) for key in ("stack", "exc_info", "stacktrace", "exception"))]
    stack = next((each for each in stacks if isinstance(each, str)), "")
    return message.partition("\n")[0], stack.splitlines()
