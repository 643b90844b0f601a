"""The possible next words on a command line, without a project."""

from __future__ import annotations

import pytest

from devenv.cli.candidates import SHARED, following, lines


def test_empty_line_offers_commands() -> None:
    """A shell that says nothing gets the commands."""
    assert following([]).words == following([""]).words


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("-f", ""),
        ("-f ", "file"),
        ("--profile x logs ", "service"),
        ("logs --file ", "file"),
        ("exec web ", "file"),
        ("status ", "service"),
        ("shell -- ", "file"),
        ("snapshot restore ", "snapshot"),
        ("doctor --report ", "file"),
        ("gc ", ""),
    ],
)
def test_the_kind_of_the_next_word(line: str, kind: str) -> None:
    """The value of an option, or the argument in this place; nothing if no argument is taken."""
    assert following(line.split(" ")).kind == kind


def test_options_of_a_verb_come_in_all_their_spellings() -> None:
    """Each has its help; the verbs of Compose have no known options."""
    options = following(["down", "-"]).words
    assert {"--file", "-f", "--volumes", "-v", "--verbose", "--help", "-h"} <= options.keys()
    assert options["--file"] == SHARED["--file"][1]
    assert "volumes" in options["-v"]
    assert following(["exec", "-"]).words == {}
    assert "--volumes" not in following(["-"]).words


def test_values_are_known_by_their_kind() -> None:
    """Both spellings of an option with a value are known; words after `--` are not options."""
    typed = following(["--file=a.yml", "-f", "b.yml", "logs", "--", "-f", ""]).typed
    assert (typed.values, typed.arguments) == ({"file": ["a.yml", "b.yml"]}, ["-f"])


def test_candidates_are_lines_with_help() -> None:
    """A candidate has its help after a tab and keeps its prefix; values that are typed already are left out."""
    wanted = following(["--output=t"])
    assert [*lines(wanted, {"text": "help", "table": "", "json": "x"})] == ["--output=text\thelp", "--output=table"]
    assert [*lines(following(["logs", "web", ""]), {"web": "", "a\x1bb": "", "db": ""})] == ["db"]
