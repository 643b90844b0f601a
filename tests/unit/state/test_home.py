"""The folder with devenv's state, and the owner used in labels."""

from __future__ import annotations

import getpass
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devenv import private_files
from devenv.errors import StateError
from devenv.state import home


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "devenv-compose"


def test_the_folder_is_private(state_home: Path) -> None:
    """It is created for the user alone."""
    assert home.state_folder() == str(state_home)
    assert stat.S_IMODE(state_home.stat().st_mode) == 0o700


def test_a_relative_state_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guardian runs in another folder: a relative path would be another place there."""
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home.state_folder() == str(tmp_path / ".local/state/devenv-compose")


def test_a_state_folder_that_cannot_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the folder, the reason and the variable to set."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    with pytest.raises(StateError, match=r"cannot use .*Not a directory") as caught:
        home.state_folder()
    assert "XDG_STATE_HOME" in (caught.value.hint or "")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_is_refused(state_home: Path, mode: int) -> None:
    """Another user could have put links and ledgers there."""
    state_home.mkdir(parents=True)
    state_home.chmod(mode)
    for ask in (home.state_folder, home.owner):
        with pytest.raises(StateError, match=f"can be written by other users .mode {mode:04o}") as caught:
            ask()
        assert f"chmod 700 {state_home}" in (caught.value.hint or "")


def test_a_link_in_its_place_is_refused(state_home: Path, tmp_path: Path) -> None:
    """The target was chosen by the creator of the link; folders above may be links."""
    (tmp_path / "elsewhere").mkdir()
    state_home.parent.symlink_to(tmp_path / "elsewhere")
    assert home.state_folder() == str(state_home)
    state_home.rmdir()
    state_home.symlink_to(tmp_path)
    with pytest.raises(StateError, match="is a symbolic link"):
        home.state_folder()


def test_the_owner_never_changes(monkeypatch: pytest.MonkeyPatch, state_home: Path) -> None:
    """It has the user and the host at the time of its creation, is a valid label, and has mode 600."""
    monkeypatch.setattr("socket.gethostname", lambda: "first")
    owner = home.owner()
    assert re.fullmatch(rf"{re.escape(getpass.getuser())}@first-[0-9a-f]{{12}}", owner)
    monkeypatch.setattr("socket.gethostname", lambda: "second")
    monkeypatch.setattr(getpass, "getuser", lambda: "another")
    assert home.owner() == owner
    assert stat.S_IMODE((state_home / "owner").stat().st_mode) == 0o600


def test_state_folders_have_owners_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two state folders of one user on one host have two owners."""
    owner = home.owner()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert home.owner() != owner


@pytest.mark.parametrize(("user", "shown"), [("a b$c/d", "abcd"), ("ünï", "n"), ("$", str(os.getuid()))])
def test_a_user_with_an_odd_name(monkeypatch: pytest.MonkeyPatch, user: str, shown: str) -> None:
    """Characters with a meaning for Compose or a shell are left out."""
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    assert home.owner().startswith(f"{shown}@")


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user has none often; its number is enough."""

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert home.owner().startswith(f"{os.getuid()}@")


OWNER = """
import sys, time
from devenv.state import home

def user():
    time.sleep(0.3)
    return sys.argv[1]

home._user = user
print("ready", flush=True)
sys.stdin.readline()
print(home.owner())
"""


def test_two_that_create_it_at_once_agree() -> None:
    """Two first `devenv up` at the same time get the same owner: labels with another owner would stay foreign."""
    home.state_folder()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OWNER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in "abcd"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    owners = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert owners == {home.owner()}


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, and no partial file is left."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(private_files, "replace", full)
        with pytest.raises(StateError, match=r"cannot write .*owner: No space left"):
            home.owner()
    assert home.owner()
