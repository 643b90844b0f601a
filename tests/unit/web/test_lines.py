"""Lines of logs as the page gets them."""

from __future__ import annotations

from devenv.redact import Redactor
from devenv.web.lines import PageLine, PageLines

REDACTOR = Redactor({"API_TOKEN": "s3cret-value"})


def lines(*told: tuple[str, str, str]) -> list[PageLine]:
    """The lines of services: service, level, text."""
    made = PageLines(REDACTOR)
    return [made.line(service, "stdout", text, level, 1.0) for service, level, text in told]


def test_a_traceback_is_one_group() -> None:
    """Also between lines of others, which belong to no group; the next error is another group."""
    found = lines(
        ("web", "", "ready"),
        ("web", "error", "Traceback (most recent call last):"),
        ("db", "", "checkpoint"),
        ("web", "error", '  File "main.py", line 3, in <module>'),
        ("web", "error", "ValueError: no"),
        ("web", "", "next"),
        ("web", "error", "Error: other"),
    )
    assert [line.group for line in found] == [0, 2, 0, 2, 2, 0, 7]
    assert [line.number for line in found] == [1, 2, 3, 4, 5, 6, 7]


def test_secrets_are_hidden_and_spaces_kept() -> None:
    """Values of variables of the environment, and what looks like a secret."""
    (line,) = lines(("web", "", "    at login  s3cret-value password=abc postgres://me:pw@db/x"))
    assert line.text == "    at login  *** password=*** postgres://***@db/x"


def test_colours_are_beside_the_text() -> None:
    """Escape sequences are not in the text; a line whose secret was hidden has no colours."""
    plain, coloured, secret = lines(
        ("web", "", "GET /"), ("web", "", "\x1b[32mGET\x1b[0m /\x07 ok"), ("web", "", "\x1b[32mtoken=abc\x1b[0m")
    )
    assert plain.message() == [1, 1000, "web", "", "GET /", 0]
    assert coloured.message() == [2, 1000, "web", "", "GET / ok", 0, ((0, 3, "32"),)]
    assert (secret.text, secret.codes) == ("token=***", ())


def test_a_progress_bar_is_its_last_state() -> None:
    """A line that overwrites itself is shown as a terminal would show it."""
    (line,) = lines(("web", "", "10 %\r50 %\r100 %\r\n"))
    assert line.text == "100 %"
