"""The ends of runs on another machine: data that stays there, cables that are cut, and a second person."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support.cli import Devenv, StartDevenv
from support.docker_cli import until
from support.far import NOTHING, Far
from support.stack import Stack, idle_service, unique_name

WITHIN = 60.0  # seconds after the machine answers again


class Shop:
    """A project with a database on the other machine."""

    def __init__(self, folder: Path, far: Far, devenv: StartDevenv) -> None:
        self.stack, self._far, self._devenv = Stack(folder, unique_name("ends")), far, devenv
        db = idle_service(volumes=["data:/data"], stop_grace_period="1s")
        self.stack.compose_file({"db": db}, volumes={"data": {}})

    def run(self, *args: str, env: Mapping[str, str] | None = None, json_output: bool = True) -> Devenv:
        """Start devenv in the folder."""
        env = {**self.stack.env, **self._far.env, "DOCKER_HOST": "ssh://far", **(env or {})}
        return self._devenv(*args, cwd=self.stack.folder, env=env, json_output=json_output)

    def up(self, *args: str) -> Devenv:
        """`devenv up` on the other machine, once all is up."""
        run = self.run("up", *args)
        run.wait_for("ready", timeout=90)
        return run

    def execute(self, *command: str) -> str:
        """The output of a command in the database's container."""
        (container,) = self._far.docker("ps", "-q").split()
        return self._far.docker("exec", container, *command)

    def output(self, *args: str) -> str:
        """All that a command prints."""
        command = self.run(*args, json_output=False)
        command.wait()
        return "\n".join([*command.stray, command.stderr])

    def is_gone(self) -> bool:
        """Whether nothing of the run is left there but its volume."""
        left = self._far.remains()
        return (left["containers"], left["networks"]) == ([], set())


@pytest.fixture
def shop(far: Far, devenv: StartDevenv, tmp_path: Path) -> Iterator[Shop]:
    """A project; nothing of its runs is left on either machine afterwards."""
    made = Shop(tmp_path / "shop", far, devenv)
    yield made
    assert made.run("down", "-v", "--yes").wait(120) == 0
    until(far.remains, NOTHING.__eq__)


def test_data_stays_there_for_the_next_run(shop: Shop, far: Far, tmp_path: Path) -> None:
    """One event says so; it can be saved here; only an agreement removes it. A second person is refused."""
    run = shop.up()
    shop.execute("sh", "-c", "echo precious >/data/marker")
    before = far.docker("ps", "-q")
    second = shop.run("up", env={"XDG_STATE_HOME": str(tmp_path / "another")})
    assert second.wait() == 3
    (error,) = second.all("error")
    assert f"{shop.stack.name} is up on far by " in error["message"]
    assert f" -p {shop.stack.name}-2" in error["hint"]
    assert far.docker("ps", "-q") == before
    assert run.stop() == 130, run.report()
    (stays,) = run.all("stays")
    assert (stays["machine"], stays["volumes"]) == ("far", [f"{shop.stack.name}_data"])
    assert run.all("saved") == []
    assert shop.run("snapshot", "save", "--name", "here").wait() == 0
    second = shop.run("up", env={"XDG_STATE_HOME": str(tmp_path / "another")})
    assert second.wait() == 3
    assert f"the volume {shop.stack.name}_data on far belongs to " in second.all("error")[0]["message"]
    refused = shop.run("down", "-v")
    assert refused.wait() == 6
    assert "would be lost" in refused.all("error")[0]["message"]
    run = shop.up()
    assert shop.execute("cat", "/data/marker") == "precious"
    assert run.stop() == 130, run.report()


def test_an_end_while_the_cable_is_cut(shop: Shop, far: Far) -> None:
    """Ctrl-C says what is left there, and commands do; all is gone soon after the cable is mended."""
    run = shop.up()
    far.cut()
    try:
        assert run.stop(timeout=40) == 130, run.report()
        (stopped,) = run.all("stopped")
        assert f"container {shop.stack.name}-db-1" in stopped["survivors"]
        (problem,) = [each for each in run.all("problem") if "left as they are on far: " in each["message"]]
        assert "as soon as far answers" in problem["message"]
        until(lambda: shop.output("ls"), lambda text: f"left on far: 1 container of {shop.stack.name}; " in text)
        assert f"devenv down {shop.stack.name}" in shop.output("ls")
    finally:
        far.mend()
    until(shop.is_gone, timeout=2 * WITHIN)


def _killed_ssh(far: Far) -> None:
    for pid in far.masters():
        os.kill(pid, signal.SIGKILL)


def _cut(far: Far) -> None:
    far.cut()
    time.sleep(8)  # longer than a line takes to be lost
    far.mend()


@pytest.mark.long
@pytest.mark.parametrize("drop", [_killed_ssh, _cut])
def test_an_end_right_after_a_drop(shop: Shop, far: Far, drop: Callable[[Far], Any]) -> None:
    """Nothing is left, at the latest once the guardian is done."""
    run = shop.up()
    drop(far)
    assert run.stop() == 130, run.report()
    until(shop.is_gone, timeout=WITHIN)
    assert "there was nothing to remove" not in run.report()


@pytest.mark.long
def test_a_run_that_is_killed_while_the_machine_is_away(shop: Shop, far: Far) -> None:
    """Five minutes later the guardian still tries; its run is gone a minute after the machine is back."""
    run = shop.up()
    far.cut()
    try:
        run.send_signal(signal.SIGKILL)
        until(lambda: shop.output("ls"), lambda text: "removed as soon as far answers" in text, timeout=60)
        time.sleep(300)
    finally:
        far.mend()
    began = time.monotonic()
    until(shop.is_gone, timeout=2 * WITHIN)
    took = time.monotonic() - began
    print(f"gone {took:.1f} s after the machine was back")  # noqa: T201 - a figure to report
    assert took < WITHIN
