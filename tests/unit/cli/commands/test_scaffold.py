"""A proposal of `devenv add` is shown, and written if the user agrees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from devenv.cli import options
from devenv.cli.commands import scaffold
from devenv.cli.options import Output
from devenv.errors import UsageError
from devenv.scaffold.add.proposal import FileEdit, Proposal

Capture = pytest.CaptureFixture[str]
BEFORE, AFTER = b"services: {}\n", b"services: {web: {}}\n"


@pytest.fixture
def proposal(tmp_path: Path) -> Proposal:
    """A proposal of one changed line, and a note."""
    path = tmp_path / "compose.yml"
    path.write_bytes(BEFORE)
    return Proposal(str(tmp_path), (FileEdit(str(path), BEFORE, AFTER),), ("a note",))


def written(proposal: Proposal) -> bool:
    """Whether the file was changed; it is then as proposed."""
    content = Path(proposal.edits[0].path).read_bytes()
    assert content in (BEFORE, AFTER)
    return content == AFTER


def answers(monkeypatch: pytest.MonkeyPatch, answer: bool | BaseException) -> None:
    """Standard input is a terminal, and the user answers."""

    def confirm(*_: Any, **__: Any) -> bool:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(options, "confirm", confirm)


@pytest.mark.parametrize(
    ("yes", "dry_run", "expected"), [(True, False, True), (True, True, False), (False, True, False)]
)
def test_yes_writes_and_dry_run_does_not(
    proposal: Proposal, capfd: Capture, *, yes: bool, dry_run: bool, expected: bool
) -> None:
    """`--yes` writes, `--dry-run` never does; the diff and the notes are shown."""
    scaffold._settle(proposal, dry_run=dry_run, yes=yes)
    assert written(proposal) is expected
    out, err = capfd.readouterr()
    assert "+services: {web: {}}" in out.splitlines()
    assert err == "a note\n" + ("" if expected else "nothing was written\n")


@pytest.mark.parametrize("answer", [True, False])
def test_proposal_is_written_only_after_a_yes(
    proposal: Proposal, monkeypatch: pytest.MonkeyPatch, capfd: Capture, *, answer: bool
) -> None:
    """Nothing is written without a yes."""
    answers(monkeypatch, answer)
    scaffold._settle(proposal, dry_run=False, yes=False)
    assert written(proposal) is answer
    assert ("nothing was written" in capfd.readouterr().err) is not answer


def test_ctrl_c_writes_nothing(proposal: Proposal, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    """The exit code is 130, and nothing is written."""
    answers(monkeypatch, typer.Abort())
    with pytest.raises(typer.Exit) as raised:
        scaffold._settle(proposal, dry_run=False, yes=False)
    assert raised.value.exit_code == 130
    assert not written(proposal)
    assert capfd.readouterr().err.endswith("\nnothing was written\n")


@pytest.mark.parametrize("output", Output)
def test_without_a_terminal_an_option_has_to_decide(
    proposal: Proposal, monkeypatch: pytest.MonkeyPatch, output: Output
) -> None:
    """A question could not be answered."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: output is Output.JSON)
    monkeypatch.setattr(options, "shared", options.SharedOptions(output))
    with pytest.raises(UsageError, match="no terminal to ask on"):
        scaffold._settle(proposal, dry_run=False, yes=False)
    assert not written(proposal)


@pytest.mark.parametrize("yes", [True, False])
def test_proposal_as_json(proposal: Proposal, monkeypatch: pytest.MonkeyPatch, capfd: Capture, *, yes: bool) -> None:
    """The JSON is one object with the diff, the notes, and whether the diff was written."""
    monkeypatch.setattr(options, "shared", options.SharedOptions(Output.JSON))
    scaffold._settle(proposal, dry_run=not yes, yes=yes)
    answer = json.loads(capfd.readouterr().out)
    assert (answer["written"], answer["notes"]) == (yes, ["a note"])
    assert "+services: {web: {}}" in answer["diff"]


def test_no_question_if_nothing_changes(tmp_path: Path, capfd: Capture) -> None:
    """Notes are shown, but no question."""
    scaffold._settle(Proposal(str(tmp_path), (), ("all there",)), dry_run=False, yes=False)
    assert capfd.readouterr() == ("", "all there\n")
