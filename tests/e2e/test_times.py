"""Timings of a start, and pauses, reboots and reused pids during a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import docker_cli
from support.cli import StartDevenv
from support.stack import NewStack, Stack, built_service, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

SLOW = "trap 'exit 0' TERM; sleep 1 & wait; touch /ready; while :; do sleep 1 & wait; done"
CHECK = {"test": ["CMD", "test", "-e", "/ready"], "interval": "1s", "start_period": "60s", "start_interval": "200ms"}


def test_timings_show_the_critical_path(stack: Stack, up: Up) -> None:
    """A slow database and its dependent are on the path; a service started in parallel is not."""
    stack.compose_file(
        {
            "db": idle_service(command=["sh", "-c", SLOW], healthcheck=CHECK),
            "side": built_service(f"RUN : {stack.name}"),
            "web": idle_service(depends_on={"db": {"condition": "service_healthy"}}),
        }
    )
    run = up.ready(stack, "--timings")
    timings = run.wait_for("timings")
    assert run.stop() == 130
    spans = {span["name"]: span for span in timings["spans"]}
    critical = {name for name, span in spans.items() if span["critical"]}
    assert critical >= {"load", "build", "create", "start db", "health db", "start web"}, timings
    assert "start side" in spans.keys() - critical
    assert any(name.startswith("build ") for name in spans), timings
    assert spans["start web"]["after"] == "db"
    assert spans["health db"]["end"] - spans["health db"]["start"] > 0.5
    assert all(0 <= span["start"] <= span["end"] <= timings["seconds"] for span in timings["spans"])


def test_layers_and_graph_use_facts_of_the_last_run(
    compose_env: dict[str, str], new_stack: NewStack, up: Up, devenv: StartDevenv
) -> None:
    """`layers` shows build times and cached layers, `graph --timings` waiting times.

    For an image that was rebuilt by others since, nothing is shown.
    """
    stack = new_stack(compose_env)
    web = built_service(
        f"RUN sleep 0.3 && : {stack.name}\nRUN true", depends_on={"db": {"condition": "service_healthy"}}
    )
    stack.compose_file({"db": idle_service(command=["sh", "-c", SLOW], healthcheck=CHECK), "web": web})

    def layers() -> list[tuple[bool | None, bool]]:
        asked = devenv("layers", "web", "--no-files", cwd=stack.folder, env=stack.env)
        assert asked.wait() == 0, asked.report()
        image = asked.events[-1]["images"][0]
        return [(layer["cached"], layer["took"] > 0) for layer in image["layers"][image["inherited"] :]]

    run = up.ready(stack)
    assert layers()[0] == (False, True)
    assert run.stop() == 130
    graph = devenv("graph", "--timings", cwd=stack.folder, env=stack.env)
    assert graph.wait() == 0
    assert {node["name"]: (node["critical"], node["after"]) for node in graph.events[-1]["nodes"]} == {
        "db": (True, ""),
        "web": (True, "db"),
    }
    assert up.ready(stack).stop() == 130
    assert layers() == [(True, False), (True, False)]
    stack.compose_file({"web": built_service(f"RUN : other {stack.name}\nRUN true")})
    assert stack.compose("build").returncode == 0
    assert layers() == [(None, False), (None, False)]


def test_stopped_process_causes_no_timeout_and_no_teardown(stack: Stack, up: Up) -> None:
    """A run that is stopped while it waits, or while it is up, continues with all files."""
    stack.write("src/file", "before")
    rule = {"path": "./src", "action": "sync", "target": "/app"}
    stack.compose_file({"db": idle_service(command=["sh", "-c", SLOW], healthcheck=CHECK, develop={"watch": [rule]})})
    run = up(stack, "--timeout", "2")
    run.wait_for("service", service="db", state="starting")
    pause(run.process.pid, 4)
    run.wait_for("ready")
    container = stack.container("db")
    stack.write("src/file", "meanwhile")
    run.wait_for("synced", files=1)
    os.kill(run.process.pid, signal.SIGSTOP)
    docker_cli.docker("restart", container)
    stack.write("src/file", "after")
    stack.write("src/new", "new")
    os.kill(run.process.pid, signal.SIGCONT)
    run.wait_for("synced", files=2, timeout=30)
    assert [stack.read("db", f"/app/{name}") for name in ("file", "new")] == ["after", "new"]
    time.sleep(1)
    assert run.process.poll() is None, run.report()
    assert stack.containers() == [container]
    assert not [*run.all("stopping"), *run.all("problem"), *run.all("error")]
    assert run.stop() == 130
    assert stack.leftovers() == {}


def pause(pid: int, seconds: float) -> None:
    """Stop the process for so many seconds."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process without any relation to devenv."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("command", ["up", "down"])
def test_run_from_before_a_reboot_is_taken_over_or_removed(
    stack: Stack,
    up: Up,
    devenv: StartDevenv,
    state_env: dict[str, str],
    stranger: subprocess.Popen[bytes],
    command: str,
) -> None:
    """After a reboot, the engine has restarted the containers, and pids of the dead run belong to other processes.

    `up` takes all of it over, `down` removes all of it; neither treats the other process as devenv.
    """
    stack.compose_file(
        {"web": idle_service(restart="always"), "db": idle_service(volumes=["data:/data"])}, volumes={"data": {}}
    )
    run = Up(devenv).ready(stack)
    stack.execute("db", "sh", "-c", "echo precious >/data/marker")
    before = set(stack.containers())
    run.kill()
    assert set(stack.containers()) == before, "the guardian was there still"
    docker_cli.docker("kill", stack.container("db"))
    docker_cli.docker("restart", stack.container("web"))
    take_pids(Path(state_env["XDG_STATE_HOME"]), stranger.pid)
    later = devenv(command, cwd=stack.folder, env=stack.env)
    if command == "up":
        later.wait_for("ready")
        assert set(stack.containers()) == before
        assert stack.read("db", "/data/marker") == "precious\n"
        assert later.stop() == 130
    else:
        assert later.wait() == 0, later.report()
    assert stack.leftovers() == {}
    assert stranger.poll() is None


def take_pids(state: Path, pid: int) -> None:
    """Replace all pids in the state of the dead run by this one."""
    (folder,) = (state / "devenv-compose/runs").iterdir()
    ledger = json.loads((folder / "ledger.json").read_text())
    (folder / "ledger.json").write_text(json.dumps({**ledger, "pid": pid}))
    (folder / "lock").write_text(str(pid))
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    (folder / "children").write_text(f"{pid} {ticks}@00000000-0000-0000-0000-000000000000\n")
