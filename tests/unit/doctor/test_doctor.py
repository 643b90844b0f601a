"""The doctor as a whole: a fix counts only if its finding disappears, and the report overwrites no file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.doctor import doctor, probes
from devenv.doctor.doctor import Fix
from devenv.doctor.facts import (
    Builder,
    ClientConfig,
    DoctorFacts,
    Machine,
    Tree,
)
from devenv.errors import StateError, UsageError

HERE = Selection("/")


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> list[DoctorFacts]:
    """The facts that the next runs of the doctor collect, one item per run."""
    rounds: list[DoctorFacts] = []

    async def gather(_: Selection, __: Callable[[str], object]) -> DoctorFacts:
        return rounds.pop(0)

    monkeypatch.setattr(probes, "gather", gather)
    return rounds


def test_a_fix_counts_if_its_finding_is_gone(look: list[DoctorFacts], tmp_path: Path) -> None:
    """A fix that fails is reported, and a fix without an effect is not counted."""
    for name in ("selected", "other"):
        (tmp_path / name).write_text("x")
    look += [DoctorFacts(tree=Tree(crlf=("a.sh",)))]
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


def test_fixes_of_the_found_problems(look: list[DoctorFacts], tmp_path: Path) -> None:
    """Only findings get a fix; warnings are not counted as errors."""
    (tmp_path / "current").write_text("x")
    look += [DoctorFacts(builder=Builder("box", is_gone=True, selection=str(tmp_path / "current")))]
    outcome = anyio.run(doctor.examine, HERE, lambda _: None)
    assert [fix.codes for fix in doctor.planned_fixes(outcome.facts, {"builder-gone"})] == [("builder-gone",)]
    assert outcome.errors == 1


def test_a_report_is_private_and_overwrites_nothing(look: list[DoctorFacts], tmp_path: Path) -> None:
    """It is a new file that only its owner can read."""
    look += [DoctorFacts()]
    outcome = anyio.run(doctor.examine, HERE, lambda _: None)
    path = str(tmp_path / "report.md")
    doctor.write_report(path, outcome)
    assert os.stat(path).st_mode & 0o777 == 0o600
    for taken, message in ((path, "already exists"), (str(tmp_path / "no/report.md"), "cannot write")):
        with pytest.raises(UsageError, match=message):
            doctor.write_report(taken, outcome)


def test_helper_of_one_registry_is_removed_alone(tmp_path: Path) -> None:
    """Only that helper is removed, through a link, and the rest of the file is unchanged."""
    real = tmp_path / "real.json"
    real.write_text(json.dumps({"credHelpers": {"a.example": "gone", "b.example": "here"}, "detachKeys": "x"}))
    (tmp_path / "config.json").symlink_to(real)
    facts = DoctorFacts(
        client=ClientConfig(path=str(tmp_path / "config.json"), missing_helpers=("docker-credential-gone",))
    )
    (fix,) = doctor.planned_fixes(facts, {"helper-missing", "crlf"})
    assert fix.shows == ('- "credHelpers": {"a.example": "gone"}',)
    assert anyio.run(doctor.carry_out, fix) == f"{real}.devenv-backup1"
    assert json.loads(real.read_text()) == {"credHelpers": {"b.example": "here"}, "detachKeys": "x"}
    assert json.loads(Path(f"{real}.devenv-backup1").read_text())["credHelpers"] == {
        "a.example": "gone",
        "b.example": "here",
    }
    assert (tmp_path / "config.json").is_symlink()


def test_a_file_that_was_changed_meanwhile(tmp_path: Path) -> None:
    """It is left alone, without a backup."""
    path = tmp_path / "current"
    path.write_text("new")
    with pytest.raises(StateError, match="changed meanwhile"):
        anyio.run(doctor.carry_out, Fix(("builder-gone",), str(path), (), b"old", None))
    assert os.listdir(tmp_path) == ["current"]


def test_a_fix_that_cannot_be_made(tmp_path: Path) -> None:
    """The error has the command to type; a command that fails after the change is an error, too."""
    with pytest.raises(StateError, match="cannot change") as caught:
        anyio.run(doctor.carry_out, Fix((), "/proc/no/file", (), None, b"x"))
    assert caught.value.hint == "sudo devenv doctor --fix"
    with pytest.raises(StateError, match="`false` failed"):
        anyio.run(doctor.carry_out, Fix((), str(tmp_path / "file"), (), None, b"x", ("false",)))
    assert os.listdir(tmp_path) == ["file"]


def test_limits_are_raised_for_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The limits are written into a file of devenv, and the kernel is told to read it."""
    monkeypatch.setattr(doctor, "SYSCTL_FILE", str(tmp_path / "60.conf"))
    (fix,) = doctor.planned_fixes(DoctorFacts(machine=Machine(instances=8192)), {"inotify-watches"})
    raised = b"fs.inotify.max_user_watches = 524288\nfs.inotify.max_user_instances = 8192\n"
    assert (fix.before, fix.after, fix.then[0]) == (None, raised, "sysctl")
    assert doctor.planned_fixes(DoctorFacts(), {"builder-gone"}) == ()
