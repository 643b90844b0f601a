"""Whenever a run ends, its objects are removed and no data is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from support import docker_cli
from support.cli import Devenv
from support.phases import DATA, Phases, processes
from support.stack import Stack, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


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
def test_signal_in_any_phase_leaves_nothing(
    stack: Stack, up: Up, phase: Callable[[Phases], Devenv], sign: signal.Signals
) -> None:
    """The run ends with the signal's exit code, and an existing volume is saved."""
    phases = Phases(stack, up)
    run = phase(phases)
    assert run.stop(sign) == 128 + sign, run.report()
    assert stack.leftovers() == {}
    gone = [event["name"] for event in run.all("removed", kind="volume")]
    assert [f"{stack.name}_{event['volume']}" for event in run.all("saved")] == gone
    assert gone or phase not in (Phases.ready, Phases.sync, Phases.rebuild)
    assert run.survivors() == {}
    docker_cli.until(lambda: processes(phases.word), lambda commands: not commands, timeout=5)
    assert processes(stack.name) == []
    assert not run.all("problem"), run.report()


def test_second_signal_kills_containers_that_ignore_term(stack: Stack, up: Up) -> None:
    """A container that ignores TERM is killed at once by the second signal."""
    deaf = ["sh", "-c", "trap '' TERM INT; while :; do sleep 1; done"]
    stack.compose_file({"web": idle_service(command=deaf, stop_grace_period="60s")})
    run = up.ready(stack)
    run.send_signal(INT)
    run.wait_for("stopping")
    time.sleep(0.5)
    assert stack.containers(), "the first signal did not wait for the container"
    began = time.monotonic()
    assert run.stop(INT) == 130
    assert time.monotonic() - began < 20, "the container had its sixty seconds"
    assert stack.leftovers() == {}


def test_guardian_cleans_up_after_a_kill(stack: Stack, up: Up) -> None:
    """After kill -9 of the whole process group all is removed soon, and the next `up` has the volume's data."""
    stack.compose_file({"db": idle_service(**DATA), "web": idle_service()}, volumes={"data": {}})
    run = up.ready(stack)
    stack.execute("db", "sh", "-c", "echo precious >/data/marker")
    os.killpg(run.process.pid, signal.SIGKILL)
    docker_cli.until(stack.leftovers, lambda leftovers: not leftovers, timeout=10)
    again = up.ready(stack)
    assert stack.read("db", "/data/marker") == "precious\n"
    assert again.stop() == 130
    assert stack.leftovers() == {}


def test_guardian_cleans_up_after_a_kill_during_the_create(stack: Stack, up: Up) -> None:
    """Objects that were still being created are removed, too."""
    run = Phases(stack, up).create()
    os.killpg(run.process.pid, signal.SIGKILL)
    docker_cli.until(run.survivors, lambda survivors: not survivors, timeout=10)
    assert stack.leftovers() == {}
    time.sleep(1)
    assert stack.leftovers() == {}
    assert processes(stack.name) == []
