"""Layers of images -> bars and lines of text. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from devenv.model.layers import Anatomy, Report
from devenv.model.snapshot import ago, shown
from devenv.ui.text import clean

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
    said = [line for image in report.images for line in _head(image, now)]
    one, *others = report.images
    if others:
        said += _part("in both", one, range(report.common), window)
        for image in report.images:
            said += _part(f"only in {image.reference}", image, range(report.common, len(image.layers)), window)
    else:
        said += [*_rows(one, range(len(one.layers)), window), *_shares(one), *_advice(report)]
    return [clean(line).rstrip() for line in said]


def _head(image: Anatomy, now: float) -> Iterator[str]:
    note = f" ({image.note})" if image.note else ""
    made = f", made {ago(now - image.created)}" if image.created else ""
    yield f"{image.reference}{note}: {shown(image.size)} in {_layers(len(image.layers))}{made}"
    if image.base:
        inherited = sum(layer.size for layer in image.layers[: image.inherited])
        yield f"on {image.base}: {shown(inherited)} in {_layers(image.inherited)}"


def _part(title: str, image: Anatomy, which: range, window: _Window) -> Iterator[str]:
    yield f"{title}: {shown(sum(image.layers[index].size for index in which))} in {_layers(len(which))}"
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
        said = _cut(clean(layer.instruction).strip() or "(not told)", max(room - len(note), NARROWEST))
        yield f"{index + 1:>2}  {shown(layer.size):>7}  {age:>7}  {bar:<{bars}}  {said}{note}"


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
    for one in report.advice:
        yield f"advice: {one.message}"
        yield f"  hint: {one.hint}"
    if report.unread:
        yield f"the files of the layers were not looked at: {report.unread}"


def _layers(count: int) -> str:
    return f"{count} layer{'' if count == 1 else 's'}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"
