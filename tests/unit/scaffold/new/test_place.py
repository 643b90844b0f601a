"""Files are put into a folder all at once or not at all, also after errors and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devenv.errors import RefusedError, StateError
from devenv.scaffold.new import place
from devenv.scaffold.new.template import File

FILES = {"a.txt": File(b"new a"), "deep/er/b.txt": File(b"new b"), "z.sh": File(b"new z", executable=True)}

# Places the files of the test above, and kills itself at the rename with that number.
KILLED = """
import os, signal, sys
from devenv.scaffold.new.place import place
from devenv.scaffold.new.template import File
count, real = 0, os.rename
def rename(*args):
    global count
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(*args)
os.rename = rename
place({path: File(b"new") for path in ("a.txt", "deep/er/b.txt", "z.sh")}, sys.argv[1])
"""


def tree(folder: Path) -> dict[str, str]:
    """Path -> text of all files below the folder; a folder has None, and a slash at its end."""
    return {
        f"{path.relative_to(folder)}{'/' if path.is_dir() else ''}": "" if path.is_dir() else path.read_text()
        for path in folder.rglob("*")
    }


def occupied(tmp_path: Path) -> Path:
    """A folder with files of the user, two of which have the names of new files."""
    folder = tmp_path / "target"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("old a")
    (folder / "deep/mine.txt").write_text("mine")
    (folder / "z.sh").write_text("old z")
    return folder


def test_a_new_folder_has_the_files_and_nothing_else_is_left(tmp_path: Path) -> None:
    """Contents and modes are as they were given."""
    place.place(FILES, str(tmp_path / "target"))
    assert tree(tmp_path) == {
        "target/": "", "target/a.txt": "new a", "target/z.sh": "new z", "target/deep/": "", "target/deep/er/": "",
        "target/deep/er/b.txt": "new b",
    }  # fmt: skip
    assert os.access(tmp_path / "target/z.sh", os.X_OK)


def test_a_folder_that_is_there_keeps_what_else_it_has(tmp_path: Path) -> None:
    """Files of the same name are replaced; the folder keeps its inode, since a shell may be in it."""
    folder = occupied(tmp_path)
    before = folder.stat().st_ino
    place.place(FILES, str(folder))
    assert tree(folder) == {
        "a.txt": "new a", "z.sh": "new z", "deep/": "", "deep/mine.txt": "mine",
        "deep/er/": "", "deep/er/b.txt": "new b",
    }  # fmt: skip
    assert folder.stat().st_ino == before


@pytest.mark.parametrize("at", range(1, 6))
def test_a_rename_that_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Any of the five renames may fail: there are three files, two of which replace existing files."""
    folder = occupied(tmp_path)
    before, count, real = tree(folder), 0, os.rename

    def rename(source: str, target: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(StateError, match="No space left"):
        place.place(FILES, str(folder))
    assert tree(folder) == before


@pytest.mark.parametrize("at", range(1, 6))
def test_a_killed_one_is_undone_by_the_next(tmp_path: Path, at: int) -> None:
    """After SIGKILL at any rename, the next look at the folder restores the old files."""
    folder = occupied(tmp_path)
    before = tree(folder)
    done = subprocess.run([sys.executable, "-c", KILLED, folder, str(at)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert any(path.startswith(place.PREFIX) for path in tree(folder))
    place.sweep(str(folder))
    assert tree(folder) == before


def test_what_was_edited_after_the_kill_is_kept(tmp_path: Path) -> None:
    """A file that the user has changed since then is the user's."""
    folder = occupied(tmp_path)
    subprocess.run([sys.executable, "-c", KILLED, folder, "4"], check=False)
    (folder / "deep/er/b.txt").write_text("edited")
    place.sweep(str(folder))
    assert tree(folder)["deep/er/b.txt"] == "edited"
    assert tree(folder)["a.txt"] == "old a"


def test_a_killed_one_of_a_new_folder_leaves_a_sibling_that_the_next_removes(tmp_path: Path) -> None:
    """The name of the sibling says what it is."""
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "target", "1"], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(place.PREFIX)
    place.place(FILES, str(tmp_path / "target"))
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_concurrent_run_is_not_disturbed(tmp_path: Path) -> None:
    """Its lock is held: the second run says so, and touches nothing."""
    with place._stage(str(tmp_path)), pytest.raises(StateError, match="another `devenv new`"):
        place.place(FILES, str(tmp_path / "target"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("planted", ['{"files": {"../canary": 0}, "folders": []}', '{"files": {', "[]", "{}"])
def test_a_journal_that_somebody_planted_moves_nothing(tmp_path: Path, planted: str) -> None:
    """A journal with a path out of the folder, or an invalid one, is not used."""
    (tmp_path / "canary").write_text("canary")
    folder = tmp_path / "target"
    left = folder / f"{place.PREFIX}x"
    (left / "old").mkdir(parents=True)
    left.chmod(0o700)
    (left / place.JOURNAL).write_text(planted)
    place.sweep(str(folder))
    assert tree(tmp_path) == {"canary": "canary", "target/": ""}


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """A folder from a clone is not a private folder, and neither is a link, whatever its name."""
    left = tmp_path / f"{place.PREFIX}cloned"
    left.mkdir(mode=0o755)
    (tmp_path / f"{place.PREFIX}link").symlink_to(left)
    before = tree(tmp_path)
    place.sweep(str(tmp_path))
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("deep", lambda path: path.symlink_to("/tmp")),
        ("deep", lambda path: path.write_text("a file")),
        ("a.txt", lambda path: path.mkdir()),
    ],
)
def test_obstacles_are_refused(tmp_path: Path, name: str, plant: object) -> None:
    """A link would lead out of the folder; a file and a folder cannot replace each other."""
    assert callable(plant)
    plant(tmp_path / name)
    with pytest.raises(RefusedError):
        place.taken(FILES, str(tmp_path))
    with pytest.raises(RefusedError):
        place.place(FILES, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_link_of_the_same_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """The target of the link is unchanged."""
    (tmp_path / "canary").write_text("canary")
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "a.txt").symlink_to(tmp_path / "canary")
    assert place.taken(FILES, str(folder)) == ["a.txt"]
    place.place(FILES, str(folder))
    assert (tmp_path / "canary").read_text() == "canary"
    assert not (folder / "a.txt").is_symlink()
