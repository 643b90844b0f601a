"""Many projects on one engine at the same time, each started and ended at random by a thread of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import cli, docker_cli, worktrees
from support.cli import GUARDIAN, Devenv
from support.stack import Stack, free_port, idle_service, unique_name

MARKER = "DEVENV_TEST_CAMPAIGN"
SLOW = 300.0  # seconds; ten starts at the same time share the processors
RULE = {"path": "./src", "action": "sync", "target": "/app"}


@dataclass
class Shared:
    """What the threads share: the folders of state, the ports that are in use, and how many actions are left."""

    folder: Path
    env: Mapping[str, str]
    actions: int
    ports: dict[str, str] = field(default_factory=dict)  # address -> project
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_action(self) -> bool:
        """Whether another action is to be done; it counts as done."""
        with self._lock:
            self.actions -= 1
            return self.actions >= 0 and not self.failures

    def take(self, project: str, addresses: list[str]) -> None:
        """Record the addresses of a project that is up. Raises AssertionError if another project has one."""
        with self._lock:
            for address in addresses:
                assert self.ports.setdefault(address, project) == project, (address, project, self.ports)

    def release(self, project: str) -> None:
        """Forget the addresses of a project that is about to end."""
        with self._lock:
            self.ports = {address: owner for address, owner in self.ports.items() if owner != project}


class Site:
    """One project and what its user knows: whether it is up in the background, and the files in its volume."""

    def __init__(self, stack: Stack, shared: Shared, seed: str) -> None:
        self.stack = stack
        self.done: list[str] = []
        self._shared = shared
        self._random = random.Random(seed)
        self._markers: set[str] = set()
        self._is_up = False  # in the background, by the last command
        self._is_kept = False  # a process holds it there
        self._is_known = True  # no run of it has died since the last command that cleans up

    def work(self) -> None:
        """Do random actions until all are done, or one has failed in any thread."""
        while self._shared.next_action():
            action = self._random.choice(ACTIONS)
            self.done.append(action.__name__)
            try:
                action(self)
            except Exception as error:  # noqa: BLE001 - each failure of a thread is one of the test
                self._shared.failures.append(f"{self.stack.name}: {self.done[-6:]}\n{type(error).__name__}: {error}")
            self._shared.counts[action.__name__] += 1

    # --- actions ------------------------------------------------------------------------------------------------

    def up_detached(self) -> None:
        """`up -d`, look and write."""
        run = self._start("up", "-d")
        self._ready(run)
        assert run.wait(SLOW) == 0, run.report()
        self._is_up = self._is_kept = self._is_known = True

    def up_interrupted(self) -> None:
        """`up` in the foreground, look, write, and a signal: nothing is left."""
        run = self._start("up")
        self._ready(run)
        sign = self._random.choice((signal.SIGINT, signal.SIGTERM))
        self._shared.release(self.stack.name)
        code = run.stop(sign, SLOW)
        self._is_up, self._is_kept, self._is_known = False, False, True
        assert code == 128 + sign, run.report()
        self._check_nothing_left(run.report())

    def up_killed(self) -> None:
        """`up` in the foreground, look, write, and kill -9, in half of all cases with the guardian."""
        run = self._start("up")
        self._ready(run)
        self._kill(run)

    def up_killed_early(self) -> None:
        """`up`, killed before it is ready."""
        run = self._start("up", *self._random.choice(([], ["-d"])))
        time.sleep(self._random.uniform(0, 5))
        self._kill(run)

    def down(self) -> None:
        """`down` in the folder: nothing is left."""
        self._ended("down", cwd=self.stack.folder)

    def down_by_name(self) -> None:
        """`down PROJECT` from elsewhere, if it is up."""
        if self._is_up:
            self._ended("down", self.stack.name, cwd=self._shared.folder)

    def kill_keeper(self) -> None:
        """Kill the process that holds it in the background; its guardian starts another, if it has lived for long."""
        if self._is_kept:
            (row,) = self._rows()
            self._is_kept = False
            _kill(row["pid"])

    def settle(self) -> None:
        """`settle` after an edit, if it is held in the background: the edit is in the container."""
        if self._is_kept:
            text = secrets.token_hex(8)
            self.stack.write("src/value", text)
            done = self._run("settle", "--timeout", "120", cwd=self.stack.folder)
            assert done.returncode == 0, done.stdout + done.stderr
            assert self.stack.read("web", "/app/value") == text

    def ls(self) -> None:
        """`ls`, from elsewhere: it knows the state of the project."""
        rows = self._rows()
        if any(row["state"] == "unreachable" for row in rows):  # the engine had not answered within two seconds
            return
        if self._is_up:
            assert [(row["state"], row["running"], row["directory"]) for row in rows] == [
                ("detached", 2, str(self.stack.folder))
            ], rows
            assert rows[0]["pid"] or not self._is_kept, rows
        elif self._is_known:
            assert rows == [], rows

    def ps(self) -> None:
        """`ps` in the folder: both services run if it is up."""
        done = self._run("ps", "--output", "json", cwd=self.stack.folder)
        assert done.returncode == 0, done.stderr
        if self._is_kept:
            answer = json.loads(done.stdout)
            assert "syncing" in answer["background"] or "starting" in answer["background"], answer

    def gc(self) -> None:
        """`gc`, from elsewhere: it leaves alone what is up."""
        done = self._run("gc", cwd=self._shared.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def finish(self) -> None:
        """Bring it up once more, check its data, and end it."""
        self.up_detached()
        self.down()

    # --- parts of them --------------------------------------------------------------------------------------------

    def _rows(self) -> list[dict[str, Any]]:
        """The rows of `ls` that name the project, from another folder."""
        done = self._run("ls", "--output", "json", cwd=self._shared.folder)
        assert done.returncode == 0, done.stderr
        return [row for row in json.loads(done.stdout)["runs"] if row["project"] == self.stack.name]

    def _start(self, *args: str) -> Devenv:
        return Devenv(*args, cwd=self.stack.folder, env={**self._shared.env, **self.stack.env})

    def _run(self, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        env = {**self._shared.env, **(self.stack.env if cwd == self.stack.folder else {})}
        return cli.run(*args, cwd=cwd, env=env, timeout=SLOW)

    def _ready(self, run: Devenv) -> None:
        """Wait until it is ready; check its ports and its data, and write a file into its volume."""
        ready = run.wait_for("ready", timeout=SLOW)
        assert ready["project"] == self.stack.name
        addresses = [port["address"] for port in ready["ports"]]
        assert addresses, ready
        self._shared.take(self.stack.name, addresses)
        found = set(self.stack.execute("db", "sh", "-c", "cd /data && cat m-* 2>/dev/null || true").split())
        assert found == self._markers, ("data", found ^ self._markers, run.report())
        name = secrets.token_hex(6)
        self.stack.execute("db", "sh", "-c", f"echo {name} >/data/.new && mv /data/.new /data/m-{name}")
        self._markers.add(name)

    def _kill(self, run: Devenv) -> None:
        self._shared.release(self.stack.name)
        with_guardian = self._random.random() < 0.5
        alive = run.survivors(0) if with_guardian else {}
        self._is_up = self._is_kept = self._is_known = False
        for pid in [*(pid for pid, command in alive.items() if GUARDIAN in command), run.process.pid]:
            if pid != run.process.pid or run.process.poll() is None:
                _kill(pid)
        run.wait(SLOW)

    def _ended(self, *args: str, cwd: Path) -> None:
        self._shared.release(self.stack.name)
        done = self._run(*args, cwd=cwd)
        self._is_up, self._is_kept, self._is_known = False, False, True
        assert done.returncode == 0, done.stdout + done.stderr
        self._check_nothing_left(done.stdout + done.stderr)

    def _check_nothing_left(self, report: str) -> None:
        left = self.stack.leftovers()
        assert left == {}, (left, report)


Action = Callable[[Site], None]
ACTIONS: tuple[Action, ...] = (
    Site.up_detached,
    Site.up_detached,
    Site.up_interrupted,
    Site.up_killed,
    Site.up_killed_early,
    Site.down,
    Site.down_by_name,
    Site.kill_keeper,
    Site.settle,
    Site.ls,
    Site.ps,
    Site.gc,
)


def stacks(folder: Path, trees: int, projects: int) -> list[Stack]:
    """A repository with worktrees, and other projects, of which every second has a fixed port."""
    main = Stack(folder / unique_name("crowd"), "")
    main.name, main.env = main.folder.name, {}
    _compose_file(main, "80", named=False)
    worktrees.repository(main.folder)
    made = [main]
    for number in range(trees - 1):
        tree = worktrees.add(main.folder, folder / f"tree-{number}")
        made.append(Stack(tree, f"{main.name}-{tree.name}"))
        made[-1].env = {}
    for number in range(projects):
        other = Stack(folder / f"other-{number}", unique_name("crowd"))
        _compose_file(other, f"{free_port()}:80" if number % 2 else "80", named=True)
        made.append(other)
    return made


def _compose_file(stack: Stack, port: str, *, named: bool) -> None:
    quick: dict[str, Any] = {"init": True, "stop_grace_period": "2s"}
    db = idle_service(volumes=["data:/data"], networks=["default", "back"], **quick)
    web = idle_service(ports=[port], develop={"watch": [RULE]}, depends_on=["db"], **quick)
    stack.write("src/value", "0")
    model = {"services": {"db": db, "web": web}, "volumes": {"data": {}}, "networks": {"back": {}}}
    if port == "80":
        model["x-devenv"] = {"ports": "auto"}
    if named:
        model["name"] = stack.name
    stack.write("compose.yml", json.dumps(model))


def run_all(sites: list[Site], shared: Shared) -> None:
    """Let all sites work at the same time. Raises AssertionError with all failures."""
    threads = [threading.Thread(target=site.work) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not shared.failures, "\n\n".join(shared.failures)


def processes(token: str) -> dict[int, str]:
    """Pid -> command of every process of the campaign."""
    return cli.processes_with(f"{MARKER}={token}")


def kill_all(token: str) -> None:
    """Kill every process of the campaign."""
    for pid in processes(token):
        _kill(pid)


def end(sites: list[Site], token: str) -> None:
    """End every site once more: nothing is left of any, and no process."""
    for site in sites:
        site.finish()
    docker_cli.until(lambda: processes(token), lambda left: not left, timeout=20)
    assert [site.stack.leftovers() for site in sites] == [{}] * len(sites)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
