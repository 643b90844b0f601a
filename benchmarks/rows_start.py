"""Rows 10 to 12: start and end. Warm up to healthy, down again, and a database whose volume was saved."""

from __future__ import annotations

import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.contenders import Contender, scratch
from benchmarks.figures import FLOOR, Figure, Wish, paired

IDLE = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 1 & wait $$!; done"]
OFTEN = {"interval": "1s", "timeout": "3s", "start_period": "120s", "start_interval": "100ms"}
MYSQL = "mysql:9"
SERVICES = 6
REST = 0.5  # seconds after each end: the engine still removes things
DOWN = 120.0
BACKGROUND = "background"


def run(bench: Bench) -> None:
    """Ways up and down in turn, the first one of each uncounted."""
    if bench.wants(10, 11):
        _add_stack(bench)
    if bench.wants(12):
        _add_database(bench)


def _add_stack(bench: Bench) -> None:
    ups: dict[str, list[float]] = defaultdict(list)
    downs: dict[str, list[float]] = defaultdict(list)
    later: dict[str, list[float]] = defaultdict(list)  # after `up -d`
    words: list[float] = []
    with _runners(bench.contenders, _stack()) as found:
        ours = next(runner for runner in found if runner.contender.is_devenv)
        for number in range(1 + bench.scale.rounds):
            turns: list[Runner | str] = [*found, *([BACKGROUND, FLOOR] if number else [])]
            for runner in bench.order.sample(turns, len(turns)):
                if isinstance(runner, str):
                    later["devenv" if runner == BACKGROUND else FLOOR].append(
                        ours.background_down() if runner == BACKGROUND else floor_down()
                    )
                    continue
                up, down = runner.up(), runner.down()
                if number:
                    ups[runner.contender.key].append(up)
                    downs[runner.contender.key].append(down)
                    words += [runner.first_word * 1000] if runner.contender.is_devenv else []
    what = f"{SERVICES} services"
    bench.add(Figure(10, f"up, {what}, five without a health check", "s", _medians(ups), is_alike=False))
    downs[FLOOR] = later[FLOOR]
    _add(bench, Figure(11, f"down, {what}, no volumes", "s", _medians(downs), wish=Wish(times=1.1)), downs)
    later = {**downs, **later}
    _add(
        bench, Figure(11, f"down after up -d, {what}, no volumes", "s", _medians(later), wish=Wish(times=1.1)), later
    )
    first = {"devenv": statistics.median(words)}
    bench.add(Figure(11, "from Ctrl-C to the first word of the way down", "ms", first, wish=Wish(50)))


def floor_down() -> float:
    """Seconds for the same containers and their network, by requests of one thread for each container."""
    name = f"bench-floor-{secrets.token_hex(3)}"
    command = [word.replace("$$", "$") for word in IDLE]
    config = {"Image": engine.image(engine.BASE), "Cmd": command, "HostConfig": {"NetworkMode": name}}
    keys: list[str] = []

    def begin() -> None:
        keys.append(engine.call("POST", "/containers/create", config)["Id"])
        engine.call("POST", f"/containers/{keys[-1]}/start", {})

    def end(key: str) -> None:
        engine.call("POST", f"/containers/{key}/stop", {})
        engine.call("DELETE", f"/containers/{key}?v=1")

    engine.call("POST", "/networks/create", {"Name": name})
    with ThreadPoolExecutor(SERVICES) as threads:
        try:
            for _ in range(SERVICES):
                begin()
            time.sleep(REST)
            began = time.perf_counter()
            list(threads.map(end, keys))
            engine.call("DELETE", f"/networks/{name}")
            taken = time.perf_counter() - began
        except BaseException:
            engine.docker("rm", "-f", *keys)
            engine.docker("network", "rm", name)
            raise
    time.sleep(REST)
    return taken


def _add_database(bench: Bench) -> None:
    """Devenv begins empty and saves, then restores; the others begin empty each time."""
    empty: dict[str, list[float]] = defaultdict(list)
    again: list[float] = []
    with _runners(bench.contenders, database()) as found:
        for number in range(1 + bench.scale.databases):
            for runner in bench.order.sample(found, len(found)):
                is_ours = runner.contender.is_devenv
                taken = [runner.up(*(["--fresh"] if is_ours else []))]
                runner.down()
                if is_ours:
                    taken.append(runner.up())
                    runner.down()
                if number:
                    empty[runner.contender.key].append(taken[0])
                    again += taken[1:]
    _add(bench, Figure(12, "MySQL up, its first start", "s", _medians(empty)), empty)
    others = {key: values for key, values in empty.items() if key != "devenv"}
    restored = {**others, "devenv": again}
    wish = Wish(faster=dict.fromkeys(others, 1.0))
    _add(
        bench,
        Figure(12, "MySQL up, its volume restored (Compose: first start)", "s", _medians(restored), wish=wish),
        restored,
    )


def _add(bench: Bench, figure: Figure, rounds: dict[str, list[float]]) -> None:
    figure.ratios.update({key: paired(v, rounds["devenv"]) for key, v in rounds.items() if key != "devenv"})
    bench.add(figure)


def _medians(rounds: dict[str, list[float]]) -> dict[str, float]:
    return {key: statistics.median(values) for key, values in rounds.items()}


def _stack() -> dict[str, Any]:
    """Five services that do nothing, one of them watched, one after the sixth: built, with a health check."""
    base = engine.image(engine.BASE)
    services: dict[str, Any] = {f"s{number}": {"image": base, "command": IDLE} for number in range(SERVICES - 1)}
    services["s0"]["depends_on"] = {"web": {"condition": "service_healthy"}}
    services["s1"]["develop"] = {"watch": [{"path": "./src", "action": "sync", "target": "/app"}]}
    services["web"] = {
        "build": {"context": ".", "dockerfile_inline": f"FROM {base}\nCOPY compose.yml /\nRUN true\n"},
        "command": IDLE,
        "healthcheck": {"test": ["CMD", "test", "-e", "/compose.yml"], **OFTEN},
    }
    return {"services": services}


def database() -> dict[str, Any]:
    """A project of a MySQL database with a named volume and a health check."""
    user = {"MYSQL_DATABASE": "d", "MYSQL_USER": "u", "MYSQL_PASSWORD": "p", "MYSQL_RANDOM_ROOT_PASSWORD": "yes"}
    ping = ["CMD-SHELL", "mysql -h 127.0.0.1 -uu -pp -e 'select 1' d"]
    database = {"image": engine.image(MYSQL), "environment": user, "volumes": ["data:/var/lib/mysql"]}
    return {"services": {"db": {**database, "healthcheck": {"test": ping, **OFTEN}}}, "volumes": {"data": {}}}


@contextmanager
def _runners(contenders: list[Contender], model: dict[str, Any]) -> Iterator[list[Runner]]:
    """A project of its own for each, of the same model; everything is gone afterwards."""
    with ExitStack() as stack:
        found = []
        for contender in contenders:
            folder = stack.enter_context(scratch())
            (folder / "src").mkdir()
            (folder / "compose.yml").write_text(yaml.safe_dump(model), encoding="utf-8")
            found.append(Runner(contender, folder, ("down", "-v") if "volumes" in model else ("down",)))
            stack.callback(found[-1].remove)
        yield found


@dataclass
class Runner:
    """One contender's ways up and down; `first_word` is how long the last signal was unanswered, in seconds."""

    contender: Contender
    folder: Path
    compose_down: tuple[str, ...]
    first_word: float = 0.0
    _child: subprocess.Popen[str] | None = None
    _env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        name = f"bench-{self.contender.key}-{secrets.token_hex(3)}"
        state = {"XDG_STATE_HOME": str(self.folder / "state"), "XDG_CONFIG_HOME": str(self.folder / "config")}
        self._env = {**os.environ, **self.contender.env, "COMPOSE_PROJECT_NAME": name, **state}

    def up(self, *more: str) -> float:
        """Seconds from the command until all is healthy. Raises SystemExit where it is not."""
        began = time.perf_counter()
        if not self.contender.is_devenv:
            self._compose("up", "-d", "--build", "--wait")
            return time.perf_counter() - began
        argv = [*self.contender.argv, *more]
        self._child = subprocess.Popen(argv, cwd=self.folder, env=self._env, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout
        for line in self._child.stdout:
            if json.loads(line)["event"] == "ready":
                return time.perf_counter() - began
        raise SystemExit(f"{self.contender.label}: did not come up")

    def down(self) -> float:
        """Seconds until all of it is gone."""
        time.sleep(REST)
        began = time.perf_counter()
        if self._child is None:
            self._compose(*self.compose_down)
        else:
            assert self._child.stdout
            self._child.send_signal(signal.SIGINT)
            heard = {json.loads(line)["event"]: time.perf_counter() for line in self._child.stdout}
            self._child.wait(DOWN)
            self.first_word, self._child = heard["stopping"] - began, None
        taken = time.perf_counter() - began
        time.sleep(REST)
        return taken

    def background_down(self) -> float:
        """Seconds until `devenv down` has removed all of it, after a start that went on in the background."""
        program = self.contender.argv[: self.contender.argv.index("up")]

        def call(*words: str) -> None:
            done = subprocess.run(
                [*program, *words], cwd=self.folder, env=self._env, capture_output=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"{self.contender.label}: {' '.join(words)} failed\n{done.stderr.decode()}")

        call("up", "-d")
        time.sleep(2 * REST)  # the keeper starts
        began = time.perf_counter()
        call("down")
        taken = time.perf_counter() - began
        time.sleep(REST)
        return taken

    def remove(self) -> None:
        """Nothing of it is left, not its images either."""
        if self._child is not None:
            self._child.send_signal(signal.SIGINT)
            self._child.communicate()
        self._compose("down", "-v", "-t", "1", "--rmi", "local")

    def _compose(self, *words: str) -> None:
        done = subprocess.run(
            ["docker", "compose", *words], cwd=self.folder, env=self._env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(done.stderr[-2000:], file=sys.stderr)
            raise SystemExit(f"{self.contender.label}: {words[0]} failed")
