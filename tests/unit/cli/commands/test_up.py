"""The question before `devenv down -v` on another machine."""

from __future__ import annotations

import sys

import pytest
import typer

from devenv.cli import options
from devenv.cli.commands import up
from devenv.errors import RefusedError
from devenv.run.cleanup.down import Question

QUESTION = Question("shop", "far", ("shop_cache", "shop_data"))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input and error are a terminal."""
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)


def test_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal, and for JSON, nothing is removed."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    for is_json in (False, True):
        with pytest.raises(RefusedError, match="the volumes shop_cache, shop_data on far would be lost") as caught:
            up._agree(QUESTION, is_json=is_json)
        assert "devenv down -v --yes" in str(caught.value.hint)


@pytest.mark.usefixtures("terminal")
def test_the_name_of_the_project_has_to_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another answer removes nothing."""
    monkeypatch.setattr(options, "prompt", lambda _: " shop ")
    up._agree(QUESTION, is_json=False)
    monkeypatch.setattr(options, "prompt", lambda _: "y")
    with pytest.raises(RefusedError, match="that is not the name of the project, shop"):
        up._agree(QUESTION, is_json=False)
    with pytest.raises(RefusedError):
        up._agree(QUESTION, is_json=True)


@pytest.mark.usefixtures("terminal")
def test_an_interrupted_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command."""

    def abort(_: str) -> str:
        raise typer.Abort

    monkeypatch.setattr(options, "prompt", abort)
    with pytest.raises(typer.Exit) as caught:
        up._agree(QUESTION, is_json=False)
    assert caught.value.exit_code == 130
