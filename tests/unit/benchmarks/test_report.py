"""The figures of the benchmarks: how they are compared and printed, and that the page has the measured values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from benchmarks import report
from benchmarks.figures import FLOOR, Figure, Wish, paired, quantile

LABELS = {"devenv": "devenv", "compose": "Compose 1", "newer": "Compose 2", FLOOR: "floor"}


def figure(**more: Any) -> Figure:
    """A row in which devenv takes 10 ms, the other two 500 and 300, and the engine itself 5."""
    values = {"devenv": 10.0, "compose": 500.0, "newer": 300.0, FLOOR: 5.0}
    return Figure(1, "a save", "ms", **{"values": values, **more})


@pytest.mark.parametrize(
    ("wish", "reached"),
    [
        (Wish(), None),
        (Wish(most=10), True),
        (Wish(most=9.9), False),
        (Wish(faster={"compose": 50, "newer": 30}), True),
        (Wish(faster={"compose": 50, "newer": 31}), False),
        (Wish(of_floor=2), True),
        (Wish(of_floor=1.9), False),
        (Wish(most=20, of_floor=1.9), False),
        (Wish(times=0.03, plus=1), True),
        (Wish(times=0.03), False),
    ],
)
def test_target_is_reached_only_if_each_part_is(wish: Wish, reached: bool | None) -> None:
    """Each part of a target can fail it; without a target nothing is judged."""
    assert figure(wish=wish).reached() is reached


def test_given_up_measurement_misses_its_target() -> None:
    """If the measurement of devenv was given up, the target is missed, whatever the cap was."""
    assert figure(wish=Wish(most=50), beyond=("devenv",)).reached() is False


def test_paired_ratio_is_preferred() -> None:
    """A ratio that was measured in pairs is printed and compared with the target."""
    measured = figure(ratios={"compose": 40.0}, wish=Wish(faster={"compose": 50}))

    assert (measured.ratio("compose"), measured.ratio("newer")) == (40.0, 30.0)
    assert measured.reached() is False


def test_missing_value_gives_no_ratio() -> None:
    """If devenv's own value or all other values are missing, there is no ratio."""
    assert figure(values={"devenv": 0, "compose": 3}).ratio("compose") is None
    assert figure(values={"compose": 3}).ratio("compose") is None


def test_paired_ratio_is_the_median_over_rounds() -> None:
    """One slow minute for both tools does not change the ratio."""
    assert paired([500, 5000, 510], [10, 100, 10]) == 50


def test_a_quantile_is_one_of_the_values() -> None:
    """The 99th percentile of few values is the largest."""
    assert quantile([3, 1, 2], 0.99) == 3
    assert quantile(range(100), 0.5) == 50


def test_line_has_value_ratio_and_target() -> None:
    """The line has the name, a value for each tool, the ratio, the target, and whether it is reached."""
    wish = Wish(most=10, faster={"compose": 50.0}, of_floor=2.5)
    line = report.cells(figure(wish=wish, beyond=("newer",)), LABELS)

    assert line == [
        *("a save", "10 ms", "500 ms", "> 300 ms", "5 ms", "50× / > 30×"),
        *("≤ 10 ms, 50× Compose 1, ≤ 2.5× floor", "yes"),
    ]


def test_missing_value_is_a_dash() -> None:
    """A contender without a value has a dash, and so has its ratio."""
    line = report.cells(figure(values={"devenv": 1.0}), LABELS)

    assert line[1:6] == ["1 ms", "–", "–", "–", "– / –"]


def test_contender_that_was_given_up_has_no_ratio() -> None:
    """A contender that was given up before devenv was done has no ratio."""
    line = report.cells(figure(values={"devenv": 20.0, "compose": 13.0}, beyond=("compose",)), LABELS)

    assert line[2:6] == ["> 13 ms", "–", "–", "– / –"]


def test_figure_is_read_back_from_json() -> None:
    """A figure that is read back from JSON gives the same line."""
    before = figure(wish=Wish(most=10, faster={"compose": 50.0}), beyond=("newer",), ratios={"compose": 40.0})

    assert Figure.read(json.loads(json.dumps(before.fields()))) == before


def test_page_has_the_committed_results() -> None:
    """The figures of docs/performance.md are those of the committed results, to the letter."""
    page = report.PAGE.read_text(encoding="utf-8")
    result = json.loads(report.RESULT.read_text(encoding="utf-8"))

    assert report.put_into(page, report.markdown(result)) == page


def test_page_without_marks_is_refused() -> None:
    """A page without marks is an error, so that no figures are lost."""
    with pytest.raises(ValueError, match="no <!-- figures"):
        report.put_into("# Performance\n", "figures")


FIRST = {"date": "2025-01-01", "run": "full", "load": "0.2", "devenv": "a"}
LATER = {"date": "2026-01-01", "run": "full", "load": "0.1", "devenv": "b"}
OLD, NEW = "2025-01-01 (full run, load 0.2), devenv at `a`", "2026-01-01 (full run, load 0.1), devenv at `b`"


def test_rows_that_were_not_measured_are_kept() -> None:
    """A run of most rows replaces these, and the page says of the others when and with which devenv they were."""
    before = {
        "figures": [{"row": 1, "n": 1}, {"row": 7, "n": 1}],
        "series": {"saves": 1, "site": 1},
        "machine": FIRST,
    }
    later = {"figures": [{"row": 1, "n": 2}, {"row": 5, "n": 2}], "series": {"saves": 2}, "machine": LATER}
    assert report.added(before, later) == {
        "figures": [{"row": 1, "n": 2}, {"row": 5, "n": 2}, {"row": 7, "n": 1}],
        "series": {"saves": 2, "site": 1},
        "machine": {**LATER, "later": {"7": OLD}},
    }


def test_the_last_run_of_each_row_counts() -> None:
    """A row that was measured three times is named once."""
    before = {"figures": [{"row": row} for row in range(1, 6)], "series": {}, "machine": FIRST}
    once = report.added(before, {"figures": [{"row": 3}, {"row": 4}], "series": {}, "machine": LATER})
    assert once["machine"]["later"] == {"3, 4": NEW}
    again = report.added(once, {"figures": [{"row": 4}], "series": {}, "machine": {**LATER, "load": "9"}})
    assert again["machine"]["later"] == {"3": NEW, "4": NEW.replace("0.1", "9")}


def test_a_later_run_of_a_few_rows_says_when_it_was() -> None:
    """The head of the page describes the first measurement; each later run is named with its rows."""
    before = {"figures": [{"row": row} for row in (1, 2, 3)], "series": {}, "machine": FIRST}
    machines = report.added(before, {"figures": [{"row": 3}], "series": {}, "machine": LATER})["machine"]
    assert machines == {**FIRST, "later": {"3": NEW}}
    shown = report.markdown(
        {
            "contenders": {},
            "figures": [],
            "machine": {
                **dict.fromkeys(("run", "load", "cpu", "cores", "kernel", "engine", "python", "devenv"), "x"),
                **machines,
            },
        }
    )
    assert "Row 3: 2026-01-01 (load 0.1), devenv at `b`." in shown
    assert "full" not in shown  # it may have been a run of some rows
