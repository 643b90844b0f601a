"""The folders that a run created, at its end."""

from __future__ import annotations

from pathlib import Path

from devenv.run.cleanup.removal import remove_empty_folders
from devenv.state.identity import Place


def place(folder: Path) -> Place:
    """The folder as the ledger records it."""
    folder.mkdir(parents=True, exist_ok=True)
    status = folder.lstat()
    return Place(str(folder), status.st_dev, status.st_ino)


def test_only_empty_folders_that_are_still_the_same_are_removed(tmp_path: Path) -> None:
    """A folder with a file, a replaced folder, and what a link leads to stay."""
    above, below, full, replaced, linked = (tmp_path / name for name in ("a", "a/b", "full", "new", "link"))
    folders = [place(folder) for folder in (above, below, full, replaced, linked)]
    (full / "file").touch()
    replaced.rename(tmp_path / "old")
    replaced.mkdir()
    linked.rename(tmp_path / "target")
    linked.symlink_to(tmp_path / "target")
    remove_empty_folders(folders)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "link", "new", "old", "target"]
