"""Questions on the terminal."""

from __future__ import annotations

import io
import sys

import pytest
import typer

from devenv.cli.prompt import confirm, prompt

Capture = pytest.CaptureFixture[str]


def test_a_question_is_cleaned_and_goes_to_stderr(monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    """A template may have written it, and its default."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("\nmine\ny\n"))
    assert prompt("Na\x1b[2Jme", "shop") == "shop"
    assert prompt("Name") == "mine"
    assert confirm("Wri\x1b]0;x\x07te?")
    out, err = capfd.readouterr()
    assert out.strip() == ""
    assert err.replace(": ", ":") == "Name [shop]:Name:Write? [y/N]:"


def test_the_end_of_the_input_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither yes nor no."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(typer.Abort):
        confirm("Write?", default=True)
