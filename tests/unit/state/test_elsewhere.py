"""The engine of a folder whose project runs on another machine."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.model.containers import ProjectState
from devenv.state import elsewhere
from devenv.state import ledger as ledgers
from devenv.state.elsewhere import engine_elsewhere
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run


def begun(place: str, endpoint: str, context: str | None = None) -> Ledger:
    """A new ledger."""
    return ledgers.begin(
        ProjectState(), {}, project="p", place=Place(place), engine="e", endpoint=endpoint, context=context
    )


def test_the_engine_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of a run that a process holds, for its folder and those below; by its context, if it had one."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert engine_elsewhere("/p") == ""
    run = Run.open("e", Endpoint("ssh://far"), "p")
    with run.lock.hold():
        assert engine_elsewhere("/p") == ""
        run.write(ledger := begun("/p", "ssh://far"))
        assert engine_elsewhere("/p") == engine_elsewhere("/p/src") == "ssh://far"
        assert engine_elsewhere("/") == engine_elsewhere("/people") == ""
        run.write(replace(ledger, context="office"))
        assert engine_elsewhere("/p") == "office"
        run.write(begun("/p", "unix:///x"))
        assert engine_elsewhere("/p") == ""
        run.write(ledger)
    assert engine_elsewhere("/p") == ""


def test_a_ledger_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names no engine: the command itself reports it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    run = Run.open("e", Endpoint("ssh://far"), "p")
    Path(run.ledger).write_text("{")
    with run.lock.hold():
        assert engine_elsewhere("/p") == ""


def test_the_environment_counts_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of the run is selected only if no variable names one."""
    monkeypatch.setattr(elsewhere, "engine_elsewhere", lambda _: "ssh://far")
    monkeypatch.setenv("DOCKER_HOST", "")  # so that it is unset again afterwards
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "office")
    elsewhere.follow_run()
    assert "DOCKER_HOST" not in os.environ
    monkeypatch.setenv("DOCKER_CONTEXT", "")
    elsewhere.follow_run()
    assert os.environ["DOCKER_HOST"] == "ssh://far"
