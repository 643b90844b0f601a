"""Failures of services on a real engine: their causes, who waits for them, and what follows a restart."""

from __future__ import annotations

import datetime as dt
import re
import tarfile
from typing import Any

import pytest

from support import docker_cli
from support.stack import NewStack, Stack, built_service, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

# A program for PA-RISC, as far as its header goes.
FOREIGN = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x0f\x00\x01" + bytes(4096)

# service -> its keys, and the cause of its failure
DEADLY: dict[str, tuple[dict[str, Any], str]] = {
    "memory": (
        {"mem_limit": "16m", "memswap_limit": "16m", "command": ["tail", "/dev/zero"]},
        "it ran out of memory",  # the engine once lost the cause, and reported only 137
    ),
    "killed": ({"command": ["sh", "-c", "kill -9 $$$$"], "init": True}, "exit code 137: it was killed (SIGKILL)"),
    "crlf": ({"command": ["/run/x"], "volumes": ["./crlf.sh:/run/x"]}, "`crlf.sh` has Windows line endings (CRLF)"),
    "env": (
        {"command": ["/run/x"], "volumes": ["./env.sh:/run/x"]},
        "exit code 127: a script has Windows line endings (CRLF)",
    ),
    "foreign": (
        {"command": ["/run/x"], "volumes": ["./foreign:/run/x"]},
        "`/run/x` is neither a program for this machine nor a script that names its interpreter",
    ),
    "platform": (
        {"command": ["/foreign"]},
        "exit code 1: its image is for linux/riscv64, but the engine runs linux/",
    ),
    "variable": ({"command": ["bash", "-uc", "echo $$API_KEY"]}, "exit code 127: the variable API_KEY is not set"),
    "denied": (
        {"user": "1000", "command": ["mkdir", "/data/x"], "volumes": ["data:/data"]},
        "exit code 1: its user (1000) may not write to /data/x, in the mount on /data (data)",
    ),
    "module": ({"command": ["perl", "-MNope", "-e1"]}, "exit code 2: the module `Nope.pm` is not in the container"),
    "program": ({"command": ["sh", "-c", "vite"]}, "exit code 127: its image has no program `vite`"),
    "mode": ({"command": ["sh", "-c", "touch /x; /x"]}, "exit code 126: `/x` is not executable"),
    "full": (
        {"command": ["cp", "/bin/bash", "/t/x"], "tmpfs": ["/t:size=64k"]},
        "exit code 1: the tmpfs on /t is full",
    ),
    "fixed": ({"command": ["touch", "/etc/x"], "read_only": True}, "exit code 1: /etc/x is read-only"),
    "host": (
        {"command": ["curl", "-sS", "http://nowhere/"]},
        "exit code 6: it cannot find the host `nowhere`",
    ),
    "self": (
        {"command": ["curl", "-sS", "http://127.0.0.1:81/"]},
        "exit code 7: nothing in its own container answers on 127.0.0.1",
    ),
}
LATE = "until test -e /ready; do sleep 0.1; done; trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"


def test_each_failure_is_reported_once_with_its_cause(stack: Stack, up: Up) -> None:
    """Each failure is reported once with its cause and last lines; services that do not need it continue.

    Meanwhile each service that waits is reported with its dependency, since when, and the last lines of that.
    """
    (stack.folder / "crlf.sh").write_bytes(b"#!/bin/sh\r\necho\r\n")
    (stack.folder / "env.sh").write_bytes(b"#!/usr/bin/env bash\r\necho\r\n")
    (stack.folder / "foreign").write_bytes(FOREIGN)
    for name in ("crlf.sh", "env.sh", "foreign"):
        (stack.folder / name).chmod(0o755)
    with tarfile.open(stack.folder / "image.tar", "w") as tar:
        tar.add(stack.folder / "foreign", "foreign")
    image = f"{stack.name}-riscv"
    docker_cli.docker("import", "--platform=linux/riscv64", str(stack.folder / "image.tar"), image)
    check = {"test": "test -e /ready || { echo not yet; exit 1; }", "interval": "200ms", "start_period": "60s"}
    stack.compose_file(
        {
            **{name: {"image": docker_cli.BASE_IMAGE, **keys} for name, (keys, _) in DEADLY.items()},
            "platform": {"image": image, **DEADLY["platform"][0]},
            "slow": idle_service(command=["sh", "-c", f"echo initializing; {LATE}"], healthcheck=check),
            "web": idle_service(
                depends_on={
                    "slow": {"condition": "service_healthy"},
                    **{name: {"condition": "service_started", "required": False} for name in DEADLY},
                }
            ),
        },
        volumes={"data": {}},
    )
    run = up(stack)
    for name, (_, cause) in DEADLY.items():
        run.wait_for("problem", service=name, message=lambda message, cause=cause: cause in message.splitlines()[0])
    waiting = run.wait_for("waiting", service="slow")
    assert waiting["detail"] == "waits for its health check"
    assert waiting["seconds"] >= 5
    assert (waiting["holds_up"], waiting["line"], waiting["check"]) == (["web"], "initializing", "not yet")
    assert not run.all("ready")
    stack.execute("slow", "touch", "/ready")
    run.wait_for("ready")
    problems = run.all("problem")
    assert sorted(problem["service"] for problem in problems) == sorted(DEADLY)
    assert all(problem["hint"] for problem in problems)
    assert "compose.yml:" in run.all("problem", service="memory")[0]["message"]
    assert "mkdir: cannot create directory" in run.all("problem", service="denied")[0]["message"]
    assert run.stop() == 130
    assert stack.leftovers() == {}


def test_service_that_exits_at_once_fails_the_start(stack: Stack, up: Up) -> None:
    """The run fails with the service's exit code, its last lines and a hint, and is never reported as ready."""
    stack.compose_file(
        {"web": {"image": docker_cli.BASE_IMAGE, "command": ["sh", "-c", "echo why >&2; sleep 0.05; exit 3"]}}
    )
    run = up(stack)
    assert run.wait() == 1
    assert not run.all("ready"), run.report()
    (error,) = run.all("error")
    assert error["message"] == "service web failed: ended with exit code 3\n  why"
    assert error["hint"]
    assert not re.search(rf"{stack.name}|-1\b|[0-9a-f]{{12}}", error["message"])
    assert stack.leftovers() == {}


def test_failing_health_check_is_explained(stack: Stack, up: Up) -> None:
    """The error has the output of the check, the cause and its line; the waiting service is not blamed."""
    check = {"test": ["CMD", "nope"], "interval": "100ms", "retries": 2}
    stack.compose_file(
        {
            "db": idle_service(healthcheck=check),
            "web": idle_service(depends_on={"db": {"condition": "service_healthy"}}),
        }
    )
    run = up(stack)
    assert run.wait() == 1
    (error,) = run.all("error")
    first, second, *_ = error["message"].splitlines()
    assert first == "service db failed: its health check fails: it calls `nope`, which its image does not have"
    assert second.startswith("  health check: ")
    assert re.fullmatch(r"compose\.yml:\d+", error["where"])
    assert stack.leftovers() == {}


def test_restart_is_followed_by_dependents_with_restart_true(
    compose_env: dict[str, str], new_stack: NewStack, up: Up
) -> None:
    """`restart: true` restarts a service when the one that it depends on is healthy again after a restart or rebuild.

    Other services continue. A service that fails by itself is one problem.
    """
    stack = new_stack(compose_env)
    for name in ("conf", "package"):
        stack.write(name, "1")
    rules = [{"path": "conf", "action": "restart"}, {"path": "package", "action": "rebuild"}]
    check = {
        "test": ["CMD", "test", "-e", "/ready"],
        "interval": "2s",
        "start_period": "60s",
        "start_interval": "100ms",
    }
    die = "until test -e /die; do sleep 0.1; done; echo \"Cannot find module 'x'\" >&2; exit 1"
    again = {"condition": "service_healthy", "restart": True}
    ready = ["sh", "-c", f"rm -f /ready; sleep 1.5; touch /ready; {LATE}"]
    stack.compose_file(
        {
            "db": built_service("COPY package /", command=ready, healthcheck=check, develop={"watch": rules}),
            "api": idle_service(depends_on={"db": again}),
            "web": idle_service(command=["sh", "-c", die], depends_on={"db": {"condition": "service_healthy"}}),
        }
    )
    run = up.ready(stack)
    path, outcome = ("package", "rebuilt") if compose_env else ("conf", "restarted")  # one run for each is enough
    before, web, since = started(stack, "api"), started(stack, "web"), run.mark()
    stack.write(path, "2")
    run.wait_for(outcome, since=since, service="db")
    run.wait_for("restarted", since=since, service="api", cause="db")
    assert before < started(stack, "db") < healthy(stack, "db") < started(stack, "api")
    assert started(stack, "web") == web
    assert not run.all("service", service="api", state="exited"), run.report()
    assert not run.all("service", service="api", state="completed"), run.report()
    stack.execute("web", "sh", "-c", "(sleep 0.3; touch /die) >/dev/null 2>&1 &")  # else the end may kill the command
    problem = run.wait_for("problem")
    place, _, message = problem["message"].partition(": ")
    assert re.fullmatch(r"compose\.yml:\d+", place)
    assert message == "ended with exit code 1: the module `x` is not in the container\n  Cannot find module 'x'"
    assert run.stop() == 130
    assert len(run.all("problem")) == 1
    assert stack.leftovers() == {}


def started(stack: Stack, service: str) -> dt.datetime:
    """The time when the service's container was started."""
    return dt.datetime.fromisoformat(docker_cli.inspect(stack.container(service))["State"]["StartedAt"])


def healthy(stack: Stack, service: str) -> dt.datetime:
    """The time of the first successful health check since the start."""
    log = docker_cli.inspect(stack.container(service))["State"]["Health"]["Log"]
    good = [dt.datetime.fromisoformat(entry["Start"]) for entry in log if entry["ExitCode"] == 0]
    return min(moment for moment in good if moment > started(stack, service))
