"""The page has a place for each of the growth curves, and each of their points is measured."""

from __future__ import annotations

from benchmarks import curves, growth, report


def test_the_page_has_a_place_for_each_curve() -> None:
    """Each table is put between its marks, with the load, each measure and each size."""
    page = growth.PAGE.read_text(encoding="utf-8")
    for curve in growth.CURVES:
        values = {point: [float(point)] * len(curve.measures) for point in curve.points}
        measured = curves.Measured(values, [0.0] * len(curve.measures))
        text = curves.section(curve, measured, {"date": "2026-01-02", "load": "0.5", "devenv": "abc"})
        assert "(load 0.5)" in text
        assert text in report.put_into(page, text, curves.marks(curve.name))
        assert f"\n| {curve.points[-1]:,} | " in text
        assert text.count("linear") == len(curve.measures)


def test_a_curve_is_measured_at_each_point_up_to_the_largest() -> None:
    """The medians of the repeated measurements."""
    taken = iter([1.0, 3.0, 5.0, 7.0])
    curve = curves.Curve("c", "things", (1, 2, 9), (growth.SAVE,), lambda _: (next(taken),))
    assert growth.measure(curve, most=2) == curves.Measured({1: [2.0], 2: [6.0]}, [1.0])
