"""`devenv ps`, `logs`, `shell` and `open`, during a run and after it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import cli, docker_cli
from support.cli import StartDevenv
from support.schemas import checked_document, violations
from support.stack import Stack, free_port, idle_service
from support.terminal import Terminal
from support.upper import Up

pytestmark = pytest.mark.engine

SITE = """\
use IO::Socket::INET; $$SIG{TERM} = sub { print "bye from web\\n"; exit }; $$| = 1;
$$s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1);
print "\\e[31mred\\e[0m \\e]0;title\\a is gone\\n"; print "x" x 40000, "\\n"; print "listening\\n";
while ($$c = $$s->accept) { <$$c>; print $$c "HTTP/1.1 200 OK\\r\\n\\r\\n"; close $$c }
"""
TICKER = "trap 'exit 0' TERM; n=0; while :; do n=$$((n+1)); echo tick $$n; sleep 0.1 & wait $$!; done"


def site(port: int) -> dict[str, object]:
    """A service that answers with HTTP, and prints a line when it ends."""
    return idle_service(command=["perl", "-e", SITE], ports=[f"{port}:80"])


def test_ps_logs_shell_and_open_during_and_after_a_run(stack: Stack, up: Up, state_env: dict[str, str]) -> None:
    """The commands work for services that anyone started; logs are also available afterwards."""
    port = free_port()
    odd = idle_service(command=["sh", "-c", "echo odd one; sleep 0.2; echo odd two >&2; exec sleep 600"], init=True)
    services = {"web": site(port), "0.odd_-Name": odd, "db": idle_service(), "tool": idle_service(profiles=["x"])}
    stack.compose_file(services)
    stack.write("src/.keep", "")
    assert stack.compose("up", "-d", "db").returncode == 0
    run = up.ready(stack)
    env = {**stack.env, **state_env}

    def typed(*args: str) -> subprocess.CompletedProcess[str]:
        return cli.run(*args, cwd=stack.folder / "src", env=env)

    rows = {row["service"]: row for row in checked_document("ps", typed("ps", "--output", "json").stdout)["services"]}
    assert {name: (row["state"], row["ours"]) for name, row in rows.items()} == {
        "web": ("running", True),
        "0.odd_-Name": ("running", True),
        "db": ("running", False),
    }
    assert rows["web"]["ports"] == [{"target": 80, "address": f"localhost:{port}", "protocol": "tcp"}]
    assert 0 <= rows["db"]["age"] < 300
    assert "tool" in typed("ps", "--profile", "x").stdout
    assert "not devenv" in typed("ps", "db").stdout
    assert typed("ps", "-q", "--no-trunc", "web").stdout.split() == stack.containers("web")

    lines = typed("logs", "0.odd_-Name", "web", "--grep", "/odd|red|x{40000}$|tick/").stdout.splitlines()
    assert sorted(line.replace("x" * 40000, "X") for line in lines) == [
        "0.odd_-Name │ odd one",
        "0.odd_-Name │ odd two",
        "web         │ X",
        "web         │ red  is gone",
    ]
    events = [
        json.loads(line)
        for line in typed("-p", stack.name, "logs", "-n", "1", "--output", "json").stdout.splitlines()
    ]
    assert [fault for event in events for fault in violations(event)] == []
    assert {(event["service"], event["line"], event["stream"]) for event in events} == {
        ("web", "listening", "stdout"),
        ("0.odd_-Name", "odd two", "stderr"),
    }
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    wrong = typed("logs", "wbe")
    assert (wrong.returncode, "there is no service `wbe`" in wrong.stderr, "`web`" in wrong.stderr) == (2, True, True)

    opened = checked_document("open", typed("open", "web", "--output", "json").stdout)
    assert typed("open", "--print").stdout == f"{opened['urls'][0]}\n" == f"http://localhost:{port}/\n"
    assert "no port is published" in typed("open", "db").stderr
    assert typed("shell", "db", "--", "sh", "-c", "exit 7").returncode == 7
    assert typed("shell", "db", "--", "echo $((40 + 2)) && pwd").stdout == "42\n/\n"
    assert "several services run: 0.odd_-Name, db, web" in typed("shell").stderr

    services["0.odd_-Name"] = idle_service(command=["sh", "-c", "echo odd three; exec sleep 600"], init=True)
    stack.compose_file(services)
    run.wait_for("reloaded", recreated=["0.odd_-Name"])
    docker_cli.until(lambda: "odd three" in typed("logs", "0.odd_-Name").stdout)
    lines = typed("logs", "0.odd_-Name").stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == [
        "one",
        "two",
        "three",
    ]  # of the removed container, and of this

    assert run.stop() == 130
    logs = typed("logs", "--grep", "/odd|bye/")
    assert [line.partition("│ ")[2] for line in logs.stdout.splitlines()][:3] == ["odd one", "odd two", "odd three"]
    assert "web         │ bye from web" in logs.stdout
    assert "the last run" in logs.stderr
    kept = list(Path(state_env["XDG_STATE_HOME"]).glob("devenv-compose/runs/*/logs/*/*"))
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in kept} == {0o600}
    assert len(kept) == 3
    after = checked_document("ps", typed("ps", "--output", "json").stdout)["services"]
    assert {row["service"]: row["state"] for row in after} == {
        "web": "absent",
        "0.odd_-Name": "absent",
        "db": "running",
    }
    assert typed("shell", "--", "true").returncode == 0  # the only service that still runs
    assert "web is not running" in typed("shell", "web").stderr
    stack.remove()


def test_ps_redraws_on_events_and_shell_passes_its_exit_code(stack: Stack, state_env: dict[str, str]) -> None:
    """The table is redrawn only when something changes; the exit code of the shell is passed on."""
    stack.compose_file({"one": idle_service(), "two": idle_service()})
    assert stack.compose("up", "-d").returncode == 0
    env = {**stack.env, **state_env, "TERM": "xterm", "CI": ""}
    devenv = (sys.executable, "-m", "devenv")
    with Terminal(*devenv, "ps", "--watch", cwd=stack.folder, env=env) as terminal:
        terminal.until(r"two +● running")
        time.sleep(1)
        before = len(terminal.output)
        time.sleep(1.5)
        assert terminal.output[before:] == ""
        assert stack.compose("kill", "two").returncode == 0
        terminal.until(r"\x1b\[H\x1b\[J(?s:.)*two +✗ exited \(137\)", since=before)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(20) == 130
    assert stack.compose("start", "two").returncode == 0
    with Terminal(*devenv, "shell", cwd=stack.folder, env=env) as terminal:
        terminal.until("Which service")
        terminal.type("oen\n")
        terminal.until("Did you mean `one`")
        terminal.type("2\n")
        terminal.until("[#$] ")
        terminal.type("tty && echo $((6 * 7)) $0; exit 9\n")
        terminal.until("/dev/pts/\\d+\r\n42 /\\S*bash")
        assert terminal.process.wait(20) == 9


def test_logs_are_followed_across_restarts(stack: Stack, devenv: StartDevenv) -> None:
    """Logs are followed for containers created later, too; every line appears once and in order."""
    stack.compose_file({"ticker": idle_service(command=["sh", "-c", TICKER], init=True)})
    logs = devenv("logs", "-f", "ticker", cwd=stack.folder, env=stack.env)
    assert stack.compose("up", "-d").returncode == 0
    logs.wait_for("log", line="tick 5")
    assert stack.compose("restart", "ticker").returncode == 0
    mark = logs.mark()
    logs.wait_for("log", line="tick 8", since=mark)
    late = devenv("logs", "-f", "--tail", "3", cwd=stack.folder, env=stack.env)
    first = late.wait_for("log")
    number = int(first["line"].split()[1])
    late.wait_for("log", line=f"tick {number + 20}")
    assert logs.stop() == 130
    assert late.stop() == 130
    for run, starts in ((logs, 2), (late, 1)):
        numbers = [int(event["line"].split()[1]) for event in run.all("log")]
        assert sum(b != a + 1 for a, b in itertools.pairwise(numbers)) == starts - 1, numbers
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", first["at"])
    piped = subprocess.run(
        f"{shlex.quote(sys.executable)} -m devenv logs -f | head -2",
        shell=True,
        cwd=stack.folder,
        env={**os.environ, **stack.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert piped.stdout.splitlines() == ["ticker │ tick 1", "ticker │ tick 2"]
    docker_cli.docker("rm", "-fv", *stack.containers())


def test_escape_codes_in_a_watch_rule_are_not_executed(stack: Stack, state_env: dict[str, str]) -> None:
    """`up` prints the path of a rule that contains a clipboard code, and the terminal does not execute the code."""
    hostile = "a\x1b]52;c;ZXZpbA==\x07b\x1b[8mc\u202ed"
    rule = {"path": hostile, "action": "sync", "target": "/x"}
    stack.compose_file({"one": idle_service(develop={"watch": [rule]})})
    env = {**stack.env, **state_env, "TERM": "xterm", "CI": ""}
    with Terminal(sys.executable, "-m", "devenv", "up", "--no-ui", cwd=stack.folder, env=env) as terminal:
        terminal.until("abcd does not exist: the rule waits for it")
        terminal.until("is up after")
        terminal.type("\x03")
        assert terminal.process.wait(60) == 130
        terminal.close()
        ours = re.sub(r"\x1b\[(?:[0-24]|3\d|9\d)m|\r\x1b\[2K", "", terminal.output).replace("\r\n", "\n")
        assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", ours.replace("^C", "")) == []
