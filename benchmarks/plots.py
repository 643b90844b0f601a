"""The plots of docs/performance.md, from the results: the title says the finding, each line its own name."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from benchmarks.figures import FLOOR, quantile
from benchmarks.report import plain

if TYPE_CHECKING:
    from benchmarks.curves import Curve

# Of Okabe and Ito's colours, which colour-blind people tell apart.
COLOURS = {"devenv": "#0072B2", "compose": "#D55E00", "newer": "#CC79A7", FLOOR: "#7F7F7F"}
STYLES = {"devenv": "-", "compose": "-", "newer": "--", FLOOR: ":"}
INK = "#222222"
Result = dict[str, Any]
Ends = dict[str, tuple[float, float, str]]


def draw(result: Result, folder: Path) -> list[Path]:
    """The plots that the results have series for, as SVG files in the folder."""
    _prepare()
    kinds: dict[str, Callable[[Axes, Result], None]] = {"saves": _saves, "bursts": _bursts, "starts": _starts}
    drawn = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, fill in kinds.items():
        if name not in result["series"]:
            continue
        sheet = Sheet(figsize=(7, 4.2), layout="constrained")
        axes = sheet.subplots()
        fill(axes, result)
        drawn.append(_save(sheet, folder / f"performance-{name}.svg"))
    return drawn


def draw_growth(curve: Curve, values: Mapping[int, Sequence[float]], folder: Path) -> Path:
    """The plot of a curve, a part for each measure, each from zero on, as an SVG file in the folder."""
    _prepare()
    folder.mkdir(parents=True, exist_ok=True)
    across, count = sorted(values), len(curve.measures)
    sheet = Sheet(figsize=(3.2 * count, 2.9), layout="constrained")
    for index, (axes, measure) in enumerate(zip(sheet.subplots(1, count).flat, curve.measures, strict=True)):
        _line(axes, "devenv", across, [values[point][index] for point in across], marker="o", markersize=4.5)
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:,.0f}")
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel(curve.across)
        axes.set_title(f"{measure.name}, {measure.unit}", loc="left", fontsize=11, fontweight="bold")
    return _save(sheet, folder / f"growth-{curve.name}.svg")


def _prepare() -> None:
    mpl.rcParams.update({"svg.hashsalt": "devenv", "svg.fonttype": "path", "font.size": 11, "text.color": INK})


def _save(sheet: Sheet, file: Path) -> Path:
    for axes in sheet.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, which="major", linewidth=0.6)
    sheet.savefig(file, metadata={"Date": None}, facecolor="white")
    return file


def _line(axes: Axes, key: str, across: Sequence[float], up: Sequence[float], **more: Any) -> None:
    axes.plot(across, up, color=COLOURS[key], linestyle=STYLES[key], linewidth=2.2, **more)


def _title(axes: Axes, text: str, below: str) -> None:
    axes.set_title(f"{text}\n", loc="left", fontsize=13, fontweight="bold")
    axes.text(0, 1.02, below, transform=axes.transAxes, fontsize=10.5, color="#555555")


def _plain_ticks(axis: Any, ticks: Sequence[float]) -> None:
    axis.set_ticks(ticks, labels=[plain(tick) for tick in ticks])
    axis.set_minor_locator(mpl.ticker.NullLocator())


def _labels(axes: Axes, ends: Ends, *, apart: float = 0.06) -> None:
    """A name at the end of each line, moved apart where they would touch."""
    axes.figure.canvas.draw()  # the limits are known from now on
    inverse, place = axes.transAxes.inverted(), axes.transData
    where = {key: inverse.transform(place.transform((x, y))) for key, (x, y, _) in ends.items()}
    last = -1.0
    for key in sorted(where, key=lambda key: float(where[key][1])):
        last = max(last + apart, float(where[key][1]))
        axes.text(1.015, last, ends[key][2], transform=axes.transAxes, color=COLOURS[key], va="center")


def _saves(axes: Axes, result: Result) -> None:
    series, labels = result["series"]["saves"], result["contenders"]
    medians = {key: statistics.median(values) for key, values in series.items()}
    heights = {"devenv": 0.5, FLOOR: 0.88, "compose": 0.62, "newer": 0.38}
    for key, values in series.items():
        ordered = sorted(values)
        shares = [i / len(ordered) for i in range(len(ordered) + 1)]
        _line(axes, key, [ordered[0], *ordered], shares, drawstyle="steps-post")
        is_right = key == "devenv"
        name = "one request and a rename" if key == FLOOR else labels[key]
        text = f"{name}\n{medians[key]:.0f} ms"
        spot = (quantile(values, heights[key]), heights[key])
        aside: dict[str, Any] = {"xytext": (9 if is_right else -9, 0), "textcoords": "offset points"}
        axes.annotate(text, spot, **aside, color=COLOURS[key], ha="left" if is_right else "right", va="center")
    axes.set_xscale("log")
    axes.set_xlim(2, 1_000)
    axes.set_ylim(0, 1.02)
    _plain_ticks(axes.xaxis, [2, 5, 10, 20, 50, 100, 200, 500, 1_000])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], labels=["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("milliseconds from the save to the bytes in the container")
    ratios = next(figure["ratios"] for figure in result["figures"] if figure["what"] == "a save, p50")
    _title(
        axes,
        f"A save arrives {min(ratios.values()):.0f} times sooner than with Compose",
        "share of saves that have arrived",
    )


def _bursts(axes: Axes, result: Result) -> None:
    growth, labels = result["series"]["bursts"], result["contenders"]
    ends: Ends = {}
    for key, by_size in growth.items():
        sizes = [int(size) for size in by_size]
        _line(axes, key, sizes, list(by_size.values()), marker="o", markersize=4.5)
        name = "one archive request" if key == FLOOR else labels[key]
        ends[key] = (sizes[-1], list(by_size.values())[-1], name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain_ticks(axes.xaxis, [100, 500, 2_000, 10_000])
    low, high = axes.get_ylim()
    _plain_ticks(axes.yaxis, [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= t <= high])
    axes.set_xlabel("new files of 2 kB")
    _labels(axes, ends)
    ratios = [
        min(growth[k][n] for k in growth if k not in ("devenv", FLOOR)) / growth["devenv"][n]
        for n in growth["devenv"]
    ]
    _title(axes, _range(ratios), "seconds from the first write until all are there")


def _range(ratios: Sequence[float]) -> str:
    low, high = f"{min(ratios):.1f}", f"{max(ratios):.1f}"
    return f"New files arrive {low if low == high else f'{low} to {high}'} times as fast as with Compose"


def _starts(axes: Axes, result: Result) -> None:
    growth, labels = result["series"]["starts"], result["contenders"]
    ends: Ends = {}
    for key, by_size in growth.items():
        sizes = [0, *map(int, by_size)]
        times = [0.0, *by_size.values()]
        _line(axes, key, sizes, times, marker="o", markersize=4.5)
        ends[key] = (sizes[-1], times[-1], labels[key])
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    sizes = sorted({int(n) for by_size in growth.values() for n in by_size})
    _plain_ticks(axes.xaxis, [0, *sizes])
    axes.set_xlabel("files in the watched tree, ten in a folder")
    _labels(axes, ends)
    times = growth["devenv"]
    last = max(times, key=int)
    _title(
        axes,
        f"{int(last):,} files are watched {plain(times[last])} s after the start",
        "seconds more than for an empty tree",
    )
