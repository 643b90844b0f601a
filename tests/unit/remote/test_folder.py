"""The folder with the sockets of a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.docker.ssh_lines import LOCK, LONGEST_PATH
from devenv.remote.folder import LineFolder, folder


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders at the same time are different, and private; after both, nothing is left."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp" if len(str(tmp_path)) > 60 else str(tmp_path))
    with folder("ssh://far") as one, folder("ssh://far") as other:
        assert one.path != other.path
        assert os.stat(one.path).st_mode & 0o077 == 0
        base = os.path.dirname(one.path)
    assert not os.path.exists(base)


def test_a_dead_process_left_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The next line removes it, and keeps the folder of a living one."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with folder("ssh://far") as living:
        dead = os.path.join(os.path.dirname(living.path), "line-dead")
        os.mkdir(dead)
        Path(dead, LOCK).touch()
        with folder("ssh://far"):
            assert os.path.exists(living.path)
            assert not os.path.exists(dead)


def test_a_folder_is_left_to_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It stays until that process removes it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with folder("ssh://far") as left:
        left.is_left, lock = True, os.dup(left.lock)
    assert os.path.exists(left.path)
    with LineFolder(left.path, lock).removed():
        pass
    assert not os.path.exists(os.path.dirname(left.path))


@pytest.mark.parametrize("runtime", ["", "relative", "/nowhere/at/all", "/tmp/" + 100 * "x"])
def test_paths_stay_short(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime folder that is missing, or whose name is too long for a socket, is not used."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    with folder("ssh://far") as created:
        assert created.path.startswith(f"/tmp/devenv-{os.getuid()}/")
        assert len(created.path) + 2 < LONGEST_PATH
