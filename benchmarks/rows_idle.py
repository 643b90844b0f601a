"""Rows 8 and 9: what watching costs at rest, and how long it takes to begin, by the size of the tree."""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from benchmarks import engine, trees
from benchmarks.bench import Bench
from benchmarks.contenders import Contender, Watcher, scratch, watching
from benchmarks.figures import Figure, Wish

SIZES = (0, 5_000, 20_000, 50_000)
PER_FOLDER = 10
CALM = 5.0  # seconds after the start, before idling is measured; and of a second look, until nothing goes on
CALM_TICKS = 10
CALM_LOOKS = 12
LEAST = 0.001  # seconds: the clock of a start says no less


def run(bench: Bench) -> None:
    """Start each contender on each size of tree; the largest one is also left alone for a while."""
    sizes = SIZES if bench.wants(9) else SIZES[-1:]
    starts: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    first: dict[int, list[float]] = defaultdict(list)
    idle: dict[str, tuple[float, float]] = {}
    with ExitStack() as stack:
        folders = {size: _tree(stack.enter_context(scratch()), size) for size in sizes}
        for number in range(bench.scale.starts if bench.wants(9) else 1):
            for size in sizes:
                for contender in bench.order.sample(bench.contenders, len(bench.contenders)):
                    more = () if contender.is_devenv else ("--no-up",)
                    with watching(contender, folders[size], *more) as watcher:
                        starts[contender.key][size].append(_standing(contender, watcher))
                        if contender.is_devenv:
                            first[size].append(watcher.step("sync"))
                        if number == 0 and size == SIZES[-1] and bench.wants(8):
                            _calm(watcher)
                            idle[contender.key] = _idle(watcher, bench.scale.idle_seconds)
    if bench.wants(8):
        cpu, memory = ({key: value[i] for key, value in idle.items()} for i in (0, 1))
        bench.add(Figure(8, "idle, 50,000 files: share of a core", "%", cpu, wish=Wish(0.5)))
        bench.add(Figure(8, "idle, 50,000 files: memory", "MB", memory, wish=Wish(80)))
    if bench.wants(9):
        _add_starts(bench, starts, first)


def _tree(folder: Path, size: int) -> Path:
    source = trees.project(folder, engine.image(engine.BASE))
    trees.write(source, trees.names(size, size // PER_FOLDER or 1), b"\n" + b"x" * 200)
    return folder


def _standing(contender: Contender, watcher: Watcher) -> float:
    """Seconds of the step in which the watcher comes to stand."""
    return watcher.step("create") if contender.is_devenv else watcher.seconds


def _calm(watcher: Watcher) -> None:
    """Returns when what belongs to the start is over, or after a minute."""
    for _ in range(CALM_LOOKS):
        before = _ticks(watcher)
        time.sleep(CALM)
        if _used(before, _ticks(watcher)) < CALM_TICKS:
            return


def _idle(watcher: Watcher, seconds: float) -> tuple[float, float]:
    """Percent of a core, and MB, of the watching process and its descendants."""
    before = _ticks(watcher)
    time.sleep(seconds)
    after = _ticks(watcher)
    used = _used(before, after) / os.sysconf("SC_CLK_TCK")
    return 100 * used / seconds, sum(map(_resident, after)) / 1e6


def _used(before: dict[int, int], after: dict[int, int]) -> int:
    return sum(ticks - before.get(pid, 0) for pid, ticks in after.items())


def _ticks(watcher: Watcher) -> dict[int, int]:
    """What each of the processes has used up to now."""
    times = {pid: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in watcher.pids()}
    return {pid: int(user) + int(system) for pid, (user, system) in times.items()}


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _add_starts(bench: Bench, starts: dict[str, dict[int, list[float]]], first: dict[int, list[float]]) -> None:
    median = {key: {n: statistics.median(s) for n, s in by_size.items()} for key, by_size in starts.items()}
    more = {
        key: {n: max(LEAST, by_size[n] - by_size[0]) for n in SIZES[1:]} for key, by_size in median.items()
    }  # what the empty tree takes too is no cost of the files
    bench.series["starts"] = {key: {n: round(s, 4) for n, s in by_size.items()} for key, by_size in more.items()}
    for size in SIZES[1:]:
        wish = Wish(1.5) if size == SIZES[-1] else Wish()
        values = {key: by_size[size] for key, by_size in more.items()}
        bench.add(Figure(9, f"start of watching {size:,} files", "s", values, wish=wish))
    small, large = SIZES[1], SIZES[-1]
    ours = more["devenv"]
    growth = {"devenv": ours[large] / large / (ours[small] / small)}
    bench.add(Figure(9, "a file's share of it at 50,000, times at 5,000", "", growth, wish=Wish(1.5)))
    synced = {"devenv": statistics.median(first[large]) - statistics.median(first[0])}
    bench.add(Figure(9, "first sync of 50,000 files", "s", synced))
