"""Rows 1 to 4: saves, saves under load, bursts of new files and of deletes; all contenders side by side."""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import engine, trees
from benchmarks.bench import Bench
from benchmarks.contenders import Watcher, reads, scratch, watching
from benchmarks.figures import FLOOR, Figure, Wish, paired, quantile
from benchmarks.waiting import Waited, until, until_all

REST = 0.7  # seconds between two saves: longer than any debounce, so that each one begins from idle
OTHERS = 10_000
RATE = 1_000  # other files changed a second
PROBE_EVERY = 0.1
PROBE_CAP = 5.0
CAP = 60.0
FILE = b"\n" + b"x" * 2_000
DELETED = 2_000
USER = 1000


def run(bench: Bench) -> None:
    """Measure those of the rows that are asked for."""
    with ExitStack() as stack:
        watchers = []
        for contender in bench.contenders:
            folder = stack.enter_context(scratch())
            source = trees.project(folder, engine.image(engine.BASE))
            trees.write(source / "others", trees.names(OTHERS, 100), b"0")
            watchers.append(stack.enter_context(watching(contender, folder)))
            watchers[-1].prove()
        if bench.wants(1):
            saves(bench, watchers)
        if bench.wants(3, 4):
            bursts(bench, watchers)
        if bench.wants(2):
            loaded(bench, watchers)
    if bench.wants(3):
        with ExitStack() as stack:
            users(bench, stack)


def users(bench: Bench, stack: ExitStack) -> None:
    """Row 3, for a service that is not root's: the sync works as its user, without the engine's archive request."""
    watchers = []
    for contender in bench.contenders:
        folder = stack.enter_context(scratch())
        trees.project(folder, engine.image(engine.BASE), user=USER)
        watchers.append(stack.enter_context(watching(contender, folder)))
        watchers[-1].prove()
    times: dict[str, list[float]] = defaultdict(list)
    unfinished: set[str] = set()
    for _ in range(dict(bench.scale.bursts)[DELETED]):
        for watcher in bench.order.sample(watchers, len(watchers)):
            made, _gone = burst(watcher, DELETED)
            times[watcher.key].append(made.seconds)
            unfinished |= set() if made.complete else {watcher.key}
        times[FLOOR].append(raw(watchers[0], DELETED))
    values = {key: statistics.median(some) for key, some in times.items()}
    what = f"{DELETED:,} new files of 2 kB, the service of a user"
    wish = Wish(faster={"compose": 1.3, "newer": 3.0}, of_floor=2.5)
    bench.add(Figure(3, what, "s", values, tuple(unfinished), wish))


def saves(bench: Bench, watchers: list[Watcher]) -> None:
    """Row 1: one file saved, from idle."""
    rounds: dict[str, list[float]] = defaultdict(list)
    for _ in range(bench.scale.saves):
        for watcher in bench.order.sample(watchers, len(watchers)):
            time.sleep(REST)
            rounds[watcher.key].append(_save(watcher, watcher.target(), CAP) * 1000)
    ratios = {key: paired(values, rounds["devenv"]) for key, values in rounds.items() if key != "devenv"}
    target = watchers[0].target()
    with _floor(watchers[0]) as floor:
        for _ in range(bench.scale.lone_saves):
            time.sleep(REST / 4)
            rounds["devenv"].append(_save(watchers[0], target, CAP) * 1000)
            time.sleep(REST / 4)
            rounds[FLOOR].append(floor() * 1000)
    bench.series["saves"] = {key: [round(value, 2) for value in values] for key, values in rounds.items()}
    faster = dict.fromkeys(ratios, 50.0)
    p50 = {key: statistics.median(values) for key, values in rounds.items()}
    p99 = {key: quantile(values, 0.99) for key, values in rounds.items()}
    bench.add(Figure(1, "a save, p50", "ms", p50, wish=Wish(10, faster), ratios=ratios))
    bench.add(Figure(1, "a save, p99", "ms", p99, wish=Wish(30)))


def _save(watcher: Watcher, target: Path, cap: float) -> float:
    """Seconds until the saved bytes are there, `cap` if they are not."""
    content = secrets.token_hex(64)
    began = time.perf_counter()
    (watcher.source / "file.txt").write_text(content, encoding="ascii")
    arrived = target / "file.txt"
    return until(lambda: reads(arrived, content), cap, began=began) or cap


@contextmanager
def _floor(watcher: Watcher) -> Iterator[Callable[[], float]]:
    """A function that returns the seconds of one archive request and one rename by an open shell."""
    container = watcher.container()
    with scratch() as folder, engine.shell(container) as shell:
        (folder / "file.txt").write_text("x" * 128)
        archive = engine.tar(folder / "file.txt", "floor~")

        def put() -> float:
            began = time.perf_counter()
            engine.put(container, "/app", archive)
            shell.run("mv /app/floor~ /app/floor")
            return time.perf_counter() - began

        put()
        yield put
        shell.run("rm /app/floor")


def loaded(bench: Bench, watchers: list[Watcher]) -> None:
    """Row 2: the same while ten thousand other files change."""
    found: dict[str, list[float]] = {}
    for watcher in watchers:
        target = watcher.target()
        found[watcher.key] = times = []
        with _writing(watcher.source / "others"):
            ends = time.perf_counter() + bench.scale.load_seconds
            while (began := time.perf_counter()) < ends:
                times.append(_save(watcher, target, PROBE_CAP) * 1000)
                time.sleep(max(0.0, began + PROBE_EVERY - time.perf_counter()))
    bench.series["loaded"] = {key: [round(value, 1) for value in times] for key, times in found.items()}
    p95 = {key: quantile(times, 0.95) for key, times in found.items()}
    beyond = tuple(key for key, value in p95.items() if value >= PROBE_CAP * 1000)
    what = f"a save while {OTHERS:,} other files change, p95"
    bench.add(Figure(2, what, "ms", p95, beyond, Wish(300)))


WRITER = """\
import sys, time
began, done, names = time.perf_counter(), 0, open(0).read().split()
while True:
    for name in names:
        with open(name, "w") as file:
            file.write(f"{name} {done}")
        done += 1
        time.sleep(max(0, began + done / RATE - time.perf_counter()))
"""


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Meanwhile, another process changes files here, in another folder each time."""
    names = sorted(trees.names(OTHERS, 100), key=lambda name: name[::-1])
    writer = [sys.executable, "-c", WRITER.replace("RATE", str(RATE))]
    with subprocess.Popen(writer, cwd=folder, stdin=subprocess.PIPE) as child:
        try:
            assert child.stdin
            child.stdin.write("\n".join(names).encode())
            child.stdin.close()
            yield
        finally:
            child.kill()


def bursts(bench: Bench, watchers: list[Watcher]) -> None:
    """Rows 3 and 4: many new files, and 2,000 of them deleted."""
    growth: dict[str, dict[int, float]] = defaultdict(dict)
    deletes: dict[str, list[float]] = defaultdict(list)
    undeleted: set[str] = set()
    for files, rounds in bench.scale.bursts:
        if not bench.wants(3) and files != DELETED:
            continue
        times: dict[str, list[float]] = defaultdict(list)
        unfinished: set[str] = set()
        for _ in range(rounds):
            for watcher in bench.order.sample(watchers, len(watchers)):
                made, gone = burst(watcher, files)
                times[watcher.key].append(made.seconds)
                unfinished |= set() if made.complete else {watcher.key}
                if files == DELETED:
                    deletes[watcher.key].append(gone.seconds)
                    undeleted |= set() if gone.complete else {watcher.key}
            times[FLOOR].append(raw(watchers[0], files))
        values = {key: statistics.median(some) for key, some in times.items()}
        for key, value in values.items():
            growth[key][files] = round(value, 4)
        if bench.wants(3):
            wish = Wish(faster={"compose": 1.3, "newer": 3.0}, of_floor=2.5) if files >= DELETED else Wish()
            bench.add(Figure(3, f"{files:,} new files of 2 kB", "s", values, tuple(unfinished), wish))
    if bench.wants(3):
        bench.series["bursts"] = dict(growth)
    if bench.wants(4):
        values = {key: statistics.median(some) for key, some in deletes.items()}
        bench.add(Figure(4, f"{DELETED:,} files deleted", "s", values, tuple(undeleted), Wish(0.2)))


def burst(watcher: Watcher, files: int) -> tuple[Waited, Waited]:
    """The wait from the first write until all is there, and from the first unlink until all is gone."""
    folder = watcher.source / f"burst-{secrets.token_hex(3)}"
    target = watcher.target() / folder.name
    names = trees.names(files, max(1, files // 100))
    expected = [(str(target / name), len(name) + len(FILE)) for name in names]
    time.sleep(REST)
    began = time.perf_counter()
    trees.write(folder, names, FILE)
    made = until_all(expected, lambda item: trees.has_size(*item), CAP, began=began)
    time.sleep(REST)
    began = time.perf_counter()
    for name in names:
        os.unlink(folder / name)
    gone = until_all(expected, lambda item: not os.path.lexists(item[0]), CAP, began=began)
    shutil.rmtree(folder)
    until(lambda: not target.exists(), CAP, rest=0.05)
    return made, gone


def raw(watcher: Watcher, files: int) -> float:
    """Seconds that the engine takes for one archive of the same files."""
    container = watcher.container()
    with scratch() as folder:
        trees.write(folder, trees.names(files, max(1, files // 100)), FILE)
        archive = engine.tar(folder, "raw")
    taken = engine.put(container, "/", archive)
    engine.docker("exec", "-u", "0", container, "rm", "-r", "/raw")
    return taken
