"""`devenv up` on a terminal: the table, commands on services, and the ways to leave."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import cli, docker_cli
from support.stack import Stack, idle_service
from support.terminal import Terminal

pytestmark = pytest.mark.engine

SIZE = (100, 30)
LEFT = "\x1b[?1049l"
HEALTHY = {"healthcheck": {"test": "true", "interval": "1s", "start_interval": "0.2s", "start_period": "5s"}}


@contextmanager
def on_a_terminal(stack: Stack, state_env: dict[str, str], *argv: str) -> Iterator[Terminal]:
    seen = {**state_env, **stack.env, "TERM": "xterm-256color", "CI": None}
    program = argv or (sys.executable, "-m", "devenv", "up")
    with Terminal(*program, cwd=stack.folder, env=seen, size=SIZE) as terminal:
        yield terminal


def shows(terminal: Terminal, *wanted: str) -> str:
    """The screen, once it contains all these texts."""
    screen = ""

    def there() -> bool:
        nonlocal screen
        screen = terminal.screen(*SIZE, max(terminal.output.rfind("\x1b[?1049h"), 0))
        return all(text in screen for text in wanted)

    try:
        docker_cli.until(there, timeout=60)
    except AssertionError:
        raise AssertionError(f"{wanted} not on the screen\n{screen}\n{terminal.output[-3000:]}") from None
    return screen


def test_live_view_shows_saves_and_carries_out_commands(stack: Stack, state_env: dict[str, str]) -> None:
    """A save is shown; restart, stop and shell work; `d` leaves all running, `q` removes all."""
    rule = {"path": "./src", "action": "sync", "target": "/app"}
    stack.write("src/file", "before")
    stack.compose_file(
        {
            "db": idle_service(**HEALTHY, stop_grace_period="5s"),
            "web": idle_service(
                develop={"watch": [rule]}, depends_on={"db": {"condition": "service_healthy"}}, healthcheck=None
            ),
        }
    )
    with on_a_terminal(stack, state_env) as terminal:
        before = terminal.mode()
        shows(terminal, "2 of 2 up", "● db", "healthy", "● web", "started", "up after")
        stack.write("src/file", "after")
        shows(terminal, "src/file → web", "1 file")
        assert stack.read("web", "/app/file") == "after"
        terminal.type("ss")
        shows(terminal, "1 of 2 up", "■ db", "db is stopped")
        terminal.type("r")
        shows(terminal, "2 of 2 up", "db restarted in")
        terminal.type("jx")
        terminal.until("[#$] ", since=terminal.output.rfind(LEFT))
        terminal.type("cat /app/file; echo $((20 + 22)).\n")
        terminal.until(r"after42\.")
        terminal.type("exit\n")
        shows(terminal, "2 of 2 up", "›● web")
        terminal.type("d")
        assert terminal.process.wait(60) == 0
        assert terminal.mode() == before
        terminal.until("running in the background", since=terminal.output.rfind(LEFT))
        stack.write("src/file", "detached")
        docker_cli.until(lambda: stack.read("web", "/app/file") == "detached", timeout=30)
    assert len(stack.containers()) == 2
    with on_a_terminal(stack, state_env) as terminal:
        before = terminal.mode()
        shows(terminal, "2 of 2 up", "up after")
        terminal.type("qq")
        terminal.until("nothing of this run is left", since=terminal.output.rfind(LEFT))
        assert terminal.process.wait(60) == 130
        assert terminal.mode() == before
        docker_cli.until(terminal.survivors, lambda left: not left)
    assert stack.leftovers() == {}


def test_failed_run_restores_the_terminal_and_shows_the_error(stack: Stack, state_env: dict[str, str]) -> None:
    """The log's last lines and the error stay readable."""
    stack.compose_file(
        {
            "db": idle_service(**HEALTHY),
            "job": idle_service(command=["sh", "-c", "echo the last words; exit 3"]),
            "web": idle_service(depends_on={"job": {"condition": "service_completed_successfully"}}),
        }
    )
    with on_a_terminal(stack, state_env) as terminal:
        before = terminal.mode()
        assert terminal.process.wait(60) == 1
        assert terminal.mode() == before
        terminal.close()
        after = terminal.output.rpartition(LEFT)[2]
        assert "the last words" in after
        assert "error:" in after
    assert stack.leftovers() == {}


def test_guardian_restores_the_terminal_of_a_killed_run(stack: Stack, state_env: dict[str, str]) -> None:
    """After kill -9, screen and cursor are restored, and nothing is left."""
    stack.compose_file({"db": idle_service()})
    with on_a_terminal(stack, state_env, "bash", "--norc", "--noprofile", "-i") as shell:
        shell.type(f"{shlex.quote(sys.executable)} -m devenv up\n")
        shows(shell, "1 of 1 up")
        os.kill(next(pid for pid, command in shell.survivors().items() if "-m devenv up" in command), signal.SIGKILL)
        shell.until(re.escape(f"\x1b[?25h{LEFT}"))
        shell.type("exit\n")
        docker_cli.until(shell.survivors, lambda left: not left)
    assert stack.leftovers() == {}


def test_foreign_containers_are_shown_but_not_controlled(stack: Stack, state_env: dict[str, str]) -> None:
    """Foreign containers are in the table, and no key stops or restarts them."""
    stack.compose_file({"db": idle_service(), "web": idle_service()})
    assert stack.compose("up", "-d", "db").returncode == 0
    theirs = docker_cli.inspect(stack.container("db"))["State"]["StartedAt"]
    with on_a_terminal(stack, state_env) as terminal:
        shows(terminal, "2 of 2 up", "up after")
        for key in ("ss", "r"):
            mark = len(terminal.output)
            terminal.type(key)
            terminal.until("db is left alone", since=mark)
            shows(terminal, "2 of 2 up", "›● db")
        terminal.type("qq")
        assert terminal.process.wait(60) == 130
    assert docker_cli.inspect(stack.container("db"))["State"]["StartedAt"] == theirs
    assert stack.containers() == stack.containers("db")


def test_second_ctrl_c_kills_containers_that_do_not_stop(stack: Stack, state_env: dict[str, str]) -> None:
    """The first Ctrl-C restores the terminal at once and ends the run."""
    deaf = ["sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"]
    stack.compose_file({"web": idle_service(command=deaf, stop_grace_period="60s")})
    with on_a_terminal(stack, state_env) as terminal:
        shows(terminal, "1 of 1 up", "up after")
        terminal.type("\x03")
        terminal.until("stopping 1 container; Ctrl-C again ends them at once", since=terminal.output.rfind(LEFT))
        time.sleep(0.5)  # a sooner one counts as the first, forwarded again
        assert stack.containers(), "the first did not wait for the container"
        terminal.type("\x03")
        assert terminal.process.wait(30) == 130
    assert stack.leftovers() == {}


def test_stopped_service_is_not_waited_for_and_removed_one_is_recreated(
    stack: Stack, state_env: dict[str, str]
) -> None:
    """During the start, a stopped service is not waited for, and a removed one is created again."""
    never = {**HEALTHY, "healthcheck": {**HEALTHY["healthcheck"], "test": "false", "start_period": "60s"}}
    stack.compose_file({"db": idle_service(**never), "web": idle_service()})
    with on_a_terminal(stack, state_env) as terminal:
        shows(terminal, "◐ db", "● web", "waiting for db")
        terminal.type("ss")
        shows(terminal, "1 of 2 up", "■ db", "db stopped: r starts it again")
        docker_cli.docker("rm", "-f", stack.container("web"))
        shows(terminal, "0 of 2 up", "✗ web", "web removed (by somebody else)")
        terminal.type("jr")
        shows(terminal, "1 of 2 up", "›● web", "web restarted in")
        terminal.type("qq")
        assert terminal.process.wait(60) == 130
    assert stack.leftovers() == {}


def phases(stack: Stack, state_env: dict[str, str]) -> set[str]:
    """The phases of the services in `devenv ps`."""
    ps = cli.run("ps", "--output", "json", cwd=stack.folder, env={**state_env, **stack.env})
    return {row["phase"] for row in json.loads(ps.stdout)["services"]}


def test_service_stopped_or_removed_by_others_does_not_end_the_run(stack: Stack, state_env: dict[str, str]) -> None:
    """A removed service is red, and `r` creates all its containers again."""
    ends_well = {
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
        "stop_grace_period": "5s",
    }
    stack.compose_file({"db": idle_service(stop_grace_period="0s"), "web": idle_service(**ends_well)})
    with on_a_terminal(stack, state_env) as terminal:
        shows(terminal, "2 of 2 up", "up after")
        docker_cli.docker("stop", *docker_cli.containers(stack.name))
        shows(terminal, "0 of 2 up", "■ db", "■ web", "web stopped by somebody else")
        assert phases(stack, state_env) == {"stopped"}
        terminal.type("rjr")
        shows(terminal, "2 of 2 up")
        docker_cli.docker("compose", "-p", stack.name, "down", "-t", "0")
        shows(terminal, "0 of 2 up", "✗ db", "✗ web", "removed")
        assert phases(stack, state_env) == {"removed"}
        terminal.type("r")
        shows(terminal, "2 of 2 up")
        terminal.type("qq")
        assert terminal.process.wait(60) == 130
    assert stack.leftovers() == {}


def test_crash_loop_fails_the_start_after_five_crashes(stack: Stack, state_env: dict[str, str]) -> None:
    """The error has the lines of the last process and the place in the file."""
    dies = ["sh", "-c", "echo begin; echo boom >&2; exit 3"]
    stack.compose_file({"web": idle_service(command=dies, restart="always")})
    run = cli.run("up", "-d", cwd=stack.folder, env={**state_env, **stack.env})
    assert run.returncode == 1
    error = run.stderr[run.stderr.index("error: ") :]
    how = r"keeps crashing \(exit code 3, \d+ restarts\)"
    assert re.match(rf"error: compose\.yml:\d+: service web failed: {how}", error)
    assert (error.count("begin"), error.count("boom")) == (1, 1)
    assert stack.leftovers() == {}
