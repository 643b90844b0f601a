"""However a run is ended, and whenever: what it made is gone, what it must not lose is there."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import engine
from support.cli import Devenv
from support.stack import Stack, built_service, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

DATA = {"volumes": ["data:/data"]}
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


def processes(word: str) -> list[str]:
    """The command lines, on this machine and in its containers, that hold the word."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if folder.name.isdigit() and word in command and folder.name != str(os.getpid()):
                found.append(command)
    return found


class Phases:
    """For each phase of a run: the project that has it, and how to get there."""

    def __init__(self, stack: Stack, up: Up) -> None:
        self.stack = stack
        self.up = up
        self.word = secrets.token_hex(4)

    def _services(self, **services: Any) -> None:
        self.stack.compose_file(services, volumes={"data": {}})

    def load(self) -> Devenv:
        """The files are being read."""
        self._services(db=idle_service(**DATA))
        run = self.up(self.stack)
        run.wait_for("step", name="load", state="begin")
        return run

    def build(self) -> Devenv:
        """A build step runs."""
        self._services(db=built_service(f"RUN sleep 60; : {self.word}", **DATA))
        run = self.up(self.stack)
        engine.until(lambda: processes(self.word))
        return run

    def create(self) -> Devenv:
        """The first of several containers is there."""
        self._services(**{f"s{n}": idle_service(**DATA) for n in range(4)})
        run = self.up(self.stack)
        engine.until(self.stack.containers)
        return run

    def healthy(self) -> Devenv:
        """A health check has not succeeded yet, and a service waits for it."""
        sick = {"test": ["CMD", "false"], "interval": "1s", "start_period": "60s"}
        waiting = idle_service(depends_on={"db": {"condition": "service_healthy"}})
        self._services(db=idle_service(healthcheck=sick, **DATA), web=waiting)
        run = self.up(self.stack)
        run.wait_for("service", service="db", state="starting")
        return run

    def ready(self) -> Devenv:
        """All is up."""
        self._services(db=idle_service(**DATA), web=idle_service())
        return self.up.ready(self.stack)

    def sync(self) -> Devenv:
        """Many files are on their way into a container."""
        rule = {"path": "./src", "action": "sync", "target": "/app"}
        self.stack.write("src/0", "")
        self._services(db=idle_service(**DATA), web=idle_service(develop={"watch": [rule]}))
        run = self.up.ready(self.stack)
        for number in range(2000):
            self.stack.write(f"src/{number % 7}x/{number}", "x" * 9000)
        return run

    def rebuild(self) -> Devenv:
        """The image of a service is built anew while all is up."""
        rule = {"path": "./seconds", "action": "rebuild"}
        steps = f"COPY seconds /\nRUN sleep $(cat /seconds); : {self.word}"
        web = built_service(steps, develop={"watch": [rule]})
        self.stack.write("seconds", "0")
        self._services(db=idle_service(**DATA), web=web)
        run = self.up.ready(self.stack)
        self.stack.write("seconds", "60")
        engine.until(lambda: processes(self.word))
        return run


@pytest.mark.parametrize(
    ("phase", "sign"),
    [
        (Phases.load, TERM),
        (Phases.build, INT),
        (Phases.create, INT),
        (Phases.create, HUP),
        (Phases.healthy, TERM),
        (Phases.ready, INT),
        (Phases.ready, TERM),
        (Phases.ready, HUP),
        (Phases.sync, INT),
        (Phases.rebuild, TERM),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else value.__name__,
)
def test_a_signal_leaves_nothing(
    stack: Stack, up: Up, phase: Callable[[Phases], Devenv], sign: signal.Signals
) -> None:
    """In every phase each signal ends the run with its exit code; a volume that there was is saved."""
    phases = Phases(stack, up)
    run = phase(phases)
    assert run.stop(sign) == 128 + sign, run.report()
    assert stack.leftovers() == {}
    gone = [one["name"] for one in run.all("removed", kind="volume")]
    assert [f"{stack.name}_{one['volume']}" for one in run.all("saved")] == gone
    assert gone or phase not in (Phases.ready, Phases.sync, Phases.rebuild)
    assert run.survivors() == {}
    engine.until(lambda: processes(phases.word), lambda found: not found, timeout=5)
    assert processes(stack.name) == []
    assert not run.all("problem"), run.report()


def test_a_second_signal_hurries(stack: Stack, up: Up) -> None:
    """A container that ignores TERM is killed at once when the signal comes a second time."""
    deaf = ["sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"]
    stack.compose_file({"web": idle_service(command=deaf, stop_grace_period="60s")})
    run = up.ready(stack)
    run.send_signal(INT)
    run.wait_for("stopping")
    time.sleep(0.5)
    assert stack.containers(), "the first signal did not wait for the container"
    began = time.monotonic()
    assert run.stop(INT) == 130
    assert time.monotonic() - began < 5
    assert stack.leftovers() == {}


def test_the_guardian_cleans_up_after_a_kill(stack: Stack, up: Up) -> None:
    """After kill -9 of the whole process group all is gone soon, and the next `up` has the volume's data."""
    stack.compose_file({"db": idle_service(**DATA), "web": idle_service()}, volumes={"data": {}})
    run = up.ready(stack)
    stack.execute("db", "sh", "-c", "echo precious >/data/marker")
    os.killpg(run.process.pid, signal.SIGKILL)
    engine.until(stack.leftovers, lambda found: not found, timeout=10)
    again = up.ready(stack)
    assert stack.read("db", "/data/marker") == "precious\n"
    assert again.stop() == 130
    assert stack.leftovers() == {}


def test_the_guardian_ends_a_create_under_way(stack: Stack, up: Up) -> None:
    """After kill -9 in the middle of the create nothing is left, not even what was still being created."""
    run = Phases(stack, up).create()
    os.killpg(run.process.pid, signal.SIGKILL)
    engine.until(run.survivors, lambda found: not found, timeout=10)
    assert stack.leftovers() == {}
    time.sleep(1)
    assert stack.leftovers() == {}
    assert processes(stack.name) == []
