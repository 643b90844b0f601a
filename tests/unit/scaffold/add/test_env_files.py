"""The variables of added services in .env, .env.example, .gitignore and .dockerignore."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devenv.errors import RefusedError
from devenv.scaffold.add.proposal import write
from support.scaffold import STYLES, add, project

pytestmark = pytest.mark.usefixtures("offline")


def test_passwords_are_generated_once_and_shown_to_nobody(tmp_path: Path) -> None:
    """.env gets missing values only; .env.example has the names; git and builds ignore .env."""
    (tmp_path / ".env").write_text("DB_PASSWORD=mine", encoding="utf-8")
    (tmp_path / ".env").chmod(0o640)
    selection = project(tmp_path, "services:\n  web:\n    build: .\n")
    write(add(selection, "postgres", name="db"))
    proposal = add(selection, "mysql", name="other")
    write(proposal)

    assert (tmp_path / ".env").read_text(encoding="utf-8") == f"DB_PASSWORD=mine\nOTHER_PASSWORD={'s' * 32}\n"
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / ".env.example").read_text(encoding="utf-8") == "DB_PASSWORD=\nOTHER_PASSWORD=\n"
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == ".env\n"
    assert (tmp_path / ".dockerignore").read_text(encoding="utf-8") == ".env\n"
    shown = "\n".join(proposal.diff())
    assert "OTHER_PASSWORD=***" in shown
    assert "sss" not in shown


@pytest.mark.parametrize(
    ("text", "is_set"),
    [
        ("export DB_PASSWORD = 'a'", True),
        ("DB_PASSWORD: a", True),
        ("# DB_PASSWORD=a", False),
        ("DB_PASSWORD=", False),
        ('DB_PASSWORD="" # later', False),
        ('KEY="-----\nDB_PASSWORD=a\n-----"', False),
        ("KEY=it's\nDB_PASSWORD=a\nMORE='s", True),
    ],
)
def test_a_variable_without_a_value_gets_one(text: str, is_set: bool, tmp_path: Path) -> None:
    """The file is read as by Compose: several lines, both spellings; a value copied from .env.example is empty."""
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    proposal = add(project(tmp_path, STYLES["plain"]), "postgres", name="db")

    assert [os.path.basename(edit.path) == ".env" for edit in proposal.edits].count(True) == (not is_set)
    assert any("stays as it is" in note for note in proposal.notes) == is_set


def test_an_env_file_that_is_in_git_and_has_the_variables_is_enough(tmp_path: Path) -> None:
    """Nothing else is written: `devenv remove` leaves the project as it was."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".env").write_text("POSTGRES_PASSWORD=mine\n", encoding="utf-8")
    selection = project(tmp_path, "services:\n  web:\n    build: .\n")
    assert len(add(selection, "postgres").edits) > 1
    subprocess.run(["git", "-C", tmp_path, "add", ".env"], check=True)
    assert [os.path.basename(edit.path) for edit in add(selection, "postgres").edits] == ["compose.yml"]


def test_a_link_out_of_the_project_is_not_written_through(tmp_path: Path) -> None:
    """Not even a dangling link is followed; if the file has the variable already, no write is needed."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/.env").symlink_to("../outside")
    selection = project(tmp_path / "app", STYLES["plain"])
    with pytest.raises(RefusedError, match=r"\.env is a link out of the project") as caught:
        add(selection, "postgres", name="db")
    assert str(caught.value.hint).endswith("DB_PASSWORD")
    (tmp_path / "outside").write_text("DB_PASSWORD=a\n", encoding="utf-8")
    write(add(selection, "postgres", name="db"))

    assert (tmp_path / "outside").read_text(encoding="utf-8") == "DB_PASSWORD=a\n"


def test_an_env_file_in_git_is_told(tmp_path: Path) -> None:
    """A password in it would be committed, whatever .gitignore contains."""
    (tmp_path / ".env").write_text("A=1\n", encoding="utf-8")
    for command in (["init", "-q"], ["add", ".env"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    proposal = add(project(tmp_path, STYLES["plain"]), "postgres", name="db")

    assert any("git rm --cached .env" in note for note in proposal.notes)


def test_a_new_env_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It is created with mode 0600."""
    write(add(project(tmp_path, STYLES["plain"]), "postgres"))

    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
