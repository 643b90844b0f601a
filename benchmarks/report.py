"""Results as text: a line for a terminal, the table of docs/performance.md, and what machine it was."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from benchmarks import engine
from benchmarks.contenders import Contender
from benchmarks.figures import FLOOR, Figure, significant

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/performance.md"
RESULT = ROOT / "benchmarks/result.json"
MARKS = ("<!-- figures: made from benchmarks/result.json -->", "<!-- end of figures -->")


def machine(run: str) -> dict[str, str]:
    """What the figures depend on; `run` says whether it was a full or a quick one."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "run": run,
        "load": f"{os.getloadavg()[2]:.1f}",
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release().partition("-")[0],
        "engine": engine.docker("version", "--format={{.Server.Version}}"),
        "python": platform.python_version(),
        "devenv": git.stdout.strip(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def number(figure: Figure, key: str) -> str:
    """A value with its unit, `>` before it where the contender had not come that far, a dash if there is none."""
    if (value := figure.values.get(key)) is None:
        return "–"
    more = "> " if key in figure.beyond else ""
    return f"{more}{plain(value)} {figure.unit}".rstrip()


def plain(value: float) -> str:
    """Three digits that count, and no exponent."""
    return f"{significant(value):,.10g}"


def wished(figure: Figure, labels: dict[str, str]) -> str:
    """What was wished, in words."""
    wish = figure.wish
    parts = [f"≤ {plain(wish.most)} {figure.unit}".rstrip()] if wish.most is not None else []
    if len(set(wish.faster.values())) == 1 < len(wish.faster):
        parts.append(f"{plain(next(iter(wish.faster.values())))}× Compose")
    else:
        parts += [f"{plain(wish.faster[key])}× {label}" for key, label in labels.items() if key in wish.faster]
    if wish.of_floor is not None:
        parts.append(f"≤ {plain(wish.of_floor)}× floor")
    if wish.times is not None:
        parts.append(f"≤ {plain(wish.times)}× Compose{f' + {plain(wish.plus)} {figure.unit}' if wish.plus else ''}")
    return ", ".join(parts)


def cells(figure: Figure, labels: dict[str, str]) -> list[str]:
    """The figure's line: what, a value for each, how many times ours, what was wished, whether it was reached."""
    others = [key for key in labels if key not in ("devenv", FLOOR)]
    ratios = [ratio_text(figure, key) for key in others]
    mark = {True: "yes", False: "no", None: ""}[figure.reached()]
    return [figure.what, *(number(figure, key) for key in labels), " / ".join(ratios), wished(figure, labels), mark]


def ratio_text(figure: Figure, key: str) -> str:
    """How many times ours, with the sign that says so."""
    ratio = figure.ratio(key)
    if ratio is None or (key in figure.beyond and ratio < 1):  # what was given up earlier than ours was done
        return "–"
    return f"{'> ' if key in figure.beyond else ''}{float(f'{ratio:.2g}'):,g}×"


def labels(contenders: list[Contender]) -> dict[str, str]:
    """Names for people by key, in the order of the columns."""
    return {**{contender.key: contender.label for contender in contenders}, FLOOR: "floor"}


def heads(columns: dict[str, str]) -> list[str]:
    """The table's head."""
    return ["", *columns.values(), "times devenv", "wished", "reached"]


def markdown(result: dict[str, Any]) -> str:
    """The part of docs/performance.md that is made of figures."""
    columns: dict[str, str] = result["contenders"]
    head = ["row", *heads(columns)]
    lines = [head, ["---:", "---", *["---:"] * len(columns), "---:", "---", "---"]]
    lines += [[str(fields["row"]), *cells(Figure.read(fields), columns)] for fields in result["figures"]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    on = result["machine"]
    where = (
        f"Measured on {on['date']} ({on['run']} run, load {on['load']}): {on['cpu']}, {on['cores']} cores, "
        f"Linux {on['kernel']}, Engine {on['engine']}, "
        f"Python {on['python']}, devenv at `{on['devenv']}`."
    )
    for rows, measured in on.get("later", {}).items():
        where += f" {'Rows' if ',' in rows else 'Row'} {rows}: {measured}."
    where = where.replace("(full run, ", "(")  # not a quick one, but maybe of a few rows
    return f"{MARKS[0]}\n{where}\n\n{table}\n{MARKS[1]}"


def added(before: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The result with those rows of an earlier one that it does not have.

    It tells of the run with the most rows, and of the others by row.
    """
    rows = {figure["row"] for figure in result["figures"]}
    kept = [figure for figure in before["figures"] if figure["row"] not in rows]
    figures = sorted([*kept, *result["figures"]], key=lambda figure: int(figure["row"]))
    runs = {figure["row"]: _run(before["machine"]) for figure in kept}
    for which, run in before["machine"].get("later", {}).items():
        runs |= {int(row): run for row in which.split(", ") if int(row) in runs}
    on = before["machine"] if len(runs) > len(rows) else result["machine"]
    later: dict[str, list[str]] = {}
    for row, run in sorted({**runs, **dict.fromkeys(rows, _run(result["machine"]))}.items()):
        if run != _run(on):
            later.setdefault(run, []).append(str(row))
    on = {**on, "later": {", ".join(which): run for run, which in later.items()}}
    return {**result, "machine": on, "figures": figures, "series": {**before["series"], **result["series"]}}


def _run(on: dict[str, Any]) -> str:
    return f"{on['date']} ({on['run']} run, load {on['load']}), devenv at `{on['devenv']}`"


def missing(
    before: dict[str, Any], figures: Iterable[Figure], rows: Collection[int], keys: Collection[str]
) -> list[str]:
    """The figures of these rows that an earlier result has for these contenders, and that are not among `figures`."""
    values = {figure.what: figure.values for figure in figures}
    return [
        f"{row['what']}: {key}"
        for row in before["figures"]
        for key in row["values"]
        if row["row"] in rows and key in keys and values.get(row["what"], {}).get(key) is None
    ]


def put_into(page: str, part: str, marks: tuple[str, str] = MARKS) -> str:
    """The page with the text between the marks replaced. Raises ValueError if it has no such marks."""
    before, _, rest = page.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not end:
        raise ValueError(f"no {marks[0]} ... {marks[1]}")
    return before + part + after


def main() -> int:
    """Draw the plots of benchmarks/result.json into docs/images, and put its figures into docs/performance.md."""
    from benchmarks import plots  # noqa: PLC0415 - matplotlib is only there for those who draw

    result = json.loads(RESULT.read_text(encoding="utf-8"))
    plots.draw(result, ROOT / "docs/images")
    PAGE.write_text(put_into(PAGE.read_text(encoding="utf-8"), markdown(result)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
