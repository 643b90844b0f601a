"""Difficult ways to end a run, in many phases: several signals, a closed terminal, a reader that exits."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support import cli, docker_cli
from support.cli import Devenv, StartDevenv
from support.docker_cli import engine_socket
from support.phases import DATA, Phases, processes
from support.proxy import Proxy
from support.stack import Stack, idle_service
from support.terminal import Terminal
from support.upper import Up

pytestmark = pytest.mark.engine

INT, TERM, HUP, QUIT = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT
HURRIED = 8.0  # seconds after a second signal; three are promised, on an idle machine
GAP = 0.6  # seconds between two signals: a sooner one counts as the first, forwarded again
SYNC = {"develop": {"watch": [{"path": "./src", "action": "sync", "target": "/app"}]}}

Way = tuple[signal.Signals, ...]
WAYS: tuple[Way, ...] = ((INT,), (INT, INT), (INT,) * 5, (TERM,), (HUP,), (HUP, HUP), (QUIT,), (TERM, INT))
PHASES = (
    Phases.load,
    Phases.build,
    Phases.restore,
    Phases.create,
    Phases.start,
    Phases.healthy,
    Phases.ready,
    Phases.sync,
    Phases.rebuild,
    Phases.saving,
)
ALWAYS = [
    (Phases.create, (INT, INT)),
    (Phases.ready, (INT,) * 5),
    (Phases.saving, (INT, INT)),
    (Phases.build, (QUIT,)),
]


def cases() -> Iterator[Any]:
    """A few cases; all in the long run."""
    for phase, way in itertools.product(PHASES, WAYS):
        name = f"{phase.__name__}-{'-'.join(sign.name for sign in way[:2])}{'-and-more' * (len(way) > 2)}"
        yield pytest.param(phase, way, id=name, marks=() if (phase, way) in ALWAYS else pytest.mark.long)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A way to the engine on which a stalled call has no answer before the end of a test."""
    with Proxy(engine=engine_socket(), stall=60) as proxy:
        yield proxy


@pytest.mark.parametrize(("phase", "way"), list(cases()))
def test_signals_at_any_phase_leave_nothing_and_lose_nothing(
    stack: Stack, up: Up, devenv: StartDevenv, proxy: Proxy, phase: Callable[[Phases], Devenv], way: Way
) -> None:
    """The first signal ends the run, the second hurries, the third (or QUIT) leaves the rest to the guardian.

    A volume that could not be saved in time still exists and is reported; `down` saves it.
    """
    phases = Phases(stack, up, proxy)
    run = phase(phases)
    if phase is Phases.saving:
        time.sleep(GAP)  # the run has had its first signal
    began = 0.0
    for sign in way:
        began = time.monotonic()
        if run.process.poll() is None:
            run.send_signal(sign)
        time.sleep(GAP)
    code = run.wait()
    if len(way) == 2 and HUP not in way:
        assert time.monotonic() - began < HURRIED
    first = INT if phase is Phases.saving and way[0] is not QUIT else way[0]
    # A signal that comes after the cleanup ends the rest of the process.
    assert (code if code >= 0 else 128 - code) in (128 + first, 128 + way[-1]), run.report()
    docker_cli.until(run.survivors, lambda left: not left)
    docker_cli.until(lambda: processes(phases.word), lambda left: not left, timeout=10)
    assert stack.leftovers().keys() <= {"volumes"}, run.report()
    for name in docker_cli.volumes(stack.name):
        assert [problem for problem in run.all("problem") if name in problem["message"]], run.report()
        assert run.wait_for("stopped")["survivors"]
    if docker_cli.volumes(stack.name):
        down = devenv("down", cwd=stack.folder, env=stack.env)
        assert down.wait() == 0, down.report()
        assert down.all("saved")
    assert stack.leftovers() == {}


@contextmanager
def on_a_terminal(stack: Stack, state_env: dict[str, str], *argv: str) -> Iterator[Terminal]:
    """A program on a terminal, in the folder of a stack with one service and a watch rule."""
    stack.write("src/file", "before")
    stack.compose_file({"db": idle_service(**DATA, **SYNC)}, volumes={"data": {}})
    env = {**state_env, **stack.env, "PS1": "$ ", "TERM": "xterm", "CI": None}
    with Terminal(*argv, cwd=stack.folder, env=env) as terminal:
        yield terminal
        docker_cli.until(terminal.survivors, lambda left: not left)
    assert stack.leftovers() == {}


@pytest.mark.parametrize("way", ["HUP HUP HUP", "TERM INT"])
def test_signals_in_quick_succession_count_as_one(stack: Stack, up: Up, way: str) -> None:
    """A signal that npm, an IDE or a shell forwards again does not hurry: the volume is saved."""
    run = Phases(stack, up).ready()
    for name in way.split():
        os.killpg(run.process.pid, signal.Signals[f"SIG{name}"])
        time.sleep(0.02)  # the kernel merges two equal signals at one instant
    assert run.wait() == 128 + signal.Signals[f"SIG{way[:4].rstrip()}"], run.report()
    assert [saved["volume"] for saved in run.all("saved")] == ["data"]
    assert run.survivors() == {}
    assert stack.leftovers() == {}


@pytest.mark.parametrize("options", ["--no-ui", ""], ids=["lines", "view"])
def test_closing_the_terminal_of_a_shell_saves_the_volume(
    stack: Stack, state_env: dict[str, str], options: str
) -> None:
    """Bash sends a second HUP to the foreground job, after the kernel's: the volume is saved."""
    with on_a_terminal(stack, state_env, "bash", "--norc", "--noprofile", "-i") as shell:
        shell.type(f"{shlex.quote(sys.executable)} -m devenv up {options}\n")
        shell.until("is up after")
        stack.execute("db", "sh", "-c", "echo precious >/data/marker")
        shell.close()
        docker_cli.until(shell.survivors, lambda left: not left)
    listed = cli.run("snapshot", "list", cwd=stack.folder, env={**stack.env, **state_env})
    assert re.search(rf" {stack.name} +data ", listed.stdout), listed.stdout


@pytest.mark.parametrize("options", [["--no-ui"], []], ids=["lines", "view"])
def test_closing_the_terminal_ends_the_run_and_saves_the_volume(
    stack: Stack, state_env: dict[str, str], options: list[str]
) -> None:
    """The run ends with 129, and failing writes to the terminal do not disturb it."""
    with on_a_terminal(stack, state_env, sys.executable, "-m", "devenv", "up", *options) as terminal:
        terminal.until("is up after")
        terminal.close()
        assert terminal.process.wait(60) == 128 + HUP


def test_closed_stdout_does_not_end_the_run(stack: Stack, state_env: dict[str, str], tmp_path: Path) -> None:
    """With `devenv up | head -1` the run continues silently, and ends normally."""
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    environment = {**os.environ, **state_env, **stack.env}
    argv = [sys.executable, "-m", "devenv", "up", "--verbose"]
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(
            argv, cwd=stack.folder, env=environment, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        docker_cli.until(lambda: stack.containers() and docker_cli.inspect(stack.container("db"))["State"]["Running"])
        process.send_signal(INT)
        assert process.wait(60) == 128 + INT
    lines = (tmp_path / "errors").read_text().splitlines()
    assert [line for line in lines if not re.match(r" *\d+ ms  ", line)] == []
    assert stack.leftovers() == {}


def test_stopped_run_continues_after_fg(stack: Stack, state_env: dict[str, str]) -> None:
    """A stopped run is not treated as dead; in the foreground again, it syncs the files saved meanwhile."""
    with on_a_terminal(stack, state_env, "bash", "--norc", "--noprofile", "-i") as shell:
        shell.type(f"{shlex.quote(sys.executable)} -m devenv up --no-ui\n")
        shell.until("is up after")
        shell.type("\x1a")
        shell.until("Stopped")
        stack.write("src/file", "after")
        time.sleep(3)  # by then, a guardian would have begun to clean up
        assert stack.read("db", "/app/file") == "before"
        since = len(shell.output)
        shell.type("fg\n")
        shell.until("file.* → db", since=since)
        assert stack.read("db", "/app/file") == "after"
        shell.type("\x03")
        shell.until("stopping 1 container; Ctrl-C again ends them at once")
        shell.until("nothing of this run is left")
        shell.type("echo code=$?; exit\n")
        shell.until("code=130")
