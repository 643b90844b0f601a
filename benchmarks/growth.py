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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from benchmarks import engine, report, trees
from benchmarks.contenders import reads
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
STEEP = 1.5  # a unit costs this many times as much at the end as before: worse than linear
FLAT = 0.1  # share of the first value up to which the whole growth counts as none


@dataclass(frozen=True)
class Measure:
    """What is measured at each point, with `digits` after the point in tables; growth below `least` is none."""

    name: str
    unit: str
    digits: int = 1
    least: float = 0.0


@dataclass(frozen=True)
class Curve:
    """Measures at points; `repeats` are the measurements of each point, of which the medians count."""

    name: str
    across: str
    points: tuple[int, ...]
    measures: tuple[Measure, ...]
    at: Callable[[int], tuple[float, ...]]
    repeats: int = 2


Values = Mapping[int, Sequence[float]]  # point -> value of each measure


def steepness(points: Sequence[int], values: Sequence[float]) -> float:
    """What one more costs in the last section of a curve, in multiples of what it costs before; three points."""
    before = (values[-2] - values[0]) / (points[-2] - points[0])
    last = (values[-1] - values[-2]) / (points[-1] - points[-2])
    if before <= 0:
        return float(last > 0) and STEEP + 1
    return last / before


def verdict(points: Sequence[int], values: Sequence[float], least: float = 0.0) -> str:
    """`flat`, `linear`, `less than linear` or `more than linear`, "" for less than three points."""
    if len(points) < 3:
        return ""
    if max(values) - values[0] <= max(least, FLAT * values[0]):
        return "flat"
    steep = steepness(points, values)
    if steep > STEEP and values[-1] - values[-2] > least:
        return "more than linear"
    return "linear" if steep >= 1 / STEEP else "less than linear"


def table(curve: Curve, values: Values) -> str:
    """The values of each point, and in the last row how each measure grows."""
    points = sorted(values)
    heads = [curve.across, *(measure.name for measure in curve.measures)]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---:'] * len(heads))} |"]
    for point in points:
        cells = [
            f"{value:.{measure.digits}f} {measure.unit}"
            for measure, value in zip(curve.measures, values[point], strict=True)
        ]
        lines.append(f"| {point:,} | {' | '.join(cells)} |")
    growth = [
        verdict(points, [values[point][index] for point in points], measure.least)
        for index, measure in enumerate(curve.measures)
    ]
    return "\n".join([*lines, f"| growth | {' | '.join(growth)} |"])


def marks(curve: str) -> tuple[str, str]:
    """The lines of the page between which the curve's table is."""
    return f"<!-- growth of {curve}: made by scripts/growth -->", f"<!-- end of growth of {curve} -->"


def section(curve: Curve, values: Values, on: Mapping[str, str]) -> str:
    """What the page has between the marks of a curve."""
    begin, end = marks(curve.name)
    where = f"Medians of {curve.repeats} on {on['date']} (load {on['load']}), devenv at `{on['devenv']}`."
    names = ", ".join(measure.name for measure in curve.measures)
    plot = f"![{names}, by the number of {curve.across}](images/growth-{curve.name}.svg)"
    return f"{begin}\n{where}\n\n{table(curve, values)}\n\n{plot}\n{end}"


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
    return sum(used - before.get(pid, 0.0) for pid, used in _used(stacks).items()) / seconds


def _used(stacks: Sequence[Stack]) -> dict[int, float]:
    """Seconds of processor time of each process up to now."""
    used = {}
    for pid in [pid for stack in stacks for pid in stack.processes()]:
        with contextlib.suppress(OSError):
            tasks = [int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()]
            used[pid] = sum(tasks) / 1e9
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
CPU, MEMORY = Measure("idle", "% of a core", 2, 0.1), Measure("memory", "MB", 1, 1.0)
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
    Curve("replicas", "replicas", (1, 2, 5, 10, 20), (SAVE, MEMORY), replicas_at),
    Curve("projects", "projects", (1, 3, 6, 10), (START, SAVE, CPU, MEMORY), projects_at),
)


def measure(curve: Curve, *, most: int | None = None) -> dict[int, list[float]]:
    """The medians at each point up to `most`; what is measured is printed."""
    values: dict[int, list[float]] = {}
    for point in [point for point in curve.points if most is None or point <= most]:
        rounds = []
        for _ in range(curve.repeats):
            rounds.append(curve.at(point))
            shown = ", ".join(
                f"{m.name} {value:.{m.digits}f} {m.unit}" for m, value in zip(curve.measures, rounds[-1], strict=True)
            )
            print(f"{point:,} {curve.across}: {shown}", flush=True)
        values[point] = [statistics.median(some) for some in zip(*rounds, strict=True)]
    return values


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
        values = measure(curve, most=chosen.most)
        print(table(curve, values), flush=True)
        if chosen.page:
            from benchmarks import plots  # noqa: PLC0415 - matplotlib is only there for those who draw

            plots.draw_growth(curve, values, IMAGES)
            page = PAGE.read_text(encoding="utf-8")
            text = report.put_into(page, section(curve, values, on), marks(curve.name))
            PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
