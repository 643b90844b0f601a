"""Row 18: saving and restoring a volume of 2 GB, beside the plain copy by `docker cp`."""

from __future__ import annotations

import json
import os
import secrets
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.contenders import scratch
from benchmarks.figures import FLOOR, Figure, Wish
from benchmarks.rows_parallel import MainTree

ROWS = 1_000_000  # of two kilobytes, half of them random, half of them words
VALUE = "concat(hex(random_bytes(500)), repeat('lorem ipsum dolor sit amet ', 37))"
FILL = f"create table d.t (b text); insert into d.t select {VALUE}"
DOUBLE = f"insert into d.t select {VALUE} from d.t limit {{}}"  # noqa: S608
AT = "/var/lib/mysql"


def run(bench: Bench) -> None:
    """Measure the row."""
    taken: dict[str, list[float]] = defaultdict(list)
    contender = next(contender for contender in bench.contenders if contender.is_devenv)
    with scratch() as place:
        (place / "main").mkdir()
        tree = MainTree(contender, place / "main")
        try:
            tree.up(FILL, DOUBLE, ROWS // (50 if bench.scale.databases == 1 else 1))
            for number in range(bench.scale.databases + 1):
                found = _round(tree, place / "raw.tar")
                for key, seconds in found.items() if number else ():
                    taken[key].append(seconds)
        finally:
            tree.down()
    for what, ours, raw in (("saved", "save", "out"), ("restored", "restore", "in")):
        values = {"devenv": statistics.median(taken[ours]), FLOOR: statistics.median(taken[raw])}
        name = f"2 GB of MySQL are {what} (floor: `docker cp`)"
        bench.add(Figure(18, name, "s", values, wish=Wish(of_floor=1.3)))


def _round(tree: MainTree, raw: Path) -> dict[str, float]:
    """Seconds of a save, a restore, and the copies of the same volume to a file and from it."""
    volume = f"{tree.name}_data"
    os.sync()
    down = _events(tree, "down", "--snapshot")
    up = _events(tree, "up", "-d")
    found = {
        "save": _seconds(down, event="saved"),
        "restore": _seconds(up, event="step", name="restore", state="end"),
    }
    users = engine.containers(tree.name, "db")
    tree.call("docker", "pause", *users)
    with _holder(volume) as holder:
        found["out"] = _copied(f"docker cp {holder}:{AT} - > '{raw}' && sync '{raw}'")
    tree.call("docker", "unpause", *users)
    other = f"bench-{secrets.token_hex(4)}"
    tree.call("docker", "volume", "create", other)
    try:
        with _holder(other) as holder:
            found["in"] = _copied(f"docker cp - {holder}:{Path(AT).parent} < '{raw}'")
    finally:
        tree.call("docker", "volume", "rm", other)
        raw.unlink()
    return found


def _events(tree: MainTree, *words: str) -> list[dict[str, Any]]:
    """What a command of devenv reports."""
    return [json.loads(line) for line in tree.devenv(*words, "--output", "json").splitlines()]


def _seconds(events: list[dict[str, Any]], **wanted: str) -> float:
    """The seconds of the event with these fields."""
    return float(next(e for e in events if wanted.items() <= e.items())["seconds"])


@contextmanager
def _holder(volume: str) -> Iterator[str]:
    """A container that mounts the volume and is never started."""
    holder = engine.docker("create", "-v", f"{volume}:{AT}", engine.image(engine.BASE), "true")
    try:
        yield holder
    finally:
        engine.docker("rm", holder)


def _copied(command: str) -> float:
    os.sync()
    began = time.perf_counter()
    subprocess.run(["sh", "-c", command], check=True)
    return time.perf_counter() - began
