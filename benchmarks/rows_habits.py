"""Row 14: what is typed many times a day, from Enter to the end of the answer."""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import yaml

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.contenders import Contender, scratch
from benchmarks.figures import Figure, Wish, paired
from benchmarks.rows_start import IDLE, SERVICES

DEVENV = str(Path(sys.executable).with_name("devenv"))
COMPOSE = ("docker", "compose")
NO_SLOWER = dict.fromkeys(("compose", "newer"), 0.8)  # at most 1.25 times as long as Compose
# What is typed, what of Compose's is beside it, and how many milliseconds it may take.
TYPED = (
    ("the version", ("--version",), (*COMPOSE, "version"), Wish(40)),
    ("the help", ("--help",), (*COMPOSE, "--help"), Wish(150, NO_SLOWER)),
    (f"ps, {SERVICES} services", ("ps",), (*COMPOSE, "ps"), Wish(300, NO_SLOWER)),
    (
        "completion of a service",
        ("__complete", "bash", "logs", ""),
        ("docker", "__complete", "compose", "logs", ""),
        Wish(150),
    ),
    ("long logs", ("logs",), (*COMPOSE, "logs"), Wish(faster=NO_SLOWER)),
)


def run(bench: Bench) -> None:
    """One project that runs, of which all ask in turn; the first round is uncounted."""
    project = f"bench-habits-{secrets.token_hex(3)}"
    with scratch() as folder:
        service = {"image": engine.image(engine.BASE), "command": IDLE}
        model = {"services": {f"s{number}": service for number in range(SERVICES)}}
        model["services"]["s0"] = {**service, "command": [*IDLE[:2], f"seq {bench.scale.log_lines}; {IDLE[2]}"]}
        (folder / "compose.yml").write_text(yaml.safe_dump(model), encoding="utf-8")
        env = {**os.environ, "COMPOSE_PROJECT_NAME": project, "XDG_STATE_HOME": str(folder / "state")}
        try:
            engine.docker("compose", "up", "-d", env=env, cwd=folder)
            for what, ours, theirs, wish in TYPED:
                rounds: dict[str, list[float]] = defaultdict(list)
                for number in range(1 + (bench.scale.rounds if ours == ("logs",) else bench.scale.typed)):
                    for contender in bench.order.sample(bench.contenders, len(bench.contenders)):
                        argv = (DEVENV, *ours) if contender.is_devenv else theirs
                        taken = _taken(argv, folder, env, contender)
                        rounds[contender.key] += [taken] if number else []
                p50 = {key: statistics.median(values) for key, values in rounds.items()}
                ratios = {key: paired(values, rounds["devenv"]) for key, values in rounds.items() if key != "devenv"}
                bench.add(Figure(14, what, "ms", p50, wish=wish, ratios=ratios))
        finally:
            engine.docker("compose", "down", "-t", "1", env=env, cwd=folder)


def _taken(argv: tuple[str, ...], folder: Path, env: Mapping[str, str], contender: Contender) -> float:
    """Milliseconds that the command took. Raises SystemExit where it failed or said nothing."""
    began = time.perf_counter()
    done = subprocess.run(argv, cwd=folder, env={**env, **contender.env}, capture_output=True, check=False)
    taken = (time.perf_counter() - began) * 1000
    if done.returncode or not done.stdout.strip():
        raise SystemExit(f"{contender.label}: {' '.join(argv)}: {done.returncode} {done.stderr.decode()}")
    return taken
