"""The command lines of the guides work, in a small project with the services that the guides name."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import docker_cli as docker
from support import guide_lines, worktrees
from support.cli import Devenv
from support.stack import Stack, built_service, idle_service, unique_name
from support.terminal import Terminal

pytestmark = pytest.mark.engine
# The reader's own tests and migrations, and the database's client.
PROGRAMS = "RUN for name in npm python psql; do printf '#!/bin/sh\\n' > /bin/$$name; chmod +x /bin/$$name; done"
FOREGROUND = ("devenv up --no-build", "devenv up --isolated=NAME")


class Reader:
    """Types the lines of the guides, in one folder after the other; `shop` is the project."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.name = unique_name("guides")
        self.stack = Stack(
            folder / self.name, self.name, env
        )  # without COMPOSE_PROJECT_NAME: worktrees have own names
        self.folder = self.stack.folder
        programs = folder / "bin"
        programs.mkdir()
        (programs / "npm").write_text("#!/bin/sh\n")
        (programs / "npm").chmod(0o755)
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        # Without COMPOSE_PROJECT_NAME, so that the worktree has a name of its own.
        self.env = {**os.environ, **env, "PATH": path}

    def type(self, line: str) -> None:
        """Run the line to its end, or start the project and press Ctrl-C. Raises AssertionError."""
        text = line
        for words, replacement in {**guide_lines.PLACEHOLDERS, "shop": self.name}.items():
            text = text.replace(words, replacement)
        if line in FOREGROUND:
            run = Devenv(*shlex.split(text)[1:], cwd=self.folder, env=self.env)
            run.wait_for("ready")
            assert run.stop() == 128 + signal.SIGINT
        elif line.startswith("devenv add") and "--dry-run" not in line:
            self._confirm(text)
        else:
            done = subprocess.run(
                ["bash", "-c", text], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, check=False, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"

    def _confirm(self, text: str) -> None:
        with Terminal(*shlex.split(text), cwd=self.folder, env=self.env) as terminal:
            docker.until(lambda: "Write this?" in terminal.output or terminal.process.poll() is not None)
            if terminal.process.poll() is None:
                terminal.type("y\n")
            assert terminal.process.wait(60) == 0, terminal.output

    def end(self) -> None:
        """Remove everything, whatever happened."""
        for name in (self.name, f"{self.name}-feature", f"{self.name}-second"):
            Stack(self.stack.folder, name).remove()


@pytest.fixture
def reader(engine: str, base_image: str, tmp_path: Path, state_env: dict[str, str]) -> Iterator[Reader]:
    """A reader with an empty project."""
    reader = Reader(tmp_path, state_env)
    yield reader
    reader.end()


def test_lines_that_edit_a_project(reader: Reader) -> None:
    """The commands that add services, rules and files work one after the other, and ask before they write."""
    mounted = idle_service(build=".", image=None, volumes=["./src:/app/src"])
    reader.stack.compose_file({"api": mounted, "db": idle_service(volumes=["./data:/data"])})
    reader.stack.write("Dockerfile", "FROM debian:trixie-slim\nWORKDIR /app\nCOPY src ./src\n")
    reader.stack.write("src/main.py", "")
    reader.stack.write("data/file", "")
    for line in guide_lines.EDITS:
        reader.type(line)


def test_lines_that_run_a_project(reader: Reader) -> None:
    """Start, look, save and restore, in the main worktree and in a worktree; nothing is left on the engine."""
    api = built_service(PROGRAMS, volumes=["data:/data"])
    worker = idle_service(volumes=["./src:/app/src"])
    reader.stack.compose_file(
        {"api": api, "worker": worker, "postgres": built_service(PROGRAMS)}, volumes={"data": {}}
    )
    reader.stack.write("src/main.py", "")
    worktrees.repository(reader.folder)
    try:
        for line in (*guide_lines.MAIN, guide_lines.WORKTREE[0]):
            reader.type(line)
        reader.folder = reader.folder.with_name(f"{reader.name}-feature")
        for line in guide_lines.WORKTREE[1:]:
            reader.type(line)
        reader.folder = reader.stack.folder
        for line in guide_lines.LAST:
            reader.type(line)
    finally:
        subprocess.run(["devenv", "down", reader.name], env=reader.env, cwd="/", check=False, capture_output=True)
    assert Stack(reader.stack.folder, reader.name).leftovers() == {}
    assert Stack(reader.stack.folder, f"{reader.name}-feature").leftovers() == {}
