"""Getting started: every command line of the page, in order, prints what the page shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import docker_cli as docker
from support.cli import Devenv
from support.console import INTERRUPT, Typed, typed
from support.stack import Stack, free_port, unique_name

pytestmark = pytest.mark.engine
ELSEWHERE = "uv tool install ."  # tests/engine/test_wheel.py installs the wheel
UP_TIMEOUT = 600.0  # seconds; on a new machine the stand-ins are built first
PROJECT, PORT = "notes", "8000"


def test_commands_in_getting_started_print_what_the_page_shows(tmp_path: Path, state_env: dict[str, str]) -> None:
    """The commands on the page alone create, start, edit, leave, restart and remove a project."""
    walk = Walk(tmp_path, state_env)
    lines = typed("docs/getting-started.md")
    assert {"devenv up", INTERRUPT, "devenv down"} <= {line.command for line in lines}
    try:
        for line in lines:
            if line.command != ELSEWHERE:
                walk.type(line)
    finally:
        walk.end()
    assert walk.stack.leftovers() == {}


class Walk:
    """Two terminals: `devenv up` stays in the first until Ctrl-C, all other commands are typed in the second."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.port = str(free_port())
        self.stack = Stack(folder / PROJECT, unique_name(PROJECT), env)
        self.stack.folder.rmdir()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {**self.stack.env, "API_PORT": self.port, "PATH": path}
        self.first: Devenv | None = None
        settings = Path(env["XDG_CONFIG_HOME"]) / "devenv-compose/config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text("stand_ins = true\n", encoding="utf-8")  # as the page says

    def type(self, typed: Typed) -> None:
        """Run the command until it prints what the page shows."""
        command = typed.command.replace(PORT, self.port)
        if command.startswith("cd "):
            self.folder = self.folder / command.removeprefix("cd ")
        elif command == "devenv up":
            self.first = Devenv("up", cwd=self.folder, env=self.env, json_output=False)
            docker.until(lambda: self._first_has("is up after") or self._first_ended(), timeout=UP_TIMEOUT)
            assert self._first_has("is up after"), self._first_said()
            assert typed.missing(self._first_said()) == []
        elif command == INTERRUPT:
            assert self.first is not None
            assert self.first.stop() == 130
            assert typed.missing(self._first_said()) == []
        elif command.startswith("curl "):  # an edit takes a moment to arrive
            docker.until(lambda: typed.missing(self._run(command)), lambda missing: not missing, timeout=30)
        else:
            assert typed.missing(self._run(command)) == []

    def end(self) -> None:
        """Remove everything, whatever happened."""
        if self.first:
            self.first.kill()
        self.stack.remove()

    def _first_has(self, words: str) -> bool:
        return words in self._first_said()

    def _first_ended(self) -> bool:
        return self.first is not None and self.first.process.poll() is not None

    def _first_said(self) -> str:
        assert self.first is not None
        return self._as_shown("".join([*self.first.stray, self.first.stderr]))

    def _run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or command.startswith(("curl", "devenv doctor")), done.stdout + done.stderr
        return self._as_shown(done.stdout + done.stderr)

    def _as_shown(self, output: str) -> str:
        return output.replace(self.stack.name, PROJECT).replace(self.port, PORT)
