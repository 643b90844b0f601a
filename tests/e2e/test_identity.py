"""Sequences that once lost data or took over foreign objects, on a real engine: the worst of `test_sequences.py`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.model.containers import OLD_LABEL
from support import cli, docker_cli
from support.cli import Devenv, StartDevenv
from support.docker_cli import docker
from support.kills import GUARDIAN
from support.stack import Stack, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

DATA = {"volumes": ["data:/data"], "stop_grace_period": "1s"}
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def db(stack: Stack) -> Stack:
    """A project of one service with a volume."""
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    return stack


@pytest.fixture
def command(state_env: dict[str, str]) -> Command:
    """Runs a devenv command to its end: its exit code and output."""

    def run(stack: Stack, *args: str) -> tuple[int, str]:
        done = cli.run(*args, cwd=stack.folder, env={**stack.env, **state_env})
        return done.returncode, done.stdout + done.stderr

    return run


def write(stack: Stack, text: str) -> None:
    stack.execute("db", "sh", "-c", f"echo {text} >/data/marker")


def marker(stack: Stack) -> str | None:
    text = stack.read("db", "/data/marker")
    return text and text.strip()


def session(stack: Stack, up: Up, text: str, *args: str) -> str | None:
    """The content of the volume before a run, which writes the text and ends by Ctrl-C."""
    run = up.ready(stack, *args)
    content = marker(stack)
    write(stack, text)
    assert run.stop() == 130, run.report()
    return content


def kill_both(run: Devenv) -> None:
    """Kill the guardian first, which would act at once, then the run and its processes."""
    alive = run.survivors(0)
    for pid in sorted(alive, key=lambda pid: GUARDIAN not in alive[pid]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    docker_cli.until(run.survivors, lambda left: not left)


def test_data_written_after_an_interrupted_restore_is_kept(db: Stack, up: Up, command: Command) -> None:
    """`up` refuses a half-restored volume that plain Compose wrote to, shows both states, and each can be chosen."""
    run = up.ready(db)
    db.execute("db", "sh", "-c", "head -c 150000000 /dev/zero >/data/large; echo saved >/data/marker")
    assert run.stop() == 130
    crashed = up(db)
    crashed.wait_for("step", name="restore", state="detail")
    kill_both(crashed)
    docker("volume", "inspect", f"{db.name}_data")
    for holder in db.containers():
        docker("rm", "-f", holder)
    assert db.compose("up", "-d").returncode == 0
    write(db, "precious")
    assert db.compose("down").returncode == 0
    refused = up(db)
    assert refused.wait() == 3, refused.report()
    (error,) = refused.all("error")
    first, second = re.findall(r"--from (\S+?)(?:,|$)", error["hint"])
    assert session(db, up, "again", "--from", second) == "precious"
    assert session(db, up, "end", "--from", first) == "saved"
    assert db.leftovers() == {}


def test_volume_recreated_by_plain_compose_is_not_removed(db: Stack, up: Up, command: Command) -> None:
    """`down --volumes` keeps the volume, even if an outdated ledger has its name."""
    run = up.ready(db)
    write(db, "ours")
    kill_both(run)
    assert db.compose("down", "-v").returncode == 0
    docker_cli.until(lambda: f"{db.name}_data" not in docker_cli.volumes())
    time.sleep(1.1)  # wait for another second: a volume created within the same one is saved and removed
    assert db.compose("up", "-d").returncode == 0
    write(db, "theirs")
    assert db.compose("stop").returncode == 0
    code, output = command(db, "down", "--volumes")
    assert code == 0, output
    assert db.compose("start").returncode == 0
    assert marker(db) == "theirs"


def test_two_paths_and_addresses_share_one_history_and_lock(db: Stack, up: Up, devenv: StartDevenv) -> None:
    """One folder under two paths, and one engine at two addresses, share history and lock."""
    link = db.folder.with_name("link")
    link.symlink_to(db.folder)
    assert session(db, up, "v1") is None
    run = devenv("up", cwd=link, env={**db.env, "PWD": str(link), "DOCKER_HOST": "unix:///run/docker.sock"})
    run.wait_for("ready")
    assert marker(db) == "v1"
    write(db, "v2")
    refused = up(db)
    assert refused.wait() == 3, refused.report()
    assert run.stop() == 130, run.report()
    assert session(db, up, "v3") == "v2"


def test_run_of_devenv_0_1_is_taken_over(db: Stack, up: Up, command: Command, state_env: dict[str, str]) -> None:
    """Containers of 0.1 keep their labels and are not replaced; the volume is saved and continued."""
    mark = {"labels": {OLD_LABEL: db.name}}
    db.compose_file({"db": idle_service(**DATA, **mark)}, volumes={"data": {}}, networks={"default": mark})
    assert db.compose("up", "-d").returncode == 0
    write(db, "old")
    db.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    endpoint = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    key = hashlib.sha256(f"{endpoint}\0{db.name}".encode()).hexdigest()[:12]
    folder = Path(state_env["XDG_STATE_HOME"], "devenv-compose", "runs", f"{db.name}-{key}")
    folder.mkdir(parents=True, mode=0o700)
    for path in (folder, *list(folder.parents)[:2]):
        path.chmod(0o700)
    ledger = {"v": 1, "project": db.name, "directory": str(db.folder), "endpoint": endpoint, "context": None}
    ledger |= {"began": 1.0, "pid": 1, "phase": "detached", "creates": [f"{db.name}_data"]}
    empty = ("before_containers", "before_networks", "before_volumes", "keeps", "restoring", "unsettled", "anonymous")
    ledger |= {key: [] for key in empty}
    (folder / "ledger.json").write_text(json.dumps(ledger))
    before = docker_cli.containers(db.name)
    assert up(db, "-d").wait() == 0
    assert docker_cli.containers(db.name) == before
    assert command(db, "down")[0] == 0
    assert db.leftovers() == {}
    assert session(db, up, "new") == "old"
