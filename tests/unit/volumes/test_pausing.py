"""Containers that are paused while their volumes are read."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devenv.errors import EngineError
from devenv.state.run_dir import PAUSED, Run
from devenv.volumes.pausing import paused
from support.docker_cli import until
from support.engine import MemoryEngine, MemoryHost
from support.memory.faults import Crash, Fails, Fault
from support.memory.played import placed

pytestmark = pytest.mark.anyio

KILLED = """
import os, signal, sys
from devenv.docker.endpoint import Endpoint
from devenv.state.run_dir import Run
from devenv.volumes.pausing import released_if_killed
with released_if_killed(Endpoint("ssh://far", line="/gone"), Run(sys.argv[1]), ["a", "b"]):
    os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.parametrize("is_killed", [True, False])
async def test_a_pause_is_on_record_until_it_is_over(tmp_path: Path, *, is_killed: bool) -> None:
    """Also the pause of a container that the engine paused without an answer; others are left alone."""
    host, run = MemoryHost(), Run(str(tmp_path))
    engine = MemoryEngine(host)
    running, ended = placed(host, "web", "running"), placed(host, "db", "exited")
    containers = await engine.containers.list("p")
    engine.faults.on("POST containers/.*/pause", Fault.KILLED_AFTER, int(is_killed))
    with contextlib.suppress(Crash):
        async with paused(engine, run, containers):
            assert (running.state, ended.state) == ("paused", "exited")
    assert (running.state == "paused", Path(run.path, PAUSED).exists()) == (is_killed, is_killed)


async def test_an_engine_that_cannot_pause(tmp_path: Path) -> None:
    """The error names the command that saves after the end."""
    host = MemoryHost()
    engine = MemoryEngine(host)
    placed(host, "web", "running")
    engine.faults.on("POST containers/.*/pause", Fails(500, "cgroups not configured"))
    with pytest.raises(EngineError, match="p-web-1 cannot be paused: cgroups not configured") as caught:
        async with paused(engine, Run(str(tmp_path)), await engine.containers.list("p")):
            pass
    assert caught.value.hint == "devenv down --snapshot"


@pytest.mark.parametrize("sign", [0, 9])
@pytest.mark.parametrize("is_reached", [True, False])
def test_containers_go_on_if_the_process_is_killed(tmp_path: Path, sign: int, *, is_reached: bool) -> None:
    """Their record stays if the engine does not answer. The child does nothing if the process ends by itself."""
    calls, record, docker = tmp_path / "calls", tmp_path / PAUSED, tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexit {int(not is_reached)}\n')
    docker.chmod(0o755)
    record.write_text("{}")
    ours = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(sign)], env=ours, check=False)
    assert ended.returncode == -sign
    if sign:
        until(lambda: calls.exists() and calls.read_text().endswith("ps --quiet\n"))
        assert calls.read_text() == "--host ssh://far unpause a b\n--host ssh://far ps --quiet\n"
        until(lambda: record.exists() is not is_reached)
    assert (calls.exists(), record.exists()) == (bool(sign), not (sign and is_reached))
