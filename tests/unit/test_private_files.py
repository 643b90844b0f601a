"""State files: private, replaced as a whole, and never accessed through a link."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from devenv import private_files
from devenv.errors import StateError

Use = Callable[[str], object]
WRITERS: dict[str, Use] = {
    "replace": lambda path: private_files.replace(path, "ours"),
    "append": lambda path: private_files.append(path, "ours"),
    "open_log": lambda path: _write(private_files.create(path, os.O_WRONLY | os.O_APPEND)),
    "create": lambda path: _write(private_files.create(path)),
    "open_lock": lambda path: _write(private_files.open_lock(path)),
}
READERS: dict[str, Use] = {
    "read": private_files.read,
    "read_bytes": private_files.read_bytes,
    "open_read": lambda path: private_files.open_read(path).close(),
}
HEALING = frozenset({"replace", "open_log", "create"})  # they replace any file with a new one
USES = [*WRITERS.items(), *READERS.items()]


def _write(descriptor: int) -> None:
    os.write(descriptor, b"ours")
    os.close(descriptor)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(private_files.private_folder(str(tmp_path / "state")))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@pytest.mark.parametrize(("name", "use"), USES)
def test_a_link_in_the_place_of_a_file_is_never_followed(name: str, use: Use, folder: Path, victim: Path) -> None:
    """The target of the link is neither read nor written: the link is replaced, or named in an error."""
    path = folder / "file"
    path.symlink_to(victim)
    if name in HEALING:
        use(str(path))
        assert not path.is_symlink()
        assert path.read_text() == "ours"
    else:
        with pytest.raises(StateError, match="symbolic link") as raised:
            use(str(path))
        assert raised.value.hint == f"rm {path}   (removes the link alone)"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(("name", "use"), WRITERS.items())
def test_a_link_to_nothing_makes_no_file(name: str, use: Use, folder: Path, tmp_path: Path) -> None:
    """A dangling link is not a way to create a file elsewhere."""
    (folder / "file").symlink_to(tmp_path / "elsewhere")
    if name in HEALING:
        use(str(folder / "file"))
    else:
        with pytest.raises(StateError, match="symbolic link"):
            use(str(folder / "file"))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("end", ["new", f"{os.getpid()}.new"])
def test_a_link_in_the_place_of_the_temporary_file(end: str, folder: Path, victim: Path) -> None:
    """A guessed temporary name does not let other users overwrite a file."""
    (folder / f"file.{end}").symlink_to(victim)
    private_files.replace(str(folder / "file"), "ours")
    assert (folder / "file").read_text() == "ours"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(("name", "use"), USES)
def test_a_fifo_does_not_hold_anything_up(name: str, use: Use, folder: Path) -> None:
    """A named pipe is refused or replaced at once."""
    os.mkfifo(folder / "file")
    if name in HEALING:
        use(str(folder / "file"))
    else:
        with pytest.raises(StateError, match="not a regular file"):
            use(str(folder / "file"))


@pytest.mark.parametrize(("name", "use"), USES)
def test_a_folder_in_the_place_of_a_file(name: str, use: Use, folder: Path) -> None:
    """It is named in an error, and stays."""
    (folder / "file").mkdir()
    with pytest.raises(StateError, match="not a regular file"):
        use(str(folder / "file"))
    assert os.listdir(folder) == ["file"]


@pytest.mark.parametrize(("name", "use"), USES)
def test_a_socket_in_the_place_of_a_file(name: str, use: Use, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused or replaced."""
    monkeypatch.chdir(folder)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("file")
        if name in HEALING:
            use(str(folder / "file"))
        else:
            with pytest.raises(StateError, match="not a regular file"):
                use(str(folder / "file"))


@pytest.mark.parametrize(("name", "use"), USES)
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_is_refused(name: str, use: Use, mode: int, folder: Path) -> None:
    """Others could put anything there between two calls: nothing in it is used."""
    (folder / "file").write_text("theirs")
    folder.chmod(mode)
    with pytest.raises(StateError, match=rf"written by other users \(mode {mode:04o}\)") as raised:
        use(str(folder / "file"))
    assert f"chmod 700 {folder}" in str(raised.value.hint)
    assert (folder / "file").read_text() == "theirs"


@pytest.mark.parametrize(("name", "use"), USES)
def test_a_folder_that_is_a_link_is_refused(name: str, use: Use, folder: Path, tmp_path: Path) -> None:
    """The last folder of the path is opened without following a link, too."""
    (folder / "file").write_text("theirs")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(StateError, match="link is a symbolic link"):
        use(str(tmp_path / "link" / "file"))
    assert (folder / "file").read_text() == "theirs"


@pytest.mark.parametrize(("name", "use"), USES)
def test_a_folder_of_another_user_is_refused(
    name: str, use: Use, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner could change any file in it."""
    (folder / "file").write_text("theirs")
    monkeypatch.setattr("devenv.private_files.os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StateError, match="state belongs to another user"):
        use(str(folder / "file"))
    assert (folder / "file").read_text() == "theirs"


@pytest.mark.parametrize(("name", "use"), USES)
def test_a_file_of_another_user_is_refused_or_replaced(
    name: str, use: Use, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content is not read, and nothing is written into it."""
    real = os.fstat
    (folder / "file").write_text("theirs")

    def given_away(descriptor: int) -> os.stat_result:
        state = real(descriptor)
        owner = state.st_uid + 1 if stat.S_ISREG(state.st_mode) else state.st_uid
        return os.stat_result((*state[:4], owner, *state[5:10]))

    monkeypatch.setattr("devenv.private_files.os.fstat", given_away)
    if name in HEALING:
        use(str(folder / "file"))
        assert (folder / "file").read_text() == "ours"
    else:
        with pytest.raises(StateError, match="file belongs to another user"):
            use(str(folder / "file"))
        assert (folder / "file").read_text() == "theirs"


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("kind", ["link", "open to all"])
def test_each_folder_on_the_way_is_checked(at: int, kind: str, tmp_path: Path) -> None:
    """A link or an open folder between the state folder and the last folder is refused as well."""
    way = [tmp_path / "state", tmp_path / "state/runs", tmp_path / "state/runs/shop"]
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    for path in way[:at]:
        path.mkdir(mode=0o700)
    if kind == "link":
        way[at].symlink_to(tmp_path / "elsewhere")
    else:
        way[at].mkdir()
        way[at].chmod(0o777)
    with pytest.raises(StateError, match=f"^{way[at]} "):
        private_files.private_folder(str(way[0]), "runs", "shop")
    assert os.listdir(tmp_path / "elsewhere") == []


def test_folders_are_private(tmp_path: Path) -> None:
    """Each new folder has mode 700 with any umask; the folders above may be links."""
    (tmp_path / "real").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "real")
    before = os.umask(0)
    try:
        path = private_files.private_folder(str(tmp_path / "home/.local/state"), "runs", "shop")
        assert private_files.private_folder(str(tmp_path / "home/.local/state"), "runs", "shop") == path
    finally:
        os.umask(before)
    assert path == str(tmp_path / "home/.local/state/runs/shop")
    for made in ("", "runs", "runs/shop"):
        assert stat.S_IMODE((tmp_path / "real/.local/state" / made).stat().st_mode) == 0o700


@pytest.mark.parametrize(("name", "use"), WRITERS.items())
def test_files_are_private(name: str, use: Use, folder: Path) -> None:
    """Each new file has mode 600 with any umask."""
    before = os.umask(0)
    try:
        use(str(folder / "file"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o600
    assert (folder / "file").read_text() == "ours"
    assert os.listdir(folder) == ["file"]


def test_written_text_is_read_back(folder: Path) -> None:
    """Text with any path in it is read back unchanged; a missing file is None."""
    path = str(folder / "file")
    assert private_files.read(path) is None
    assert private_files.read_bytes(path) is None
    text = "käse\n" + os.fsdecode(b"not-utf8-\xff") + "\n"
    private_files.replace(path, text)
    assert private_files.read(path) == text
    private_files.append(path, b"\0more")
    assert private_files.read_bytes(path) == b"k\xc3\xa4se\nnot-utf8-\xff\n\0more"
    private_files.replace(path, b"", durable=False)
    assert private_files.read(path) == ""


def test_a_replacement_that_fails_leaves_the_old_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the old content, and no temporary file."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    private_files.replace(str(folder / "file"), "old")
    monkeypatch.setattr("devenv.private_files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        private_files.replace(str(folder / "file"), "new")
    assert (folder / "file").read_text() == "old"
    assert os.listdir(folder) == ["file"]


def test_a_lock_keeps_its_content_and_its_file(folder: Path) -> None:
    """All processes that open the lock get the same file."""
    path = str(folder / "lock")
    first, second = private_files.open_lock(path), private_files.open_lock(path)
    os.write(first, b"pid")
    assert os.read(second, 10) == b"pid"
    assert os.fstat(first).st_ino == os.fstat(second).st_ino
    os.close(first)
    os.close(second)


def test_a_log_is_appended_to(folder: Path) -> None:
    """Two writers of one log do not overwrite each other's lines."""
    log = private_files.create(str(folder / "log"), os.O_WRONLY | os.O_APPEND)
    private_files.append(str(folder / "log"), "one\n")
    os.write(log, b"two\n")
    os.close(log)
    assert (folder / "log").read_text() == "one\ntwo\n"


def test_entries_are_of_a_folder_of_ours_alone(folder: Path, tmp_path: Path) -> None:
    """The names are sorted; a missing folder has none; a link, a file and an open folder are refused."""
    for name in ("b", "a"):
        private_files.replace(str(folder / name), "")
    assert private_files.entries(str(folder)) == ["a", "b"]
    assert private_files.entries(str(folder / "missing")) == []
    with pytest.raises(StateError, match="a is not a folder"):
        private_files.entries(str(folder / "a"))
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(StateError, match="symbolic link"):
        private_files.entries(str(tmp_path / "link"))
    folder.chmod(0o777)
    with pytest.raises(StateError, match="other users"):
        private_files.entries(str(folder))


def test_what_is_removed_is_never_behind_a_link(folder: Path, tmp_path: Path, victim: Path) -> None:
    """A link is removed, or stays, but its target is never removed; a missing path is not an error."""
    (tmp_path / "elsewhere/inner").mkdir(parents=True)
    (tmp_path / "elsewhere/inner/file").write_text("precious")
    (folder / "file").symlink_to(victim)
    (folder / "tree").symlink_to(tmp_path / "elsewhere/inner")
    (folder / "deep").mkdir()
    (folder / "deep/link").symlink_to(tmp_path / "elsewhere/inner")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    private_files.remove(str(folder / "file"))
    private_files.remove_tree(str(folder / "tree"))
    private_files.remove_tree(str(folder / "deep"))
    for gone in (folder / "missing", folder / "missing/file"):
        private_files.remove(str(gone))
        private_files.remove_tree(str(gone))
    with pytest.raises(StateError, match="symbolic link"):
        private_files.remove_tree(str(tmp_path / "link/inner"))
    assert os.listdir(folder) == ["tree"]
    assert victim.read_text() == "precious"
    assert (tmp_path / "elsewhere/inner/file").read_text() == "precious"
