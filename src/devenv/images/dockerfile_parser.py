"""Parse the text of a Dockerfile as BuildKit does: directives, instructions, their flags, and variables.

`tests/engine/test_dockerfile.py` compares with BuildKit's parser and lexer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from devenv.lazy_dataclass import dataclass

PIECE = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])"""
WORD = re.compile(rf"{PIECE}+\\?")
WHOLE = re.compile(rf"\s*(?:{PIECE}\s*)*\\?")  # with all quotes closed
HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
VALID_DIRECTIVES = ("syntax", "escape", "check")
NAME = re.compile(r"\d+|[@*#?$!-]|\w*")
BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its keyword in capitals, the rest as one line, and its first line (from 1)."""

    keyword: str
    rest: str
    line: int


def instructions(text: str, escape: str = "\\") -> Iterator[Instruction]:
    """The instructions in order, with continued lines joined, without comments and here-documents."""
    continued = re.compile(rf"(^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")
    lines = enumerate((line.rstrip("\r") for line in text.removeprefix(BOM).split("\n")), start=1)
    for number, line in lines:
        if _blank(line):
            continue
        parts = [line]
        while continued.search(parts[-1]):
            parts[-1] = continued.sub(r"\1", parts[-1])
            parts.append(next((more for _, more in lines if not _blank(more)), ""))
        instruction = _instruction("".join(parts), number)
        for strips_tabs, end in _heredocs(instruction):
            next((None for _, text in lines if (text.lstrip("\t") if strips_tabs else text) == end), None)
        yield instruction


def frontend(text: str) -> tuple[str, int]:
    """The image of the frontend in `# syntax=`, and its line; empty if there is none."""
    text = text.removeprefix(BOM)
    offset = 2 if text.startswith("#!") else 1
    directives = _directives(text.split("\n")[offset - 1 :])
    return next(
        ((value.split()[0], number + offset) for number, key, value in directives if key == "syntax"), ("", 1)
    )


def escape_character(text: str) -> str:
    """The character of `# escape=`; a backslash without this directive."""
    lines = (line.lstrip() for line in text.removeprefix(BOM).split("\n"))
    return next((value for _, key, value in _directives(lines) if key == "escape"), "\\")


def without_syntax(text: str) -> str:
    """The Dockerfile for the builder's own frontend: `# syntax=` becomes a comment, and no line number changes."""
    bare = text.removeprefix(BOM)
    lines, offset = bare.split("\n"), 1 if bare.startswith("#!") else 0
    directives = list(_directives(lines[offset:]))
    for number, key, _ in directives:
        if key == "syntax":  # a comment ends the directives, so it is moved after them
            lines.insert(offset + directives[-1][0], f"# not used: {lines.pop(offset + number).lstrip('# ')}")
    return text[: len(text) - len(bare)] + "\n".join(lines)


def _directives(lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """The directives at the top (comments `key=value`): line from 0, key, value. A repeated key ends them."""
    seen = set[str]()
    for number, line in enumerate(lines):
        match = DIRECTIVE.fullmatch(line)
        key = match[1].lower() if match else ""
        if match is None or key not in VALID_DIRECTIVES or key in seen:
            return
        seen.add(key)
        yield number, key, match[2]


def instruction_line(text: str, shown: str) -> int | None:
    """The line of an instruction that BuildKit shows on one line, in COPY and ADD with variables replaced."""
    wanted = " ".join(shown.split())
    alike = []
    for instruction in instructions(text):
        own, heredoc, _ = " ".join(f"{instruction.keyword} {instruction.rest}".split()).partition("<<")
        pattern = re.sub(r"\\\$(?:\w+|\\\{.*?\\\})", ".*", re.escape(own)) + ("<<.*" if heredoc else "")
        if re.fullmatch(pattern, wanted):
            return instruction.line
        alike += [instruction.line] if instruction.keyword == wanted.partition(" ")[0] else []
    return alike[0] if len(alike) == 1 else None


def flags(rest: str) -> tuple[list[tuple[str, str]], str]:
    """The flags at the beginning of an instruction, without quotes, and the rest."""
    flags = []
    while rest.startswith("--") and (word := WORD.match(rest)):
        plain = re.sub(r"""\\(.)|["']""", lambda match: match[1] or "", word[0])
        name, _, value = plain[2:].partition("=")
        flags.append((name, value))
        rest = rest[word.end() :].lstrip()
    return flags, rest


def json_words(text: str) -> list[str] | None:
    """The words of a command or COPY in JSON form; None in another form."""
    try:
        words = json.loads(text)
    except ValueError:
        return None
    return [str(word) for word in words] if isinstance(words, list) else None


def expand(text: str, scope: Mapping[str, str], escape: str = "\\") -> str | None:
    """The text without quotes and with its variables replaced (unknown ones are empty); None if malformed."""
    try:
        return _Lexer(text, scope, escape).until("")
    except (ValueError, IndexError, RecursionError):
        return None


class _Lexer:
    """Reads a word from the left. Raises IndexError if it ends too early, ValueError if it is malformed."""

    def __init__(self, text: str, scope: Mapping[str, str], escape: str) -> None:
        self._text, self._at = text, 0
        self._scope, self._escape = scope, escape

    def until(self, stop: str) -> str:
        """The text before `stop` (or the end); before a `"`, an escape character counts only with what it escapes."""
        result = ""
        while stop or self._at < len(self._text):
            char = self._take()
            if char == stop:
                return result
            if char == "$":
                char = self._variable()
            elif char == self._escape and (stop != '"' or self._text[self._at] in ('"', "$", self._escape)):
                char = self._text[self._at : self._at + 1]
                self._at += 1
            elif char == '"':
                char = self.until('"')
            elif char == "'" and stop != '"':
                end = self._text.index("'", self._at)
                char, self._at = self._text[self._at : end], end + 1
            result += char
        return result

    def _take(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _variable(self) -> str:
        """The value after a `$`: `-` is a default, `+` a replacement, `?` requires a value; patterns are refused."""
        if not self._text.startswith("{", self._at):
            name = self._name()
            return self._scope.get(name, "") if name else "$"
        self._at += 1
        name, operator = self._name(), self._take()
        if not name:
            raise ValueError(self._text)
        value = self._scope.get(name)
        if operator == "}":
            return value or ""
        is_unset = value is None
        if operator == ":":
            is_unset, operator = not value, self._take()
        word = self.until("}")
        if operator == "-":
            return word if is_unset else value or ""
        if operator == "+":
            return "" if is_unset else word
        if operator == "?" and not is_unset:
            return value or ""
        raise ValueError(word)

    def _name(self) -> str:
        match = NAME.match(self._text, self._at)
        assert match is not None  # noqa: S101 - the pattern matches an empty text, too
        self._at = match.end()
        return match[0]


def _instruction(text: str, line: int) -> Instruction:
    keyword, *rest = text.split(maxsplit=1) or [""]
    return Instruction(keyword.upper(), "".join(rest).strip(), line)


def _blank(line: str) -> bool:
    stripped = line.strip()
    return not stripped or stripped.startswith("#")


def _heredocs(instruction: Instruction) -> list[tuple[bool, str]]:
    """The here-documents that the line opens: whether leading tabs are removed, and the line that ends each."""
    if instruction.keyword == "ONBUILD":
        instruction = _instruction(instruction.rest, instruction.line)
    rest = instruction.rest
    if instruction.keyword not in ("RUN", "COPY", "ADD") or json_words(rest) is not None or not WHOLE.fullmatch(rest):
        return []
    words = WORD.findall(re.sub(r"(?<!\S)(\d*<<-?)\s+(?=\S)", r"\1", rest))
    matches = (HEREDOC.fullmatch(word) for word in words)
    return [(bool(match[1]), re.sub("[\"']", "", match[2])) for match in matches if match]
