"""python -m benchmarks.growth: how times, processor time and memory grow with services, files, replicas and projects.

With `--page`, each measured curve replaces its table in docs/growth.md and its plot in docs/images.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from benchmarks import engine, report, trees
from benchmarks.contenders import reads
from benchmarks.curves import Curve, Measure, Measured, marks, section, table
from benchmarks.rows_start import IDLE
from benchmarks.waiting import until

PAGE = report.ROOT / "docs/growth.md"
IMAGES = report.ROOT / "docs/images"
CALM = 0.02  # share of a core below which a start is over, work in the background included
CALM_LOOKS = 60  # of a second
IDLE_SECONDS = 6.0
SAVES = 9
REST = 0.3  # seconds between two saves
CAP = 60.0
PER_FOLDER = 50


@dataclass
class Stack:
    """A project of devenv that runs in the background, in a folder of its own; removed at the end of the block."""

    folder: Path
    model: dict[str, Any]
    started: float = 0.0  # seconds of `up -d`
    steps: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.source).mkdir(exist_ok=True)
        self.model = {"name": f"growth-{secrets.token_hex(3)}", **self.model}
        (self.folder / "compose.yml").write_text(yaml.safe_dump(self.model), encoding="utf-8")

    @property
    def source(self) -> Path:
        """The watched folder."""
        return self.folder / "src"

    @property
    def env(self) -> dict[str, str]:
        """The environment of its commands, by which its processes are recognized."""
        places = {"XDG_STATE_HOME": str(self.folder / "state"), "XDG_CONFIG_HOME": str(self.folder / "config")}
        return {**os.environ, **places, "PYTHONDONTWRITEBYTECODE": ""}

    def __enter__(self) -> Self:
        began = time.perf_counter()
        try:
            printed = self.call(sys.executable, "-m", "devenv", "up", "-d", "--output", "json")
        except BaseException:
            self.__exit__()
            raise
        self.started = time.perf_counter() - began
        for event in map(json.loads, printed.splitlines()):
            if event["event"] == "step" and event["state"] == "end":
                self.steps[event["name"]] = event["seconds"]
        return self

    def __exit__(self, *_: object) -> None:
        self.call(sys.executable, "-m", "devenv", "down", "-v", may_fail=True)
        self.call("docker", "compose", "down", "-v", "-t", "1", may_fail=True)

    def call(self, *words: str, may_fail: bool = False) -> str:
        """What the command prints. Raises SystemExit if it fails."""
        done = subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode and not may_fail:
            raise SystemExit(f"{' '.join(words[:5])}: {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout

    def processes(self) -> list[int]:
        """The processes on this machine that its commands have started."""
        marker = f"XDG_STATE_HOME={self.env['XDG_STATE_HOME']}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marker in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
        return found

    def save(self) -> float:
        """Milliseconds, at the median of some saves, until a saved file is in all containers of the service `app`."""
        roots = [engine.root(container) for container in engine.containers(self.model["name"], "app")]
        return statistics.median(self._save([root / "app/saved" for root in roots]) for _ in range(SAVES))

    def _save(self, targets: Sequence[Path]) -> float:
        time.sleep(REST)
        content = secrets.token_hex(64)
        began = time.perf_counter()
        (self.source / "saved").write_text(content, encoding="ascii")
        left = [*targets]

        def is_everywhere() -> bool:
            while left and reads(left[-1], content):
                left.pop()
            return not left

        if until(is_everywhere, CAP, began=began) is None:
            raise SystemExit(f"{self.model['name']}: a save has not arrived after {CAP:.0f} s")
        return (time.perf_counter() - began) * 1000


def memory(stacks: Sequence[Stack]) -> float:
    """MB of the processes of devenv; a page that several use counts in parts."""
    total = 0
    for pid in [pid for stack in stacks for pid in stack.processes()]:
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0])
    return total / 1e3


def idle(stacks: Sequence[Stack]) -> float:
    """Percent of a core that the processes of devenv use while nothing happens."""
    time.sleep(1)
    for _ in range(CALM_LOOKS):
        if _share(stacks, 1) < CALM * len(stacks):
            break
    return 100 * _share(stacks, IDLE_SECONDS)


def _share(stacks: Sequence[Stack], seconds: float) -> float:
    before = _used(stacks)
    time.sleep(seconds)
    return sum(used - before.get(task, 0.0) for task, used in _used(stacks).items()) / seconds


def _used(stacks: Sequence[Stack]) -> dict[str, float]:
    """Seconds of processor time of each thread up to now; one that ends in the meantime would count negatively."""
    used = {}
    for pid in [pid for stack in stacks for pid in stack.processes()]:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                used[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return used


def application(replicas: int = 1) -> dict[str, Any]:
    """A service whose watched folder is synced to /app."""
    rule = {"path": "./src", "action": "sync", "target": "/app"}
    return {
        "image": engine.image(engine.BASE),
        "command": IDLE,
        "stop_grace_period": "1s",
        "deploy": {"replicas": replicas},
        "develop": {"watch": [rule]},
    }


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, if there is space: a disk would be measured instead."""
    shared = Path("/dev/shm")
    place = shared if shared.is_dir() and shutil.disk_usage(shared).free > 4 << 30 else None
    with tempfile.TemporaryDirectory(prefix="devenv-growth-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def services_at(count: int) -> tuple[float, ...]:
    """Start, start by Compose, idle processor time and memory of a project with so many services."""
    plain = {"image": engine.image(engine.BASE), "command": IDLE, "stop_grace_period": "1s"}
    services = {"app": application(), **{f"s{number}": plain for number in range(count - 1)}}
    with scratch() as folder:
        stack = Stack(folder, {"services": services})
        compose = ("docker", "compose", "up", "-d", "--wait")
        with stack:
            used, size = idle([stack]), memory([stack])
        began = time.perf_counter()
        try:
            stack.call(*compose)
            taken = time.perf_counter() - began
        finally:
            stack.call("docker", "compose", "down", "-t", "1", may_fail=True)
    return stack.started, taken, used, size


def files_at(count: int) -> tuple[float, ...]:
    """Start of watching, a save, idle processor time and memory with so many files that containers have already.

    The first sync writes all files into the container's file system, so it is that what would be measured.
    """
    with scratch() as folder:
        stack = Stack(folder, {"services": {"app": application()}, "x-devenv": {"initial_sync": "spec"}})
        trees.write(stack.source, trees.names(count, -(-count // PER_FOLDER)), b"\n" + b"x" * 100)
        with stack:
            used = idle([stack])
            return stack.steps["create"], stack.save(), used, memory([stack])


def first_sync_at(count: int) -> tuple[float, ...]:
    """The first sync of so many files into a created container, and one archive request with them to another one."""
    with scratch() as folder:
        stack = Stack(folder, {"services": {"app": application()}})
        trees.write(stack.source, trees.names(count, -(-count // PER_FOLDER)), b"\n" + b"x" * 100)
        archive = engine.tar(stack.source, "app")
        containers = [engine.docker("create", engine.image(engine.BASE), *IDLE) for _ in range(2)]
        try:  # one request before and one after: what was written before slows a disk down
            before = engine.put(containers[0], "/", archive)
            with stack:
                after = engine.put(containers[1], "/", archive)
            return stack.steps["sync"], (before + after) / 2
        finally:
            engine.docker("rm", "-f", *containers)


def replicas_at(count: int) -> tuple[float, ...]:
    """A save into so many containers of a service, and memory."""
    with scratch() as folder, Stack(folder, {"services": {"app": application(count)}}) as stack:
        return stack.save(), memory([stack])


def projects_at(count: int) -> tuple[float, ...]:
    """Start of the last of so many projects; a save, idle processor time and memory while all are up."""
    with ExitStack() as opened:
        stacks = [
            opened.enter_context(Stack(opened.enter_context(scratch()), {"services": {"app": application()}}))
            for _ in range(count)
        ]
        used = idle(stacks)
        return stacks[-1].started, stacks[0].save(), used, memory(stacks)


START, SAVE = Measure("start", "s", 2, 0.1), Measure("a save", "ms", 1, 2.0)
CPU, MEMORY = Measure("idle", "% of a core", 2, 0.25), Measure("memory", "MB", 1, 1.0)
CURVES = (
    Curve(
        "services",
        "services",
        (1, 10, 20, 40, 60),
        (START, Measure("start by Compose", "s", 2, 0.1), CPU, MEMORY),
        services_at,
    ),
    Curve(
        "files",
        "files",
        (1_000, 10_000, 50_000, 100_000, 250_000, 500_000),
        (Measure("create and watch", "s", 2, 0.1), SAVE, CPU, MEMORY),
        files_at,
        repeats=1,
    ),
    Curve(
        "sync",
        "files",
        (1_000, 10_000, 50_000),
        (Measure("first sync", "s", 2, 0.1), Measure("one archive request", "s", 2, 0.1)),
        first_sync_at,
        repeats=3,
    ),
    Curve("replicas", "replicas", (1, 2, 5, 10, 20), (SAVE, MEMORY), replicas_at),
    Curve("projects", "projects", (1, 3, 6, 10), (START, SAVE, CPU, MEMORY), projects_at),
)


def measure(curve: Curve, *, most: int | None = None) -> Measured:
    """The medians at each point up to `most`; what is measured is printed."""
    rounds: dict[int, list[tuple[float, ...]]] = {}
    for point in [point for point in curve.points if most is None or point <= most]:
        rounds[point] = []
        for _ in range(curve.repeats):
            rounds[point].append(values := curve.at(point))
            shown = ", ".join(
                f"{m.name} {value:.{m.digits}f} {m.unit}" for m, value in zip(curve.measures, values, strict=True)
            )
            print(f"{point:,} {curve.across}: {shown}", flush=True)
    return Measured.of(rounds)


def main() -> int:
    """Measure the curves, print their tables, and put them into the page if asked for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is ended
    parser = argparse.ArgumentParser(prog="scripts/growth", description="How times and memory grow.")
    parser.add_argument("curves", nargs="*", help=f"of {', '.join(curve.name for curve in CURVES)}; all by default")
    parser.add_argument("--most", type=int, help="leave larger points out")
    parser.add_argument("--page", action="store_true", help="replace the tables and plots of docs/growth.md")
    chosen = parser.parse_args()
    curves = {curve.name: curve for curve in CURVES}
    if unknown := set(chosen.curves) - curves.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; curves are {', '.join(curves)}")
    if os.geteuid() or not sys.platform.startswith("linux"):
        print("the growth of a save is measured in containers through /proc: Linux, as root", file=sys.stderr)
        return 2
    for curve in [curves[name] for name in chosen.curves] or CURVES:
        on = report.machine("growth")
        measured = measure(curve, most=chosen.most)
        print(table(curve, measured), flush=True)
        if chosen.page:
            from benchmarks import plots  # noqa: PLC0415 - matplotlib is only there for those who draw

            plots.draw_growth(curve, measured.values, IMAGES)
            page = PAGE.read_text(encoding="utf-8")
            text = report.put_into(page, section(curve, measured, on), marks(curve.name))
            PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
