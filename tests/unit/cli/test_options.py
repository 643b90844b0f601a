"""Splitting a command line, and questions on the terminal."""

from __future__ import annotations

import io
import sys

import pytest
import typer

from devenv.cli import options
from devenv.cli.options import confirm, prompt
from devenv.docker import context
from devenv.state import elsewhere

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("line", "before", "verb", "after"),
    [
        ("", "", None, ""),
        ("up", "", "up", ""),
        ("up -d web", "", "up", "-d web"),
        ("-f a.yml -p x --profile dev ps -a", "-f a.yml -p x --profile dev", "ps", "-a"),
        ("--file=a.yml -q up --file b.yml", "--file=a.yml -q", "up", "--file b.yml"),
        ("--output json up", "--output json", "up", ""),
        ("--on far ps", "--on far", "ps", ""),
        ("--help", "--help", None, ""),
        ("-f", "-f", None, ""),
        ("exec web sh -c up", "", "exec", "web sh -c up"),
    ],
)
def test_options_before_the_command_are_split_off(line: str, before: str, verb: str | None, after: str) -> None:
    """Options before the verb keep their values; what comes after it is not looked at."""
    assert options.split(line.split()) == (before.split(), verb, after.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-f a --file b", "a b"),
        ("-fa --file=b", "a b"),
        ("-f=a", "a"),
        ("-f", ""),
        ("--files x -p f", ""),
    ],
)
def test_options_with_values_are_understood(line: str, expected: str) -> None:
    """All spellings of an option with a value are understood."""
    assert sorted(options.values(line.split(), "-f", "--file")) == expected.split()


@pytest.mark.parametrize("line", ["", "-f a.yml -p n --profile x --output json", "--output=text", "-h", "--file=a"])
def test_options_of_all_commands_are_shared(line: str) -> None:
    """With these options alone, `config` is the command of devenv."""
    assert options.are_shared(line.split())


def test_question_is_cleaned_and_written_to_stderr(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    """A template may have written it, and its default."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("\nmine\ny\n"))
    assert prompt("Na\x1b[2Jme", "shop") == "shop"
    assert prompt("Name") == "mine"
    assert confirm("Wri\x1b]0;x\x07te?")
    out, err = capfd.readouterr()
    assert out.strip() == ""
    assert err.replace(": ", ":") == "Name [shop]:Name:Write? [y/N]:"


def test_end_of_input_is_not_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of input counts neither as yes nor as no."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(typer.Abort):
        confirm("Write?", default=True)


def test_the_engine_of_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--on` counts first, then what the environment or the run of the folder names."""
    selected: list[str] = []
    monkeypatch.setattr(context, "select", selected.append)
    monkeypatch.setattr(elsewhere, "follow_run", lambda: selected.append("that of the run"))
    options.choose_engine(["-q", "--on", "near"])
    options.choose_engine(["-q"])
    assert selected == ["near", "that of the run"]
