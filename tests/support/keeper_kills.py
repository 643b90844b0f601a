"""Rounds of kill -9 of the process that holds a run in the background, at random moments of its work."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from support import cli, docker_cli
from support.cli import GUARDIAN, KEEPER
from support.kills import turn
from support.stack import Stack, idle_service

MARKER = "DEVENV_TEST_CAMPAIGN"
CONTAINER = """
trap 'exit 0' TERM INT
[ -e /begun ] || date +%s >/begun
cat /conf/value >/data/started-with 2>/dev/null
while :; do sleep 1 & wait $!; done
"""
HOOK = 'sleep "$(cut -d- -f1 /cmd/value)"; cat /cmd/value >>/data/executed'
RULES = [
    {"path": "./src", "action": "sync", "target": "/app"},
    {"path": "./conf", "action": "sync+restart", "target": "/conf"},
    {"path": "./cmd", "action": "sync+exec", "target": "/cmd", "exec": {"command": ["sh", "-c", HOOK]}},
]
BACK = 25.0  # seconds until a keeper has to be back, however slow the machine
STALE = 90.0  # maximum seconds between the time in "not synced since" and the kill
UNSYNCED = re.compile(r"have not been synced since (?:(\d{4}-\d\d-\d\d) )?(\d\d:\d\d:\d\d)")

# What happens before a kill, and the longest time between the two.
MOMENTS = {
    "idle": 6.0,
    "save": 0.3,
    "many saves": 0.8,
    "delete": 0.3,
    "restart": 1.5,
    "command": 8.0,
    "edit": 3.0,
    "keeper starts": 1.5,
    "up -d": 6.0,
    "up -d killed": 8.0,
    "foreground": 4.0,
    "restore": 5.0,
}
COMMANDS = ("up -d", "up -d killed", "foreground")
DOWN_VICTIMS = ("command", "keeper", "both", "all")  # of a kill while `down` ends the run; all: the guardian, too
LONGEST_DOWN = 1.5  # seconds from `down` to such a kill
VICTIMS = ("keeper", "keeper", "both", "both", "guardian first", "keeper first")


@dataclass(frozen=True)
class Plan:
    """One round, which follows from its seed and number alone."""

    moment: str
    delay: float
    victim: str
    between: float  # seconds between the two kills, if there are two
    meanwhile: tuple[str, ...]  # what is saved while nobody syncs
    is_ended: bool  # `down` comes before the next `up -d`
    down_victim: str  # of a kill during that `down`; it is repeated then
    down_delay: float


def planned(seed: int, number: int) -> Plan:
    """The plan of a round: moments take turns in an order of the seed's, all else is random."""
    chance, moment = turn(seed, number, MOMENTS)
    return Plan(
        moment,
        chance.uniform(0, MOMENTS[moment]),
        chance.choice(VICTIMS),
        chance.uniform(0, 1.0),
        tuple(chance.sample(("save", "delete", "restart", "command"), k=chance.randrange(4))),
        is_ended=chance.random() < 0.25,
        down_victim=chance.choice(("", *DOWN_VICTIMS)),
        down_delay=chance.uniform(0, LONGEST_DOWN),
    )


class KeeperCampaign:
    """One project in the background, whose keeper is killed again and again."""

    def __init__(self, stack: Stack, state: Mapping[str, str], seed: int) -> None:
        self.stack = stack
        self.count = 0
        self._chance = random.Random(seed)
        self._token = secrets.token_hex(8)
        self._env = {**state, **stack.env, MARKER: self._token}
        for folder in ("src", "conf", "cmd"):
            stack.write(f"{folder}/value", "0")
        self._compose_file()

    def begin(self) -> None:
        """Start the run, and check that all is well."""
        self._up()
        self._check()

    def round(self, plan: Plan) -> None:
        """Kill as planned, save files, let the run come back, and check everything. Raises AssertionError."""
        self.count += 1
        self.stack.execute("web", "sh", "-c", f"echo {self.count} >/data/marker-{self.count}")
        acted = time.time()
        command = self._act(plan)
        time.sleep(plan.delay)
        killed = self._kill(plan, command)
        for what in plan.meanwhile:
            self._save(what)
        if plan.is_ended:
            self._kill_during_down(plan)
            self._down()
            self._up()
        elif plan.victim != "keeper" or plan.moment in COMMANDS or not self._is_back():
            self._until_dead()
            if not self._alive(KEEPER) and self.stack.containers("web"):
                self._check_told(acted, killed)
            self._up()
        self._check()

    def end(self) -> None:
        """End the run: nothing is left, no process and nothing on the engine."""
        self._down()
        docker_cli.until(lambda: cli.processes_with(self._assignment), lambda left: not left, timeout=10)
        assert self.stack.leftovers() == {}

    def kill_all(self) -> None:
        """Kill every process of the campaign."""
        _kill(*cli.processes_with(self._assignment))

    # --- one round ----------------------------------------------------------------------------------------------

    @property
    def _assignment(self) -> str:
        return f"{MARKER}={self._token}"

    def _act(self, plan: Plan) -> subprocess.Popen[bytes] | None:
        """Do what the kill is to disturb; return the command that runs meanwhile, if any."""
        match plan.moment:
            case "idle":
                pass
            case "edit":
                self._compose_file(EDITED=str(self.count))
            case "many saves":
                for number in range(300):
                    self.stack.write(f"src/{number % 7}/{number}", f"{self.count}")
                self._save("restart")
            case "keeper starts":
                _kill(*self._alive(KEEPER))
            case "restore":
                done = self._run("snapshot", "save")
                assert done.returncode == 0, done.stderr
                return self._start("snapshot", "restore")
            case "up -d" | "up -d killed":
                return self._start("up", "-d")
            case "foreground":
                return self._start("up", "--no-ui")
            case what:
                self._save(what)
        return None

    def _save(self, what: str) -> None:
        text = f"{self.count}-{secrets.token_hex(4)}"
        match what:
            case "save":
                self.stack.write("src/value", text)
                self.stack.write(f"src/{self.count % 5}/new-{self.count}", text)
            case "delete":
                paths = [path for path in (self.stack.folder / "src").rglob("*") if path.is_file()]
                for path in self._chance.sample(paths, min(3, len(paths))):
                    path.unlink()
            case "restart":
                self.stack.write("conf/value", text)
            case "command":
                self.stack.write("cmd/value", f"{self._chance.choice((0.7, 7))}-{text}\n")

    def _kill(self, plan: Plan, command: subprocess.Popen[bytes] | None) -> float:
        """Kill the planned processes; return when."""
        if plan.moment in ("up -d killed", "foreground") and command is not None:
            _kill(command.pid)
            command.wait()
            return time.time()
        first, last = self._alive(KEEPER), self._alive(GUARDIAN)
        match plan.victim:
            case "both":
                _kill(*last, *first)
            case "keeper first":
                _kill(*first)
                time.sleep(plan.between)
                _kill(*last, *self._alive(GUARDIAN), *self._alive(KEEPER))
            case "guardian first":
                _kill(*last)
                time.sleep(plan.between)
                _kill(*first)
            case _:
                _kill(*first)
        killed = time.time()
        if command is not None:
            command.wait()
        return killed

    def _is_back(self) -> bool:
        """Whether a keeper is back and syncs: after one that died early, too, the guardian starts none."""

        def is_decided() -> bool:
            return self._is_syncing() or not cli.processes_with(self._assignment)

        docker_cli.until(is_decided, timeout=BACK)
        return self._is_syncing()

    def _until_dead(self) -> None:
        """Wait until the guardians have removed a run that was up, or have started a keeper again."""

        def is_over() -> bool:
            return bool(self._alive(KEEPER)) or not cli.processes_with(self._assignment)

        docker_cli.until(is_over, timeout=60)

    def _down(self) -> None:
        done = self._run("down")
        assert done.returncode == 0, (done.stdout[-3000:], done.stderr)
        left = self.stack.leftovers()
        time.sleep(2.0)  # for what Compose may still create
        assert (left, self.stack.leftovers()) == ({}, {}), done.stderr

    def _kill_during_down(self, plan: Plan) -> None:
        """Begin to end the run, and kill what the plan says: nothing that another command could not go on with."""
        if not plan.down_victim:
            return
        command = self._start("down")
        time.sleep(plan.down_delay)
        keepers = [] if plan.down_victim == "command" else self._alive(KEEPER)
        guardians = self._alive(GUARDIAN) if plan.down_victim == "all" else []
        _kill(*keepers, *guardians, *([] if plan.down_victim == "keeper" else [command.pid]))
        command.wait()

    def _up(self) -> None:
        done = self._run("up", "-d")
        assert done.returncode == 0, (done.stdout[-3000:], done.stderr)

    # --- what must hold -------------------------------------------------------------------------------------------

    def _check_told(self, acted: float, killed: float) -> None:
        """Check that `ps` and `ls` say since when files have not been synced: not much earlier, and never later."""
        text = self._background()
        told = UNSYNCED.search(text)
        assert told, (text, self._ls(), cli.processes_with(self._assignment))
        day = told[1] or time.strftime("%Y-%m-%d")
        at = datetime.strptime(f"{day} {told[2]}", "%Y-%m-%d %H:%M:%S").timestamp()  # noqa: DTZ007 - local time
        assert acted - STALE <= at <= killed, (text, acted, killed)
        (row,) = self._ls()
        state = "detached" if row["running"] else "lost"
        assert (row["state"], row["pid"], row["background"]) == (state, None, text), row

    def _check(self) -> None:
        """Check that every save and what follows from it is in effect, that no data is lost and nothing is left."""
        settled = self._run("settle", "--timeout", "60")
        assert settled.returncode == 0, (settled.stdout, settled.stderr, self._log())
        stack = self.stack
        docker_cli.until(self._is_syncing, timeout=BACK)
        for folder, target in (("src", "/app"), ("conf", "/conf"), ("cmd", "/cmd")):
            here, there = dict(self._tree(folder)), self._contents(target)
            assert here == there, (folder, here.items() ^ there.items(), self._log())
        conf, started = (stack.folder / "conf/value").read_text(), stack.read("web", "/data/started-with")
        assert started == conf, ("not restarted after a save", conf, started, self._log())
        cmd, executed = (stack.folder / "cmd/value").read_text(), stack.read("web", "/data/executed") or ""
        details = docker_cli.inspect(stack.container("web"))
        if (stack.folder / "cmd/value").stat().st_mtime > int(stack.execute("web", "cat", "/begun")) + 1:
            assert cmd in executed, ("no command after a save", cmd, executed[-200:], self._log())
        markers = stack.execute("web", "sh", "-c", "cd /data && cat marker-* | sort -n").split()
        lost = sorted({str(number) for number in range(1, self.count + 1)} ^ {*markers}, key=int)
        assert not lost, ("data is lost", lost, self._run("snapshot", "list").stdout, self._log())
        assert f"EDITED={self._edited}" in details["Config"]["Env"]
        self._check_processes()
        (row,) = self._ls()
        assert (row["state"], row["pid"]) == ("detached", self._alive(KEEPER)[0]), row

    def _check_processes(self) -> None:
        """Check that one keeper and its guardian run, and one container helper at most, which is perl and a shell."""

        def counts() -> tuple[int, int, int, list[str]]:
            alive = cli.processes_with(self._assignment)
            top = docker_cli.docker("top", self.stack.container("web"), "-eo", "pid,args").splitlines()[1:]
            helpers = [line[:80] + line[-60:] for line in top if "sleep 1" not in line and "trap" not in line]
            return len(self._alive(KEEPER)), len(self._alive(GUARDIAN)), len(alive), helpers

        docker_cli.until(counts, lambda c: c[:3] == (1, 1, 2) and len(c[3]) <= 2, timeout=15)

    def _tree(self, folder: str) -> Iterator[tuple[str, str]]:
        root = self.stack.folder / folder
        for path in root.rglob("*"):
            if path.is_file():
                yield str(path.relative_to(root)), path.read_text()

    def _contents(self, folder: str) -> dict[str, str]:
        text = self.stack.execute("web", "sh", "-c", f"cd {folder} && grep -r '' . || true")
        lines = (line.partition(":")[::2] for line in text.splitlines())
        tails = {path: "\n" if folder == "/cmd" and value != "0" else "" for path, value in lines}
        pairs = (line.partition(":")[::2] for line in text.splitlines())
        return {path.removeprefix("./"): value + tails[path] for path, value in pairs}

    # --- tools ----------------------------------------------------------------------------------------------------

    def _compose_file(self, **environment: str) -> None:
        self._edited = environment.get("EDITED", "0")
        web = idle_service(
            develop={"watch": RULES},
            volumes=["data:/data"],
            environment={"EDITED": self._edited},
            command=["sh", "-c", CONTAINER.replace("$", "$$")],
            stop_grace_period="2s",
        )
        self.stack.compose_file({"web": web}, volumes={"data": {}})

    def _alive(self, kind: str) -> list[int]:
        alive = cli.processes_with(self._assignment)
        if kind == KEEPER:
            return [pid for pid, command in alive.items() if KEEPER in command and GUARDIAN not in command]
        return [pid for pid, command in alive.items() if GUARDIAN in command]

    def _background(self) -> str:
        done = self._run("ps", "--output", "json")
        return str(json.loads(done.stdout)["background"]) if done.returncode == 0 else done.stderr

    def _is_syncing(self) -> bool:
        return "syncing saved" in self._background()

    def _ls(self) -> list[dict[str, Any]]:
        done = self._run("ls", self.stack.name, "--output", "json")
        rows: list[dict[str, Any]] = json.loads(done.stdout)["runs"]
        return rows

    def _run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return cli.run(*args, cwd=self.stack.folder, env=self._env)

    def _start(self, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "devenv", *args],
            cwd=self.stack.folder,
            env={**os.environ, **self._env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _log(self) -> str:
        lines = []
        for name in ("keeper.log", "guardian.log", "events.jsonl"):
            for path in (self.stack.folder.parent / "state home").rglob(name):
                lines += [name, path.read_text()[-3000:]]
        return "\n".join(lines)


def _kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
