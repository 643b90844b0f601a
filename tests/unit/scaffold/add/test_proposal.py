"""Edits of a project's files, written all or none."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.compose.resolve import NoServicesError
from devenv.errors import ConfigError, DevenvError
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.proposal import FileEdit, Proposal, check, write
from support.scaffold import STYLES, add, project

pytestmark = pytest.mark.usefixtures("offline")


def test_all_files_are_written_or_none(tmp_path: Path) -> None:
    """A file that cannot be written, or has changed meanwhile, leaves the folder as it was."""
    selection = project(tmp_path, STYLES["plain"])
    proposal = add(selection, "new", template="fastapi")
    (tmp_path / "new").write_text("a file where the folder is to be", encoding="utf-8")
    with pytest.raises(DevenvError, match="nothing was written"):
        write(proposal)
    assert sorted(os.listdir(tmp_path)) == ["compose.yml", "new"]
    (tmp_path / "new").unlink()
    (tmp_path / "compose.yml").write_text("services: {}", encoding="utf-8")
    with pytest.raises(DevenvError, match="has changed meanwhile"):
        write(proposal)
    assert os.listdir(tmp_path) == ["compose.yml"]


def test_an_interrupted_write_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaced files get their bytes back, new files are removed."""
    proposal = add(project(tmp_path, STYLES["plain"]), "postgres")
    real, count = os.replace, iter(range(10))

    def replace(source: str, target: str) -> None:
        if next(count) == 2:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write(proposal)

    assert os.listdir(tmp_path) == ["compose.yml"]
    assert (tmp_path / "compose.yml").read_text(encoding="utf-8") == STYLES["plain"]


def test_a_linked_compose_file_stays_a_link(tmp_path: Path) -> None:
    """The file that it leads to is edited."""
    (tmp_path / "real.yml").write_text(STYLES["plain"], encoding="utf-8")
    (tmp_path / "compose.yml").symlink_to("real.yml")
    write(add(Selection(str(tmp_path)), "redis"))

    assert (tmp_path / "compose.yml").is_symlink()
    assert "redis:8" in (tmp_path / "real.yml").read_text(encoding="utf-8")


def test_values_of_a_private_file_are_not_shown() -> None:
    """A changed private file is shown without its values; a new file is one line."""
    edits = (
        FileEdit("/p/.env", b"A=1\n", b"A=1\nB=2\n", private=True),
        FileEdit("/p/code/main.py", None, b"a\nb\n"),
    )
    assert Proposal("/p", edits).diff()[-2:] == ["+B=***", "new file code/main.py (2 lines)"]


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (NoServicesError, None),
        (ConfigError, "compose.yml: Compose refuses the result, nothing was written: no x in compose.yml"),
    ],
)
def test_result_is_checked_by_compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[ConfigError], refused: str | None
) -> None:
    """It may have no service whose profile is active. A message names the user's file, not the copy that was read."""
    selection = project(tmp_path, STYLES["plain"])
    monkeypatch.chdir(tmp_path)

    async def load(asked: Selection, **_: object) -> None:
        if asked.files:
            name = os.path.basename(asked.files[0])
            raise error(f"no x in {name}", file=name, line=1)

    monkeypatch.setattr(proposals, "load", load)
    message = None
    try:
        anyio.run(check, selection, FileEdit(str(tmp_path / "compose.yml"), b"", b"services: {}\n"), ())
    except ConfigError as raised:
        message = raised.said
    assert message == refused
