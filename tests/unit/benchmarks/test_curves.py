"""How a curve is judged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from benchmarks import curves

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
    assert curves.verdict(POINTS, values) == expected


def test_a_small_growth_is_flat() -> None:
    """A measure says what it cannot tell apart."""
    assert curves.verdict(POINTS, (0.01, 0.02, 0.02, 0.09), least=0.1) == "flat"
    assert curves.verdict(POINTS, (0.01, 0.02, 0.02, 0.09)) == "more than linear"


@pytest.mark.parametrize(
    ("last", "expected"), [(6.6, "linear"), (7.5, "more than linear"), (4.2, "less than linear")]
)
def test_a_small_distance_from_the_line_is_none(last: float, expected: str) -> None:
    """The line through the first and the last but one of the points has 6 at the last one."""
    assert curves.verdict(POINTS, (1.05, 1.5, 3.5, last), least=0.8) == expected
    assert curves.verdict(POINTS, (1.05, 1.5, 3.5, 7.5), least=2) == "linear"


def test_a_verdict_is_not_finer_than_the_repeats() -> None:
    """A value that came out differently the second time may be wrong by half of the difference."""
    curve = curves.Curve("c", "things", POINTS, (curves.Measure("m", "s"),), lambda _: (0.0,))
    steep = {1: 1.0, 10: 2.0, 50: 3.0, 100: 9.0}
    sure = curves.Measured.of({point: [(value,), (value,)] for point, value in steep.items()})
    unsure = curves.Measured.of({point: [(value - 5,), (value + 5,)] for point, value in steep.items()})
    assert (sure.values, unsure.values, unsure.errors) == (unsure.values, sure.values, [5.0])
    assert curves.table(curve, sure).endswith("| growth | more than linear |")
    assert curves.table(curve, unsure).endswith("| growth | linear |")


def test_two_points_are_no_curve() -> None:
    """Nothing is said of a line."""
    assert curves.verdict((1, 2), (1.0, 9.0)) == ""
