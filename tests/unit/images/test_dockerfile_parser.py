"""The text of a Dockerfile: directives, instructions and variables."""

from __future__ import annotations

import pytest

from devenv.images.dockerfile_parser import expand, frontend, instruction_line, instructions, without_syntax

INSTRUCTIONS = """\
FROM a AS one
RUN npm ci
RUN npm ci && \\
  # a comment
    npm run build
ARG DIR
COPY --from=one ${DIR}/x-$NAME /y
COPY a b ./
RUN <<EOF
echo
EOF
ADD https://x.test/y /
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$A-$A", "1-1"),
        ("${A}b", "1b"),
        ("a$", "a$"),
        ("$1x", "x"),
        ("${B:-x}${B-y}", "xy"),
        ("${E:-x}${E-x}", "x"),
        ("${A:-x}${A-y}", "11"),
        ("${A:+y}${A+z}", "yz"),
        ("${E:+y}${E+z}${B+q}${B:+q}", "z"),
        ("${B:-${A}${B:-'z'}}", "1z"),
        ("${A:?no}${A?}${E?}", "11"),
        ("${B?it is needed}", None),
        ("${E:?it is needed}", None),
        ("\\$A", "$A"),
        ("'$A'\"$A\"", "$A1"),
        ('"a\\"b\\c\'"', "a\"b\\c'"),
        ("a\\", "a"),
        ("${B}$B", ""),
        ("${D#*.}", None),
        ("${D%%.*}", None),
        ("${D/./-}", None),
        ("${B:-" * 900 + "}" * 900, None),
        ("${A", None),
        ("${A:-", None),
        ("${A:", None),
        ("${}", None),
        ("${A!x}", None),
        ("${A/x}", None),
        ("'open", None),
        ('"open', None),
    ],
)
def test_expand(text: str, expected: str | None) -> None:
    """Variables and quotes are replaced as the builder's lexer does it; what it refuses makes the text unknown."""
    assert expand(text, {"A": "1", "E": "", "D": "a.b.c"}) == expected


def test_expand_with_another_escape() -> None:
    """The escape directive counts inside words, too."""
    assert expand("`$A\\$A", {"A": "1"}, "`") == "$A\\1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# syntax=a/b:1\n", ("a/b:1", 1)),
        ("\ufeff# syntax=a/b:1", ("a/b:1", 1)),
        ("#!/usr/bin/x\n# syntax=a/b:1\n", ("a/b:1", 2)),
        ("[]", ("", 1)),
        (" # syntax=a/b:1\n", ("", 1)),
        ("# other=x\n# syntax=a/b:1\n", ("", 1)),
        ("# escape=`\n# escape=`\n# syntax=a/b:1\n", ("", 1)),
        ("# syntax=\n", ("", 1)),
    ],
)
def test_frontend(text: str, expected: tuple[str, int]) -> None:
    """The image that reads the file is found in each form that the builder looks for, with its line."""
    assert frontend(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# syntax=a:1\nFROM b\n", "# not used: syntax=a:1\nFROM b\n"),
        ("\ufeff#syntax=a:1\r\nFROM b\r\n", "\ufeff# not used: syntax=a:1\r\nFROM b\r\n"),
        ("# syntax=a:1\n# escape=`\nFROM b\n", "# escape=`\n# not used: syntax=a:1\nFROM b\n"),
        ("#!x\n# syntax=a:1\nFROM b", "#!x\n# not used: syntax=a:1\nFROM b"),
        ("FROM b\n# syntax=a:1\n", "FROM b\n# syntax=a:1\n"),
        ("// syntax=a:1\n", "// syntax=a:1\n"),
    ],
)
def test_without_syntax(text: str, expected: str) -> None:
    """The line is a comment then, no instruction moves, and the other directives still count."""
    assert without_syntax(text) == expected
    assert frontend(expected)[0] in ("", "a:1" if text.startswith("//") else "")
    after = instructions(expected, "`" if "escape" in text else "\\")
    assert [instruction.line for instruction in after] == [instruction.line for instruction in instructions(text)]


def test_instructions_keep_their_first_line() -> None:
    """Each instruction has its first line, whatever lines were joined or skipped before."""
    text = "FROM a\n\nRUN x \\\n  y\n# c\nRUN <<E\nz\nE\nCMD q\n"
    assert [(instruction.line, instruction.keyword) for instruction in instructions(text)] == [
        (1, "FROM"),
        (3, "RUN"),
        (6, "RUN"),
        (9, "CMD"),
    ]


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        ("RUN npm ci", 2),
        ("RUN npm ci &&     npm run build", 3),
        ("COPY --from=one /src/x-me /y", 7),
        ("COPY a b ./", 8),
        ("RUN <<EOF (echo)", 9),
        ("ADD https://y.test/y /", 12),
        ("RUN something else", None),
        ("", None),
    ],
)
def test_the_line_of_an_instruction_as_the_builder_shows_it(shown: str, line: int | None) -> None:
    """The builder prints one line with values; the instruction is found if it is the only one of its kind."""
    assert instruction_line(INSTRUCTIONS, shown) == line
