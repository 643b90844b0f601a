"""The doctor as a whole: fixes are counted only if the finding is gone, and the report overwrites nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.doctor import doctor, probes
from devenv.doctor.facts import Builder, Facts, Tree
from devenv.doctor.fixes import Fix
from devenv.errors import UsageError

HERE = Selection("/")


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """What the next looks find, one after the other."""
    rounds: list[Facts] = []

    async def gather(_: Selection, __: Callable[[str], object]) -> Facts:
        return rounds.pop(0)

    monkeypatch.setattr(probes, "gather", gather)
    return rounds


def test_a_fix_counts_if_its_finding_is_gone(look: list[Facts], tmp_path: Path) -> None:
    """A fix that fails is reported, and one that did not help is not counted."""
    for name in ("selected", "other"):
        (tmp_path / name).write_text("x")
    look += [Facts(tree=Tree(crlf=("a.sh",)))]
    planned = [
        Fix(("builder-gone",), str(tmp_path / "selected"), (), b"x", None),
        Fix(("crlf",), str(tmp_path / "other"), (), b"x", b"y"),
        Fix(("memory",), str(tmp_path / "gone"), (), b"x", b"y"),
    ]
    outcome = anyio.run(doctor.apply_fixes, planned, HERE, lambda _: None)
    assert outcome.fixed == ("builder-gone",)
    assert outcome.backups == (f"{tmp_path}/selected.devenv-backup1", f"{tmp_path}/other.devenv-backup1")
    assert [error.message for error in outcome.failed] == [
        f"{tmp_path}/gone was changed meanwhile, and was left unchanged"
    ]


def test_what_can_be_fixed(look: list[Facts], tmp_path: Path) -> None:
    """Only what was found; warnings are no errors."""
    (tmp_path / "current").write_text("x")
    look += [Facts(builder=Builder("box", is_gone=True, selection=str(tmp_path / "current")))]
    outcome = anyio.run(doctor.examine, HERE, lambda _: None)
    assert [fix.codes for fix in doctor.fixable(outcome)] == [("builder-gone",)]
    assert outcome.errors == 1


def test_a_report_is_private_and_overwrites_nothing(look: list[Facts], tmp_path: Path) -> None:
    """It is a new file that only its owner can read."""
    look += [Facts()]
    outcome = anyio.run(doctor.examine, HERE, lambda _: None)
    path = str(tmp_path / "report.md")
    doctor.write_report(path, outcome)
    assert os.stat(path).st_mode & 0o777 == 0o600
    for taken, message in ((path, "already exists"), (str(tmp_path / "no/report.md"), "cannot write")):
        with pytest.raises(UsageError, match=message):
            doctor.write_report(taken, outcome)
