"""Save -> bytes in the container: `devenv up` beside `docker compose watch`, in one run, round by round.

Every contender watches a tree of its own. A round writes one file for each contender in turn (the order is drawn
anew each round) and looks into the container's own file system, through /proc, until the new bytes are there. So
what counts is the ratio of one round's neighbours, not the clock of this machine. Linux, as root.

    python benchmarks/latency.py [--rounds N] [--newer-compose FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BASE = "stand-in.devenv/debian:trixie-slim"
COMPOSE_FILE = """\
services:
  app:
    build:
      context: .
      dockerfile_inline: "FROM {base}"
    command: ["sleep", "infinity"]
    init: true
    develop:
      watch:
        - {{path: ./src, action: sync, target: /app}}
"""
REST = 0.7  # seconds between two saves: longer than any debounce, so that each one begins from idle
PATIENCE = 15.0


@dataclass
class Contender:
    """One watcher with its project: what it is called, where its tree is, and where its container's is."""

    name: str
    folder: Path
    root: Path
    latencies: list[float] = field(default_factory=list)  # milliseconds

    def round(self) -> float:
        """Save one small file, as an editor that truncates and writes does, and wait for its bytes."""
        content = secrets.token_hex(64)
        began = time.perf_counter()
        (self.folder / "src" / "file.txt").write_text(content, encoding="ascii")
        arrived = self.root / "app" / "file.txt"
        while time.perf_counter() - began < PATIENCE:
            try:
                if arrived.read_text(encoding="ascii") == content:
                    break
            except OSError:
                pass
            time.sleep(0.0002)
        else:
            raise SystemExit(f"{self.name}: a save did not arrive within {PATIENCE:.0f} s")
        taken = (time.perf_counter() - began) * 1000
        self.latencies.append(taken)
        return taken


def project(stack: ExitStack, name: str) -> Path:
    """A folder with a compose file and one source file."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-")))
    (folder / "src").mkdir()
    (folder / "src" / "file.txt").write_text("begin", encoding="ascii")
    (folder / "compose.yml").write_text(COMPOSE_FILE.format(base=BASE), encoding="utf-8")
    return folder


@contextmanager
def running(argv: list[str], folder: Path, env: dict[str, str], ready: str) -> Iterator[None]:
    """The watcher started, past the line that says it watches, and ended afterwards."""
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            argv, cwd=folder, env={**os.environ, **env}, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + 120
    while ready not in (folder / "log").read_text(errors="replace"):
        if child.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{argv}: did not come up\n{(folder / 'log').read_text(errors='replace')}")
        time.sleep(0.1)
    try:
        yield
    finally:
        os.killpg(child.pid, signal.SIGINT)
        child.wait(60)


def container_root(folder: Path) -> Path:
    """The container's root folder as this machine sees it."""
    shown = subprocess.run(
        ["docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={folder.name.lower()}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    pid = subprocess.run(
        ["docker", "inspect", "--format={{.State.Pid}}", shown[0]], capture_output=True, text=True, check=True
    ).stdout.strip()
    return Path(f"/proc/{pid}/root")


@contextmanager
def devenv() -> Iterator[Contender]:
    """`devenv up` of this checkout."""
    with ExitStack() as stack:
        folder = project(stack, "bench-devenv")
        env = {"COMPOSE_PROJECT_NAME": folder.name.lower(), "XDG_STATE_HOME": str(folder / "state")}
        argv = [sys.executable, "-m", "devenv", "up", "--output", "json"]
        stack.enter_context(running(argv, folder, env, '"event": "ready"'))
        yield Contender("devenv", folder, container_root(folder))


@contextmanager
def compose(docker_config: str | None) -> Iterator[Contender]:
    """`docker compose watch`, as installed or from another plugin folder."""
    env = {"DOCKER_CONFIG": docker_config} if docker_config else {}
    shown = subprocess.run(
        ["docker", "compose", "version", "--short"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    with ExitStack() as stack:
        folder = project(stack, "bench-compose")
        env["COMPOSE_PROJECT_NAME"] = folder.name.lower()
        stack.callback(
            subprocess.run,
            ["docker", "compose", "down", "-v", "-t", "1"],
            cwd=folder,
            env={**os.environ, **env},
            capture_output=True,
            check=False,
        )
        stack.enter_context(running(["docker", "compose", "watch"], folder, env, "atch enabled"))
        yield Contender(f"compose {shown.stdout.strip()}", folder, container_root(folder))


def summary(contenders: list[Contender], ours: Contender) -> list[dict[str, float | str]]:
    """A row for each contender: milliseconds, and how many times longer than ours its rounds took (median)."""
    rows: list[dict[str, float | str]] = []
    for contender in contenders:
        ordered = sorted(contender.latencies)
        ratios = [a / b for a, b in zip(contender.latencies, ours.latencies, strict=True)]
        rows.append(
            {
                "contender": contender.name,
                "rounds": len(ordered),
                "p50_ms": round(statistics.median(ordered), 1),
                "p90_ms": round(ordered[int(0.9 * (len(ordered) - 1))], 1),
                "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
                "max_ms": round(ordered[-1], 1),
                "times_devenv": round(statistics.median(ratios), 1),
            }
        )
    return rows


def main() -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description="Save -> bytes in the container, side by side.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--newer-compose", metavar="FOLDER", help="DOCKER_CONFIG of another Compose")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    order = random.Random(options.seed)
    with ExitStack() as stack:
        ours = stack.enter_context(devenv())
        contenders = [ours, stack.enter_context(compose(None))]
        if options.newer_compose:
            contenders.append(stack.enter_context(compose(options.newer_compose)))
        for _ in range(options.rounds):
            for contender in order.sample(contenders, len(contenders)):
                time.sleep(REST)
                contender.round()
        rows = summary(contenders, ours)
    print("  ".join(f"{key:>14}" for key in rows[0]))
    for row in rows:
        print("  ".join(f"{value:>14}" for value in row.values()))
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
