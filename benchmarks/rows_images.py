"""Row 13: eight base images that come from a registry on this machine, and what is built on them."""

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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.contenders import Contender, scratch
from benchmarks.figures import FLOOR, Figure, Wish, paired
from support.registries import Registry, registry

IMAGES = 8
BYTES = 20_000_000  # that each of them alone has
HOST = "bench.invalid"  # no such registry: devenv has to find the mirror
IDLE = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 1 & wait $$!; done"]
STEP = "the images step, all of them present"


def run(bench: Bench) -> None:
    """Rounds in turn, the first one uncounted; each has images that nobody has seen."""
    times: dict[str, list[float]] = defaultdict(list)
    steps: list[float] = []
    for number in range(1 + bench.scale.pulls):
        turns = [*bench.contenders, None]
        for turn in bench.order.sample(turns, len(turns)):
            contender = turn or next(c for c in bench.contenders if not c.is_devenv)
            with scratch() as folder, registry(folder / "registry") as mirror:
                project = Project(contender, mirror, folder / "project")
                try:
                    seconds = project.build() if turn else project.floor()
                    step = project.step() if contender.is_devenv and number else 0.0
                finally:
                    project.remove()
            if number:
                times[turn.key if turn else FLOOR].append(seconds)
                steps += [step] if contender.is_devenv else []
    others = {key: paired(values, times["devenv"]) for key, values in times.items() if key != "devenv"}
    values = {key: statistics.median(found) for key, found in times.items()}
    what = f"{IMAGES} base images from a mirror, and {IMAGES} builds"
    bench.add(Figure(13, what, "s", values, wish=Wish(faster=dict.fromkeys(others, 1.0)), ratios=others))
    bench.add(Figure(13, STEP, "ms", {"devenv": statistics.median(steps) * 1000}, wish=Wish(150)))


class Project:
    """A project of services that are built on images of its own."""

    def __init__(self, contender: Contender, mirror: Registry, folder: Path) -> None:
        self._contender, self._folder = contender, folder
        self._name = f"bench-{contender.key}-{secrets.token_hex(3)}"
        state = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
        self._env = {**os.environ, **contender.env, "COMPOSE_PROJECT_NAME": self._name, **state}
        repositories = [f"{HOST}/{self._name}-{number}" for number in range(IMAGES)]
        for repository in repositories:
            mirror.put(repository, "1", noise=BYTES)
        self._at_mirror = [f"{mirror.address}/{repository}:1" for repository in repositories]
        self._write(mirror.address, [f"{name}:1" for name in repositories])

    def build(self) -> float:
        """Seconds until all images are here and all are built."""
        began = time.perf_counter()
        if self._contender.is_devenv:
            self._run(sys.executable, "-m", "devenv", "build")
        else:
            self._run("docker", "compose", "pull", "-q")
            self._run("docker", "compose", "--profile", "built", "build", "-q")
        return time.perf_counter() - began

    def floor(self) -> float:
        """Seconds of one pull of the engine for each image, all at once, and one build by Compose."""
        began = time.perf_counter()
        with ThreadPoolExecutor(IMAGES) as threads:
            list(threads.map(engine.pull, self._at_mirror))
        self._run("docker", "compose", "--profile", "built", "build", "-q")
        return time.perf_counter() - began

    def step(self) -> float:
        """Seconds that the images step takes of a start, now that all exist."""
        argv = [*self._contender.argv, "--no-build"]
        with subprocess.Popen(argv, cwd=self._folder, env=self._env, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            seconds = None
            for line in child.stdout:
                event = json.loads(line)
                if (event["event"], event.get("name"), event.get("state")) == ("step", "images", "end"):
                    seconds = float(event["seconds"])
                if event["event"] == "ready":
                    child.send_signal(signal.SIGINT)
        if seconds is None:
            raise SystemExit(f"{self._contender.label}: did not come up")
        return seconds

    def remove(self) -> None:
        """Its images are gone."""
        named = engine.docker("images", "--format={{.Repository}}:{{.Tag}}").split()
        if mine := [name for name in named if self._name in name]:
            engine.docker("rmi", "-f", *mine)

    def _write(self, mirror: str, bases: list[str]) -> None:
        """Compose needs a service for each image that it pulls, and the mirror's name in each Dockerfile."""
        settings = self._folder / "config/devenv-compose/config.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f'[registry]\nmirrors = ["{mirror}"]\n', encoding="utf-8")
        named = bases if self._contender.is_devenv else self._at_mirror
        services = {}
        for number, base in enumerate(named):
            build = {"context": ".", "dockerfile_inline": f"FROM {base}\nCOPY compose.yml /\n"}
            services[f"s{number}"] = {"build": build, "command": IDLE}
            if not self._contender.is_devenv:
                services[f"s{number}"]["profiles"] = ["built"]
                services[f"base{number}"] = {"image": base}
        model = yaml.safe_dump({"services": services})
        (self._folder / "compose.yml").write_text(model, encoding="utf-8")

    def _run(self, *argv: str) -> None:
        done = subprocess.run(
            argv,
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
            raise SystemExit(f"{self._contender.label}: {' '.join(argv[1:4])} failed")
