"""Rows 15 to 17: a second worktree with the data of the first, `devenv settle`, memory of a watched stack."""

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks import engine, trees
from benchmarks.bench import Bench
from benchmarks.contenders import Contender, scratch
from benchmarks.figures import Figure, Wish, paired
from benchmarks.rows_start import IDLE, OFTEN, database

ROWS = 10_000  # of a kilobyte; with what MySQL itself writes, the volume has more than 200 MB
FILL = "create table d.t (b blob); insert into d.t values (random_bytes(1000))"
DOUBLE = "insert into d.t select random_bytes(1000) from d.t limit {}"
REST = 1.0  # seconds


def run(bench: Bench) -> None:
    """Measure those of the rows that are asked for."""
    if bench.wants(15):
        _second_worktree(bench)
    if bench.wants(16, 17):
        _background(bench)


def _second_worktree(bench: Bench) -> None:
    taken: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        found = [stack.enter_context(_main_tree(contender)) for contender in bench.contenders]
        for number in range(1 + bench.scale.databases):
            for tree in bench.order.sample(found, len(found)):
                seconds = tree.second()
                if number:
                    taken[tree.contender.key].append(seconds)
    values = {key: statistics.median(seconds) for key, seconds in taken.items()}
    ratios = {key: paired(seconds, taken["devenv"]) for key, seconds in taken.items() if key != "devenv"}
    what = "a second worktree with 200 MB of MySQL (Compose: copied by hand)"
    bench.add(Figure(15, what, "s", values, wish=Wish(5), ratios=ratios))


@dataclass
class MainTree:
    """A project under git that is up, with a database of 200 MB."""

    contender: Contender
    folder: Path
    name: str = field(default_factory=lambda: f"bench-{secrets.token_hex(3)}")

    def __post_init__(self) -> None:
        trees.git(self.folder, "init", "-q", "-b", "main")
        text = yaml.safe_dump({"name": self.name, **database()})
        (self.folder / "compose.yml").write_text(text, encoding="utf-8")
        trees.git(self.folder, "add", ".")
        trees.git(self.folder, "commit", "-qm", "main")

    @property
    def env(self) -> dict[str, str]:
        """The environment of its commands."""
        return {**os.environ, **self.contender.env, "XDG_STATE_HOME": str(self.folder.parent / "state")}

    def call(self, *words: str, at: Path | None = None) -> str:
        """Run the command to its end; return what it prints. Raises SystemExit if it fails."""
        done = subprocess.run(words, cwd=at or self.folder, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout[-1000:], done.stderr[-2000:], file=sys.stderr)
            raise SystemExit(f"{self.contender.label}: {' '.join(words[:4])} failed")
        return done.stdout

    def devenv(self, *words: str, at: Path | None = None) -> str:
        """Run a command of devenv; return what it prints."""
        return self.call(sys.executable, "-m", "devenv", *words, at=at)

    def up(self, fill: str = FILL, double: str = DOUBLE, most: int = ROWS) -> None:
        """Start the project, and fill its database with so many rows."""
        self.devenv("up", "-d") if self.contender.is_devenv else self.call("docker", "compose", "up", "-d", "--wait")
        self._query(fill)
        rows = 1
        while rows < most:
            self._query(double.format(most - rows))
            rows = min(2 * rows, most)

    def second(self) -> float:
        """Seconds until a second worktree with the same data is healthy; it is removed again."""
        folder = self.folder.parent / "second"
        trees.git(self.folder, "worktree", "add", "-q", str(folder), "-b", f"b{secrets.token_hex(3)}")
        time.sleep(REST)
        began = time.perf_counter()
        if self.contender.is_devenv:
            self.devenv("up", "-d", "--from", "main", at=folder)
        else:
            self._copy_by_hand(folder)
        taken = time.perf_counter() - began
        if self.contender.is_devenv:
            self.devenv("down", "-v", at=folder)
        else:
            self.call("docker", "compose", "-p", "second", "down", "-v", "-t", "1", at=folder)
        trees.git(self.folder, "worktree", "remove", "--force", str(folder))
        return taken

    def _copy_by_hand(self, folder: Path) -> None:
        """What a script would do: pause, copy the volume in a container, go on, start."""
        database_id = engine.containers(self.name, "db")[0]
        mounts = ("-v", f"{self.name}_data:/from:ro", "-v", "second_data:/to")
        self.call("docker", "volume", "create", "--label", "com.docker.compose.project=second",
                  "--label", "com.docker.compose.volume=data", "second_data")  # fmt: skip
        self.call("docker", "pause", database_id)
        self.call("docker", "run", "--rm", *mounts, engine.image(engine.BASE), "cp", "-a", "/from/.", "/to")
        self.call("docker", "unpause", database_id)
        self.call("docker", "compose", "-p", "second", "up", "-d", "--wait", at=folder)

    def down(self) -> None:
        """Remove everything."""
        if self.contender.is_devenv:
            self.devenv("down", "-v")
        else:
            self.call("docker", "compose", "down", "-v", "-t", "1")

    def _query(self, text: str) -> None:
        self.call("docker", "exec", engine.containers(self.name, "db")[0], "mysql", "-uu", "-pp", "-e", text)


@contextmanager
def _main_tree(contender: Contender) -> Iterator[MainTree]:
    with scratch() as place:
        (place / "main").mkdir()
        tree = MainTree(contender, place / "main")
        try:
            tree.up()
            yield tree
        finally:
            tree.down()


def _background(bench: Bench) -> None:
    """Saves and `settle` in a run in the background, and the memory of its processes."""
    sizes: dict[str, float] = {}
    for contender in bench.contenders:
        with scratch() as place:
            (place / "main" / "src").mkdir(parents=True)
            tree = MainTree(contender, place / "main")
            (tree.folder / "compose.yml").write_text(yaml.safe_dump({"name": tree.name, **_checked()}))
            _measure_background(bench, tree, sizes)
    if bench.wants(17):
        bench.add(Figure(17, "memory that one stack takes to be watched", "MB", sizes, wish=Wish(60)))


def _measure_background(bench: Bench, tree: MainTree, sizes: dict[str, float]) -> None:
    if tree.contender.is_devenv:
        try:
            tree.devenv("up", "-d")
            tree.devenv("settle")
            if bench.wants(16):
                _add_settle(bench, tree)
            sizes["devenv"] = _memory(tree)
        finally:
            tree.down()
    elif bench.wants(17):
        argv = ["docker", "compose", "watch"]
        child = subprocess.Popen(
            argv, cwd=tree.folder, env=tree.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert child.stdout
            next(line for line in child.stdout if tree.contender.ready in line)
            time.sleep(REST)
            sizes[tree.contender.key] = _memory(tree)
        finally:
            child.terminate()
            child.communicate()
            tree.down()


def _memory(tree: MainTree) -> float:
    """The MB of all processes that commands in the tree have started on this machine; shared pages count in part."""
    marker, total = f"XDG_STATE_HOME={tree.env['XDG_STATE_HOME']}".encode(), 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes().split(b"\0"):
                total += int((process / "smaps_rollup").read_text().partition("\nPss:")[2].split()[0])
        except OSError:
            continue  # it has ended
    return total / 1e3


def _add_settle(bench: Bench, tree: MainTree) -> None:
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(bench.scale.saves):
        for option in ("", "--synced"):
            time.sleep(0.2)
            began = time.perf_counter()
            (tree.folder / "src/a").write_text(f"{option}{number}", encoding="ascii")
            tree.devenv("settle", *option.split())
            taken[option].append((time.perf_counter() - began) * 1000)
    for option, wish, what in (
        ("--synced", Wish(30), "a save, until `settle --synced` returns, p50"),
        ("", Wish(), "a save, until `settle` has proven a service with a check of its own, p50"),
    ):
        bench.add(Figure(16, what, "ms", {"devenv": statistics.median(taken[option])}, wish=wish))


def _checked() -> dict[str, Any]:
    rule = {"path": "./src", "action": "sync", "target": "/app"}
    check = {"test": ["CMD", "test", "-d", "/app"], **OFTEN}
    base = engine.image(engine.BASE)
    build = {"context": ".", "dockerfile_inline": f"FROM {base}\nRUN mkdir /app\n"}
    return {
        "services": {"app": {"build": build, "command": IDLE, "healthcheck": check, "develop": {"watch": [rule]}}}
    }
