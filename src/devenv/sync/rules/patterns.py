"""Docker's pattern matching: the syntax of .dockerignore, and of `ignore` and `include` in watch rules.

`*` and `?` match within one name, `**` matches any number of names, `[a-z]` and `[^a]` match one character, a
backslash escapes the next character. A pattern that matches a folder matches everything below it. The last matching
pattern decides; `!` negates it. Paths are relative, with `/` as separator, and normalised.

Every pattern becomes one regular expression that does not backtrack over a matched part, so that a malicious pattern
costs no more than a plain one: between two `*` of a name, and between two `**` of a path, the first position where
the part in between matches is as good as any later one.

There are three intended differences from Docker, which contradicts its documentation there: a class does not match
`/` (in Docker, `a[^b]c` matches `a/c`), `*` and `?` in a class are literal, and so is a letter after a backslash.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import groupby

from devenv.lazy_dataclass import dataclass

BACKSLASH = "To match a special character literally, put a backslash before it: `\\[`."
_STAR, _DEEP, _ALL, _SLASH = "*", "**", ".*", "/"
_NAMES = "(?:[^/]*/)*?"
_BELOW = "(?:/.*)?"
_CHARACTER = r"(?:\\.|[^\\\]-])"
_RANGE = re.compile(rf"({_CHARACTER})(?:-({_CHARACTER}))?", re.DOTALL)
_TOKEN = re.compile(rf"\*\*/?|\[\^?+(?:{_RANGE.pattern})++\]|\\.|[^\[\\]", re.DOTALL)
_SUFFIX = re.compile(r"\*\*([^]*?[\\/][^]*?[\\]*)", re.DOTALL)
_MOST_INNER = 6


def dockerignore_lines(text: str) -> tuple[str, ...]:
    """The stripped lines of a .dockerignore; a comment, with `#` as first character, becomes an empty line."""
    lines = text.removeprefix("\ufeff").split("\n")
    return tuple("" if line.startswith("#") else line.strip() for line in lines)


def place_of(pattern: str, lines: Sequence[str]) -> int:
    """The index of the last line that equals this normalised pattern. Raises ValueError if there is none."""
    return max(index for index, line in enumerate(lines) if _clean(line) == pattern)


@dataclass(frozen=True)
class Patterns:
    """An ordered list of patterns, created by `parse`."""

    lines: tuple[str, ...] = ()

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Patterns:
        """The normalised patterns, without `.` and empty lines. Raises ValueError for the first invalid one."""
        patterns = cls(tuple(filter(None, map(_clean, lines))))
        for line in patterns.lines:
            _compiled(line)
        return patterns

    def matches(self, path: str, *, default: bool = False) -> bool:
        """Whether the last pattern that matches the path or a parent is not negated; `default` without a match."""
        for negated, regex in self._runs:
            if regex.fullmatch(path):
                return not negated
        return default

    def deciding(self, path: str) -> str | None:
        """The pattern that decides about the path; None if none matches."""
        return next((line for line in reversed(self.lines) if _compiled(line).regex.fullmatch(path)), None)

    def outcomes_below(self, directory: str, *, defaults: frozenset[bool] = frozenset({False})) -> frozenset[bool]:
        """All results that `matches` may have for paths below the directory ("" is the root).

        A result that is not in the set is impossible, so that a walk can skip the directory; a result in the set need
        not occur. `defaults` are the possible results of an earlier list.
        """
        inside = f"{directory}/" if directory else ""
        outcomes = defaults
        for line in self.lines:
            pattern = _compiled(line)
            answer = frozenset({not pattern.negated})
            if pattern.regex.fullmatch(inside):
                outcomes = answer
            elif pattern.reach.fullmatch(inside):
                outcomes |= answer
        return outcomes

    def sparing(self, path: str) -> Patterns:
        """The same list without the patterns that match the path or a parent folder."""
        return Patterns(tuple(line for line in self.lines if not _compiled(line).regex.fullmatch(path)))

    @cached_property
    def _runs(self) -> tuple[tuple[bool, re.Pattern[str]], ...]:
        """(negated, expression) for each run of patterns that are all negated or all not, last run first."""
        runs = groupby(map(_compiled, reversed(self.lines)), key=lambda pattern: pattern.negated)
        return tuple(
            (negated, _regex(_union([tokens for pattern in run for tokens in pattern.variants]) + _BELOW))
            for negated, run in runs
        )


@dataclass(frozen=True)
class _Pattern:
    """One compiled pattern.

    `regex` matches the paths that the pattern matches and everything below them; `reach` matches the folders, with a
    `/` at the end, below which the pattern may match something.
    """

    negated: bool
    variants: tuple[tuple[str, ...], ...]
    regex: re.Pattern[str]
    reach: re.Pattern[str]


def _clean(line: str) -> str:
    line = line.strip()
    negated = line.startswith("!")
    body = line[negated:].strip()
    if negated and not body:
        raise ValueError(f"bad pattern `{line}`: nothing follows the `!`")
    body = posixpath.normpath(body).lstrip("/")
    return "" if body in ("", ".") else "!" * negated + body


@lru_cache(maxsize=4096)
def _compiled(line: str) -> _Pattern:
    negated = line.startswith("!")
    try:
        variants = tuple(_variants(tuple(_tokens(line[negated:]))))
    except ValueError as error:
        raise ValueError(f"bad pattern `{line}`: {error}") from None
    reach = "|".join(part for tokens in variants for part in _reach(tokens))
    return _Pattern(negated, variants, _regex(_union(variants) + _BELOW), _regex(reach))


@lru_cache(maxsize=4096)
def _regex(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


def _tokens(pattern: str) -> Iterator[str]:
    """The parts of the regular expression, with `*`, `**`, `.*` and `/` as separate tokens."""
    if suffix := _SUFFIX.fullmatch(pattern):
        # In Docker a leading `**` before literal text means "ends with": `**.pyc` matches `a.pyc`.
        yield from (_ALL, *map(re.escape, suffix[1]))
        return
    at, previous = 0, ""
    while at < len(pattern):
        match = _TOKEN.match(pattern, at)
        if not match:
            raise ValueError(f"`{pattern[at:]}` is not complete")
        at = match.end()
        token = _token(match[0], last=at == len(pattern))
        if (previous, token) != (_DEEP, _DEEP):
            yield token
        previous = token


def _token(text: str, *, last: bool) -> str:
    if text.startswith("**"):
        return _ALL if last else _DEEP
    if text == "?":
        return "[^/]"
    if text.startswith("["):
        return _class(text)
    return text if text in (_STAR, _SLASH) else re.escape(text[-1])


def _class(text: str) -> str:
    negated = text.startswith("[^")
    parts = []
    for low, high in _RANGE.findall(text[1 + negated : -1]):
        if high and low[-1] > high[-1]:
            raise ValueError(f"the range `{low}-{high}` runs backwards")
        parts.append(re.escape(low[-1]) + (f"-{re.escape(high[-1])}" if high else ""))
    return f"(?!/)[{'^' * negated}{''.join(parts)}]"


def _variants(tokens: tuple[str, ...], depth: int = 0) -> Iterator[tuple[str, ...]]:
    """The pattern without `**` inside a name: `a**b` is `ab` or `a*/**/b`."""
    for at in range(1, len(tokens)):
        if tokens[at] == _DEEP and tokens[at - 1] != _SLASH:
            if depth == _MOST_INNER:
                raise ValueError(f"more than {_MOST_INNER} `**` inside names")
            head, tail = tokens[:at], tokens[at + 1 :]
            yield from _variants(head + tail, depth + 1)
            yield from _variants((*head, _STAR, _SLASH, _DEEP, *tail), depth + 1)
            return
    yield tokens


def _union(variants: Sequence[tuple[str, ...]]) -> str:
    """One expression for all variants; those that begin with `**` share the search for their position."""
    plain = [_body(tokens) for tokens in variants if tokens[0] != _DEEP]
    deep = [_body(tokens[1:]) for tokens in variants if tokens[0] == _DEEP]
    shared = [f"{_NAMES}(?:{'|'.join(deep)})"] if deep else []
    return f"(?:{'|'.join(plain + shared)})"


def _body(tokens: Sequence[str]) -> str:
    first, *others = _split(tokens, _DEEP)
    if not others:
        return _names(first)
    *middle, last = map(_names, others)
    return _names(first) + "".join(f"(?>{_NAMES}{names})" for names in middle) + _NAMES + last


def _names(tokens: Sequence[str]) -> str:
    return _SLASH.join(map(_name, _split(tokens, _SLASH)))


def _name(tokens: Sequence[str]) -> str:
    first, *others = ("".join(part) for part in _split(tokens, _STAR))
    if not others:
        return first
    return first + "".join(f"(?>[^/]*?{part})" for part in others[:-1]) + "[^/]*" + others[-1]


def _reach(tokens: tuple[str, ...]) -> Iterator[str]:
    """Expressions for the beginnings of matching paths, each up to a `/`; the root is the empty expression."""
    yield ""
    for at, token in enumerate(tokens):
        if token in (_DEEP, _ALL):
            yield _body(tokens[:at]) + _ALL
            return
        if token == _SLASH:
            yield _body(tokens[: at + 1])


def _split(tokens: Sequence[str], sign: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == sign:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
