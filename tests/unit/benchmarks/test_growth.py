"""The growth curves: how a curve is judged, and that the page has a place for each of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from benchmarks import growth, report

POINTS = (1, 10, 50, 100)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((5.0, 5.1, 5.0, 5.2), "flat"),
        ((5.0, 4.0, 3.0, 2.0), "flat"),
        ((1.0, 10.0, 50.0, 100.0), "linear"),
        ((100.0, 110.0, 150.0, 200.0), "linear"),
        ((1.0, 10.0, 50.0, 60.0), "less than linear"),
        ((1.0, 100.0, 2_500.0, 10_000.0), "more than linear"),
        ((1.0, 1.0, 1.0, 9.0), "more than linear"),
    ],
)
def test_a_curve_is_judged_by_what_one_more_costs(values: Sequence[float], expected: str) -> None:
    """A fixed part does not count, and a growth that one would not notice is none."""
    assert growth.verdict(POINTS, values) == expected


def test_a_small_growth_is_flat() -> None:
    """A measure says what it cannot tell apart."""
    assert growth.verdict(POINTS, (0.01, 0.02, 0.02, 0.09), least=0.1) == "flat"
    assert growth.verdict(POINTS, (0.01, 0.02, 0.02, 0.09)) == "more than linear"


def test_two_points_are_no_curve() -> None:
    """Nothing is said of a line."""
    assert growth.verdict((1, 2), (1.0, 9.0)) == ""


def test_the_page_has_a_place_for_each_curve() -> None:
    """Each table is put between its marks, with the load, each measure and each size."""
    page = growth.PAGE.read_text(encoding="utf-8")
    for curve in growth.CURVES:
        values = {point: [float(point)] * len(curve.measures) for point in curve.points}
        text = growth.section(curve, values, {"date": "2026-01-02", "load": "0.5", "devenv": "abc"})
        assert "(load 0.5)" in text
        assert text in report.put_into(page, text, growth.marks(curve.name))
        assert f"\n| {curve.points[-1]:,} | " in text
        assert text.count("linear") == len(curve.measures)


def test_a_curve_is_measured_at_each_point_up_to_the_largest() -> None:
    """The medians of the repeated measurements."""
    taken = iter([1.0, 3.0, 5.0, 7.0])
    curve = growth.Curve("c", "things", (1, 2, 9), (growth.SAVE,), lambda _: (next(taken),))
    assert growth.measure(curve, most=2) == {1: [2.0], 2: [6.0]}
