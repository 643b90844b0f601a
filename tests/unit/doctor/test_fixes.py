"""What `devenv doctor --fix` changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import pytest

from devenv.doctor import fixes
from devenv.doctor.facts import (
    ClientConfig,
    Facts,
    Machine,
)
from devenv.errors import StateError


def test_a_helper_of_one_registry(tmp_path: Path) -> None:
    """It goes alone, through a link, and the rest of the file says what it said."""
    real = tmp_path / "real.json"
    real.write_text(json.dumps({"credHelpers": {"a.example": "gone", "b.example": "here"}, "detachKeys": "x"}))
    (tmp_path / "config.json").symlink_to(real)
    facts = Facts(
        client=ClientConfig(path=str(tmp_path / "config.json"), missing_helpers=("docker-credential-gone",))
    )
    (fix,) = fixes.planned(facts, {"helper-missing", "crlf"})
    assert fix.shows == ('- "credHelpers": {"a.example": "gone"}',)
    assert anyio.run(fixes.carry_out, fix) == f"{real}.devenv-backup1"
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
        anyio.run(fixes.carry_out, fixes.Fix(("builder-gone",), str(path), (), b"old", None))
    assert os.listdir(tmp_path) == ["current"]


def test_a_fix_that_cannot_be_made(tmp_path: Path) -> None:
    """The error says what to type, and a failed order after the change is one, too."""
    with pytest.raises(StateError, match="cannot change") as caught:
        anyio.run(fixes.carry_out, fixes.Fix((), str(tmp_path / "no/file"), (), None, b"x"))
    assert caught.value.hint == "sudo devenv doctor --fix"
    with pytest.raises(StateError, match="`false` failed"):
        anyio.run(fixes.carry_out, fixes.Fix((), str(tmp_path / "file"), (), None, b"x", ("false",)))
    assert os.listdir(tmp_path) == ["file"]


def test_limits_are_raised_for_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a file of our own, after which the system is told."""
    monkeypatch.setattr(fixes, "SYSCTL_FILE", str(tmp_path / "60.conf"))
    (fix,) = fixes.planned(Facts(machine=Machine(instances=8192)), {"inotify-watches"})
    raised = b"fs.inotify.max_user_watches = 524288\nfs.inotify.max_user_instances = 8192\n"
    assert (fix.before, fix.after, fix.then[0]) == (None, raised, "sysctl")
    assert fixes.planned(Facts(), {"builder-gone"}) == ()
