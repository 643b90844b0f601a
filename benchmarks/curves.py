"""Curves of docs/growth.md: what is measured at which points, and how each measure grows along them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

STEEP = 1.5  # a unit costs this many times as much at the end as before: worse than linear
FLAT = 0.1  # share of the first value up to which the whole growth counts as none


@dataclass(frozen=True)
class Measure:
    """What is measured at each point, with `digits` after the point in tables; differences below `least` are none."""

    name: str
    unit: str
    digits: int = 1
    least: float = 0.0


@dataclass(frozen=True)
class Curve:
    """Measures at points; `repeats` are the measurements of each point, of which the medians count."""

    name: str
    across: str
    points: tuple[int, ...]
    measures: tuple[Measure, ...]
    at: Callable[[int], tuple[float, ...]]
    repeats: int = 2


Values = Mapping[int, Sequence[float]]  # point -> value of each measure


@dataclass(frozen=True)
class Measured:
    """The medians at each point, and for each measure by how much they may be wrong, as its repeats tell."""

    values: Values
    errors: Sequence[float]

    @classmethod
    def of(cls, rounds: Mapping[int, Sequence[Sequence[float]]]) -> Measured:
        """From the values of all measures in each round, by point."""
        columns = {point: list(zip(*some, strict=True)) for point, some in rounds.items()}
        spreads = ([(max(column) - min(column)) / 2 for column in some] for some in columns.values())
        values = {point: [statistics.median(column) for column in some] for point, some in columns.items()}
        return cls(values, [max(some) for some in zip(*spreads, strict=True)])


def steepness(points: Sequence[int], values: Sequence[float]) -> float:
    """What one more costs in the last section of a curve, in multiples of what it costs before; three points."""
    before = (values[-2] - values[0]) / (points[-2] - points[0])
    last = (values[-1] - values[-2]) / (points[-1] - points[-2])
    if before <= 0:
        return float(last > 0) and STEEP + 1
    return last / before


def verdict(points: Sequence[int], values: Sequence[float], least: float = 0.0) -> str:
    """`flat`, `linear`, `less than linear` or `more than linear`, "" for less than three points.

    A last value that is at most `least` away from the line through the first and the last but one is on that line.
    """
    if len(points) < 3:
        return ""
    if max(values) - values[0] <= max(least, FLAT * values[0]):
        return "flat"
    share = (points[-1] - points[0]) / (points[-2] - points[0])
    if abs(values[-1] - values[0] - share * (values[-2] - values[0])) <= least:
        return "linear"
    steep = steepness(points, values)
    if steep > STEEP:
        return "more than linear"
    return "linear" if steep >= 1 / STEEP else "less than linear"


def table(curve: Curve, measured: Measured) -> str:
    """The values of each point, and in the last row how each measure grows."""
    values, points = measured.values, sorted(measured.values)
    heads = [curve.across, *(measure.name for measure in curve.measures)]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join(['---:'] * len(heads))} |"]
    for point in points:
        cells = [
            f"{value:.{measure.digits}f} {measure.unit}"
            for measure, value in zip(curve.measures, values[point], strict=True)
        ]
        lines.append(f"| {point:,} | {' | '.join(cells)} |")
    growth = [
        verdict(points, [values[point][index] for point in points], max(measure.least, measured.errors[index]))
        for index, measure in enumerate(curve.measures)
    ]
    return "\n".join([*lines, f"| growth | {' | '.join(growth)} |"])


def marks(curve: str) -> tuple[str, str]:
    """The lines of the page between which the curve's table is."""
    return f"<!-- growth of {curve}: made by scripts/growth -->", f"<!-- end of growth of {curve} -->"


def section(curve: Curve, measured: Measured, on: Mapping[str, str]) -> str:
    """What the page has between the marks of a curve."""
    begin, end = marks(curve.name)
    where = f"Medians of {curve.repeats} on {on['date']} (load {on['load']}), devenv at `{on['devenv']}`."
    names = ", ".join(measure.name for measure in curve.measures)
    plot = f"![{names}, by the number of {curve.across}](images/growth-{curve.name}.svg)"
    return f"{begin}\n{where}\n\n{table(curve, measured)}\n\n{plot}\n{end}"
