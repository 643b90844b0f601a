"""Replace secrets in command lines and addresses. Pure."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

HIDDEN = "***"
SHORTEST = 4  # a shorter value is in too many other words
_COMMON = frozenset({"true", "false", "none", "null"})
_FOLDERS = frozenset({"PWD", "OLDPWD"})

_NAME = r"[\w.-]*(?:pass|pwd|token|secret|key|credential|auth)[\w.-]*"
_SECRET = re.compile(_NAME, re.IGNORECASE)
_HEADER = re.compile(r"(?i)(\b[\w-]*auth[\w-]*['\"]?\s*[:=]\s*['\"]?(?:basic|bearer)\s+)[^\s'\"]+")
_PAIR = re.compile(rf"(?i)(\b{_NAME}['\"]?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|(?!(?:basic|bearer)\s)[^\s,;&'\"}}\]]+)")
_LOGIN = re.compile(r"(?://|(?<![\w./-])[\w.%+-]+:(?!//))[^\s'\"]*@(?!sha256:)")  # of a digest, nothing is secret
_USER = re.compile(r"((?:\s|\A)(?:-u|--user)[ =])(?!\d+:)\S+:\S+")
_BUILD = re.compile(r"(--build-arg[ =][^\s=]+=)[^\s']*")
_MAYBE = re.compile(r"(?i)pass|pwd|token|secret|key|credential|auth|@|-u|--build-arg")
_URL = re.compile(r"//([^\s/:@]*):([^\s/]*)@")


class Redactor:
    """Hides what looks like a secret, and everywhere the values of variables of `environment` with such names."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        forms = {form for value in _values(environment) for form in _forms(value) if len(form) >= SHORTEST}
        longest_first = sorted(forms, key=len, reverse=True)
        self._has_known = bool(longest_first)
        self._known = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def command(self, argv: Sequence[str]) -> str:
        """The command as typed in a shell, on one line."""
        return self.text(shlex.join(_arguments(argv)))

    def text(self, text: str) -> str:
        """The text on one line."""
        return self.line(" ".join(text.split()))

    def line(self, text: str) -> str:
        """The line with its spaces, as a program printed it."""
        if self._has_known:
            text = self._known.sub(HIDDEN, text)
        if not ("=" in text or ":" in text or "@" in text) or not _MAYBE.search(text):  # most lines of a log
            return text
        for pattern in (_USER, _BUILD, _HEADER, _PAIR):
            text = pattern.sub(rf"\1{HIDDEN}", text)
        return _LOGIN.sub(lambda login: f"{'//' if login[0].startswith('//') else ''}{HIDDEN}@", text)


def _arguments(argv: Iterable[str]) -> Iterator[str]:
    """The arguments without the values of build arguments and of what has the name of a secret."""
    before = ""
    for word in argv:
        name, sign, value = word.partition("=")
        if name == "--build-arg" and sign:
            name = f"{name}={value.partition('=')[0]}"
        secret = _SECRET.fullmatch(name.lstrip("-")) is not None
        if before.startswith("--") and _SECRET.fullmatch(before.lstrip("-")):
            yield HIDDEN
        elif sign and (secret or "--build-arg" in (before, name.partition("=")[0])):
            yield f"{name}={HIDDEN}"
        else:
            yield word
        before = word


def _values(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _SECRET.search(name) and name not in _FOLDERS and value.lower() not in _COMMON:
            yield value
        for user, password in _URL.findall(value):
            yield from (password, unquote(password), f"{user}:{password}", f"{unquote(user)}:{unquote(password)}")


def _forms(value: str) -> tuple[str, ...]:
    data = value.encode(errors="surrogateescape")
    return value, quote(data, safe=""), base64.b64encode(data).decode()


def masked(address: str, scheme: str = "https") -> str:
    """An address that may be shown: without what is before an `@`, and without a query."""
    parts = re.match(r"(?s)(?:([a-zA-Z][\w+.-]*)://)?(?:(.*)@)?([^?#]*)", address)
    assert parts is not None  # noqa: S101 - every part may be empty
    hidden = "***@" if parts[2] is not None else ""
    return f"{parts[1] or scheme}://{hidden}{parts[3]}" if parts[1] or hidden else parts[3]
