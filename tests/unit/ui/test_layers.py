"""Layers as people see them, in windows of every width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.model.layers import Advice, Anatomy, Layer, Report
from devenv.ui.layers import lines

NOW = 100_000.0
SHOP = Anatomy(
    "shop-web",
    "sha256:1",
    151_700_000,
    (
        Layer("imported", 93_000_000, 1000, "a", ("api:1", "b:1")),
        Layer(
            "RUN apt-get update && apt-get install -y --no-install-recommends curl", 12_000_000, 4000, "b", ("b:1",)
        ),
        Layer("WORKDIR /app", 0, 90_000, "c", cached=True),
        Layer("COPY . .", 700_000, 90_000, "d", cached=False, took=0.1),
        Layer("RUN npm ci", 46_000_000, 90_000, "e", cached=False, took=12.34),
    ),
    "node:22",
    2,
    "built on an image made here: x",
)
API = Anatomy("api:1", "sha256:2", 93_000_005, (*SHOP.layers[:1], Layer("", 5, 0, "z")))


def test_an_image() -> None:
    """Its base, a line a layer, who has the same ones, and what to do."""
    report = Report((SHOP,), advice=(Advice("x", "layer 5 is large", "make it small"),))
    assert lines(report, 80, NOW) == [
        "shop-web (built on an image made here: x): 152 MB in 5 layers, made 3 h ago",
        "on node:22: 105 MB in 2 layers",
        " 1    93 MB     28 h  ░░░░░░░░░░░░░░░░  imported",
        " 2    12 MB     27 h  ░░                RUN apt-get update && apt-get install -…",
        " 3      0 B      3 h                    WORKDIR /app  (cached)",
        " 4   700 KB      3 h  █                 COPY . .  (0.1 s)",
        " 5    46 MB      3 h  ████████          RUN npm ci  (12.3 s)",
        "░ layers 1-2 are also in b:1",
        "░ layer 1 is also in api:1",
        "advice: layer 5 is large",
        "  hint: make it small",
    ]


def test_a_wide_window() -> None:
    """Longer bars and whole instructions."""
    assert lines(Report((SHOP,)), 120, NOW)[2:4] == [
        " 1    93 MB     28 h  ░░░░░░░░░░░░░░░░░░░░░░░░  imported",
        f" 2    12 MB     27 h  ░░░                       {SHOP.layers[1].instruction}",
    ]


def test_two_images() -> None:
    """What they begin with alike, then what each has of its own, with sums; bars to one scale."""
    assert lines(Report((SHOP, API), 1), 80, NOW) == [
        "shop-web (built on an image made here: x): 152 MB in 5 layers, made 3 h ago",
        "on node:22: 105 MB in 2 layers",
        "api:1: 93 MB in 2 layers, made 28 h ago",
        "in both: 93 MB in 1 layer",
        " 1    93 MB     28 h  ░░░░░░░░░░░░░░░░  imported",
        "only in shop-web: 59 MB in 4 layers",
        " 2    12 MB     27 h  ░░                RUN apt-get update && apt-get install -…",
        " 3      0 B      3 h                    WORKDIR /app  (cached)",
        " 4   700 KB      3 h  █                 COPY . .  (0.1 s)",
        " 5    46 MB      3 h  ████████          RUN npm ci  (12.3 s)",
        "only in api:1: 5 B in 1 layer",
        " 2      5 B           █                 (unknown)",
    ]


def test_an_image_without_layers() -> None:
    """There is such a thing."""
    assert lines(Report((Anatomy("none", "", 0, ()),), unread="3.1 GB"), 80, NOW) == [
        "none: 0 B in 0 layers",
        "the files in the layers were not read: 3.1 GB",
    ]


@pytest.mark.parametrize(("count", "said"), [(5, "a0, a1, a2, a3, a4"), (7, "a0, a1, a2, a3, a4 and 2 more")])
def test_many_others_are_counted(count: int, said: str) -> None:
    """Some are named."""
    image = Anatomy("it", "", 1, (Layer("RUN x", 1, 0, "a", tuple(f"a{n}" for n in range(count))),))
    assert lines(Report((image,)), 80, NOW)[-1] == f"░ layer 1 is also in {said}"


@given(
    st.integers(60, 300),
    st.lists(st.tuples(st.text() | st.just("RUN x " * 100), st.integers(0, 10**10)), min_size=1, max_size=5),
)
def test_every_layer_has_one_line_that_fits(width: int, layers: list[tuple[str, int]]) -> None:
    """In any window of sixty columns or more, whatever an instruction says; a bar where there are bytes."""
    made = tuple(Layer(said, size, 1, cached=size % 2 == 0) for said, size in layers)
    said = lines(Report((Anatomy("it", "", 0, made),)), width, NOW)
    assert len(said) == 1 + len(made)
    assert all(len(line) <= width for line in said)
    assert [("█" in line[20:60]) for line, one in zip(said[1:], made, strict=True) if "█" not in one.instruction] == [
        one.size > 0 for one in made if "█" not in one.instruction
    ]
