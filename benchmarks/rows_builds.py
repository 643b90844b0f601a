"""Rows 21 and 22: starts that build: nothing is built yet, or one file of one build context has changed."""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.contenders import Contender, scratch
from benchmarks.figures import Figure, Wish, paired
from benchmarks.rows_start import IDLE, OFTEN, REST, SERVICES

BUILT = 3  # of these services
DOCKERFILE = "COPY base /base\nRUN cat /base >/made && sleep 0.1\nCOPY app /app\n"


def run(bench: Bench) -> None:
    """Both starts in turn, the first round uncounted."""
    cold: dict[str, list[float]] = defaultdict(list)
    changed: dict[str, list[float]] = defaultdict(list)
    with _projects(bench.contenders) as projects:
        for number in range(1 + bench.scale.rounds):
            for project in bench.order.sample(projects, len(projects)):
                taken = project.cold(), project.changed()
                if number:
                    cold[project.contender.key].append(taken[0])
                    changed[project.contender.key].append(taken[1])
    what = f"up -d, {SERVICES} services"
    _add(bench, 21, f"{what}, nothing of {BUILT} images built", cold)
    _add(bench, 22, f"{what}, one file of one build changed", changed)


def _add(bench: Bench, row: int, what: str, rounds: dict[str, list[float]]) -> None:
    others = {key: paired(values, rounds["devenv"]) for key, values in rounds.items() if key != "devenv"}
    values = {key: statistics.median(found) for key, found in rounds.items()}
    bench.add(Figure(row, what, "s", values, wish=Wish(faster=dict.fromkeys(others, 1.0)), ratios=others))


@contextmanager
def _projects(contenders: list[Contender]) -> Iterator[list[Project]]:
    with ExitStack() as stack:
        projects = []
        for contender in contenders:
            projects.append(Project(contender, stack.enter_context(scratch())))
            stack.callback(projects[-1].remove)
        yield projects


class Project:
    """A project of six services with health checks, some of which are built from contexts of their own."""

    def __init__(self, contender: Contender, folder: Path) -> None:
        self.contender, self._folder = contender, folder
        name = f"bench-{contender.key}-{secrets.token_hex(3)}"
        state = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
        self._env = {**os.environ, **contender.env, "COMPOSE_PROJECT_NAME": name, **state}
        base = engine.image(engine.BASE)
        check = {"test": ["CMD", "test", "-e", "/etc/hostname"], **OFTEN}
        services: dict[str, Any] = {}
        for number in range(SERVICES):
            own: dict[str, Any] = {"image": base}
            if number < BUILT:
                context = folder / f"s{number}"
                context.mkdir()
                (context / "Dockerfile").write_text(f"FROM {base}\n{DOCKERFILE}", encoding="utf-8")
                own = {"build": f"./s{number}"}
            services[f"s{number}"] = {**own, "command": IDLE, "healthcheck": check}
        (folder / "compose.yml").write_text(yaml.safe_dump({"services": services}), encoding="utf-8")

    def cold(self) -> float:
        """Seconds of a start without images of the project, and without layers of them in the cache."""
        self._compose("down", "-t", "1", "--rmi", "local")
        for number in range(BUILT):
            for file in ("base", "app"):
                self._change(number, file)
        return self._up()

    def changed(self) -> float:
        """Seconds of a start after one file of one context was changed."""
        self._change(0, "app")
        return self._up()

    def remove(self) -> None:
        """Nothing of it is left."""
        if self.contender.is_devenv:
            self._run(sys.executable, "-m", "devenv", "down")
        self._compose("down", "-v", "-t", "1", "--rmi", "local")

    def _change(self, number: int, file: str) -> None:
        (self._folder / f"s{number}" / file).write_text(secrets.token_hex(8), encoding="utf-8")

    def _up(self) -> float:
        """Seconds until the command has ended; all of it is down again afterwards."""
        time.sleep(REST)
        began = time.perf_counter()
        if self.contender.is_devenv:
            self._run(sys.executable, "-m", "devenv", "up", "-d")
        else:
            self._compose("up", "-d", "--build", "--wait")
        taken = time.perf_counter() - began
        if self.contender.is_devenv:
            self._run(sys.executable, "-m", "devenv", "down")
        else:
            self._compose("down")
        time.sleep(REST)
        return taken

    def _compose(self, *words: str) -> None:
        self._run("docker", "compose", *words)

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
            raise SystemExit(f"{self.contender.label}: {' '.join(argv[1:4])} failed")
