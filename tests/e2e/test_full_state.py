"""A full disk for the state folder: nothing is created that cannot be recorded, and everything is removed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import docker_cli
from support.cli import Devenv, StartDevenv
from support.phases import DATA
from support.stack import Stack, idle_service

pytestmark = pytest.mark.engine


class SmallState:
    """A state folder on a file system of a megabyte."""

    def __init__(self, path: Path) -> None:
        self.env = {"XDG_STATE_HOME": str(path)}
        self._filler = path / "filler"

    def fill(self) -> None:
        """Use up all space."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def free(self) -> None:
        """Free the space."""
        self._filler.unlink()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallState]:
    """A small, empty state folder."""
    if os.getuid() != 0:
        pytest.skip("a small file system takes root")
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", path], check=True)
    yield SmallState(path)
    subprocess.run(["umount", "-l", path], check=True)


def silent(run: Devenv) -> bool:
    """Whether the output has neither a traceback nor a report of a bug."""
    report = run.report()
    return "Traceback" not in report and "this is a bug" not in report


def test_nothing_is_created_if_it_cannot_be_recorded(stack: Stack, devenv: StartDevenv, small: SmallState) -> None:
    """One error says what is full, and the command to type."""
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    small.fill()
    run = devenv("up", cwd=stack.folder, env={**stack.env, **small.env})
    assert run.wait() == 3, run.report()
    assert "No space left on device" in run.all("error")[0]["message"]
    assert silent(run), run.report()
    assert stack.leftovers() == {}


@pytest.mark.parametrize("killed", [False, True], ids=["signal", "kill"])
def test_teardown_on_a_full_disk_keeps_only_the_volume(
    stack: Stack, devenv: StartDevenv, small: SmallState, *, killed: bool
) -> None:
    """Containers and networks are removed; the volume, which cannot be saved, is kept and listed.

    With free space again, `down` saves and removes it.
    """
    stack.compose_file({"db": idle_service(**DATA), "web": idle_service()}, volumes={"data": {}})
    run = devenv("up", cwd=stack.folder, env={**stack.env, **small.env})
    run.wait_for("ready")
    stack.execute("db", "sh", "-c", "head -c 300000 /dev/urandom >/data/much")
    small.fill()
    if killed:
        os.killpg(run.process.pid, signal.SIGKILL)
        docker_cli.until(run.survivors, lambda left: not left)
    else:
        assert run.stop() == 130, run.report()
        assert run.wait_for("stopped")["survivors"] == [f"volume {stack.name}_data"]
        (problem,) = run.all("problem")
        assert "no snapshot could be made of it: No space left on device" in problem["message"]
        assert problem["hint"] == "devenv down   (saves and removes it)"
    assert silent(run), run.report()
    assert stack.leftovers() == {"volumes": [f"{stack.name}_data"]}
    small.free()
    down = devenv("down", cwd=stack.folder, env={**stack.env, **small.env})
    assert down.wait() == 0, down.report()
    assert down.all("saved"), down.report()
    assert stack.leftovers() == {}
