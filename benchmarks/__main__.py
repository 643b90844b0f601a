"""python -m benchmarks: run the rows of docs/performance.md, tell each figure, write JSON and plots."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    report,
    rows_builds,
    rows_disk,
    rows_edits,
    rows_habits,
    rows_idle,
    rows_images,
    rows_parallel,
    rows_site,
    rows_start,
    rows_trees,
    rows_volumes,
)
from benchmarks.bench import QUICK, Bench, Scale
from benchmarks.contenders import contenders
from benchmarks.figures import FLOOR

STAGES = (
    ((1, 2, 3, 4), rows_edits.run),
    ((5, 6), rows_trees.run),
    ((7,), rows_site.run),
    ((8, 9), rows_idle.run),
    ((10, 11, 12), rows_start.run),
    ((13,), rows_images.run),
    ((14,), rows_habits.run),
    ((15, 16, 17), rows_parallel.run),
    ((18,), rows_volumes.run),
    ((19, 20), rows_disk.run),
    ((21, 22), rows_builds.run),
)
ALL = frozenset(row for rows, _ in STAGES for row in rows)
LIGHT = frozenset({10, 11, 14, 16})  # need neither root nor an engine in memory; half a minute with `--quick`


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="devenv beside `docker compose watch`.")
    parser.add_argument("--rows", type=_rows, help="which of the rows 1 to 22, e.g. 1,3")
    parser.add_argument("--rounds", type=int, help="saves in row 1")
    parser.add_argument(
        "--quick", action="store_true", help="only see that rows give figures; by default 10, 11, 14, 16"
    )
    parser.add_argument("--newer-compose", metavar="FOLDER", help="DOCKER_CONFIG of another Compose")
    parser.add_argument("--json", metavar="FILE", type=Path)
    parser.add_argument("--add-to", metavar="FILE", type=Path, help="as --json; rows that are not measured stay")
    parser.add_argument("--plots", metavar="FOLDER", type=Path, help="needs matplotlib")
    return parser.parse_args()


def _rows(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.split(","))


def main() -> int:
    """Run the stages, telling each figure as it comes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is ended
    chosen = options()
    rows = chosen.rows or (LIGHT if chosen.quick else ALL)
    if (os.geteuid() and not rows <= LIGHT) or not sys.platform.startswith("linux"):
        print("the benchmarks look into containers through /proc: Linux, as root", file=sys.stderr)
        return 2
    scale = QUICK if chosen.quick else Scale()
    if chosen.rounds:
        scale = replace(scale, saves=chosen.rounds)
    found = contenders(chosen.newer_compose)
    columns = report.labels(found)
    widths = [44, *[14] * len(columns), 16, 34, 8]

    def line(cells: list[str]) -> None:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)

    line(report.heads(columns))
    bench = Bench(found, scale, rows, lambda figure: line(report.cells(figure, columns)))
    for stage, run in STAGES:
        if bench.wants(*stage):
            run(bench)
    result = {
        "machine": report.machine("quick" if chosen.quick else "full"),
        "contenders": columns,
        "figures": [figure.fields() for figure in bench.figures],
        "series": bench.series,
    }
    for file in filter(None, (chosen.json, chosen.add_to)):
        written = report.added(json.loads(file.read_text()), result) if file == chosen.add_to else result
        file.write_text(json.dumps(written) + "\n", encoding="utf-8")
    if chosen.plots:
        from benchmarks import plots  # noqa: PLC0415 - matplotlib is only there for those who draw

        plots.draw(json.loads(json.dumps(result)), chosen.plots)
    before = json.loads(report.RESULT.read_text(encoding="utf-8"))
    lacking = (
        report.missing(before, bench.figures, rows, {key for key in columns if key != FLOOR}) if chosen.quick else []
    )
    for figure in lacking:
        print(f"no figure: {figure}", file=sys.stderr)
    return int(bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
