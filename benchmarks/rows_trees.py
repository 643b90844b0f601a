"""Rows 5 and 6: a branch switch and a lost event queue in a tree of 20,000 files, one contender after the other."""

from __future__ import annotations

import shutil
import signal
import statistics
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import engine, trees
from benchmarks.bench import Bench
from benchmarks.contenders import Watcher, scratch, watching
from benchmarks.figures import Figure, Wish
from benchmarks.waiting import until_all

FILES = 20_000
CAP = 60.0
CALM = 3.0  # seconds after the last file, for a restart that comes late
BEFORE, AFTER, STOPPED = b"\n" + b"x" * 100, b"\n" + b"y" * 101, b"\n" + b"z" * 102
Values = dict[str, dict[str, float]]


def run(bench: Bench) -> None:
    """Measure those of the rows that are asked for."""
    found: Values = defaultdict(dict)
    with scratch() as repository:
        _repository(repository)
        for contender in bench.contenders:
            with scratch() as folder:
                shutil.copytree(repository, folder, dirs_exist_ok=True)
                with watching(contender, folder) as watcher:
                    _measure(bench, watcher, found)
    if bench.wants(5):
        _add(bench, 5, "branch switch, 5,000 of 20,000 files", "switch", found, 3)
        bench.add(Figure(5, "restarts by one switch, at most", "", found["restarts"], wish=Wish(1)))
    if bench.wants(6):
        _add(bench, 6, "20,000 files modified while stopped", "overflow", found, 5)


def _add(bench: Bench, row: int, what: str, key: str, found: Values, wished: float) -> None:
    bench.add(Figure(row, what, "s", found[key], tuple(found[f"{key} unfinished"]), Wish(wished)))
    bench.add(Figure(row, f"{what}: differences", "", found[f"{key} differences"], wish=Wish(0)))


def _measure(bench: Bench, watcher: Watcher, found: Values) -> None:
    watcher.prove()
    if not watcher.contender.is_devenv:  # it brings new containers up to date by itself
        engine.put(watcher.container(), "/", engine.tar(watcher.source, "app"))
        engine.put(watcher.container("worker"), "/", engine.tar(watcher.source / "d000", "app/d000"))
    if bench.wants(5):
        _switches(watcher, bench.scale.switches, found)
    if bench.wants(6):
        _overflow(watcher, found)


def _names() -> list[str]:
    return trees.names(FILES, 200)


def _repository(folder: Path) -> None:
    """A project under git with two branches: in the other one 4,000 files differ, 500 are gone and 500 renamed."""
    source = trees.project(folder, engine.image(engine.BASE), trees.RESTARTED)
    trees.write(source, _names(), BEFORE)
    trees.git(folder, "init", "-q", "-b", "main")
    trees.git(folder, "config", "core.checkStat", "minimal")  # a copy of the folder is as good to git
    trees.git(folder, "config", "core.trustctime", "false")
    (folder / ".gitignore").write_text("proof\n", encoding="ascii")
    trees.git(folder, "add", ".")
    trees.git(folder, "commit", "-qm", "main")
    trees.git(folder, "switch", "-qc", "other")
    for index, name in enumerate(_names()[::4]):
        if index % 10 == 0:
            (source / name).unlink()
        elif index % 10 == 1:
            (source / name).rename(source / f"{name}.new")
        else:
            trees.write(source, [name], AFTER)
    trees.git(folder, "add", "-A", ".")
    trees.git(folder, "commit", "-qm", "other")
    trees.git(folder, "switch", "-q", "main")
    trees.git(folder, "repack", "-adq")


def _expected(target: Path, branch: str) -> list[tuple[str, int | None]]:
    """Paths in the container, and the size that each has in that branch; None where it is not there."""
    found: list[tuple[str, int | None]] = []
    for index, name in enumerate(_names()[::4]):
        path, is_main = str(target / name), branch == "main"
        there = len(name) + len(BEFORE)
        if index % 10 == 0:
            found.append((path, there if is_main else None))
        elif index % 10 == 1:
            found += [(path, there if is_main else None), (f"{path}.new", None if is_main else there)]
        else:
            found.append((path, there if is_main else len(name) + len(AFTER)))
    return found


def _as_expected(item: tuple[str, int | None]) -> bool:
    path, size = item
    return trees.has_size(path, size) if size is not None else not Path(path).exists()


def _switches(watcher: Watcher, rounds: int, found: Values) -> None:
    target, worker = watcher.target(), watcher.container("worker")
    seconds, differences, restarts = [], 0, 0
    for number in range(rounds):
        branch = ("other", "main")[number % 2]
        time.sleep(CALM)
        with engine.counting_starts(worker) as started:
            began = time.perf_counter()
            trees.git(watcher.folder, "switch", "-q", branch)
            taken = until_all(_expected(target, branch), _as_expected, CAP, began=began)
            time.sleep(CALM)
        seconds.append(taken.seconds)
        if not taken.complete:
            found["switch unfinished"][watcher.key] = 1
        differences += trees.differences(watcher.source, target)
        differences += trees.differences(watcher.source / "d000", watcher.target("worker") / "d000")
        restarts = max(restarts, len(started))
    found["switch"][watcher.key] = statistics.median(seconds)
    found["switch differences"][watcher.key] = differences
    found["restarts"][watcher.key] = restarts


def _overflow(watcher: Watcher, found: Values) -> None:
    target, names = watcher.target(), _names()
    trees.git(watcher.folder, "switch", "-q", "main")
    time.sleep(CALM)
    watcher.signal(signal.SIGSTOP)
    try:
        trees.write(watcher.source, names, STOPPED)
    finally:
        watcher.signal(signal.SIGCONT)
    began = time.perf_counter()
    expected = [(str(target / name), len(name) + len(STOPPED)) for name in names]
    taken = until_all(expected, lambda item: trees.has_size(*item), CAP, began=began)
    found["overflow"][watcher.key] = taken.seconds
    if not taken.complete:
        found["overflow unfinished"][watcher.key] = 1
    time.sleep(CALM)
    found["overflow differences"][watcher.key] = trees.differences(watcher.source, target)
