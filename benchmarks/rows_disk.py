"""Rows 19 and 20: bursts of new files into containers on a disk, beside one raw archive request in the same state."""

from __future__ import annotations

import statistics
from collections import defaultdict
from contextlib import ExitStack

from benchmarks import engine, trees
from benchmarks.bench import Bench
from benchmarks.contenders import scratch, watching
from benchmarks.figures import FLOOR, Figure, Wish, paired
from benchmarks.rows_edits import burst, raw

DISKS = {19: "ext4", 20: "ext4 without a journal"}  # `scripts/bench` starts the engine on such a disk


def run(bench: Bench) -> None:
    """Measure the row of this engine's disk."""
    (row,) = bench.rows & DISKS.keys()
    with ExitStack() as stack:
        watchers = []
        for contender in bench.contenders:
            folder = stack.enter_context(scratch())
            trees.project(folder, engine.image(engine.BASE))
            watchers.append(stack.enter_context(watching(contender, folder)))
            watchers[-1].prove()
        for files, rounds in bench.scale.disk_bursts:
            raw(watchers[0], files)  # files were removed before each measurement, before the first as well
            times: dict[str, list[float]] = defaultdict(list)
            unfinished: set[str] = set()
            for _ in range(rounds):
                for watcher in bench.order.sample([None, *watchers], len(watchers) + 1):
                    if watcher is None:
                        times[FLOOR].append(raw(watchers[0], files))
                        continue
                    made, _gone = burst(watcher, files)
                    times[watcher.key].append(made.seconds)
                    unfinished |= set() if made.complete else {watcher.key}
            values = {key: statistics.median(some) for key, some in times.items()}
            ratios = {key: paired(some, times["devenv"]) for key, some in times.items() if key != "devenv"}
            what = f"{files:,} new files of 2 kB on {DISKS[row]}"
            bench.add(Figure(row, what, "s", values, tuple(unfinished), Wish(of_floor=1.3), ratios=ratios))
