"""Layers of images -> bars and lines of text. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from devenv.model.layers import Anatomy, Report
from devenv.model.snapshot import ago, shown
from devenv.ui.cells import cut
from devenv.ui.text import clean, counted

OWN, SHARED = "█", "░"
NARROWEST, WIDEST = 8, 60  # columns of a bar
COLUMNS = len("12   123 MB  12 days    ")
FEW = 5  # other images that are named; more are counted


@dataclass(frozen=True, slots=True)
class _Window:
    """The columns, the time (Unix seconds), and the bytes of the longest bar."""

    width: int
    now: float
    largest: int


def lines(report: Report, width: int, now: float) -> list[str]:
    """The report in so many columns; `now` is in Unix seconds."""
    sizes = (layer.size for image in report.images for layer in image.layers)
    window = _Window(width, now, max(sizes, default=0))
    lines_ = [line for image in report.images for line in _head(image, now)]
    first, *others = report.images
    if others:
        lines_ += _part("in both", first, range(report.common), window)
        for image in report.images:
            lines_ += _part(f"only in {image.reference}", image, range(report.common, len(image.layers)), window)
    else:
        lines_ += [*_rows(first, range(len(first.layers)), window), *_shares(first), *_advice(report)]
    return [clean(line).rstrip() for line in lines_]


def _head(image: Anatomy, now: float) -> Iterator[str]:
    note = f" ({image.note})" if image.note else ""
    made = f", made {ago(now - image.created)}" if image.created else ""
    yield f"{image.reference}{note}: {shown(image.size)} in {counted(len(image.layers), 'layer')}{made}"
    if image.base:
        inherited = sum(layer.size for layer in image.layers[: image.inherited])
        yield f"on {image.base}: {shown(inherited)} in {counted(image.inherited, 'layer')}"


def _part(title: str, image: Anatomy, which: range, window: _Window) -> Iterator[str]:
    yield f"{title}: {shown(sum(image.layers[index].size for index in which))} in {counted(len(which), 'layer')}"
    yield from _rows(image, which, window)


def _rows(image: Anatomy, which: range, window: _Window) -> Iterator[str]:
    """A line a layer, the lowest first: number, size, age, bar, instruction, and what the last build did."""
    bars = min(max(window.width // 5, NARROWEST), WIDEST)
    room = max(window.width - bars - COLUMNS, NARROWEST)
    for index in which:
        layer = image.layers[index]
        age = ago(window.now - layer.created).removesuffix(" ago") if layer.created else ""
        bar = (SHARED if layer.shared else OWN) * (layer.size and max(1, round(layer.size / window.largest * bars)))
        note = {None: "", True: "  (cached)", False: f"  ({layer.took:.1f} s)"}[layer.cached]
        text = cut(clean(layer.instruction).strip() or "(unknown)", max(room - len(note), NARROWEST))
        yield f"{index + 1:>2}  {shown(layer.size):>7}  {age:>7}  {bar:<{bars}}  {text}{note}"


def _shares(image: Anatomy) -> Iterator[str]:
    """The images that share layers: always the lowest ones."""
    counts = Counter(name for layer in image.layers for name in layer.shared)
    for count in sorted({*counts.values()}, reverse=True):
        # images without a name are shown by id, last
        names = sorted((name for name, shared in counts.items() if shared == count), key=lambda n: (":" not in n, n))
        more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        which = f"layers 1-{count} are" if count > 1 else "layer 1 is"
        yield f"{SHARED} {which} also in {', '.join(names[:FEW])}{more}"


def _advice(report: Report) -> Iterator[str]:
    for advice in report.advice:
        yield f"advice: {advice.message}"
        yield f"  hint: {advice.hint}"
    if report.unread:
        yield f"the files in the layers were not read: {report.unread}"
